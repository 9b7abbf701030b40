"""From text, TOML's values and the environment's to the values of the configuration.

Each reader raises ValueError or TypeError with words that follow the key's name: "must be a number, not 'x'".
"""

from collections.abc import Callable, Mapping
from typing import Any

from harness.core.comma_lists import split_list
from harness.core.errors import ConfigError, nearest
from harness.core.quantities import as_positive, as_positive_share
from harness.plan.patterns import as_pattern

Reader = Callable[[Any], Any]

MOST = 2**31 - 1
"""Of whole numbers: what takes them counts with 32 bits."""
MOST_SEED = 2**53 - 1
"""The largest whole number that JSON readers keep exactly."""


def read_table(table: Mapping[str, Any], readers: Mapping[str, tuple[Reader, str]], *, where: str) -> dict[str, Any]:
    """Every value of a table as its key's reader gives it. ConfigError where a key is unknown or its value is wrong.

    `readers` has for each key that the table may have its reader, and an example of a value as TOML writes it.
    """
    found = {}
    for name, value in table.items():
        if name not in readers:
            raise ConfigError(f"unknown key {name!r}", where=where, remedy=nearest(name, tuple(readers)))
        reader, example = readers[name]
        try:
            found[name] = reader(value)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{name} {error}", where=where, remedy=f"{name} = {example}") from error
    return found


def as_text(value: Any) -> str:  # noqa: ANN401 - from TOML, the environment or an option
    """`value`, if it is text. TypeError for anything else, ValueError for a NUL character."""
    if not isinstance(value, str):
        raise TypeError(f"must be text, not {value!r}")
    return _without_nul(value)


def as_spoken(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - from TOML, the environment or an option
    """Texts that somebody can speak: one text or a list of them, each but once."""
    texts = [as_text(each).strip() for each in (value if isinstance(value, list | tuple) else [value])]
    if not all(texts):
        raise ValueError("is empty: it must hold at least one word")
    return tuple(dict.fromkeys(texts))


def as_texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - from TOML, the environment or an option
    r"""A list of texts, or one text with commas; a comma within an item is `\,` there."""
    items = split_list(value) if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError(f"must be a list of texts, not {value!r}")
    return tuple(_without_nul(item) for item in items if item)


def _without_nul(text: str) -> str:
    """`text`; ValueError if it holds the character that ends a text for the operating system."""
    if "\0" in text:
        raise ValueError(f"must not hold the character U+0000: {text!r}")
    return text


def as_whole(least: int, most: int = MOST) -> Callable[[Any], int]:
    """A reader of whole numbers from `least` to `most`."""

    def parse(value: Any) -> int:  # noqa: ANN401 - from TOML, the environment or an option
        plausible = isinstance(value, str | int) and not isinstance(value, bool)
        try:
            number = int(value if plausible else "no number")
        except ValueError:
            raise ValueError(f"must be a whole number, not {value!r}") from None
        if number < least:
            raise ValueError(f"must be at least {least}, not {number}")
        if number > most:
            raise ValueError(f"must be at most {most}, not {number}")
        return number

    return parse


def as_wholes(value: Any) -> tuple[int, ...]:  # noqa: ANN401 - from TOML, the environment or an option
    """A whole number, a list of them, or a text with commas."""
    items = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    return tuple(as_whole(0)(item) for item in items)


def as_pairs(value: Any) -> tuple[tuple[str, str], ...]:  # noqa: ANN401 - from TOML, the environment or an option
    """`name=value` pairs, or a TOML table."""
    if isinstance(value, Mapping):
        return tuple(sorted((name, _option_text(setting)) for name, setting in value.items()))
    pairs: list[tuple[str, str]] = []
    for item in as_texts(value):
        name, equals, setting = item.partition("=")
        if not equals or not name:
            raise ValueError(f"must be name=value, not {item!r}")
        if name.strip() in (known for known, _ in pairs):
            raise ValueError(f"sets {name.strip()!r} twice")
        pairs.append((name.strip(), setting.strip()))
    return tuple(sorted(pairs))


def as_endpoint_options(value: Any) -> tuple[tuple[str, str], ...]:  # noqa: ANN401 - from TOML, the environment or an option
    """`name=value` pairs that an endpoint takes."""
    from harness.engines.http.target import ENDPOINT_OPTIONS, read_settings
    from harness.engines.speech import EngineRefusal

    pairs = as_pairs(value)
    for name, _ in pairs:
        if name not in ENDPOINT_OPTIONS:
            raise ValueError(f"has no {name!r} — {nearest(name, list(ENDPOINT_OPTIONS))}")
    try:
        read_settings(dict(pairs))
    except EngineRefusal as refusal:
        raise ValueError(f"cannot be used: {refusal}") from refusal
    return pairs


def as_fields(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - from TOML, the environment or an option
    """Names of fields of a request, without the one that holds the text."""
    fields = tuple(dict.fromkeys(as_texts(value)))
    as_endpoint_options({"leave_out": "+".join(fields)})
    return fields


def as_language(value: Any) -> str:  # noqa: ANN401 - from TOML, the environment or an option
    """A language's tag, given as such or as Kokoro's letter; "" for none."""
    from harness.engines.languages import read_language

    return read_language(as_text(value))


def _option_text(value: Any) -> str:  # noqa: ANN401 - from TOML
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else _without_nul(str(value))


def as_limits(value: Any) -> tuple[tuple[str, str, float], ...]:  # noqa: ANN401 - from TOML or the environment
    """`metric=limit` pairs for every scenario, or a table of patterns, each with its own pairs."""
    return _by_pattern(value, _limit)


def as_tolerances(value: Any) -> tuple[tuple[str, str, float], ...]:  # noqa: ANN401 - from TOML or the environment
    """`metric=share` pairs for every scenario, or a table of patterns, each with its own pairs."""
    return _by_pattern(value, _tolerance)


def as_compared_metrics(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - from TOML, the environment or an option
    """Distinct names of metrics, each as `as_compared_metric` reads it."""
    return tuple(as_compared_metric(name) for name in dict.fromkeys(as_texts(value)))


def as_compared_metric(value: Any) -> str:  # noqa: ANN401 - from TOML, the environment or an option
    """The name of a metric that is compared with the baseline. ValueError for one that is unknown or only shown."""
    from harness.metrics.registry import METRICS

    name = as_text(value)
    if name not in METRICS:
        raise ValueError(f"names no metric: {name!r} — {nearest(name, list(METRICS))}")
    if not METRICS[name].gated:
        compared = ", ".join(each for each in METRICS if METRICS[each].gated)
        raise ValueError(f"names {name}, which is shown and not compared; compared are {compared}")
    return name


def _by_pattern(
    value: Any,  # noqa: ANN401 - from TOML or the environment
    read: Callable[[str, Any], float],
) -> tuple[tuple[str, str, float], ...]:
    """(Pattern of scenario ids, metric, what `read` makes of its name and setting)."""
    if not isinstance(value, Mapping):
        return tuple(("*", name, read(name, setting)) for name, setting in as_pairs(value))
    found: list[tuple[str, str, float]] = []
    for key, setting in value.items():
        if isinstance(setting, Mapping):
            found += [(as_pattern(key), name, read(name, each)) for name, each in setting.items()]
        else:
            found.append(("*", key, read(key, setting)))
    return tuple(found)


def _limit(name: str, limit: Any) -> float:  # noqa: ANN401 - from TOML or the environment
    from harness.metrics.registry import METRICS, Direction

    if name not in METRICS:
        raise ValueError(f"names no metric: {name!r} — {nearest(name, list(METRICS))}")
    try:
        number = as_positive(limit)
    except ValueError as error:
        raise ValueError(f"of {name} {error}") from None
    most = METRICS[name].bounds[1]
    if METRICS[name].direction is Direction.HIGHER and number >= most:
        # A run could only miss it, whatever it measures.
        raise ValueError(f"of {name} must be below {most:g}, not {limit!r}: a value must be able to exceed it")
    return number


def _tolerance(name: str, share: Any) -> float:  # noqa: ANN401 - from TOML or the environment
    as_compared_metric(name)
    try:
        return as_positive_share(share)
    except ValueError as error:
        raise ValueError(f"of {name} {error}") from None


def as_switch(value: Any) -> str:  # noqa: ANN401 - from TOML, the environment or an option
    """`on` or `off`, of the same text or of true and false. ValueError for anything else."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return as_choice("on", "off")(value)


def as_choice(*choices: str) -> Callable[[Any], str]:
    """A reader that takes one of `choices`. ValueError for anything else."""

    def parse(value: Any) -> str:  # noqa: ANN401 - from TOML, the environment or an option
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {value!r}")
        return str(value)

    return parse
