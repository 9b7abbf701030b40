"""`kokoro-bench duel`: two arms, paired."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from harness.cli.grouped_help import command
from harness.cli.options import MEASURING, configured, machine_key, one_arm
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
"""Where launches would take more than this share of the budget, fewer are made: pairs decide, not starts."""
FEWEST_PAIRS = 4
"""Of a launch: with one or two it has hardly a degree of freedom."""
LAUNCHES_IN_SLICES, LAUNCHING_IN_SLICES, FEWEST_IN_SLICES = 16, 0.6, 3
"""The same where both sides work at once: pairs scatter less than launches differ, and so launches decide."""
MANY_BLOCKS = 10_000
COMMIT = 12
"""Characters of a commit's name that tell it from every other."""


def per_cent(context: click.Context, parameter: click.Parameter, value: str) -> float:
    """A ratio from `5%` or `0.05`."""
    del context, parameter
    try:
        return as_positive_share(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@command()
@configured(*MEASURING)
@click.option(
    "--effect", default="5%", show_default=True, callback=per_cent, metavar="PERCENT", help="smallest change to detect"
)
@click.option("--streamed", is_flag=True, help="stream the audio instead of requesting it whole")
@click.argument("candidate")
@click.argument("reference", required=False)
def duel(
    config: Config,
    effect: float,
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
    finished = play(config, candidate=candidate, reference=reference, effect=effect, streamed=streamed)
    return int(finished.code)


def play(config: Config, *, candidate: str, reference: str, effect: float, streamed: bool = False) -> "Finished":
    """Play a duel on the terminal, and print what came of it."""
    from harness.runner.calibration import quotes
    from harness.runner.outputs import check_outputs, write_outputs
    from reports.terminal.output import make_console, print_duel

    check_outputs(config)
    config, sides = _opponents(config, candidate, reference)
    candidate, reference = _said(candidate, sides.candidate), _said(reference, sides.reference)
    if sides.same:
        make_console().print("Both sides are the same: this is an A/A, and whatever it finds is a false alarm.")
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
    """Measure and judge a duel; interrupted, what was kept until then.

    `launches` is what is known of them (`launches_here`); None leaves it to what is presumed.
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
    """How a duel is played and judged, in slices or without. Launches that are asked for outright are made."""
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
    """What the gate asks for, with what is known of launches, or presumed of those in slices."""
    from harness.analysis.conclude import policy_of
    from harness.analysis.stats.paired import SLICED_LAUNCH_SD

    policy = policy_of(config)
    if known is not None:
        return replace(policy, launch_inflation=known.inflation, launch_sd=known.sd or 0.0)
    return replace(policy, launch_sd=SLICED_LAUNCH_SD) if in_slices else policy


def _with_a_duels_own(config: Config, *, launches: int) -> Config:
    """With what a duel does where nothing was asked for."""
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
    """What calibration has learned of launches on this machine, so that three of a duel need not tell it."""
    from harness.runner.calibration import KnownLaunches, launch_effect

    key = machine_key(config)
    return KnownLaunches(
        in_slices=launch_effect(config.baselines, key, in_slices=True),
        whole=launch_effect(config.baselines, key, in_slices=False),
    )


def _opponents(config: Config, candidate: str, reference: str) -> "tuple[Config, DuelArms]":
    """The two sides, and the configuration by which their models are found."""
    from harness.measure.runtimes.revisions import resolve
    from harness.plan.arm_spec import parse_arm_spec, with_model
    from harness.plan.labels import label_models
    from harness.runner.duel import DuelArms
    from harness.runner.resources import model_names

    base, names = one_arm(config), model_names(config)
    if config["model"] and base.model:
        base = with_model(base, config["model"][0])

    def side(text: str) -> "Arm":
        """A name of a revision may be another commit's tomorrow: the arm has the commit."""
        arm = parse_arm_spec(text, base=base, models=names)
        return replace(arm, revision=resolve(config.root, arm.revision)[:COMMIT]) if arm.revision else arm

    config, (ours, theirs) = label_models(config, [side(candidate), side(reference)])
    return config, DuelArms(candidate=ours, reference=theirs).told_apart()


def _said(side: str, arm: "Arm") -> str:
    """A side as it is published: with its model's label, and without the user's folders."""
    from harness.plan.arm_spec import with_label

    return with_label(side, arm.model.name) if arm.model else side


def _measured_otherwise(config: Config, sides: "DuelArms") -> str:
    """That the two sides' own measuring code differs, "" where it does not."""
    from harness.measure.runtimes.revisions import measuring_changes

    revisions = sorted((sides.candidate.revision, sides.reference.revision), reverse=True)
    if not revisions[0]:
        return ""
    changed = measuring_changes(config.root, commit=revisions[0], other=revisions[1])
    if not changed:
        return ""
    others = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return (
        f"The sides differ in the measuring code itself ({changed[0]}{others}): a difference may be how it is measured."
    )
