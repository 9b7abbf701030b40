"""Runs a duel of two arms: its launches, its budget, and the variation between launches on this machine."""

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.plan.config import Config

if TYPE_CHECKING:
    from harness.analysis.finished import Finished
    from harness.analysis.stats.comparison import Policy
    from harness.runner.calibration import KnownLaunches, LaunchEffect
    from harness.runner.duel import DuelArms, Terms

BUDGET_S = 60.0
TEXTS = ("chars-60",)
LAUNCHES = 4
LAUNCHING = 0.5
"""If launches would take more than this share of the budget, fewer are made: pairs matter more than launches."""
FEWEST_PAIRS = 4
"""Pairs per launch: one or two pairs leave hardly any degrees of freedom."""
LAUNCHES_IN_SLICES, LAUNCHING_IN_SLICES, FEWEST_IN_SLICES = 16, 0.6, 3
"""The same for arms that run at the same time: pairs vary less than launches do, so launches matter more."""
MANY_BLOCKS = 10_000


def run_duel(
    config: Config,
    sides: "DuelArms",
    *,
    effect: float,
    selection: str,
    launches: "KnownLaunches | None" = None,
    streamed: bool = False,
    quiet: bool = False,
) -> "Finished":
    """Measure and analyse a duel; if it is interrupted, return the blocks stored until then.

    `launches` is the measured variation between launches (`launches_known_here`); None uses the default assumption.
    """
    from harness.core.records.scenario import Mode
    from harness.runner import run
    from harness.runner.calibration import KnownLaunches
    from harness.runner.duel import DuelAnalysis, duel_scenarios, why_whole
    from harness.runner.progress import LiveConsole
    from harness.runner.side_tasks import unexplained

    known = launches or KnownLaunches()
    unfit = why_whole(sides) if config["slice"] else ""
    otherwise = _terms(config, known.whole, slice_s=0.0)
    terms = otherwise if unfit or not config["slice"] else _terms(config, known.in_slices, slice_s=config["slice"])
    launch_policy = replace(terms.launch_policy, whole=unfit, otherwise=otherwise.launch_policy)
    config = _with_defaults(config, launches=terms.launches)
    analysis = DuelAnalysis(
        effect=effect,
        budget_s=config["budget"],
        launches=terms.launches,
        policy=terms.policy,
        launch_policy=launch_policy,
        otherwise=otherwise,
    )
    mode = Mode.STREAM if streamed else Mode.WHOLE
    scenarios = duel_scenarios(
        sides, texts=config["text"] or TEXTS, voice=config.one_voice("duel"), language=config["language"], mode=mode
    )
    with LiveConsole() as console:
        try:
            return run.measure(
                config,
                scenarios,
                selection=selection,
                handlers=[] if quiet else [console],
                report=console.report,
                analysis=run.RunAnalysis(
                    conclude=lambda values: analysis.conclude(values.data, values),
                    enough=analysis.enough,
                    policy=analysis.policy,
                    explain=unexplained if quiet else analysis.explain,
                    needs_every_arm=True,
                    launch_policy=launch_policy,
                ),
            )
        except run.Interrupted as interrupted:
            return interrupted.finished


def _terms(config: Config, known: "LaunchEffect | None", *, slice_s: float) -> "Terms":
    """How a duel is run and analysed, in slices or without. A number of launches given by the user is kept."""
    from harness.plan.matrix import LaunchPolicy
    from harness.runner.duel import Terms

    launches = config.chosen("launches", LAUNCHES_IN_SLICES if slice_s else LAUNCHES)
    share = LAUNCHING_IN_SLICES if slice_s else LAUNCHING
    launch_policy = LaunchPolicy(
        launching=share if config.origins["launches"] == "default" else 1.0,
        fewest_blocks=FEWEST_IN_SLICES if slice_s else FEWEST_PAIRS,
        slice_s=slice_s,
        launches=launches,
    )
    return Terms(launches=launches, policy=_policy(config, known, in_slices=bool(slice_s)), launch_policy=launch_policy)


def _policy(config: Config, known: "LaunchEffect | None", *, in_slices: bool) -> "Policy":
    """The gate's policy, with the measured variation between launches, or the assumed one of launches in slices."""
    from harness.analysis.conclude import policy_of
    from harness.analysis.stats.paired import SLICED_LAUNCH_SD

    policy = policy_of(config)
    if known is not None:
        return replace(policy, launch_inflation=known.inflation, launch_sd=known.sd or 0.0)
    return replace(policy, launch_sd=SLICED_LAUNCH_SD) if in_slices else policy


def _with_defaults(config: Config, *, launches: int) -> Config:
    """The configuration with a duel's own defaults."""
    from harness.plan.config import with_values

    return with_values(
        config,
        {
            "budget": config["budget"] or BUDGET_S,
            "launches": config.chosen("launches", launches),
            "blocks": config.chosen("blocks", MANY_BLOCKS),
        },
    )


def launches_known_here(config: Config) -> "KnownLaunches":
    """The variation between launches that calibration measured on this machine; one duel has too few to tell."""
    from harness.runner.calibration import KnownLaunches, launch_effect
    from harness.runner.resources import machine_key

    key = machine_key(config)
    return KnownLaunches(
        in_slices=launch_effect(config.baselines, key, in_slices=True),
        whole=launch_effect(config.baselines, key, in_slices=False),
    )
