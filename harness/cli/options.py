"""Options that mean the same everywhere: each stands for one key of the configuration."""

import math
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.cli.grouped_help import option
from harness.core.errors import UsageError
from harness.core.output_files import check_distinct, check_file, write_whole
from harness.core.user_paths import user_path
from harness.plan.config import Config, joined, load_config
from harness.plan.keys import KEYS, Key

if TYPE_CHECKING:
    from harness.core.records.run import RunData, RunKind
    from harness.core.records.scenario import Arm
    from harness.store.runs import RunStore


MEASURING = tuple(key.name for key in KEYS)
SEARCHING = tuple(name for name in MEASURING if name not in ("report", "summary"))
"""Of a command that measures many runs, and writes a page or a summary of none."""
STORED = ("results", "baselines", "report")
AXES = ("model", "provider", "threads", "runtime")
"""Each of several of these is an arm of its own."""
LATEST = "latest"


def configured(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options `names`; it receives the loaded `Config` as its first argument."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(**given: Any) -> Any:  # noqa: ANN401 - click's own
            options = {name: given.pop(name.replace("-", "_")) for name in names}
            return function(load_config(options), **given)

        run.__name__ = function.__name__
        run.__doc__ = function.__doc__
        run.__click_params__ = list(getattr(function, "__click_params__", []))  # type: ignore[attr-defined]
        decorated: Callable[..., Any] = run
        for key in reversed([key for key in KEYS if key.name in names]):
            if key.flag:
                flags = f"--{key.name}/--no-{key.name}"
                declared = option(flags, group=key.group, help=key.meaning, default=None, callback=_switched)
            else:
                given_again: Any = {"multiple": True, "callback": partial(_combined, key)} if key.many else {}
                declared = option(
                    f"--{key.name}", group=key.group, help=key.meaning, metavar=key.metavar, **given_again
                )
            decorated = declared(decorated)
        return decorated

    return decorate


class FiniteRange(click.FloatRange):
    """A number within bounds. `nan` is within any for click, and would be refused, if at all, when work has begun."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's own
        """The number; a usage error for nan and infinities."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return found


DAY_S = 86_400
USUAL_DAYS = 30.0
OLDER_THAN = click.option(
    "--older-than",
    type=FiniteRange(min=0),
    default=USUAL_DAYS,
    show_default=True,
    metavar="DAYS",
    help="days without use",
)
"""Of the commands that remove what was not used for some time."""


class UserPath(click.Path):
    """A path in which `~` is the user's home."""

    name = "path"

    def __init__(self, *, dir_okay: bool = True) -> None:
        super().__init__(dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's own
        where = param.opts[0] if param else ""
        return super().convert(user_path(value, where=where), param, ctx)


def _joined(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> str | None:
    del context, parameter
    return joined(value)


def _combined(
    key: Key, context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> str | Sequence[str] | None:
    del context, parameter
    return key.combined(value)


def _switched(context: click.Context, parameter: click.Parameter, value: bool | None) -> str | None:  # noqa: FBT001 - click's own
    del context, parameter
    return None if value is None else "on" if value else "off"


LISTED: Mapping[str, Any] = MappingProxyType({"multiple": True, "callback": _joined})
"""Click settings of an option with a comma-separated value: repeating the option adds to the list."""


def obtain(config: Config) -> None:
    """Download Kokoro where the user names no model and it is not here, and print what is done."""
    from harness.runner.default_models import obtain_models
    from reports.terminal.console import make_console, tell
    from reports.terminal.download_bar import download_bar

    console = make_console()
    with download_bar("Kokoro", console) as progress:
        obtain_models(config, report=lambda message: tell(console, message, "dim"), progress=progress)


def one_arm(config: Config, *, download: bool = True, engine_here: bool = True) -> "Arm":
    """The configured arm, for a command that has one. UsageError where several are configured.

    Where no model is named, Kokoro is downloaded if `download` allows. `engine_here` is as for `wanted_arms`.
    """
    from harness.runner.selection import wanted_arms

    if download:
        obtain(config)
    arms = wanted_arms(config, "quick", recipes=(), engine_here=engine_here)
    for name in AXES if len(arms) > 1 else ():
        given = [str(each) for each in config[name]]
        if len(given) > 1:
            several = f"{', '.join(given)} are several, but this command takes one"
            raise UsageError(
                several, where=f"{name} ({config.origins[name]})", remedy=f"for example --{name} {given[0]}"
            )
    return arms[0]


@contextmanager
def open_results(config: Config) -> "Iterator[RunStore]":
    """The results database; runs that were killed are marked as interrupted on the way."""
    from harness.core.records.environment import SCRIPTED_KEY
    from harness.measure.system.machine import boot_id, identify
    from harness.store.runs import open_store

    with open_store(config.results) as store:
        for key in (identify().key, SCRIPTED_KEY):
            store.mark_abandoned(machine_key=key, boot=boot_id())
        yield store


def chosen_run(store: "RunStore", name: str, *, among: "Collection[RunKind] | None" = None) -> str:
    """The id of the run that a user names.

    `latest` is the newest of the kinds `among`, by default of those that are a result by themselves. If a newer one of
    another kind is stored, a line on standard error says so.
    """
    from harness.core.records.run import RESULTS, RunKind
    from harness.core.redaction import published_selection

    found = store.resolve(name, among=among or RESULTS)
    if name == LATEST:
        newer = next(row for row in store.list() if row.id == found or row.kind is not RunKind.REPLAY)
        if newer.id != found:
            line = f"latest is {found}; the newer {newer.id} ({published_selection(newer.selection)}) has to be named"
            click.echo(f"kokoro-bench: {line}", err=True)
    return found


def load_run(store: "RunStore", name: str, *, among: "Collection[RunKind] | None" = None) -> "RunData":
    """The run that a user names, as for `chosen_run`."""
    return store.load(chosen_run(store, name, among=among))


T = TypeVar("T")


def read_value(reader: Callable[[str], T], text: str, *, option: str) -> T:
    """The value of an option as `reader` gives it; click.BadParameter if the reader raises ValueError."""
    try:
        return reader(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"'{option}'") from error


def check_output(output: str, config: Config) -> None:
    """Make the folder of a file that is to be written. UsageError, before any work is done for it, where it cannot.

    The database that the file is made of is never replaced.
    """
    if output not in ("", "-"):
        where = f"--output {output}"
        path = user_path(output, where=where)
        if config.results_file is not None:
            check_distinct({"--output": path, "--results": config.results_file})
        check_file(path, where=where)


def write_output(content: bytes, output: str) -> None:
    """UTF-8 to a file, whole or not at all, or to standard output for "-". UsageError where it cannot be written.

    A terminal gets it as text, so that what it cannot show is replaced.
    """
    if output not in ("", "-"):
        where = f"--output {output}"
        write_whole(user_path(output, where=where), content, where=where)
    elif sys.stdout.isatty():
        sys.stdout.write(content.decode())
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
