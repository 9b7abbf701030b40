"""Jobs and settings as they are declared: `[tool.kokoro-bench.schedule]`, and a table in it for each job."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from harness.core.comma_lists import join_list
from harness.core.errors import ConfigError, nearest
from harness.plan.config import SECTION, Config
from harness.plan.keys import KEYS
from harness.schedule.job import Job, Settings

SELECTIONS: Final = ("quick", "full", "nightly")
PROMOTIONS: Final = ("never", "clean")
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
NOT_A_JOBS: Final = ("budget", "results", "baselines", "report", "wait")
"""Keys that a job has by another way, or must share with the others."""
SHORTEST_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Everything that the configuration says of the schedule, and where it says it."""

    settings: Settings
    jobs: tuple[Job, ...] = ()
    where: str = field(default="")
    base: Path = field(default_factory=Path.cwd)
    """The folder of the file that says so, at which its relative paths begin."""


def declared(config: Config, file: Path | None = None) -> Declared:
    """The schedule of pyproject.toml, or of `file`; ConfigError for what makes no sense."""
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
    """One job; relative paths among its options begin at `base`. ConfigError names the key that is wrong."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name for a job", where=where, remedy="small letters, digits, - and _, at most 60"
        )
    _known(table, ("cron", "every", "timezone", "selection", "k", "options", "budget", "limit", "promote"), where)
    from harness.schedule.triggers import check_job

    budget_s = _seconds(table, "budget", 0.0, where)
    job = Job(
        name=name,
        cron=" ".join(_text(table, "cron", "", where).split()),
        every_s=_seconds(table, "every", 0.0, where),
        timezone=_text(table, "timezone", "UTC", where),
        selection=_choice(table, "selection", SELECTIONS, default="nightly", where=where),
        expression=_text(table, "k", "", where),
        options=_options(table.get("options", {}), where, base),
        budget_s=budget_s,
        limit_s=_seconds(table, "limit", 0.0, where),
        promote=_choice(table, "promote", PROMOTIONS, default="never", where=where),
    )
    if bool(job.cron) == bool(job.every_s):
        raise ConfigError("a job has either cron or every", where=where, remedy='cron = "30 2 * * *" or every = "6h"')
    if job.every_s and job.every_s < SHORTEST_S:
        raise ConfigError("every must be a minute or more", where=where, remedy='every = "6h"')
    check_job(job, where=where)
    return job


def as_text(value: Any) -> str:  # noqa: ANN401 - from TOML
    """A TOML value as the command's option takes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Mapping):
        return join_list(f"{name}={as_text(each)}" for name, each in value.items())
    if isinstance(value, list):
        return join_list(as_text(each) for each in value)
    return str(value)


def _settings(table: Mapping[str, Any], *, where: str) -> Settings:
    names = ("runner", "alerts", "link", "busy-cpus", "busy-wait", "keep-raw", "keep-raw-runs", "keep-logs")
    _known(table, names, where)
    plain = Settings()
    alerts = table.get("alerts", [])
    if not isinstance(alerts, list) or not all(isinstance(each, str) for each in alerts):
        raise ConfigError("alerts must be a list of texts", where=where, remedy='alerts = ["https://…", "file:alerts"]')
    runs = table.get("keep-raw-runs", plain.keep_raw_runs)
    cpus = table.get("busy-cpus", plain.busy_cpus)
    if isinstance(runs, bool) or not isinstance(runs, int) or runs < 0:
        raise ConfigError("keep-raw-runs must be a whole number", where=where, remedy="keep-raw-runs = 100")
    if isinstance(cpus, bool) or not isinstance(cpus, int | float) or not 0 < cpus < float("inf"):
        raise ConfigError("busy-cpus must be a positive number", where=where, remedy="busy-cpus = 0.5")
    return Settings(
        runner=_text(table, "runner", "", where),
        alerts=tuple(alerts),
        link=_text(table, "link", "", where),
        busy_cpus=float(cpus),
        busy_wait_s=_seconds(table, "busy-wait", plain.busy_wait_s, where),
        keep_raw_s=_seconds(table, "keep-raw", plain.keep_raw_s, where),
        keep_raw_runs=runs,
        keep_logs_s=_seconds(table, "keep-logs", plain.keep_logs_s, where),
    )


def _read(file: Path) -> object:
    """`[schedule]` of a file of its own, or `[tool.kokoro-bench.schedule]` as in pyproject.toml."""
    try:
        content: Any = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(file), remedy="name another") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"not TOML: {error}", where=str(file), remedy="mend that line") from error
    for path in (("schedule",), (*SECTION.split("."), "schedule")):
        found = content
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        if found is not None:
            return found
    raise ConfigError("has no [schedule]", where=str(file), remedy="write [schedule.NAME] for each job")


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _known(table: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    for name in table:
        if name not in names:
            raise ConfigError(f"unknown key {name!r}", where=where, remedy=nearest(name, names))


def _text(table: Mapping[str, Any], name: str, default: str, where: str) -> str:
    value = table.get(name, default)
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be text, not {value!r}", where=where, remedy=f'{name} = "…"')
    return value


def _choice(table: Mapping[str, Any], name: str, choices: tuple[str, ...], *, default: str, where: str) -> str:
    value = _text(table, name, default, where)
    if value not in choices:
        raise ConfigError(f"unknown {name} {value!r}", where=where, remedy=nearest(value, choices))
    return value


def _seconds(table: Mapping[str, Any], name: str, default: float, where: str) -> float:
    """Seconds, or text such as 90s, 5m, 1.5h, 30d."""
    if name not in table:
        return default
    value = table[name]
    scale = 1.0
    if isinstance(value, str):
        units = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
        text = value.strip().lower()
        scale = units.get(text[-1:], 1.0)
        value = text[:-1] if text[-1:] in units else text
    try:
        seconds = float("nan") if isinstance(value, bool) else float(value) * scale
    except (TypeError, ValueError):
        seconds = float("nan")
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"{name} is no duration: {table[name]!r}", where=where, remedy=f'{name} = "30m"')
    return seconds


def _options(table: object, where: str, base: Path) -> tuple[tuple[str, str], ...]:
    """Checked by the reader that the run itself will use, so that a mistake is told today and not at night.

    The run is started elsewhere, so paths become absolute.
    """
    if not isinstance(table, Mapping):
        raise ConfigError("options must be a table", where=where, remedy='options = { model = "replica" }')
    keys = {key.name: key for key in KEYS if key.name not in NOT_A_JOBS}
    found = []
    for name, value in table.items():
        if name not in keys:
            raise ConfigError(f"unknown option {name!r}", where=where, remedy=nearest(name, tuple(keys)))
        text = as_text(value)
        try:
            parsed = keys[name].parse(text)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{name} {error}", where=where, remedy=f"{name}: {keys[name].meaning}") from error
        place = keys[name].place
        if place is not None:
            placed = place(parsed, base, where)
            text = join_list(placed) if keys[name].many else placed
        found.append((name, text))
    return tuple(sorted(found))
