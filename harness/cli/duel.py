"""`kokoro-bench duel`: two arms, paired."""

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from harness.cli.grouped_help import command
from harness.cli.options import MEASURING, configured, one_arm, read_value, write_output
from harness.core.quantities import as_positive_share
from harness.plan.config import Config
from harness.runner.run_duel import launches_known_here, run_duel

if TYPE_CHECKING:
    from harness.analysis.finished import Finished
    from harness.core.records.scenario import Arm
    from harness.runner.duel import DuelArms


@command()
@configured(*MEASURING)
@click.option("--effect", default="5%", show_default=True, metavar="PERCENT", help="smallest change to detect")
@click.option("--streamed", is_flag=True, help="stream the audio instead of requesting it whole")
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON; progress goes to standard error")
@click.argument("candidate")
@click.argument("reference", required=False)
def duel(
    config: Config,
    effect: str,
    streamed: bool,  # noqa: FBT001 - click's own
    as_json: bool,  # noqa: FBT001 - likewise
    candidate: str,
    reference: str | None,
) -> int:
    r"""Compare CANDIDATE with REFERENCE, pair by pair, and print what changed.

    Each is `current`, a requirement (onnxruntime==1.22.1), model=NAME, provider=NAME, threads=N, a session option
    (arena=off), rev=REVISION, or several of these separated by commas. url=ADDRESS and server=NAME are servers; two
    servers get the same streamed requests. A single argument is the reference, and `current` is the candidate.

    The source of an engine is "NAME @ git+file:///PATH@REVISION", path:FOLDER, a wheel, an sdist, requirements.txt or
    uv.lock; in a path a comma is written \,. rev=REVISION is of the git repository that the command runs in: its
    package is installed in an environment of its own, and `current` beside it is the work tree.
    """
    if reference is None:
        candidate, reference = "current", candidate
    size = read_value(as_positive_share, effect, option="--effect")
    play = played_as_json if as_json else played
    finished = play(config, candidate=candidate, reference=reference, effect=size, streamed=streamed)
    return int(finished.code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A duel that has ended. The names of its arms and the notes are as they are shown."""

    finished: "Finished"
    candidate: str
    reference: str
    notes: tuple[str, ...]


def played(config: Config, *, candidate: str, reference: str, effect: float, streamed: bool = False) -> "Finished":
    """Run a duel with a live display, and print its result."""
    from reports.terminal.output import print_duel

    found = _play(config, candidate=candidate, reference=reference, effect=effect, streamed=streamed)
    print_duel(found.finished, candidate=found.candidate, reference=found.reference, notes=found.notes)
    return found.finished


def played_as_json(config: Config, *, candidate: str, reference: str, effect: float, streamed: bool) -> "Finished":
    """Run a duel with its progress on standard error, and print its result as JSON."""
    from reports.views.run_json import run_json

    with redirect_stdout(sys.stderr):
        found = _play(config, candidate=candidate, reference=reference, effect=effect, streamed=streamed)
    arms = {"candidate": found.candidate, "reference": found.reference}
    write_output(run_json(found.finished.data, code=found.finished.code, notes=found.notes, arms=arms), "-")
    return found.finished


def _play(config: Config, *, candidate: str, reference: str, effect: float, streamed: bool) -> Played:
    from harness.core.records.run import DUEL
    from harness.core.records.scenario import Mode
    from harness.runner.calibration import quotes
    from harness.runner.outputs import check_outputs, write_outputs
    from reports.terminal.console import make_console

    check_outputs(config)
    config, sides = _opponents(config, candidate, reference)
    candidate, reference = _published_spec(candidate, sides.candidate), _published_spec(reference, sides.reference)
    if sides.same:
        make_console().print("Both arms are the same: this is an A/A test, so any change it finds is a false alarm.")
    if otherwise := _measured_otherwise(config, sides):
        make_console().print(otherwise, markup=False)
    selection = f"{DUEL}{candidate} against {reference}"
    launches = launches_known_here(config)
    mode = Mode.STREAM if streamed else None
    finished = run_duel(config, sides, effect=effect, selection=selection, launches=launches, mode=mode)
    written = write_outputs(finished, config)
    finished = replace(finished, code=finished.code or written.code)
    notes = [*quotes(config.baselines, finished.data), *written.notes]
    if known := launches.of(finished.data):
        notes.insert(0, known.sentence())
    return Played(finished=finished, candidate=candidate, reference=reference, notes=tuple(notes))


def _opponents(config: Config, candidate: str, reference: str) -> "tuple[Config, DuelArms]":
    """The two arms, and the configuration that resolves their models."""
    from harness.runner.arm_specs import arms_of
    from harness.runner.duel import DuelArms

    config, (ours, theirs) = arms_of(config, (candidate, reference), configured=one_arm)
    return config, DuelArms(candidate=ours, reference=theirs).with_distinct_labels()


def _published_spec(spec: str, arm: "Arm") -> str:
    """An arm's specification as it is published: with its model's label, without the user's folders."""
    from harness.plan.arm_spec import with_label, without_paths

    return without_paths(with_label(spec, arm.model.name) if arm.model else spec)


def _measured_otherwise(config: Config, sides: "DuelArms") -> str:
    """A warning if the two revisions differ in the measuring code; "" if they do not."""
    from harness.measure.runtimes.revisions import measuring_changes, repository_of

    if sides.candidate.server or sides.reference.server:
        return ""  # their revisions are those of the servers
    revisions = sorted((sides.candidate.revision, sides.reference.revision), reverse=True)
    if not revisions[0]:
        return ""
    changed = measuring_changes(repository_of(config.directory), commit=revisions[0], other=revisions[1])
    if not changed:
        return ""
    others = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"The arms differ in the measuring code itself ({changed[0]}{others}), which may cause the difference."
