"""A run in one sentence: what stands beside it, and runs of which nothing is judged."""

from dataclasses import replace

from harness.core.records.repetition import Outcome, OutcomeKind
from harness.core.records.run import RunData, RunStatus
from harness.core.records.verdict import Verdict, VerdictKind
from reports.text.naming import names_of
from reports.views.facts import gaps
from reports.views.headline import headline


def with_kinds(run: RunData, *kinds: VerdictKind) -> RunData:
    scenario = run.run.scenarios[0]
    verdicts = tuple(Verdict(scenario_id=scenario.id, metric=f"m{at}", kind=kind) for at, kind in enumerate(kinds))
    return replace(run, verdicts=verdicts, targets=())


def test_the_glyph_is_that_of_most_figures_where_nothing_moved(small_run: RunData) -> None:
    same, unclear = VerdictKind.UNCHANGED, VerdictKind.INCONCLUSIVE
    assert headline(with_kinds(small_run, same, unclear, unclear)).glyph == "?"
    assert headline(with_kinds(small_run, same, same, unclear)).glyph == "="
    assert headline(with_kinds(small_run, unclear, VerdictKind.IMPROVED)).glyph == "▼"


def test_that_a_complete_run_played_its_blocks_is_no_news(small_run: RunData) -> None:
    reason = "the planned 54 blocks are done"
    complete = replace(small_run, run=replace(small_run.run, reason=reason, status=RunStatus.COMPLETE))
    assert headline(complete).status == ""
    partial = replace(complete, run=replace(complete.run, status=RunStatus.PARTIAL))
    assert headline(partial).status == "The planned 54 blocks are done."


def test_a_run_without_verdicts_says_what_it_has(small_run: RunData) -> None:
    known = sum(each.n > 0 for each in small_run.summaries)
    said = headline(replace(small_run, verdicts=(), targets=()))
    assert said.sentence == f"{known} figures were measured, none is judged."
    assert said.css == "none"


def test_a_run_that_lost_every_worker_says_so_and_why(small_run: RunData) -> None:
    refused = Outcome(kind=OutcomeKind.REFUSED, reason="cannot connect to the server")
    lost = replace(
        small_run,
        launches=tuple(replace(each, outcome=refused) for each in small_run.launches),
        repetitions=(),
        summaries=tuple(replace(each, n=0, median=None, reason="not measured") for each in small_run.summaries),
        verdicts=(),
        targets=(),
    )
    said = headline(lost)
    assert (said.sentence, said.css) == ("Nothing was measured.", "failed")
    (gap,) = gaps(lost, names_of(lost))
    assert (gap.failed, gap.reason) == (True, "Cannot connect to the server.")
    assert len(gap.scenarios) == len(small_run.run.scenarios)
