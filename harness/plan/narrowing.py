"""The label of a run's selection. A scenario can only be missing from a run with the same label."""

from collections.abc import Sequence
from typing import Any

from harness.core.comma_lists import join_list
from harness.core.file_names import last_part
from harness.core.redaction import published_selection
from harness.plan.config import Config

KEYS = (
    "engine", "url", "server", "model", "provider", "provider-options", "session-options", "threads", "runtime", "text",
    "say", "voice", "language",
)  # fmt: skip
"""Keys that decide what is measured."""


def label(selection: str, config: Config, *, chosen: Sequence[str] = ()) -> str:
    """The selection, every key that was set, and what was `chosen` beyond that, as on a command line."""
    values = {name: config[name] for name in KEYS if config.origins[name] != "default"}
    if "model" in values:
        values["model"] = tuple(map(_without_folder, values["model"]))
    given = ((name, each) for name, value in values.items() for each in (value if name == "say" else [value]))
    narrowing = [f"--{name} {_as_text(value)}" for name, value in given]
    return published_selection(" ".join([selection, *narrowing, *chosen]))


def _without_folder(model: str) -> str:
    """Remove the folder: a file's location does not affect what was measured."""
    from harness.models.naming import split_label

    label, file = split_label(model)
    return f"{label}={last_part(file)}" if label else last_part(file)


def _as_text(value: Any) -> str:  # noqa: ANN401 - each key has its own type
    if isinstance(value, tuple):
        return join_list("=".join(item) if isinstance(item, tuple) else str(item) for item in value)
    return str(value)
