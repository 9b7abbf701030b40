"""Notes on engines' own counters, a sentence per scenario, and on the starts of servers, a sentence per server."""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from harness.core.records.repetition import EngineCounters, Phase, Repetition
from harness.core.records.run import RunData
from harness.core.records.scenario import Scenario
from harness.metrics.registry import METRICS
from harness.metrics.start_up import FIRST_AUDIO, SERVER_PARTS, launch_figures


def engine_notes(data: RunData) -> tuple[str, ...]:
    """The segments that each session synthesised (with several sessions), and the cache counts (with a cache)."""
    notes = []
    for scenario in data.run.scenarios:
        accounts = _accounts(scenario, data.repetitions)
        parts = [each for each in (_routes(accounts), _cache(accounts)) if each]
        if parts:
            notes.append(f"{scenario.id}: {'; '.join(parts)}")
    return tuple(notes)


def _accounts(scenario: Scenario, repetitions: Iterable[Repetition]) -> list[EngineCounters]:
    """The counters of every measured repetition; concurrent requests share one."""
    found: dict[tuple[int, int, int, float], EngineCounters] = {}
    for each in repetitions:
        if each.scenario_id == scenario.id and each.phase is Phase.MEASURED and each.account is not None:
            number = 0 if scenario.concurrency > 1 else each.position
            found[each.launch, each.block, number, each.started_at] = each.account
    return list(found.values())


def _routes(accounts: Sequence[EngineCounters]) -> str:
    """Segments per session. The session's number distinguishes sessions with the same name."""
    spoken = Counter[int]()
    names: list[str] = []
    for account in accounts:
        names = [name for name, _ in account.routes]
        for number, (_, pieces) in enumerate(account.routes):
            spoken[number] += pieces
    if len(names) < 2 or not spoken.total():
        return ""
    parts = ", ".join(f"{spoken[number]} on session {number + 1} ({name})" for number, name in enumerate(names))
    return f"segments synthesised: {parts}"


def _cache(accounts: Sequence[EngineCounters]) -> str:
    kept = [each for each in accounts if each.cache_limit and each.asked]
    if not kept:
        return ""
    hits, misses, joined, evicted = (
        sum(getattr(each, name) for each in kept) for name in ("hits", "misses", "joined", "evicted")
    )
    asked = hits + misses + joined
    most, limit = max(each.cache_bytes for each in kept) / 2**20, kept[0].cache_limit / 2**20
    return (
        f"of {asked} requested segments, {hits} were in the cache, {joined} joined a computation and {misses} were "
        f"computed; {evicted} were evicted; the cache held at most {most:.1f} of {limit:g} MiB"
    )


def start_notes(data: RunData) -> tuple[str, ...]:
    """The median of each part of a server's valid starts. Several arms of one server are named by their ids."""
    notes = []
    arms = dict.fromkeys(scenario.arm for scenario in data.run.scenarios if scenario.arm.server)
    times = Counter(arm.server for arm in arms)
    for arm in arms:
        launches = [each for each in data.launches if each.arm_id == arm.id and each.outcome.valid]
        figures = [launch_figures(each) for each in launches]
        parts = []
        for part in SERVER_PARTS:
            values = [value for each in figures if (value := each[f"load_{part}"].value) is not None]
            if values:
                kind = "until its first audio" if part == FIRST_AUDIO else f"until {part}"
                parts.append(f"{METRICS[f'load_{part}'].format(median(values))} {kind}")
        if parts:
            starts = f"median of {len(launches)} starts" if len(launches) > 1 else "one start"
            name = arm.server if times[arm.server] == 1 else arm.id
            notes.append(f"start of the server {name} ({starts}): {', then '.join(parts)}")
    return tuple(notes)
