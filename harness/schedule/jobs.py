"""Reads declared jobs and settings: `[tool.kokoro-bench.schedule]`, and a table in it for each job."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from harness.core.comma_lists import join_list
from harness.core.errors import ConfigError
from harness.core.quantities import as_positive, as_seconds
from harness.plan.config import BY_NAME, SECTION, Config, read_key
from harness.plan.parsing import Reader, as_choice, as_texts, as_whole, read_table
from harness.plan.parsing import as_text as as_plain_text
from harness.schedule.job import Job, Settings

SELECTIONS: Final = ("quick", "full", "nightly")
PROMOTIONS: Final = ("never", "clean")
EXPLANATIONS: Final = ("never", "bisect")
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
NOT_A_JOBS: Final = ("budget", "results", "baselines", "report", "wait")
"""Configuration keys that a job sets in another way, or shares with the other jobs."""
SHORTEST_S: Final = 60.0


def _as_table(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - from TOML
    if not isinstance(value, Mapping):
        raise TypeError(f"must be a table, not {value!r}")
    return value


def _as_texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - from TOML
    if isinstance(value, str):  # its commas may belong to an address
        raise TypeError(f"must be a list of texts, not {value!r}")
    return as_texts(value)


def _as_confirm(value: Any) -> float:  # noqa: ANN401 - from TOML
    """The budget (s) of the duel that confirms a finding; 0 for never."""
    if value == "never":
        return 0.0
    try:
        return as_seconds(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "never"') from error


_JOB: Final[Mapping[str, tuple[Reader, str]]] = {
    "cron": (lambda value: " ".join(as_plain_text(value).split()), '"30 2 * * *"'),
    "every": (as_seconds, '"6h"'),
    "timezone": (as_plain_text, '"Europe/Berlin"'),
    "selection": (as_choice(*SELECTIONS), '"nightly"'),
    "k": (as_plain_text, '"whole"'),
    "options": (_as_table, '{ model = "replica" }'),
    "budget": (as_seconds, '"30m"'),
    "limit": (as_seconds, '"3h"'),
    "promote": (as_choice(*PROMOTIONS), '"clean"'),
    "confirm": (_as_confirm, '"15m"'),
    "explain": (as_choice(*EXPLANATIONS), '"bisect"'),
}
"""Key of a job → its reader, and an example."""
_SETTINGS: Final[Mapping[str, tuple[Reader, str]]] = {
    "runner": (as_plain_text, '"…"'),
    "alerts": (_as_texts, '["https://…", "file:alerts"]'),
    "link": (as_plain_text, '"https://…"'),
    "busy-cpus": (as_positive, "0.5"),
    "busy-wait": (as_seconds, '"30m"'),
    "keep-raw": (as_seconds, '"90d"'),
    "keep-raw-runs": (as_whole(0), "100"),
    "keep-logs": (as_seconds, '"180d"'),
}
"""Key of the schedule → its reader, and an example."""
_FIELDS: Final = {
    "every": "every_s", "k": "expression", "budget": "budget_s", "limit": "limit_s",
    "confirm": "confirm_s",
    "busy-wait": "busy_wait_s", "keep-raw": "keep_raw_s", "keep-logs": "keep_logs_s",
}  # fmt: skip
"""Key → its field, if the field has another name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """The declared schedule, and where it is declared."""

    settings: Settings
    jobs: tuple[Job, ...] = ()
    where: str = field(default="")
    base: Path = field(default_factory=Path.cwd)
    """The folder of the declaring file. Relative paths in the file start here."""


def declared(config: Config, file: Path | None = None) -> Declared:
    """The schedule of pyproject.toml, or of `file`. Raises ConfigError for invalid declarations."""
    if file is None:
        table: Any = config.tables.get("schedule", {})
        where, base = f"{config.root / 'pyproject.toml'} [{SECTION}.schedule]", config.root
    else:
        table, where, base = _read(file), str(file), file.absolute().parent
    if not isinstance(table, Mapping):
        raise ConfigError("is not a table", where=where, remedy=f"write [{SECTION}.schedule.NAME]")
    jobs = tuple(
        parse_job(name, value, where=f"{where}, job {name}", base=base)
        for name, value in table.items()
        if _is_table(value)
    )
    plain = {name: value for name, value in table.items() if not _is_table(value)}
    return Declared(settings=_settings(plain, where=where), jobs=jobs, where=where, base=base)


def parse_job(name: str, table: Mapping[str, Any], *, where: str, base: Path) -> Job:
    """One job. Relative paths in its options start at `base`. Raises ConfigError, which names the wrong key."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is not a valid job name", where=where, remedy="small letters, digits, - and _, at most 60"
        )
    from harness.schedule.triggers import check_job

    found = read_table(table, _JOB, where=where)
    options = _options(found.pop("options", {}), where, base)
    job = Job(name=name, options=options, **{_FIELDS.get(key, key): value for key, value in found.items()})
    if bool(job.cron) == bool(job.every_s):
        raise ConfigError("a job has either cron or every", where=where, remedy='cron = "30 2 * * *" or every = "6h"')
    if job.every_s and job.every_s < SHORTEST_S:
        raise ConfigError("every must be a minute or more", where=where, remedy='every = "6h"')
    check_job(job, where=where)
    return job


def as_text(value: Any) -> str:  # noqa: ANN401 - from TOML
    """A TOML value as the text of a command's option."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Mapping):
        return join_list(f"{name}={as_text(each)}" for name, each in value.items())
    if isinstance(value, list):
        return join_list(as_text(each) for each in value)
    return str(value)


def _settings(table: Mapping[str, Any], *, where: str) -> Settings:
    found = read_table(table, _SETTINGS, where=where)
    return Settings(**{_FIELDS.get(name, name.replace("-", "_")): value for name, value in found.items()})


def _read(file: Path) -> object:
    """The table `[schedule]` of a separate file, or `[tool.kokoro-bench.schedule]` as in pyproject.toml."""
    try:
        content: Any = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(file), remedy="name another") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"not TOML: {error}", where=str(file), remedy="fix that line") from error
    for path in (("schedule",), (*SECTION.split("."), "schedule")):
        found = content
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        if found is not None:
            return found
    raise ConfigError("has no [schedule]", where=str(file), remedy="write [schedule.NAME] for each job")


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _options(table: Mapping[str, Any], where: str, base: Path) -> tuple[tuple[str, str], ...]:
    """A job's options, checked by the readers of the run itself, so that mistakes are reported before the first run.

    The run starts in another folder, so paths become absolute.
    """
    keys = {name: key for name, key in BY_NAME.items() if name not in NOT_A_JOBS}
    found = []
    for name, value in table.items():
        text = as_text(value)
        read = read_key(name, text, keys, where=where, base=base)
        if keys[name].place is not None:
            text = join_list(read) if keys[name].many else read
        found.append((name, text))
    return tuple(sorted(found))
