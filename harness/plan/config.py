"""The configuration: one frozen table of values, each with its origin.

The order is: defaults, `[tool.kokoro-bench]` in pyproject.toml, `KOKORO_BENCH_…` variables, options. Later ones win.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.comma_lists import split_list
from harness.core.errors import ConfigError, UsageError, nearest
from harness.core.names import SERVER
from harness.engines.declarations import ENDPOINT, declaration_of
from harness.plan.gate_policy import read_gate, read_waivers
from harness.plan.keys import KEYS, Key
from harness.plan.patterns import of_scenario
from harness.plan.server_keys import imply_server

if TYPE_CHECKING:
    from harness.core.records.verdict import Waiver

ENVIRONMENT_PREFIX = "KOKORO_BENCH_"
SECTION = "tool.kokoro-bench"
DEFAULT_TOLERANCE = 0.05
"""Of a metric without one of its own, as a ratio."""


DEFAULT_TARGETS = (
    ("*", "rtf", 1.0),
    ("*", "success_rate", 0.99),
    ("*/stream/*", "streaming_efficiency", 0.9),
    ("*/endpoint/*", "streaming_efficiency", 0.9),
    ("*/endpoint/*", "ttfa", 0.8),
    ("*/whole/chars-12/*", "ttfa", 0.8),
    ("*/stream/*/x[0-9]*", "rtf", None),
    ("*/stream/*/x[0-9]*", "streaming_efficiency", None),
    ("*/stream/*/stampede-*", "rtf", None),
    ("*/stream/*/stampede-*", "streaming_efficiency", None),
)
"""(pattern of scenario ids, metric, limit or None for no target). Playback of a whole text starts after all of it has
arrived, so only short whole texts have a TTFA target. In-process streaming is gated by its stalls, and endpoints by
TTFA. Concurrent requests in process have no speed targets: only a server has to serve several users in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every value, with its origin. `root` is the directory of pyproject.toml, or the current one."""

    root: Path
    values: Mapping[str, Any]
    origins: Mapping[str, str]
    given: Mapping[str, Any] = field(default_factory=dict)
    """The options as they were given on the command line."""
    tables: Mapping[str, Any] = field(default_factory=dict)
    """Sub-tables of the section that have readers of their own: runtimes, schedule, server."""
    waivers: "tuple[Waiver, ...]" = ()
    """The user's waivers of regressions; no two overlap."""
    directory: Path = Path()
    """The directory that the command runs in. Its repository is that of `rev=`."""

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - each key has its own type
        return self.values[name]

    def chosen(self, name: str, otherwise: Any) -> Any:  # noqa: ANN401 - each key has its own type
        """The value where somebody has chosen one, else a command's own default."""
        return self[name] if self.origins[name] != "default" else otherwise

    def named(self, name: str) -> str:
        """A key as messages name it: as the option that set it or that may, else with its origin."""
        origin = self.origins[name]
        return f"--{name}" if origin in ("default", f"option --{name}") else f"{name} ({origin})"

    @property
    def voices(self) -> tuple[str, ...]:
        """The voices that the user named, or the default voice alone."""
        return tuple(filter(None, split_list(self["voice"]))) or (self["voice"],)

    def one_voice(self, command: str) -> str:
        """The voice, for a command that measures with one. UsageError if the user named several."""
        if len(self.voices) != 1:
            raise UsageError(f"{command} takes one voice", where=self.origins["voice"], remedy="name one with --voice")
        return self.voices[0]

    @property
    def results(self) -> str:
        """The results database: a path or a URL."""
        given: str = self["results"]
        if "://" in given:
            return given
        return str(self.root / (given or ".kokoro-bench/results.sqlite"))

    @property
    def results_file(self) -> Path | None:
        """The file of the results database; None for one on a server."""
        scheme, separator, rest = self.results.partition("://")
        if not separator:
            return Path(self.results)
        return Path(rest.removeprefix("/")) if rest and scheme.startswith("sqlite") else None

    @property
    def audio(self) -> Path:
        """The directory of the audio that runs keep: beside the results, where those are a file."""
        return self._beside_results / "audio"

    @property
    def traces(self) -> Path:
        """The directory of the profiler's traces that runs keep, beside their audio."""
        return self._beside_results / "traces"

    @property
    def _beside_results(self) -> Path:
        results = self.results
        return self.root / ".kokoro-bench" if "://" in results else Path(results).parent

    @property
    def bisections(self) -> Path:
        """The directory of the bisections: beside the audio."""
        return self.audio.with_name("bisections")

    @property
    def baselines(self) -> Path:
        return self.root / (self["baselines"] or "baselines")

    @property
    def report(self) -> Path:
        return self.root / (self["report"] or "reports/site")

    def tolerance(self, scenario_id: str, metric: str) -> float:
        """The smallest change of a metric of a scenario that counts (a ratio): the registry's, or the user's."""
        from harness.metrics.registry import METRICS

        own: float | None = of_scenario(self["tolerance"], scenario_id).get(metric)
        return own or METRICS[metric].tolerance or DEFAULT_TOLERANCE

    def gates(self, metric: str) -> bool:
        """Whether a regression of this metric fails a run: all gate, unless the user names those that do."""
        return not self["gate-metrics"] or metric in self["gate-metrics"]

    @property
    def targets(self) -> tuple[tuple[str, str, float | None], ...]:
        """(pattern of scenario ids, metric, limit): the defaults, then the user's. The last that matches holds."""
        return (*DEFAULT_TARGETS, *self["targets"])


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """The configuration with some values settled by the command."""
    return replace(config, values={**config.values, **values})


def with_defaults(config: Config, names: Collection[str]) -> Config:
    """The configuration with the defaults of these keys, whatever was chosen for them."""
    defaults = {key.name: key.default for key in KEYS if key.name in names}
    origins = {**config.origins, **dict.fromkeys(defaults, "default")}
    return replace(config, values={**config.values, **defaults}, origins=origins)


def joined(given: Sequence[str] | None) -> str | None:
    """An option that was given several times as the one text with commas that it stands for; None if not given."""
    return ",".join(given) if given else None


BY_NAME = {key.name: key for key in KEYS}
TABLES = ("runtimes", "schedule", "server")
POLICY_TABLES = ("gate", "waiver")
"""Sub-tables of the section that set keys or waivers (`harness.plan.gate_policy`)."""


def load_config(
    options: Mapping[str, Any] | None = None,
    *,
    start: Path | None = None,
    shell: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """Read all sources. `options` holds what was given on the command line; None values are not given.

    The file is looked for from `start` upwards. Relative paths of the file begin at its folder; those of options and of
    variables at `shell`, which is `start` unless given. A variable that is empty is not set: a CI passes on so what
    nobody has filled in.
    """
    given = {name: value for name, value in (options or {}).items() if value is not None}
    start = start or Path.cwd()
    shell = (shell or start).absolute()
    root = find_root(start)
    values: dict[str, Any] = {key.name: key.default for key in KEYS}
    origins = {key.name: "default" for key in KEYS}
    ranks: dict[str, int] = {}
    section, file = _read_section(root)
    # A text is the key `server`: the name of one of these tables.
    tables = {name: section.pop(name) for name in TABLES if not isinstance(section.get(name, ""), str)}
    policy = {name: section.pop(name) for name in POLICY_TABLES if name in section}
    environment = os.environ if environment is None else environment
    for name, value in section.items():
        _set(values, origins, name=name, value=value, origin=f"{file} [{SECTION}]", base=root)
    gate = f"{file} [{SECTION}.gate]"
    for name, value in read_gate(policy.get("gate", {}), section, where=gate).items():
        _set(values, origins, name=name, value=value, origin=gate, base=root)
    waivers = read_waivers(policy.get("waiver", ()), where=f"{file} [[{SECTION}.waiver]]")
    for variable, value in sorted(environment.items()):
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in NOT_CONFIGURATION and value.strip():
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("_", "-")
            _set(values, origins, name=name, value=value, origin=f"environment variable {variable}", base=shell)
            ranks[name] = 1
    for name, value in given.items():
        _set(values, origins, name=name, value=value, origin=f"option --{name}", base=shell)
        ranks[name] = 2
    _imply(values, origins, ranks)
    return Config(
        root=root,
        values=values,
        origins=origins,
        given=given,
        tables=tables,
        waivers=waivers,
        directory=shell.resolve(),
    )


def _imply(values: dict[str, Any], origins: dict[str, str], ranks: Mapping[str, int]) -> None:
    """Set the values that other values imply. ConfigError if an explicit value contradicts them."""
    imply_server(values, origins, ranks)
    if values["url"]:
        if origins["engine"] != "default" and values["engine"] != ENDPOINT.name:
            raise ConfigError(
                f"a URL needs the engine endpoint, not {values['engine']!r} ({origins['engine']})",
                where=origins["url"],
                remedy="--engine endpoint, or no URL",
            )
        if origins["engine"] == "default":
            values["engine"], origins["engine"] = ENDPOINT.name, f"implied by url, {origins['url']}"
    if values["leave-out"]:
        if values["engine"] != ENDPOINT.name:
            raise ConfigError(
                "only requests to a server have fields", where=origins["leave-out"], remedy="--url with it"
            )
        others = tuple(option for option in values["endpoint-options"] if option[0] != "leave_out")
        merged = (*others, ("leave_out", "+".join(values["leave-out"])))
        _set(values, origins, name="endpoint-options", value=dict(merged), origin=origins["leave-out"], base=Path())
    if values["pid"]:
        if values["engine"] != ENDPOINT.name:
            raise ConfigError("only a server has a process id", where=origins["pid"], remedy="--url with it")
        if values["url"].startswith(SERVER):
            raise ConfigError("the process of a started server is known", where=origins["pid"], remedy="leave it out")
        others = tuple(option for option in values["endpoint-options"] if option[0] != "pid")
        values["endpoint-options"] = (*others, ("pid", str(values["pid"])))
    if origins["voice"] == "default" and (voice := declaration_of(values["engine"]).voice):
        values["voice"] = voice
        origins["voice"] = f"implied by engine, {origins['engine']}"


NOT_CONFIGURATION = tuple(
    f"{ENVIRONMENT_PREFIX}{name}" for name in ("CACHE", "OFFLINE", "TEST_POSTGRES", "EVENTS", "SPEECH_PYTHON", "UNTIL")
)
"""Variables with our prefix that other parts read."""


def find_root(start: Path) -> Path:
    """The nearest directory upwards whose pyproject.toml has our section; else `start`."""
    start = start.resolve()
    for directory in (start, *start.parents):
        file = directory / "pyproject.toml"
        if file.is_file() and f"[{SECTION}".encode() in _read(file):
            return directory
    return start


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(file), remedy="make it readable") from error


def _read_section(root: Path) -> tuple[dict[str, Any], Path]:
    file = root / "pyproject.toml"
    if not file.is_file():
        return {}, file
    import tomllib

    try:
        content: Any = tomllib.loads(_read(file).decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 (byte {error.start})", where=str(file), remedy="save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}", where=str(file), remedy="fix that line") from error
    for name in SECTION.split("."):
        content = content.get(name, {})
        if not isinstance(content, dict):
            raise ConfigError(f"[{SECTION}] is not a table", where=str(file), remedy="kokoro-bench config")
    return content, file


def _set(
    values: dict[str, Any],
    origins: dict[str, str],
    *,
    name: str,
    value: Any,  # noqa: ANN401 - from TOML, the environment or an option
    origin: str,
    base: Path,
) -> None:
    values[name] = read_key(name, value, BY_NAME, where=origin, base=base, tables=(*TABLES, *POLICY_TABLES))
    origins[name] = origin


def read_key(
    name: str,
    value: Any,  # noqa: ANN401 - from TOML, the environment or an option
    keys: Mapping[str, Key],
    *,
    where: str,
    base: Path,
    tables: Sequence[str] = (),
) -> Any:  # noqa: ANN401 - each key has its own type
    """The value of one of `keys`. Relative paths begin at `base`. ConfigError if the key is unknown or the value wrong.

    `tables` are other names that may be meant by an unknown key.
    """
    if name not in keys:
        raise ConfigError(f"unknown key {name!r}", where=where, remedy=nearest(name, [*keys, *tables]))
    key = keys[name]
    try:
        parsed = key.parse(value)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{name} {error}", where=where, remedy=f"{name}: {key.meaning}") from error
    if key.many and key.default and not parsed:
        raise ConfigError(
            f"{name} is empty: it must hold at least one value", where=where, remedy=f"{name}: {key.meaning}"
        )
    return key.place(parsed, base, where) if key.place else parsed
