"""`kokoro-bench schedule explain`: bisects the change that an alert reports."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import STORED, configured, one_arm
from harness.cli.schedule_alerts import compared_with, job_of, known_alert, when_there_is_space
from harness.cli.schedule_file import FILE, declared_schedule
from harness.core.errors import ExitCode, UsageError
from harness.plan.config import Config, load_config, with_defaults

if TYPE_CHECKING:
    from harness.core.records.scenario import Scenario
    from harness.core.records.schedule import Alert
    from harness.runner.bisect.search import Searched
    from harness.runner.explain import Between
    from harness.schedule.job import Job


@click.command()
@configured(*STORED, "budget", "wait")
@FILE
@click.argument("key", type=click.IntRange(min=1), metavar="ALERT")
def explain(config: Config, file: Path | None, key: int) -> int:
    """Bisect the change that ALERT reports: which version, package or commit made it.

    It searches between what the alert is compared with and what ran, if packages or revisions differ in more than one
    step. The same command goes on where an earlier one ended. A job with `explain = "bisect"` does this by itself, when
    nothing else is due. The answer is on the alert's page.
    """
    from harness.runner.explain import between
    from harness.runner.outputs import write_bisection_outputs
    from harness.schedule.alerts import CHANGES
    from harness.schedule.service import opened
    from reports.terminal.bisection import print_bisection
    from reports.terminal.console import make_console, tell
    from reports.views.bisection import bisection_view

    console = make_console()
    with opened(config, declared_schedule(config, file).settings) as here:
        alert = known_alert(here, key)
        if alert.kind not in CHANGES or not alert.found_in:
            raise UsageError("it reports no change", where=f"alert {key}", remedy=f"kokoro-bench schedule alert {key}")
        job, data = job_of(here, [alert]), here.store.load(alert.found_in)
        scenario = next((each for each in data.run.scenarios if each.id == alert.subject), None)
        if scenario is None:
            raise UsageError(f"run {data.run.id} does not have it", where=alert.subject)
        chosen = _config(config, job, scenario)
        found = between(
            chosen,
            scenario,
            data,
            compared_with(here, chosen, [alert]),
            load=lambda run_id: here.store.load(run_id) if here.store.row(run_id) else None,
            report=lambda message: tell(console, message, "dim"),
        )
        if not found.several:
            when_there_is_space(lambda: here.journal.note_explanation(key, found.reason))
            tell(console, found.reason)
            return int(ExitCode.OK)
    searched = _search(chosen, found, alert, scenario)
    with opened(config, declared_schedule(config, file).settings) as here:
        made = searched.bisection
        sentence = bisection_view(made).sentence.removesuffix(".")
        when_there_is_space(lambda: here.journal.note_explanation(key, sentence, bisection=made.id, answer=made.answer))
    written = write_bisection_outputs(chosen, searched.bisection, last=searched.last)
    print_bisection(searched.bisection, notes=written.notes, console=console)
    return int(ExitCode.INTERRUPTED if searched.interrupted else written.code)


def _config(config: Config, job: "Job", scenario: "Scenario") -> Config:
    """The configuration of the job, with the one arm and the text of a scenario."""
    from harness.plan.corpus import TEXT_CLASSES
    from harness.plan.labels import labels
    from harness.schedule.job import EXPLAIN_S

    options: dict[str, Any] = {"budget": f"{EXPLAIN_S:g}s", **dict(job.options), **config.given}
    arm = scenario.arm
    every = load_config(options)
    models = [given for given, label in labels(every["model"]).items() if arm.model and label == arm.model.name]
    options |= {"model": models[0]} if models else {}
    options |= {"provider": arm.provider, "threads": str(arm.threads)} if arm.provider else {}
    options |= {"text": scenario.text_class} if scenario.text_class in TEXT_CLASSES else {}
    # The launches and blocks of the run are not those of a bisection, which has a budget of its own.
    return with_defaults(load_config(options), ("launches", "blocks"))


def _search(config: Config, found: "Between", alert: "Alert", scenario: "Scenario") -> "Searched":
    """Search with its progress on the terminal."""
    from harness.core.records.scenario import Mode
    from harness.runner.bisect.search import Wanted, bisect
    from reports.terminal.console import make_console, tell

    console = make_console()
    wanted = Wanted(
        subject=found.subject, places=found.places, metric=alert.metric, streamed=scenario.mode is Mode.STREAM
    )
    return bisect(config, wanted, configured=one_arm, report=lambda message: tell(console, message, "dim"))
