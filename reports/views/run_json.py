"""A run's results as JSON for programs: what the terminal shows, as numbers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from harness.analysis.explain import explained
from harness.core.errors import ExitCode
from harness.core.records.run import RunData
from harness.core.records.verdict import Verdict
from harness.core.redaction import published, published_text
from harness.metrics.registry import unit_of
from reports.views.headline import headline

RESULT_FORMAT: Final = 1
"""Version of the JSON. History: 1, the first."""


def run_json(
    data: RunData, *, code: ExitCode | None = None, notes: Sequence[str] = (), arms: Mapping[str, str] | None = None
) -> bytes:
    """The head of a run, its values, verdicts and targets, one JSON object with a line feed.

    Values are in their metric's unit; changes and tolerances are log-ratios, positive is worse. `code` is the exit code
    of the command that measured it, `arms` are the names of a duel's candidate and reference.
    """
    data = published(data)
    content: dict[str, Any] = {"format": RESULT_FORMAT}
    if code is not None:
        content["exit_code"] = int(code)
    if arms is not None:
        content["arms"] = dict(arms)
    content |= {
        "headline": headline(data).sentence,
        "notes": [*data.run.notes, *map(published_text, notes)],
        "run": data.run,
        "values": [{**msgspec.to_builtins(each), "unit": unit_of(each.metric)} for each in data.summaries],
        "verdicts": [_verdict(each) for each in data.verdicts],
        "targets": data.targets,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def _verdict(verdict: Verdict) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(verdict)
    fields["suspect_kinds"] = [each.kind for each in verdict.suspected]  # also of one that has none stored
    return {**fields, "shown_as": verdict.shown_as, "fails": verdict.fails, "sentence": explained(verdict)}
