"""Runs a duel of two arms: its launches, its budget, and the variation between launches on this machine."""

from typing import TYPE_CHECKING

from harness.plan.config import Config
from harness.runner.duel_terms import both_terms, launches_known_here, why_whole, with_duel_defaults

__all__ = ["launches_known_here", "run_duel"]

if TYPE_CHECKING:
    from harness.analysis.finished import Finished
    from harness.core.records.scenario import Mode
    from harness.runner.calibration import KnownLaunches
    from harness.runner.duel import DuelArms

BUDGET_S = 60.0
TEXTS = ("chars-60",)


def run_duel(
    config: Config,
    sides: "DuelArms",
    *,
    effect: float,
    selection: str,
    launches: "KnownLaunches | None" = None,
    mode: "Mode | None" = None,
    quiet: bool = False,
    part_of_s: float | None = None,
) -> "Finished":
    """Measure and analyse a duel; if it is interrupted, return the blocks stored until then.

    `launches` is the measured variation between launches (`launches_known_here`); None uses the default assumption.
    `mode` is how audio is requested; None for whole. `part_of_s` is the user's budget (s) if the duel has only a
    part of it: advice names the whole. If it has all of it, and a change was found, both arms are profiled within it.
    """
    from dataclasses import replace

    from harness.core.records.scenario import Mode
    from harness.runner.calibration import KnownLaunches
    from harness.runner.duel import DuelAnalysis, DuelBudget, duel_scenarios
    from harness.runner.duel_causes import explain_changes
    from harness.runner.progress import measure_live
    from harness.runner.replay_preparation import clock_time
    from harness.runner.run_analysis import of_duel
    from harness.runner.source_changes import with_commits

    known = launches or KnownLaunches()
    unfit = why_whole(sides) if config["slice"] else ""
    terms, otherwise = both_terms(config, known, unfit=unfit)
    config = with_duel_defaults(config, budget_s=BUDGET_S, launches=terms.launches)
    profiled = part_of_s is None and not quiet
    analysis = DuelAnalysis(
        effect=effect,
        budget=DuelBudget(
            s=config["budget"], share=config["budget"] / part_of_s if part_of_s else 1.0, profiled=profiled
        ),
        terms=terms,
        otherwise=otherwise,
    )
    scenarios = duel_scenarios(
        sides,
        texts=config["text"] or TEXTS,
        voice=config.one_voice("duel"),
        language=config["language"],
        mode=mode or Mode.WHOLE,
    )
    whole = replace(of_duel(analysis, terms.launch_policy), needs_every_arm=True)
    if profiled:
        whole = replace(
            whole,
            explain=with_commits(explain_changes, config.directory),
            announcement=f"measuring takes up to {clock_time(config['budget'])}; this includes the cause of a change",
        )
    return measure_live(config, scenarios, selection=selection, analysis=whole, quiet=quiet)
