"""Writes the report's site in a process of its own.

The scheduler is a long-lived process: drawing a growing history in it would make its memory grow, and would stop the
dashboard's events meanwhile.
"""

import os
import subprocess

from harness.core.errors import MeasurementError
from harness.plan.config import Config
from harness.schedule.launcher import PYTHON, command_environment
from harness.store.runs import RunStore

COMMAND = (*PYTHON, "harness.cli", "report")


def write_site(store: RunStore, config: Config) -> None:
    """Run `kokoro-bench report`. MeasurementError with its message if it fails; AwayError if the database is away."""
    options = {"results": config.results, "baselines": config.baselines, "report": config.report}
    done = subprocess.run(
        [*COMMAND, *(f"--{name}={value}" for name, value in options.items())],
        cwd=config.root, env=command_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, encoding="utf-8", errors="replace", check=False,
        start_new_session=os.name == "posix",  # Ctrl-C ends the schedule in order
    )  # fmt: skip
    if done.returncode:
        store.list(limit=1)  # an AwayError is retried
        lines = done.stderr.strip().splitlines()
        reason = lines[-1].removeprefix("kokoro-bench: ") if lines else f"exit code {done.returncode}"
        raise MeasurementError(f"the report was not written: {reason}", where=str(config.report))
