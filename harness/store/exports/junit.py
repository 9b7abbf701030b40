"""A run as a JUnit report: a test case for each verdict and each target."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from harness.core.records.run import RunData
from harness.core.records.verdict import TargetKind, TargetResult, Verdict, VerdictKind

SentenceOf = Callable[[Verdict], str]
"""A verdict as a sentence for people."""

SKIPPED: Final = (
    VerdictKind.INCONCLUSIVE,
    VerdictKind.INCOMPARABLE,
    VerdictKind.NO_BASELINE,
    VerdictKind.MISSING,
)
"""Verdicts without an answer. Tools show such a case as skipped, so that it is not taken for a pass."""

HEAD: Final = "<?xml version='1.0' encoding='utf-8'?>"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One test case. `outcome` is the element that says why it did not pass; "" if it did."""

    scenario_id: str
    name: str
    verdict: str
    sentence: str
    outcome: str = ""
    properties: tuple[tuple[str, str], ...] = ()


def to_junit(data: RunData, sentence_of: SentenceOf) -> bytes:
    """The report. A regression that fails the run and a missed target are failures; what was not measured, an error."""
    cases = [*_verdicts(data, sentence_of), *map(_target, data.targets), *_without_verdict(data)]
    run = data.run
    root = Element("testsuites", name="kokoro-bench")
    outcomes = Counter(case.outcome for case in cases)
    took_s = max(0.0, (run.ended_at or run.started_at) - run.started_at)
    facts = {
        "name": run.id,
        "hostname": run.machine.key,
        "timestamp": datetime.fromtimestamp(run.started_at, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "tests": str(len(cases)),
        "failures": str(outcomes["failure"]),
        "errors": str(outcomes["error"]),
        "skipped": str(outcomes["skipped"]),
        "time": f"{took_s:.3f}",
    }
    suite = SubElement(root, "testsuite", {name: _text(value) for name, value in facts.items()})
    about = {"status": run.status.value, "selection": run.selection, "machine": run.machine.key}
    _add_properties(suite, about.items())
    for case in cases:
        _add_case(suite, case)
    indent(root)
    return f"{HEAD}\n{tostring(root, encoding='unicode')}\n".encode()


def _verdicts(data: RunData, sentence_of: SentenceOf) -> Iterable[_Case]:
    for verdict in data.verdicts:
        outcome = ""
        if verdict.fails:
            outcome = "failure"
        elif verdict.kind is VerdictKind.FAILED:
            outcome = "error"
        elif verdict.kind in SKIPPED:
            outcome = "skipped"
        yield _Case(
            scenario_id=verdict.scenario_id,
            name=verdict.metric,
            verdict=verdict.shown_as.value,
            sentence=sentence_of(verdict),
            outcome=outcome,
            properties=tuple(_facts(verdict)),
        )


def _facts(verdict: Verdict) -> Iterable[tuple[str, str]]:
    """Numbers of a verdict: log-ratios, positive is worse."""
    if verdict.reference:
        yield "reference", verdict.reference
    if verdict.change is not None:
        yield "change_log_ratio", repr(verdict.change.point)
        yield "change_low", repr(verdict.change.low)
        yield "change_high", repr(verdict.change.high)
    if verdict.tolerance is not None:
        yield "tolerance_log_ratio", repr(verdict.tolerance)


def _target(target: TargetResult) -> _Case:
    outcomes = {TargetKind.MISSED: "failure", TargetKind.UNKNOWN: "error"}
    value = target.observed.value
    seen = target.reason or target.observed.reason if value is None else f"observed {value:g}, limit {target.limit:g}"
    return _Case(
        scenario_id=target.scenario_id,
        name=f"target {target.metric}",
        verdict=f"target {target.kind.value}",
        sentence=seen or target.kind.value,
        outcome=outcomes.get(target.kind, ""),
        properties=(("limit", repr(target.limit)),),
    )


def _without_verdict(data: RunData) -> Iterable[_Case]:
    """One case for each scenario on which nothing was decided: whether it was measured at all."""
    decided = {each.scenario_id for each in data.verdicts} | {each.scenario_id for each in data.targets}
    measured = {summary.scenario_id for summary in data.summaries if summary.n > 0}
    reasons = {summary.scenario_id: summary.reason for summary in data.summaries if summary.n == 0}
    for scenario in data.run.scenarios:
        if scenario.id in decided:
            continue
        found = scenario.id in measured
        yield _Case(
            scenario_id=scenario.id,
            name="measured",
            verdict="none",
            sentence="measured, without a verdict" if found else reasons.get(scenario.id) or "not measured",
            outcome="" if found else "error",
        )


def _add_case(suite: Element, case: _Case) -> None:
    element = SubElement(suite, "testcase", classname=_text(case.scenario_id), name=_text(case.name))
    _add_properties(element, (("verdict", case.verdict), *case.properties))
    if case.outcome:
        SubElement(element, case.outcome, type=_text(case.verdict), message=_text(case.sentence))
    SubElement(element, "system-out").text = _text(f"{case.verdict}: {case.sentence}")


def _add_properties(element: Element, pairs: Iterable[tuple[str, str]]) -> None:
    properties = SubElement(element, "properties")
    for name, value in pairs:
        SubElement(properties, "property", name=name, value=_text(value))


def _text(text: str) -> str:
    """Text that XML 1.0 can hold: other characters are written as their number."""
    return _NOT_XML.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
