"""Loads on a server: parse the command's options, decide whether a load was sustained, and write the run's notes.

A load is sustained if the fraction of requests that meet every target exceeds the success_rate target. So a limit that
the median meets and one user in twenty misses is not met here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from harness.analysis.conclude import Conclusions, conclude, limits
from harness.core.errors import UsageError
from harness.core.quantities import as_pause
from harness.core.records.repetition import Phase, Repetition
from harness.core.records.run import RunData
from harness.core.records.scenario import Arrivals, Scenario, Traffic
from harness.core.records.value import Reading
from harness.core.records.verdict import VerdictKind
from harness.metrics.concurrency import loads_of
from harness.metrics.derive import RunValues
from harness.metrics.registry import METRICS
from harness.metrics.throughput import Level, highest_sustained, meets
from harness.plan.config import Config, with_values

SWEPT = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Requests per second of a sweep that names no rates."""
SUCCESS = 0.99
"""The fraction of requests that must meet every target if success_rate has no limit."""
LAG_S = 0.02
"""If the client's lag at p99 exceeds this many seconds, the client itself may be the bottleneck."""

Targets = Sequence[tuple[str, str, float | None]]
"""(pattern of scenario ids, metric, limit or None)."""


def requested_traffic(given: Mapping[str, str | bool | None]) -> tuple[Traffic, ...]:
    """The loads that the options request. UsageError if they name no load, or two kinds of load."""
    users = given["listeners"]  # codespell:ignore listeners
    options = {"--users": users, "--rate": given["rate"], "--ramp": given["ramp"]}
    kinds = [option for option, value in options.items() if value]
    if len(kinds) > 1:
        one, other = kinds[:2]
        raise UsageError("use only one of them", where=f"{one}, {other}", remedy=f"leave {other} out")
    times = {name: _seconds(given, name) for name in ("seconds", "warm_up", "cool_down", "drain")}
    if not times["seconds"]:
        raise UsageError("the window must be longer than 0 s", where="--seconds", remedy="--seconds 30s")
    if given["listen"] and kinds not in ([], ["--users"]):
        raise UsageError("it needs users, not a rate", where="--listen", remedy="--users N --listen")
    window = Traffic(
        arrivals=Arrivals.CLOSED,
        level=1,
        seconds=times["seconds"],
        warm_up_s=times["warm_up"],
        cool_down_s=times["cool_down"],
        listen=bool(given["listen"]),
        drain_s=times["drain"],
    )
    if given["ramp"]:
        first, last = _ramp(str(given["ramp"]))
        return loads(replace(window, arrivals=Arrivals.RAMP, first=first), last)
    if users:
        return loads(window, str(users))
    if given["rate"] or given["sweep"]:
        rates = str(given["rate"] or ",".join(f"{rate:g}" for rate in SWEPT))
        return loads(replace(window, arrivals=Arrivals(str(given["arrivals"]))), rates)
    raise UsageError("no load is named", where="load", remedy="--users 4, --rate 2, --ramp 1:10, or --sweep")


def loads(window: Traffic, levels: str) -> tuple[Traffic, ...]:
    """One load like `window` for each of the comma-separated `levels`, in ascending order.

    UsageError if a level is not a number of users or a rate, or if it is repeated.
    """
    option = _OPTIONS.get(window.arrivals, "--rate")
    found = sorted(_level(text.strip(), window.arrivals, option) for text in levels.split(","))
    if twice := [one for one, other in pairwise(found) if one == other]:
        raise UsageError(f"{twice[0]:g} comes twice", where=option, remedy="name each load once")
    return tuple(replace(window, level=level) for level in found)


def within_budget(traffic: Sequence[Traffic], budget_s: float, *, rounds: int) -> tuple[Traffic, ...]:
    """The loads with a shorter `drain_s`, so that `rounds` runs of each fit into the budget.

    UsageError if the loads without any drain time exceed the budget.
    """
    alone_s = rounds * sum(each.total_s for each in traffic)
    if alone_s > budget_s:
        raise UsageError(
            f"the loads take {alone_s:g} s, more than the budget of {budget_s:g} s",
            where="--budget",
            remedy=f"--budget {math.ceil(alone_s)}s, fewer loads, or a shorter --seconds",
        )
    left_s = (budget_s - alone_s) / (rounds * len(traffic))
    return tuple(replace(each, drain_s=min(each.drain_s, left_s)) for each in traffic)


def holds(scenario: Scenario, repetitions: Sequence[Repetition], targets: Targets) -> bool:
    """Whether a load was sustained. `repetitions` are the load's, of every phase; without a measured one: False."""
    mine = limits(targets, scenario.id)
    share = mine.pop("success_rate", SUCCESS)
    measured = [each for each in repetitions if each.phase is Phase.MEASURED]
    return bool(measured) and sum(meets(each, targets=mine) for each in measured) > share * len(measured)


def sustained(data: RunData, targets: Targets) -> list[tuple[str, Reading]]:
    """(Name of the sweep, highest load sustained together with every lower one) per arm, text and kind of load."""
    levels: dict[str, list[Level]] = {}
    for scenario in data.run.scenarios:
        if scenario.traffic is None or not loads_of(scenario, data):
            continue
        ours = [each for each in data.repetitions if each.scenario_id == scenario.id]
        name = scenario.id.removesuffix(f"/{scenario.traffic.name}") + f", {scenario.traffic.arrivals.value}"
        level = Level(load=scenario.traffic.level, targets_met=holds(scenario, ours, targets))
        levels.setdefault(name, []).append(level)
    return [(name, highest_sustained(found)) for name, found in levels.items()]


def check_load(data: RunData, config: Config, *, derived: RunValues | None = None) -> Conclusions:
    """The targets of the loads that ran, and whether the client kept up. No comparison: other commands do that.

    The built-in targets gate a load: it is about how much a server serves within them.
    """
    config = with_values(config, {"targets": config.targets})
    found, known = conclude(data, config=config, derived=derived), attempted_loads(data)
    failed = tuple(each for each in found.verdicts if each.kind is VerdictKind.FAILED and each.scenario_id in known)
    targets = tuple(each for each in found.targets if each.scenario_id in known)
    notes = (*found.notes, *lag_notes(replace(data, summaries=found.summaries)))
    return replace(found, verdicts=failed, targets=targets, notes=notes)


def attempted_loads(data: RunData) -> frozenset[str]:
    """Ids of the scenarios whose load ran or began."""
    return frozenset(each.scenario_id for each in data.repetitions)


def lag_notes(data: RunData) -> tuple[str, ...]:
    """One sentence for each load whose client did not keep up."""
    notes = []
    for summary in data.summaries:
        late = summary.p99 if summary.p99 is not None else summary.maximum
        if summary.metric == "client_lag" and late is not None and late > LAG_S:
            shown = METRICS["client_lag"].format
            notes.append(
                f"{summary.scenario_id}: the client did not keep up: its lag was {shown(late)} at p99, more than "
                f"{shown(LAG_S)}; the client may be the bottleneck: use a machine that does nothing else, or Locust's "
                "workers (docs/load.md)"
            )
    return tuple(notes)


_OPTIONS = {Arrivals.CLOSED: "--users", Arrivals.RAMP: "--ramp"}


def _level(text: str, arrivals: Arrivals, option: str) -> float:
    try:
        level = float(text)
    except ValueError:
        level = 0.0
    # Neither infinity nor NaN is a whole number.
    whole = arrivals is not Arrivals.CLOSED or level.is_integer()
    if not 0 < level < 1e6 or not whole:
        what = "a whole number of users" if arrivals is Arrivals.CLOSED else "a rate in requests per second"
        raise UsageError(
            f"{text!r} is not {what}",
            where=option,
            remedy=f"such as {option} {'1:10' if option == '--ramp' else '1,2,4'}",
        )
    return level


def _seconds(given: Mapping[str, str | bool | None], name: str) -> float:
    try:
        return float(as_pause(given[name]))
    except (ValueError, TypeError) as error:
        option = "--" + name.replace("_", "-")
        raise UsageError(f"{error}", where=option, remedy=f"{option} 30s") from error


def _ramp(text: str) -> tuple[float, str]:
    first, colon, last = text.partition(":")
    try:
        rate = float(first)
    except ValueError:
        rate = -1.0
    if not colon or not 0 <= rate < 1e6:
        raise UsageError(f"{text!r} is no ramp", where="--ramp", remedy="--ramp 1:10")
    return rate, last
