"""What changed: each thing said once, in the direction of the figure."""

from dataclasses import replace

from harness.core.records.run import DUEL, RunData
from harness.core.records.verdict import Verdict, VerdictKind
from reports.text.naming import names_of
from reports.views.changes import changes

ADVICE = "accept 4 more good runs: `kokoro-bench baseline promote RUN`"


def unclear(run: RunData, advice: tuple[str, ...]) -> RunData:
    """The run with every comparison unclear; `advice` goes round among them."""
    verdicts = [
        replace(each, kind=VerdictKind.INCONCLUSIVE, detectable=0.1, reason="+1.0 % (interval …)", suspects=())
        for each in run.verdicts
        if each.change
    ]
    return replace(
        run,
        verdicts=tuple(replace(each, advice=advice[at % len(advice)]) for at, each in enumerate(verdicts)),
    )


def test_what_would_settle_everything_is_said_once_and_a_reason_does_not_repeat_the_row(run: RunData) -> None:
    data = unclear(run, (ADVICE,))
    found = changes(data, names_of(data))
    assert found.unclear_advice == f"A{ADVICE[1:]}."
    lines = [line for group in found.unclear for line in group.lines]
    assert {line.note for line in lines} == {""}
    assert {line.detectable for line in lines} == {"10.5\u202f%"}


def test_advice_that_differs_stands_with_its_figure(run: RunData) -> None:
    data = unclear(run, ("`--budget 120`", "`--budget 240`"))
    found = changes(data, names_of(data))
    assert found.unclear_advice == ""
    mixed = next(group for group in found.unclear if not group.advice)
    assert {line.note for line in mixed.lines} == {"`--budget 120`", "`--budget 240`"}


def test_a_reason_stays_where_there_is_no_change_to_see(run: RunData) -> None:
    scenario = run.run.scenarios[0]
    verdict = Verdict(
        scenario_id=scenario.id, metric="latency", kind=VerdictKind.REGRESSED, reason="by -3 %",
        advice="`kokoro-bench report` shows the suspects", suspects=("inference: -6.3% of the whole",),
    )  # fmt: skip
    data = replace(run, run=replace(run.run, selection=f"{DUEL}a against b"), verdicts=(verdict,))
    found = changes(data, names_of(data))
    assert found.worse_advice == "", "whoever reads the report need not be sent to it"
    (group,) = found.worse
    assert [line.note for line in group.lines] == ["by \u22123\u202f%"]
    assert group.suspects == ("inference: \u22126.3\u202f% of the whole",)
