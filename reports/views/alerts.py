"""An alert as a page and as Markdown show it: what, since when, how sure, confirmed by what, why, and what to do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.analysis.alert_words import alert_page, duel_verdict, ending_of
from harness.core.records.run import Concluded
from harness.core.records.schedule import Alert, AlertEnding, AlertKind, Confirmation
from harness.core.records.verdict import Estimate, Verdict, VerdictKind
from harness.core.redaction import published_record
from reports.text.format import (
    VERDICT_WORDS,
    VerdictWord,
    change_words,
    day,
    metric_of,
    moment,
    sentence,
    typeset,
    visible,
)
from reports.text.naming import names_of
from reports.views.alert_steps import next_steps
from reports.views.summary import escape, table
from reports.views.summary import sentence as markdown_sentence

INTERVAL_OF_STEP = 0.95
"""The level of the interval of a step of the history."""

Runs = Mapping[str, Concluded]
"""Run id → the run, for those that an alert names and that are still stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLink:
    """A run that an alert names: its id, and its time if it is still stored."""

    id: str
    when: str

    @property
    def is_stored(self) -> bool:
        """Whether the site has a page of it."""
        return bool(self.when)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertLine:
    """An alert in a list, without the user's folders. `confirmed` is what its duel has shown, in a word."""

    key: int
    href: str
    title: str
    subject: str
    css: str
    glyph: str
    state: str
    is_open: bool
    confirmed: str
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One measurement of the change: what was measured, the run, and the change with its interval."""

    what: str
    run: RunLink
    word: VerdictWord | None
    change: str
    interval: str
    pairs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertView:
    """The contents of an alert's page. `state` is how it stands, in a word; `again` is one command, or ""."""

    key: int
    title: str
    where: str
    css: str
    glyph: str
    state: str
    is_open: bool
    course: str
    machine: str
    reported: str
    since: RunLink
    since_when: str
    found_in: RunLink
    evidence: tuple[Evidence, ...]
    sure: str
    confirmed: str
    duel: RunLink
    causes: tuple[str, ...]
    culprit: str
    bisection: str
    steps: tuple[str, ...]
    again: str


def runs_of(alert: Alert) -> tuple[str, ...]:
    """The ids of the runs that the page of an alert shows something of."""
    named = (alert.run_id, alert.found_in, alert.compared_with, alert.confirmed_by, alert.closed_by)
    return tuple(dict.fromkeys(filter(None, named)))


def alert_line(alert: Alert) -> AlertLine:
    """An alert as a line of a list, without the user's folders."""
    alert = published_record(alert)
    css, glyph = _sign(alert)
    return AlertLine(
        key=alert.key,
        href=alert_page(alert.key),
        title=_title(alert),
        subject=alert.subject,
        css=css,
        glyph=glyph,
        state=_state(alert),
        is_open=alert.closed_at is None,
        confirmed=alert.confirmation.value if alert.confirmation else "–",
        since=day(alert.opened_at),
    )


def alert_view(alert: Alert, runs: Runs) -> AlertView:
    """The contents of an alert's page, without the user's folders."""
    alert = published_record(alert)
    found = runs.get(alert.found_in) or runs.get(alert.run_id)
    duel = runs.get(alert.confirmed_by)
    verdict = _verdict(alert, found)
    by_duel = duel_verdict(alert, duel) if duel else None
    css, glyph = _sign(alert)
    suspects = (by_duel.suspects if by_duel else ()) or (verdict.suspects if verdict else ())
    return AlertView(
        key=alert.key,
        title=_title(alert, by_duel),
        where=_where(alert, found),
        css=css,
        glyph=glyph,
        state=_state(alert),
        is_open=alert.closed_at is None,
        course=_course(alert),
        machine=alert.machine_key,
        reported=sentence(typeset(alert.sentence)),
        since=_link(alert.run_id, runs),
        since_when=moment(alert.opened_at),
        found_in=_link(alert.found_in or alert.run_id, runs),
        evidence=tuple(_evidence(alert, runs, verdict, by_duel)),
        sure=" ".join(filter(None, (_sure(alert), _other_size(alert, by_duel)))),
        confirmed=sentence(typeset(alert.confirmation_reason)),
        duel=_link(alert.confirmed_by, runs),
        causes=tuple(typeset(each) for each in suspects),
        culprit=sentence(typeset(alert.explanation)),
        bisection=alert.bisection,
        steps=tuple(next_steps(alert, has_suspects=bool(suspects))),
        again=f"kokoro-bench schedule confirm {alert.key}" if _is_change(alert) and alert.found_in else "",
    )


def markdown_alert(view: AlertView) -> str:
    """An alert for an issue tracker. Ends with a newline."""
    rows = [(each.what, each.run.id, each.change, each.interval, each.pairs) for each in view.evidence]
    since = f"Since run {view.since.id}" + (f", {view.since.when}" if view.since.when else "")
    parts = [
        f"## {view.glyph} {escape(view.title)}",
        escape(view.where) if view.where else "",
        markdown_sentence(view.reported),
        f"**State**: {escape(view.course)}",
        escape(f"{since}. Found in run {view.found_in.id} on {view.machine}.") if view.since.id else "",
        "### How sure",
        table(("Measured", "Run", "Change", "Interval", "Pairs"), rows) if rows else "",
        markdown_sentence(view.sure),
        markdown_sentence(view.confirmed),
        "### Cause",
        "\n".join(f"- {escape(each)}" for each in view.causes) or "No suspect was found.",
        f"**Culprit**: {markdown_sentence(view.culprit)}" if view.culprit else "",
        "### What to do next",
        "\n".join(f"- {markdown_sentence(each)}" for each in view.steps),
        f"To see it again: `{view.again}`" if view.again else "",
        escape(f"Alert {view.key} · {view.since_when} · {view.machine}"),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def text_alert(view: AlertView) -> str:
    """An alert for a terminal. Ends with a newline."""
    lines = [
        f"Alert {view.key}: {view.title} ({view.state})",
        view.where,
        view.reported,
        view.course,
        f"Since run {view.since.id}; found in run {view.found_in.id} on {view.machine}." if view.since.id else "",
        *(f"{each.what}: {each.change} ({each.interval}), run {each.run.id}" for each in view.evidence),
        view.sure,
        view.confirmed,
        *(f"suspect: {each}" for each in view.causes),
        f"culprit: {view.culprit}" if view.culprit else "",
        *(f"next: {each}" for each in view.steps),
        f"see it again: `{view.again}`" if view.again else "",
    ]
    return "".join(f"{visible(line)}\n" for line in lines if line)


def in_order(alerts: Iterable[AlertLine]) -> list[AlertLine]:
    """The open alerts, then those that ended; each newest first."""
    return sorted(alerts, key=lambda each: (not each.is_open, -each.key))


def _is_change(alert: Alert) -> bool:
    return alert.kind in (AlertKind.REGRESSION, AlertKind.IMPROVEMENT)


def _sign(alert: Alert) -> tuple[str, str]:
    """The style class and the glyph: those of its verdict while it is open, and then the quiet ones."""
    kind = {
        AlertKind.IMPROVEMENT: VerdictKind.IMPROVED,
        AlertKind.FAILURE: VerdictKind.FAILED,
    }.get(alert.kind, VerdictKind.REGRESSED)
    word = VERDICT_WORDS[kind]
    return (str(word.css) if alert.closed_at is None else "none"), str(word.glyph)


def _title(alert: Alert, by_duel: Verdict | None = None) -> str:
    """What it is about, with the size that its duel confirmed, or else that of the run."""
    if alert.kind is AlertKind.FAILURE:
        return f"Job {alert.subject} failed"
    title = metric_of(alert.metric).title
    if alert.kind is AlertKind.TARGET:
        return f"{title} misses its target"
    estimate = _confirmed(alert, by_duel) or _reported(alert)
    by = f": {change_words(alert.metric, estimate).point}" if estimate else ""
    return f"{title} got {'better' if alert.kind is AlertKind.IMPROVEMENT else 'worse'}{by}"


def _where(alert: Alert, found: Concluded | None) -> str:
    if alert.kind is AlertKind.FAILURE:
        return ""
    return names_of(found).of(alert.subject).full if found else alert.subject


def _state(alert: Alert) -> str:
    if alert.closed_at is not None:
        return ending_of(alert)
    return "being confirmed" if alert.confirmation is Confirmation.WAITING else "open"


def _course(alert: Alert) -> str:
    """How it came, and how it ended, in a sentence."""
    if alert.closed_at is None:
        if alert.confirmation is Confirmation.WAITING:
            return "Found, and not reported yet: a duel is to confirm it first."
        return f"Open since {moment(alert.opened_at)}."
    after = f" after run {alert.closed_by}" if alert.closed_by else ""
    recovered = "the gain no longer shows" if alert.kind is AlertKind.IMPROVEMENT else "the problem no longer shows"
    what = {
        AlertEnding.NOT_CONFIRMED: "a duel did not show it, so it was not reported",
        AlertEnding.ACCEPTED: "the new level was promoted to the baseline",
        AlertEnding.WAIVED: "a waiver in the configuration covers it",
    }.get(alert.ending or AlertEnding.RECOVERED, recovered)
    words = f"{ending_of(alert).capitalize()}: {what}"
    return f"{words}{after}, {moment(alert.closed_at)}."


def _link(run_id: str, runs: Runs) -> RunLink:
    run = runs.get(run_id)
    return RunLink(id=run_id, when=moment(run.run.started_at) if run else "")


def _verdict(alert: Alert, found: Concluded | None) -> Verdict | None:
    """The verdict of the run that the alert was found in, if the gate found it and not the history."""
    if found is None or alert.compared_with or not _is_change(alert):
        return None
    key = (alert.subject, alert.metric)
    return next((each for each in found.verdicts if (each.scenario_id, each.metric) == key), None)


def _reported(alert: Alert) -> Estimate | None:
    if alert.size is None or alert.low is None or alert.high is None:
        return None
    return Estimate(
        point=alert.size, low=alert.low, high=alert.high, level=INTERVAL_OF_STEP, method="", n=99, launches=99
    )


def _confirmed(alert: Alert, by_duel: Verdict | None) -> Estimate | None:
    """The change that the duel confirmed; None without one. Of earlier versions only the duel's run has it."""
    size, low, high = alert.confirmed_size, alert.confirmed_low, alert.confirmed_high
    if size is not None and low is not None and high is not None:
        return Estimate(point=size, low=low, high=high, level=INTERVAL_OF_STEP, method="", n=99, launches=99)
    return by_duel.change if by_duel and alert.confirmation is Confirmation.CONFIRMED else None


def _evidence(alert: Alert, runs: Runs, verdict: Verdict | None, by_duel: Verdict | None) -> Iterable[Evidence]:
    reported = verdict.change if verdict and verdict.change else _reported(alert)
    if reported is not None:
        words = change_words(alert.metric, reported)
        what = "the gate" if verdict else "the history" if alert.compared_with else "the run"
        yield Evidence(
            what=f"Found by {what}", run=_link(alert.found_in or alert.run_id, runs), change=words.point,
            interval=f"{words.interval} at {words.level}", pairs=str(reported.n) if verdict else "–",
            word=VERDICT_WORDS[verdict.shown_as] if verdict else None,
        )  # fmt: skip
    if by_duel is not None:
        change = by_duel.change
        shown = change_words(by_duel.metric, change) if change else None
        yield Evidence(
            what="Measured again, pair by pair", run=_link(alert.confirmed_by, runs),
            change=shown.point if shown else "–", interval=f"{shown.interval} at {shown.level}" if shown else "–",
            pairs=str(change.n) if change else "–", word=VERDICT_WORDS[by_duel.shown_as],
        )  # fmt: skip


def _other_size(alert: Alert, by_duel: Verdict | None) -> str:
    """That the run and its duel agree in the direction and not in the size; "" if the intervals overlap."""
    reported, change = _reported(alert), by_duel.change if by_duel else None
    if alert.confirmation is not Confirmation.CONFIRMED or reported is None or change is None:
        return ""
    if change.low <= reported.high and reported.low <= change.high:
        return ""
    shown = change_words(alert.metric, change).point
    return (
        f"The sizes differ: what changed under test makes {shown}, as the pairs show. The rest of what was reported "
        "comes from the machine, or from the values that were remembered."
    )


def _sure(alert: Alert) -> str:
    if not _is_change(alert):
        return "A duel confirms changes only: this was reported at once."
    return {
        Confirmation.CONFIRMED: "Two independent measurements show it, the second one pair by pair.",
        Confirmation.NOT_CONFIRMED: "The duel does not show it. The run's finding was a false alarm, or has passed.",
        Confirmation.UNDECIDED: "One measurement shows it, and the duel leaves it open.",
        Confirmation.IMPOSSIBLE: "One measurement shows it, and there is no duel to confirm it.",
        Confirmation.WAITING: "One measurement shows it. The duel follows.",
        None: "One measurement shows it: no duel was asked for.",
    }[alert.confirmation]
