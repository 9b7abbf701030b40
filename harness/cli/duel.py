"""`kokoro-bench duel`: two arms, paired."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from harness.cli.grouped_help import command
from harness.cli.options import MEASURING, configured, machine_key, one_arm, read_value
from harness.core.quantities import as_positive_share
from harness.plan.config import Config

if TYPE_CHECKING:
    from harness.analysis.finished import Finished
    from harness.analysis.stats.comparison import Policy
    from harness.core.records.scenario import Arm
    from harness.runner.calibration import KnownLaunches, LaunchEffect
    from harness.runner.duel import DuelArms, Terms

BUDGET_S = 60.0
TEXTS = ("chars-60",)
LAUNCHES = 4
LAUNCHING = 0.5
"""If launches would take more than this share of the budget, fewer are made: pairs matter more than launches."""
FEWEST_PAIRS = 4
"""Per launch: one or two pairs leave hardly a degree of freedom."""
LAUNCHES_IN_SLICES, LAUNCHING_IN_SLICES, FEWEST_IN_SLICES = 16, 0.6, 3
"""The same for arms that run at the same time: pairs vary less than launches do, so launches matter more."""
MANY_BLOCKS = 10_000
COMMIT = 12
"""Characters of a commit hash that identify it."""


@command()
@configured(*MEASURING)
@click.option("--effect", default="5%", show_default=True, metavar="PERCENT", help="smallest change to detect")
@click.option("--streamed", is_flag=True, help="stream the audio instead of requesting it whole")
@click.argument("candidate")
@click.argument("reference", required=False)
def duel(
    config: Config,
    effect: str,
    streamed: bool,  # noqa: FBT001 - click's own
    candidate: str,
    reference: str | None,
) -> int:
    """Compare CANDIDATE with REFERENCE, pair by pair, and print what changed.

    Each is `current`, a requirement (onnxruntime==1.22.1), model=NAME, provider=NAME, threads=N, a session option
    (arena=off), rev=REVISION, or several of these separated by commas. A single argument is the reference, and
    `current` is the candidate.
    """
    if reference is None:
        candidate, reference = "current", candidate
    size = read_value(as_positive_share, effect, option="--effect")
    finished = play(config, candidate=candidate, reference=reference, effect=size, streamed=streamed)
    return int(finished.code)


def play(config: Config, *, candidate: str, reference: str, effect: float, streamed: bool = False) -> "Finished":
    """Run a duel with a live display, and print its result."""
    from harness.runner.calibration import quotes
    from harness.runner.outputs import check_outputs, write_outputs
    from reports.terminal.output import make_console, print_duel

    check_outputs(config)
    config, sides = _opponents(config, candidate, reference)
    candidate, reference = _published_spec(candidate, sides.candidate), _published_spec(reference, sides.reference)
    if sides.same:
        make_console().print("Both arms are the same: this is an A/A test, so any change it finds is a false alarm.")
    if otherwise := _measured_otherwise(config, sides):
        make_console().print(otherwise, markup=False)
    selection = f"duel: {candidate} against {reference}"
    launches = launches_here(config)
    finished = conduct(config, sides, effect=effect, selection=selection, launches=launches, streamed=streamed)
    notes = [*quotes(config.baselines, finished.data), *write_outputs(finished, config)]
    if known := launches.of(finished.data):
        notes.insert(0, known.sentence())
    print_duel(finished, candidate=candidate, reference=reference, notes=notes)
    return finished


def conduct(
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

    `launches` is the measured variation between launches (`launches_here`); None uses the default assumption.
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
    config = _with_a_duels_own(config, launches=terms.launches)
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
        sides, texts=config["text"] or TEXTS, voice=config["voice"], language=config["language"], mode=mode
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


def _with_a_duels_own(config: Config, *, launches: int) -> Config:
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


def launches_here(config: Config) -> "KnownLaunches":
    """The variation between launches that calibration measured on this machine; one duel has too few to tell."""
    from harness.runner.calibration import KnownLaunches, launch_effect

    key = machine_key(config)
    return KnownLaunches(
        in_slices=launch_effect(config.baselines, key, in_slices=True),
        whole=launch_effect(config.baselines, key, in_slices=False),
    )


def _opponents(config: Config, candidate: str, reference: str) -> "tuple[Config, DuelArms]":
    """The two arms, and the configuration that resolves their models."""
    from harness.measure.runtimes.revisions import resolve
    from harness.plan.arm_spec import parse_arm_spec, with_model
    from harness.plan.labels import label_models
    from harness.runner.duel import DuelArms
    from harness.runner.resources import model_names

    base, names = one_arm(config), model_names(config)
    if config["model"] and base.model:
        base = with_model(base, config["model"][0])

    def side(text: str) -> "Arm":
        """The arm stores the commit: the name of a revision may move to another commit."""
        arm = parse_arm_spec(text, base=base, models=names)
        return replace(arm, revision=resolve(config.root, arm.revision)[:COMMIT]) if arm.revision else arm

    config, (ours, theirs) = label_models(config, [side(candidate), side(reference)])
    return config, DuelArms(candidate=ours, reference=theirs).with_distinct_labels()


def _published_spec(spec: str, arm: "Arm") -> str:
    """An arm's specification as it is published: with its model's label, without the user's folders."""
    from harness.plan.arm_spec import with_label

    return with_label(spec, arm.model.name) if arm.model else spec


def _measured_otherwise(config: Config, sides: "DuelArms") -> str:
    """A warning if the two revisions differ in the measuring code; "" if they do not."""
    from harness.measure.runtimes.revisions import measuring_changes

    revisions = sorted((sides.candidate.revision, sides.reference.revision), reverse=True)
    if not revisions[0]:
        return ""
    changed = measuring_changes(config.root, commit=revisions[0], other=revisions[1])
    if not changed:
        return ""
    others = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"The arms differ in the measuring code itself ({changed[0]}{others}), which may cause the difference."
