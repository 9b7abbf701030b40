"""What `kokoro-bench optimise` prints: all that was tried, the answer, and the same as JSON."""

import json
from typing import TYPE_CHECKING, Any

from harness.analysis.messages import percent, span
from harness.core.errors import ExitCode
from harness.core.records.speech import SpeechKind
from harness.core.records.verdict import Estimate, Verdict, VerdictKind

if TYPE_CHECKING:
    from harness.runner.optimise import Outcome

FORMAT = 1
"""Version of the JSON. History: 1, the first."""


def print_tried(found: "Outcome") -> None:
    """Print a table of all candidates, the best first, and those that were not tried."""
    from rich.text import Text

    from reports.terminal.console import make_console, tell
    from reports.terminal.plain_table import PlainTable

    console = make_console()
    rounds = "; ".join(f"round {number + 1}: run {each.run_id}" for number, each in enumerate(found.found.rounds))
    tell(console, f"Search {found.key} for {found.wanted.goal}, {found.search.text}: {rounds}")
    table = PlainTable("candidate", f"{found.search.metric} against current", "blocks", "speech", "result")
    for each in tried(found):
        change = each["change"]
        table.add_row(
            each["candidate"],
            percent(change) if change is not None else "–",
            str(each["blocks"]),
            each["speech"] or "–",
            Text(each["result"]),
        )
    console.print(table)
    for data in found.judged:
        tell(console, f"speech judged in run {data.run.id}: `kokoro-bench report` draws speed against sound and memory")


def tried(found: "Outcome") -> list[dict[str, Any]]:
    """Every candidate: `change` is its log-ratio to the base by all rounds; it was in `blocks` of `rounds` of them."""
    ranking, changes = list(found.found.ranking), found.found.changes
    names = dict.fromkeys((*ranking, *(change for each in found.found.rounds for change in each.found)))
    lines = []
    for name in names:
        rounds = [each for each in found.found.rounds if name in each.found]
        sound = found.sounds.get(name)
        lines.append(
            {
                "candidate": name,
                "change": changes.get(name),
                "blocks": found.found.blocks(name),
                "rounds": len(rounds),
                "speech": sound.kind.value if sound else "",
                "speech_reason": sound.reason if sound else "",
                "result": _result(found, name),
            }
        )
    lines += [
        {
            "candidate": name,
            "change": None,
            "blocks": 0,
            "rounds": 0,
            "speech": "",
            "speech_reason": "",
            "result": f"not tried: {why}",
        }
        for name, why in found.skipped.items()
    ]
    return lines


def _result(found: "Outcome", name: str) -> str:
    if name == found.winner:
        return "leads" if not found.proven else "winner"
    for number, each in enumerate(found.found.rounds):
        if name in each.out:
            return f"dropped in round {number + 1}: {each.out[name]}"
        if name in each.found and name not in each.kept:
            return f"dropped in round {number + 1}"
    sound = found.sounds.get(name)
    if sound is not None and not sound.may_be_recommended and not found.wanted.any_quality:
        return f"not recommended: {sound.reason}"
    return "not the best"


def print_answer(found: "Outcome", *, model: str, snippet: str, serve: str) -> None:
    """Print the answer: what to run, or that nothing is proven to be better, with the reason."""
    import click

    from reports.terminal.console import make_console, tell

    console = make_console()
    tell(console, sentence(found), "bold")
    if found.drift:
        tell(console, found.drift, "yellow")
    if model:
        tell(console, f"model file: {model}")
    if snippet:
        click.echo(snippet, nl=False)
    if serve:
        tell(console, "as a server:")
        click.echo(serve)


def sentence(found: "Outcome") -> str:
    """The answer in words."""
    if not found.winner:
        return _why_none(found)
    if found.unproven:
        return f"{found.winner} leads, but {found.unproven}."
    if found.unfit:
        return f"{found.winner} is not recommended: {found.unfit}"
    shown = "; ".join(_shown(each) for each in found.deciding) or "nothing was measured"
    if found.wanted.goal == "size":
        shown = f"the file has {percent(found.found.changes.get(found.winner, 0.0))}; {shown}"
    if not found.proven:
        led = f"{found.winner}, which led the search, has {shown}"
        return f"Nothing is proven to be better than the model as it is: {led}."
    return f"Take {found.winner}: {shown}, on texts that the search did not use. {_speech(found)}"


def _why_none(found: "Outcome") -> str:
    better = found.found.leaders
    if not better:
        return "Nothing is better than the model as it is: no candidate was ahead of it in the search."
    judged = [change for change in better if change in found.sounds]
    return (
        f"Nothing better can be recommended: the speech of {', '.join(judged)} is not equivalent to the original's. "
        "--quality any ignores that."
    )


def _shown(verdict: Verdict) -> str:
    text = verdict.scenario_id.split("/")[2]
    if verdict.change is None:
        return f"{verdict.metric} of {text} {verdict.kind.value}"
    kind = "" if verdict.kind is VerdictKind.IMPROVED else f", {verdict.kind.value}"
    return f"{verdict.metric} of {text} {percent(verdict.change.point)} ({span(verdict.change, between=' … ')}){kind}"


def _speech(found: "Outcome") -> str:
    sound = found.sounds.get(found.winner)
    if sound is None or sound.kind is SpeechKind.UNKNOWN:
        return "How its speech compares with its original's is not known."
    if sound.kind is SpeechKind.EQUIVALENT:
        return "Its speech is equivalent to its original's."
    return f"{sound.reason} It is recommended because of --quality any."


def search_json(found: "Outcome", *, code: ExitCode, model: str, snippet: str, serve: str) -> bytes:
    """The result as one JSON object with a line feed. Changes are log-ratios, negative is better."""
    sound = found.sounds.get(found.winner)
    content = {
        "format": FORMAT,
        "exit_code": int(code),
        "search": found.key,
        "goal": found.wanted.goal,
        "streamed": found.wanted.streamed,
        "metric": found.search.metric,
        "base": found.search.base.id,
        "budget_s": found.wanted.budget_s,
        "answer": sentence(found),
        "proven": found.proven,
        "winner": found.winner,
        "model": model,
        "snippet": snippet,
        "serve": serve,
        "speech": sound.kind.value if sound else "",
        "changes": [
            {
                "text": each.scenario_id.split("/")[2],
                "metric": each.metric,
                "verdict": each.kind.value,
                "change": _estimate(each.change),
            }
            for each in found.deciding
        ],
        "tried": tried(found),
        "rounds": [[data.run.id for data in each.runs] for each in found.found.rounds],
        "speech_runs": [data.run.id for data in found.judged],
        "duel": found.duel.data.run.id if found.duel else "",
        "unproven": found.unproven,
        "machine_changed": found.drift,
    }
    return json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"


def _estimate(change: Estimate | None) -> dict[str, float] | None:
    if change is None:
        return None
    return {"point": change.point, "low": change.low, "high": change.high, "level": change.level}
