"""The configuration keys. Each is a command-line option, a key of pyproject.toml and an environment variable."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.core.quantities import as_pause, as_seconds, as_share, as_size
from harness.engines.declarations import BUILT_IN, ENDPOINT, KOKORO
from harness.plan.parsing import (
    MOST_SEED,
    as_choice,
    as_compared_metrics,
    as_endpoint_options,
    as_fields,
    as_language,
    as_limits,
    as_pairs,
    as_spoken,
    as_switch,
    as_text,
    as_texts,
    as_tolerances,
    as_whole,
    as_wholes,
)
from harness.plan.places import placed, placed_models, placed_runtimes


class Group(StrEnum):
    """The headings of option groups in the help, in their order."""

    SUBJECT = "What to measure"
    TEXT = "What to say"
    DURATION = "How long to measure"
    VERDICT = "How results are evaluated"
    PLACES = "Where results go"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A configuration key: name, default, parser and meaning.

    `place` is for keys that name files. It returns the absolute value for (value, folder of the file that sets it,
    origin).
    """

    name: str
    default: Any
    parse: Callable[[Any], Any]
    group: Group
    value: str
    """The name of one value in the help, such as DURATION."""
    meaning: str
    place: Callable[[Any, Path, str], Any] | None = None
    flag: bool = False
    """Whether the option is given without a value: `--NAME` for "on", `--no-NAME` for "off"."""

    whole: bool = False
    """Whether a comma is a part of an item, so that the items of a list are given one by one."""

    @property
    def many(self) -> bool:
        """Whether the value is a list. The option may then be repeated, and accepts commas unless `whole`."""
        return isinstance(self.default, tuple)

    def combined(self, given: Sequence[str] | None) -> str | Sequence[str] | None:
        """A list's option, given several times, as the one value that it stands for; None if not given."""
        if not given:
            return None
        return given if self.whole else ",".join(given)

    @property
    def metavar(self) -> str:
        """The name of the whole value in the help: DURATION, or PATH,… for a list."""
        return f"{self.value},…" if self.many and not self.whole else self.value


_NAMED = [name for name in BUILT_IN if name != ENDPOINT.name]  # which is chosen by a URL
_SUBJECT = (
    Key(name="engine", default=KOKORO.name, parse=as_text, group=Group.SUBJECT, value="ENGINE",
        meaning=f"{', '.join(_NAMED)}, or one of an installed package or of a runtime"),
    Key(name="url", default="", parse=as_text, group=Group.SUBJECT, value="URL",
        meaning="speech server to measure, for example http://127.0.0.1:8880"),
    Key(name="server", default="", parse=as_text, group=Group.SUBJECT, value="NAME",
        meaning="server of [tool.kokoro-bench.server.NAME], started for each launch"),
    Key(name="server-command", default="", parse=as_text, group=Group.SUBJECT, value="COMMAND",
        meaning="command of a server to start for each launch, with {port}"),
    Key(name="endpoint-options", default=(), parse=as_endpoint_options, group=Group.SUBJECT, value="NAME=VALUE",
        meaning="options for the server: dialect, format, keep_alive, pid, timeouts"),
    Key(name="leave-out", default=(), parse=as_fields, group=Group.SUBJECT, value="FIELD",
        meaning="request fields to omit, for a server that rejects fields it does not know: stream,speed"),
    Key(name="pid", default=0, parse=as_whole(0), group=Group.SUBJECT, value="PID",
        meaning="process whose tree is the server (default: the one that listens on its port)"),
    Key(name="model", default=(), parse=as_texts, place=placed_models, group=Group.SUBJECT, value="MODEL",
        meaning="model names or files (default: the original and the quantised model)"),
    Key(name="voices", default="", parse=as_text, place=placed, group=Group.SUBJECT, value="PATH",
        meaning="voices file of your own model"),
    Key(name="provider", default=("cpu",), parse=as_texts, group=Group.SUBJECT, value="PROVIDER",
        meaning="execution providers"),
    Key(name="provider-options", default=(), parse=as_pairs, group=Group.SUBJECT, value="NAME=VALUE",
        meaning="options for the execution provider"),
    Key(name="session-options", default=(), parse=as_pairs, group=Group.SUBJECT, value="NAME=VALUE",
        meaning="session options of ONNX Runtime"),
    Key(name="threads", default=(0,), parse=as_wholes, group=Group.SUBJECT, value="COUNT",
        meaning="intra-op threads; 0 is ONNX Runtime's default"),
    Key(name="runtime", default=(), parse=as_texts, place=placed_runtimes, group=Group.SUBJECT, value="PACKAGES",
        meaning='package sets: onnxruntime==1.22.1, "NAME @ git+file:///PATH@REV", path:FOLDER, a wheel, an sdist, '
                "requirements.txt, uv.lock"),
    Key(name="script", default=(), parse=as_pairs, group=Group.SUBJECT, value="NAME=VALUE",
        meaning="settings of the scripted engine"),
)  # fmt: skip

_TEXT = (
    Key(name="text", default=(), parse=as_texts, group=Group.TEXT, value="CLASS",
        meaning="text classes instead of the suites' own"),
    Key(name="say", default=(), parse=as_spoken, group=Group.TEXT, value="TEXT", whole=True,
        meaning="your own text instead of the suites' texts; give it again for another"),
    Key(name="voice", default="af_heart", parse=as_text, group=Group.TEXT, value="VOICE,…",
        meaning="voices (default: af_heart, or the first of a voices file without it); only run takes several"),
    Key(name="language", default="", parse=as_language, group=Group.TEXT, value="LANGUAGE",
        meaning="language: en-gb, or Kokoro's letter b (default: the voice's own; a server gets none)"),
)  # fmt: skip

_DURATION = (
    Key(name="budget", default=0.0, parse=as_seconds, group=Group.DURATION, value="DURATION",
        meaning="measuring time: 90s, 4m, 1h"),
    Key(name="launches", default=3, parse=as_whole(1), group=Group.DURATION, value="COUNT",
        meaning="launches of each worker"),
    Key(name="blocks", default=12, parse=as_whole(1), group=Group.DURATION, value="COUNT",
        meaning="maximum number of blocks per launch"),
    Key(name="precision", default=0.02, parse=as_share, group=Group.DURATION, value="PERCENT",
        meaning="end a launch early when each gated metric is known this precisely; 0 runs all blocks"),
    Key(name="warmups", default=1, parse=as_whole(1), group=Group.DURATION, value="COUNT",
        meaning="warm-up repetitions of each text per launch"),
    Key(name="answer-timeout", default=30.0, parse=as_seconds, group=Group.DURATION, value="DURATION",
        meaning="timeout of a request; 0.25 s per character are added, as far as the budget allows"),
    Key(name="slice", default=0.1, parse=as_pause, group=Group.DURATION, value="DURATION",
        meaning="longest time slice of an arm of a duel: 100ms; 0: a whole text"),
    Key(name="wait", default=300.0, parse=as_pause, group=Group.DURATION, value="DURATION",
        meaning="how long to wait until another measurement on this machine has ended"),
    Key(name="workers-memory", default=0, parse=as_size, group=Group.DURATION, value="SIZE",
        meaning="memory limit of all workers together: 4GB, 512MB (default: 80 % of free memory); arms that do not fit "
                "take turns"),
    Key(name="seed", default=0, parse=as_whole(0, MOST_SEED), group=Group.DURATION, value="NUMBER",
        meaning="random seed of the order of repetitions and of the engine"),
)  # fmt: skip

_VERDICT = (
    Key(name="quality", default="on", parse=as_switch, group=Group.VERDICT, value="on|off",
        meaning="recognise the words of the kept audio and estimate its quality, once everything is measured"),
    Key(name="profile", default="off", parse=as_switch, group=Group.VERDICT, value="on|off", flag=True,
        meaning="profile each arm's operators and keep ONNX Runtime's trace, once everything is measured"),
    Key(name="replay", default="auto", parse=as_choice("always", "never", "auto"), group=Group.VERDICT,
        value="always|never|auto",
        meaning="measure the accepted reference again, pair by pair with what is under test (auto: where they differ)"),
    Key(name="targets", default=(), parse=as_limits, group=Group.VERDICT, value="METRIC=LIMIT",
        meaning="limits that gate every scenario, for example ttfa=0.8"),
    Key(name="tolerance", default=(), parse=as_tolerances, group=Group.VERDICT, value="METRIC=PERCENT",
        meaning="smallest changes that count in a comparison with the baseline, for example latency=3%"),
    Key(name="gate-metrics", default=(), parse=as_compared_metrics, group=Group.VERDICT, value="METRIC",
        meaning="metrics whose regressions fail (default: all that are compared); the others inform"),
    Key(name="require", default="nothing", parse=as_choice("nothing", "baseline", "answer"), group=Group.VERDICT,
        value="baseline|answer",
        meaning="exit with 4 if there is no baseline (baseline), or if the result is inconclusive as well (answer)"),
)  # fmt: skip

_PLACES = (
    Key(name="results", default="", parse=as_text, place=placed, group=Group.PLACES, value="PATH|URL",
        meaning="results database: a file or an SQLAlchemy URL"),
    Key(name="baselines", default="", parse=as_text, place=placed, group=Group.PLACES, value="PATH",
        meaning="directory of the baselines"),
    Key(name="report", default="", parse=as_text, place=placed, group=Group.PLACES, value="PATH",
        meaning="directory of the HTML report"),
    Key(name="summary", default="", parse=as_text, place=placed, group=Group.PLACES, value="PATH",
        meaning="file for a Markdown summary"),
)  # fmt: skip

KEYS: tuple[Key, ...] = (*_SUBJECT, *_TEXT, *_DURATION, *_VERDICT, *_PLACES)
