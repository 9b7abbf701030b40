"""`kokoro-bench config`: every value and where it came from."""

import os

from harness.cli.grouped_help import command
from harness.cli.options import MEASURING, configured
from harness.plan.config import SECTION, Config
from harness.plan.keys import KEYS

MEANING = "a regression that is shown and fails nothing until a day"


@command()
@configured(*MEASURING)
def config(config: Config) -> None:
    """Print every value of the configuration and where it came from."""
    from reports.terminal.console import make_console
    from reports.terminal.plain_table import PlainTable

    table = PlainTable("key", "value", "from", "meaning", title=f"Configuration, root {config.root}")
    for key in KEYS:
        table.add_row(key.name, repr(config[key.name]), _below(config, config.origins[key.name]), key.meaning)
    for number, waiver in enumerate(config.waivers, 1):
        value = f"{waiver.metric} of {waiver.scenarios} until {waiver.until}: {waiver.reason}"
        origin = f"pyproject.toml [[{SECTION}.waiver]]"
        table.add_row(f"waiver {number}", value, origin, MEANING)
    make_console().print(table)


def _below(config: Config, origin: str) -> str:
    """An origin with its file's path from the root, which the title has: whole paths would be folded."""
    return origin.replace(f"{config.root}{os.sep}", "")
