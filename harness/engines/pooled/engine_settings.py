"""The options of the engine `kokoro-sentences`, parsed."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.engines.option_values import read_switch
from harness.engines.pooled.options import CLIENT_OPTIONS, DIALECT, SENTENCES_OPTIONS
from harness.engines.pooled.splitter import FIRST, FIRST_OF_WINDOWS, WINDOW_S, Plan
from harness.engines.protocol import EngineOrder
from harness.engines.providers import provider_names
from harness.engines.speech import EngineRefusal

MOST_SESSIONS = 64
AUTO = "auto"
"""A window of `WINDOW_S` if the model can be decoded so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlan:
    """One session: the short name of its provider, and its intra-op threads (0: ONNX Runtime's default)."""

    provider: str
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The parsed options. With 0 `cache_bytes` there is no cache."""

    sessions: tuple[SessionPlan, ...]
    warm_up: bool = False
    cache_bytes: int = 0
    cache_ttl_s: float = 3600.0
    plan: Plan = field(default_factory=Plan)
    otherwise: Plan | None = None
    """The plan for a model that cannot be decoded in windows; None refuses it."""


def read_settings(order: EngineOrder) -> tuple[Settings, EngineOrder]:
    """The options of this engine, and the order with the remaining options. EngineRefusal for an invalid value."""
    given = {name: value for name, value in order.session_options.items() if name in SENTENCES_OPTIONS}
    left = {name: value for name, value in order.session_options.items() if name not in SENTENCES_OPTIONS}
    settings = Settings(
        sessions=_plans(given.get("sessions", "1"), order),
        warm_up=read_switch("option warm_up", given.get("warm_up", "off")),
        cache_bytes=round(_number("cache", given.get("cache", "0")) * 2**20),
        cache_ttl_s=_number("cache_ttl", given.get("cache_ttl", "3600")),
        plan=plan_of(given),
        otherwise=plan_of({**given, "window": "0"}) if given.get("window") == AUTO else None,
    )
    return settings, replace(order, session_options=left)


def check_options(options: Mapping[str, str]) -> None:
    """EngineRefusal for an option that the engine `kokoro-sentences` would refuse."""
    from harness.engines.kokoro.session import check_options as check_session_options

    _, order = read_settings(EngineOrder(engine="", session_options=options))
    check_session_options(order.session_options)


def check_served_options(options: Mapping[str, str]) -> None:
    """The same for `kokoro-server`, with the options of its client."""
    from harness.engines.http.target import read_settings as read_target_settings

    of_client = {name: value for name, value in options.items() if name in CLIENT_OPTIONS}
    read_target_settings({"dialect": DIALECT, **of_client})
    check_options({name: value for name, value in options.items() if name not in of_client})


def plan_of(options: Mapping[str, str]) -> Plan:
    """How an arm with these options splits texts, others among them; a `window` of `auto` is taken for possible."""
    text = options.get("window", "0")
    window = WINDOW_S if text == AUTO else 0.0 if text == "0" else _number("window", text, least=0.5, most=5)
    usual = FIRST_OF_WINDOWS if window else FIRST
    return Plan(
        first=round(_number("first", options.get("first", f"{usual}"), least=16, most=180)),
        rtf=_number("planned_rtf", options.get("planned_rtf", f"{Plan().rtf}"), least=0.2, most=1),
        window=window,
    )


def _plans(text: str, order: EngineOrder) -> tuple[SessionPlan, ...]:
    if text.isdecimal() and 1 <= int(text) <= MOST_SESSIONS:
        count = int(text)
        threads = order.threads if count == 1 else max(1, (order.threads or _usable_cpus()) // count)
        return (SessionPlan(provider=order.provider, threads=threads),) * count
    plans: list[SessionPlan] = []
    for each in text.split("+"):
        provider, _, count_text = each.partition(":")
        if provider not in provider_names() or not count_text.isdecimal() or len(plans) == MOST_SESSIONS:
            raise EngineRefusal(
                f"option sessions takes {SENTENCES_OPTIONS['sessions']}, at most {MOST_SESSIONS}; not {text!r}"
            )
        plans.append(SessionPlan(provider=provider, threads=int(count_text)))
    return tuple(plans)


def _usable_cpus() -> int:
    """The CPUs that this process may run on; all of the machine's if the platform does not tell."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _number(name: str, text: str, *, least: float = 0, most: float = 1e9) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not least <= number <= most:
        raise EngineRefusal(f"option {name} takes a number, {SENTENCES_OPTIONS[name]}; not {text!r}")
    return number
