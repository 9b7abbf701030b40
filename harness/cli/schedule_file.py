"""The file in which a schedule is declared, as an option of the commands of `kokoro-bench schedule`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import UserPath
from harness.plan.config import Config

if TYPE_CHECKING:
    from harness.schedule.jobs import Declared

FILE = click.option("--config", "file", type=UserPath(), help="a TOML file with [schedule.NAME]")


def declared_schedule(config: Config, file: Path | None) -> "Declared":
    """The schedule of pyproject.toml, or of `file`."""
    from harness.schedule.jobs import declared

    return declared(config, file)
