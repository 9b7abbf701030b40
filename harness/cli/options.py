"""Options that mean the same everywhere: each stands for one key of the configuration."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.plan.config import KEYS, Config, load_config

if TYPE_CHECKING:
    from harness.store.runs import RunStore

SCRIPTED_KEY = "scripted"
"""The machine key of scripted runs, whichever machine they were made on."""

MEASURING = tuple(key.name for key in KEYS)
STORED = ("results", "baselines", "report")


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
            option: Any = click.option(f"--{key.name}", help=key.meaning, metavar="VALUE")
            decorated = option(decorated)
        return decorated

    return decorate


def machine_key(config: Config) -> str:
    """The key under which this machine's runs, or scripted ones, are kept."""
    if config["engine"] == "scripted":
        return SCRIPTED_KEY
    from harness.measure.machine import identify

    return identify().key


@contextmanager
def open_results(config: Config) -> "Iterator[RunStore]":
    """The results database; runs that were killed are marked as interrupted on the way."""
    from harness.measure.machine import boot_id, identify
    from harness.store.runs import open_store

    with open_store(config.results) as store:
        for key in (identify().key, SCRIPTED_KEY):
            store.mark_abandoned(machine_key=key, boot=boot_id())
        yield store


def write_output(content: bytes, output: str) -> None:
    """To a file, whole or not at all, or to standard output for "-"."""
    import os
    import tempfile

    if output in ("", "-"):
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
        return
    from harness.errors import UsageError

    path = Path(output)
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
            file.write(content)
        Path(file.name).chmod(0o644)
        os.replace(file.name, path)  # noqa: PTH105 - the same thing by its common name
    except OSError as error:
        raise UsageError(
            f"cannot write: {error.strerror}", where=output, remedy="choose a place that you may write"
        ) from error
