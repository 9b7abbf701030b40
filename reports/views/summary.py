"""A short Markdown summary of a run, for a job summary, a comment or a mail."""

import re
from collections.abc import Iterable, Sequence

from harness.analysis.messages import no_interval
from harness.core.comma_lists import listed
from harness.core.records.run import RunData, RunKind, kind_of
from harness.core.records.verdict import SPEECH_VERDICT, TargetKind
from harness.core.redaction import published
from harness.metrics.registry import lacks_interval
from reports.text.format import NOTHING, count, metric_of, moment, visible
from reports.text.naming import Names, names_of
from reports.text.speech import speech_words, word_errors
from reports.views.changes import ChangeGroup, changes
from reports.views.facts import Gap, gaps
from reports.views.headline import headline
from reports.views.replays import replays
from reports.views.targets import OPEN, targets, targets_sentence

MOST = 10
"""The maximum number of lines per table; further ones are counted."""

_NOTIFIES = re.compile(r"(&#64;(?=\w)|(?:\\#|!|&#38;|\\\$)(?=\d)|(?:%|\\~)(?=\\?[\w\"]))")
"""The beginning of a mention or of a reference. Trackers look for them in the text that is shown, after escapes."""

_SPECIAL = re.compile(r"[\\`*_{}\[\]#|<>&~@$]|:(?=[^\s\d])|^[-+](?=\s)|(?<=^\d)\.(?=\s)")


def markdown_summary(data: RunData) -> str:
    """The verdict, the largest changes with their intervals, missed targets and failures. Ends with a newline."""
    data = published(data)
    named = names_of(data)
    head = headline(data, named)
    found = changes(data, named)
    shown: set[str] = set()
    parts = [
        f"## {head.glyph} {escape(head.sentence)}",
        *_sides(data),
        *(sentence(text) for text in (head.detail, head.status) if text),
        *_changes("Worse", found.worse, shown),
        *_changes("Worse, waived", found.waived, shown),
        *_changes("Worse, for information (the metric does not gate)", found.informing, shown),
        *_changes("Better", found.better, shown),
        *_unclear(found.unclear),
        *_pairs(data, named),
        *_speech(data, named),
        *_targets(data, named),
        *_gaps([gap for gap in gaps(data, named) if gap.failed]),
        escape(f"Run {data.run.id} · {moment(data.run.started_at)} · {data.run.machine.key}"),
    ]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text escaped for one line of Markdown: no markup, HTML, mention, reference or column separator takes effect."""
    return _escape(" ".join(visible(text).split()))


def _escape(text: str) -> str:
    return _NOTIFIES.sub(r"\1&#8203;", _SPECIAL.sub(_escaped, text))


def _escaped(match: re.Match[str]) -> str:
    return f"&#{ord(match[0])};" if match[0] in "<>&@|:" else "\\" + match[0]


def sentence(text: str) -> str:
    """A sentence as Markdown. Commands between backticks become code; the rest is escaped."""
    parts = " ".join(visible(text).split()).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return "".join(f"`{part}`" if index % 2 else _escape(part) for index, part in enumerate(parts))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table. This function escapes the cells."""
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    lines += [f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _sides(data: RunData) -> list[str]:
    """The sources of a duel's sides, if both come from git."""
    arms = [scenario.arm for scenario in data.run.scenarios[:2]]
    if kind_of(data.run.selection) is not RunKind.DUEL or not all(arm.source for arm in arms):
        return []
    return [escape(f"{arms[0].source} against {arms[1].source}")]


def _changes(title: str, groups: Sequence[ChangeGroup], shown: set[str]) -> list[str]:
    """The table of changes and their suspects, without those in `shown`, to which it adds the new ones."""
    rows = [
        (
            f"{line.words.glyph} {group.label.full}",
            line.metric,
            line.value,
            line.change or line.words.word,
            line.interval,
        )
        for group in groups
        for line in group.lines
    ]
    if not rows:
        return []
    found = dict.fromkeys(suspect for group in groups for suspect in group.suspects)
    suspects = [suspect for suspect in found if suspect not in shown]
    shown.update(suspects)
    return [
        f"### {title}",
        table(("Scenario", "Figure", "Now", "Change", "Interval"), rows[:MOST]),
        *_more(len(rows)),
        *_lenient(groups),
        *([f"Suspects: {escape('; '.join(suspects[:MOST]))}"] if suspects else []),
    ]


def _lenient(groups: Sequence[ChangeGroup]) -> list[str]:
    """The waivers of regressions, expired or not, with the end and the reason of each."""
    found: dict[str, list[str]] = {}
    for group in groups:
        for line in group.lines:
            if line.waiver:
                found.setdefault(line.waiver, []).append(f"{line.metric} of {group.label.full}")
    lines = [f"- {escape(listed(where[:MOST]))}: {escape(words)}" for words, where in found.items()]
    return ["\n".join(lines)] if lines else []


def _unclear(groups: Sequence[ChangeGroup]) -> list[str]:
    lines = sum(len(group.lines) for group in groups)
    return [f"{escape(count(lines, 'figure'))} unclear: neither a change nor its absence is shown."] if lines else []


def _pairs(data: RunData, named: Names) -> list[str]:
    """What changed under test, and the run with the pairs."""
    return [
        escape(f"Changed since the acceptance: {one.differences}. Measured pair by pair in run {one.run_id}.")
        for one in replays(data, named)
    ]


def _speech(data: RunData, named: Names) -> list[str]:
    words, errors = speech_words(data), word_errors(data)
    judged = [each for each in data.verdicts if each.metric == SPEECH_VERDICT]
    if not judged:
        return []
    rows = [
        (named.of(own).full, words[own], errors.get(own, NOTHING), errors.get(each.reference, NOTHING), each.reason)
        for each in judged
        for own in (each.scenario_id,)
    ]
    heads = ("Scenario", "Speech", "Word errors", "Of the original", "Why")
    return ["### Speech", table(heads, rows[:MOST]), *_more(len(rows))]


def _targets(data: RunData, named: Names) -> list[str]:
    if not data.targets:
        return []
    open_lines = targets(data, named, kinds=OPEN)
    rows = [
        (f"{line.glyph} {line.label.full}", line.metric, line.limit, line.observed, line.reason)
        for line in open_lines[:MOST]
    ]
    section = ["### Targets", escape(targets_sentence(data)), *_met_without_interval(data)]
    return (
        [*section, table(("Scenario", "Figure", "Target", "Observed", ""), rows), *_more(len(open_lines))]
        if rows
        else section
    )


def _met_without_interval(data: RunData) -> list[str]:
    """A note on targets that were met by values without an interval, so that this is visible."""
    met = {(each.scenario_id, each.metric) for each in data.targets if each.kind is TargetKind.MET}
    alone: dict[str, list[str]] = {}
    for each in data.summaries:
        if (each.scenario_id, each.metric) in met and lacks_interval(each):
            alone.setdefault(no_interval(each.n), []).append(metric_of(each.metric).title)
    found = [f"{listed(list(dict.fromkeys(titles)))} ({words})" for words, titles in alone.items()]
    return [escape(f"Met by the figure alone: {'; '.join(found)}.")] if found else []


def _gaps(failed: Sequence[Gap]) -> list[str]:
    if not failed:
        return []
    lines = [f"- {escape(gap.what)} ({escape(_where(gap))}): {escape(gap.reason)}" for gap in failed[:MOST]]
    return ["### Not measured", "\n".join(lines), *_more(len(failed))]


def _where(gap: Gap) -> str:
    rest = len(gap.scenarios) - 3
    return ", ".join(label.full for label in gap.scenarios[:3]) + (f" and {rest} more" if rest > 0 else "")


def _more(total: int) -> list[str]:
    return [f"… and {total - MOST} more, on the run's page."] if total > MOST else []
