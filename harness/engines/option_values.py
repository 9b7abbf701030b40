"""Reads the values of engine options. EngineRefusal names the option, as in "session option arena"."""

from collections.abc import Collection

from harness.engines.speech import EngineRefusal

_SWITCHES = {"1": True, "on": True, "true": True, "0": False, "off": False, "false": False}


def read_switch(option: str, value: str) -> bool:
    """True for on, true or 1; False for off, false or 0."""
    if value.lower() not in _SWITCHES:
        raise EngineRefusal(f"{option} takes on or off, not {value!r}")
    return _SWITCHES[value.lower()]


def read_choice(option: str, value: str, choices: Collection[str]) -> str:
    """`value`, which must be one of the choices."""
    if value not in choices:
        raise EngineRefusal(f"{option} takes {', '.join(choices)}, not {value!r}")
    return value


def read_count(option: str, value: str) -> int:
    """A whole number, at least 0."""
    if not value.isdecimal():
        raise EngineRefusal(f"{option} takes a count, not {value!r}")
    return int(value)


def read_share(option: str, value: str) -> float:
    """A number above 0, at most 1."""
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1:
        raise EngineRefusal(f"{option} takes a number above 0 and at most 1, not {value!r}")
    return number
