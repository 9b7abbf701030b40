"""`kokoro-bench runtimes`: sets of packages with environments of their own."""

import click

from harness.cli.options import DAY_S, OLDER_THAN, configured
from harness.plan.config import Config


@click.group()
def runtimes() -> None:
    """List, build or prune the virtual environments that workers run in beside this one."""


@runtimes.command(name="list")
@configured("results")
def list_runtimes(config: Config) -> None:
    """List the runtimes declared in pyproject.toml, and those that are built."""
    from datetime import UTC, datetime

    from harness.core.cache_root import default_root
    from harness.measure.runtimes.build import Runtimes, declared
    from reports.terminal.console import make_console
    from reports.terminal.plain_table import PlainTable

    built = Runtimes(default_root()).list()
    table = PlainTable("name", "requirements", "built", "size", "last used (UTC)")
    for environment in built:
        used = datetime.fromtimestamp(environment.used_at, tz=UTC).strftime("%Y-%m-%d %H:%M")
        size = f"{environment.size / 1e6:.0f} MB"
        table.add_row(environment.name, " ".join(environment.requirements), str(environment.path), size, used)
    names = {environment.name for environment in built}
    for name, runtime in declared(config.tables, root=config.root).items():
        if runtime.name not in names:
            table.add_row(name, " ".join(runtime.requirements), "not yet", "–", "–")
    make_console().print(table)


@runtimes.command()
@configured("results", "engine")
@click.argument("name")
@click.option("--upgrade", is_flag=True, help="resolve the versions again")
def build(config: Config, name: str, upgrade: bool) -> None:  # noqa: FBT001 - click's own
    """Build NAME: a declared runtime, requirements such as "onnxruntime==1.22.1", or the source of packages.

    With --engine of another package, only what that engine needs is installed.
    """
    from harness.core.cache_root import default_root
    from harness.measure.runtimes.build import Runtimes, declared, find_runtime

    runtime = find_runtime(name, declared(config.tables, root=config.root), where="NAME")
    python = Runtimes(default_root()).build(
        runtime, engine=config["engine"], report=lambda message: click.echo(message, err=True), refresh=upgrade
    )
    click.echo(python)


@runtimes.command()
@OLDER_THAN
@click.option("--all", "everything", is_flag=True, help="delete all, whatever their age")
def prune(older_than: float, everything: bool) -> None:  # noqa: FBT001 - click's own
    """Remove environments that were not used for some time."""
    from harness.core.cache_root import default_root
    from harness.measure.runtimes.build import Runtimes

    gone = Runtimes(default_root()).prune(unused_s=0.0 if everything else older_than * DAY_S)
    for environment in gone:
        click.echo(f"removed {environment.name} ({environment.size / 1e6:.0f} MB)")
    if not gone:
        click.echo("nothing to remove")
