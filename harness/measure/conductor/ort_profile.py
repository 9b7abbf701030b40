"""Reads ONNX Runtime's profile: which provider ran which nodes, and how long each operator type took.

Profiling runs in a separate worker and never during a measurement, because it costs time.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.core.clock import Clock
from harness.core.records.profile import Profile, Profiles
from harness.core.records.repetition import Phase
from harness.core.records.scenario import Arm, Utterance
from harness.engines.protocol import EngineOrder
from harness.measure.conductor.requests import engine_order
from harness.measure.conductor.worker_factory import LOAD_TIMEOUT_S, WorkerFactory
from harness.measure.worker.handle import WorkerHandle
from harness.measure.worker.protocol import LoadOrder, SynthesisOrder
from harness.measure.worker.worker_lost import WorkerLost

LAUNCHES, REPETITIONS = 3, 4
"""Processes per side and repetitions per process. An operator's time differs between processes."""
LONGEST_S = 45.0
"""No launch begins after this many seconds. The profile only explains a verdict that is already final."""
SYNTHESIS_TIMEOUT_S = 120.0
CONTAINERS = ("Loop", "If", "Scan")
"""Operators whose duration includes the nodes inside them, which have their own events."""
KERNEL = "_kernel_time"


def read_profile(content: bytes, *, repetitions: int = 0) -> Profile:
    """Read the JSON that ONNX Runtime writes.

    Its runs are the engine's first inference (one run), one warm-up, and `repetitions` repetitions. A repetition of a
    long text is several runs; every repetition has the same number of runs.
    """
    try:
        events = [event for event in json.loads(content) if isinstance(event, dict)]
    except ValueError as error:
        return Profile(reason=f"the profile is not JSON: {error}")
    kernels = [each for each in events if each.get("cat") == "Node" and str(each.get("name", "")).endswith(KERNEL)]
    if not kernels:
        return Profile(reason="the profile has no node in it")
    own = _own_times(kernels)
    nodes: Counter[str] = Counter()
    microseconds: Counter[str] = Counter()
    for event, duration in zip(kernels, own, strict=True):
        provider = str(event["args"].get("provider") or "unknown")
        nodes[provider] += 1
        microseconds[provider] += duration
    operators = _per_repetition(events, kernels, own, repetitions=repetitions) if repetitions else {}
    return Profile(nodes=dict(nodes), microseconds=dict(microseconds), operators=operators)


def profile_arm(
    arm: Arm,
    *,
    worker_factory: WorkerFactory,
    voice: str,
    seed: int,
    utterance: Utterance | None = None,
    repetitions: int = 0,
) -> Profile:
    """Start a worker of the arm with profiling on, and read its profile.

    Without an `utterance` only the first inference runs, which shows where nodes are placed.
    """
    ((profile,),) = _profile(
        [arm], worker_factory=worker_factory, voice=voice, seed=seed, utterance=utterance, repetitions=repetitions
    )
    return profile


def profile_pair(
    candidate: Arm,
    reference: Arm,
    *,
    worker_factory: WorkerFactory,
    clock: Clock,
    voice: str,
    seed: int,
    utterance: Utterance,
    script: Mapping[str, str] = MappingProxyType({}),
) -> Profiles:
    """Profile two arms that synthesise `utterance` alternately, so that both run under the same machine conditions.

    Each launch restarts both arms with the same generator seed. Profiling stops at the first failed profile, and no
    launch begins after `LONGEST_S`.
    """
    began_ns = clock.now_ns()
    found: list[tuple[Profile, ...]] = []
    while len(found) < LAUNCHES and (clock.now_ns() - began_ns) / 1e9 < LONGEST_S:
        found += _profile(
            [candidate, reference],
            worker_factory=worker_factory,
            voice=voice,
            seed=seed + len(found),
            utterance=utterance,
            repetitions=REPETITIONS,
            script=script,
        )
        if any(profile.reason for profile in found[-1]):
            break
    return Profiles(candidate=tuple(ours for ours, _ in found), reference=tuple(theirs for _, theirs in found))


def _profile(
    arms: Sequence[Arm],
    *,
    worker_factory: WorkerFactory,
    voice: str,
    seed: int,
    utterance: Utterance | None = None,
    repetitions: int = 0,
    script: Mapping[str, str] = MappingProxyType({}),
) -> list[tuple[Profile, ...]]:
    """One launch: a profile of each arm. If one worker is lost, all profiles of the launch hold its reason."""
    with tempfile.TemporaryDirectory(prefix="kokoro-bench-profile-", ignore_cleanup_errors=True) as folder:
        prefixes = [f"{folder}/profile-{number}-" for number in range(len(arms))]
        orders = [
            engine_order(arm, worker_factory.files(arm), voice=voice, seed=seed, profile=prefix, script=script)
            for arm, prefix in zip(arms, prefixes, strict=True)
        ]
        try:
            with ExitStack() as open_workers:
                workers = [
                    _started(arm, order, worker_factory, open_workers) for arm, order in zip(arms, orders, strict=True)
                ]
                if utterance is not None:
                    _synthesise_alternately(workers, utterance, voice=voice, times=1 + repetitions)
        except WorkerLost as lost:
            return [(Profile(reason=lost.reason),) * len(arms)]
        return [tuple(_read_all(prefix, repetitions=repetitions) for prefix in prefixes)]


def _synthesise_alternately(workers: Sequence[WorkerHandle], utterance: Utterance, *, voice: str, times: int) -> None:
    for number in range(times):
        # Reverse the order each time, as in the blocks of a duel.
        for worker in workers[:: -1 if number % 2 else 1]:
            _synthesise(worker, utterance, voice=voice)


def _read_all(prefix: str, *, repetitions: int) -> Profile:
    written = sorted(Path(prefix).parent.glob(f"{Path(prefix).name}*.json"))
    if not written:
        return Profile(reason="the engine wrote no profile")
    return _merged([read_profile(each.read_bytes(), repetitions=repetitions) for each in written])


def _started(arm: Arm, engine: EngineOrder, worker_factory: WorkerFactory, open_workers: ExitStack) -> WorkerHandle:
    worker = worker_factory.start(worker_factory.place(arm))
    open_workers.callback(worker.close)
    launch = worker.load(LoadOrder(arm_id=arm.id, launch=0, engine=engine), timeout_s=LOAD_TIMEOUT_S)
    if not launch.outcome.valid:
        raise WorkerLost(launch.outcome.kind, launch.outcome.reason)
    return worker


def _merged(profiles: Sequence[Profile]) -> Profile:
    """Merge the profiles of an engine's sessions."""
    if failed := next((profile for profile in profiles if profile.reason), None):
        return failed
    nodes, microseconds = Counter[str](), Counter[str]()
    for profile in profiles:
        nodes.update(profile.nodes)
        microseconds.update(profile.microseconds)
    # If sessions got different numbers of segments, no session's time per repetition is known.
    complete = all(profile.operators for profile in profiles)
    return Profile(nodes=nodes, microseconds=microseconds, operators=_added(profiles) if complete else {})


def _added(profiles: Sequence[Profile]) -> dict[str, tuple[float, ...]]:
    """Operator type → its time in all sessions, repetition by repetition."""
    names = sorted({name for profile in profiles for name in profile.operators})
    of_each = [[each.operators[name] for each in profiles if name in each.operators] for name in names]
    return {name: tuple(map(sum, zip(*times, strict=True))) for name, times in zip(names, of_each, strict=True)}


def _synthesise(worker: WorkerHandle, utterance: Utterance, *, voice: str) -> None:
    """Synthesise once. Raises WorkerLost if the worker is lost or the audio is invalid."""
    order = SynthesisOrder(
        scenario_id="profile",
        launch=0,
        block=-1,
        position=0,
        phase=Phase.WARMUP,
        variant=utterance.variant,
        text=utterance.text,
        voice=voice,
        language=utterance.language,
        is_phonemes=utterance.is_phonemes,
    )
    repetition = worker.synthesise(order, timeout_s=SYNTHESIS_TIMEOUT_S)
    if not repetition.outcome.valid:
        raise WorkerLost(repetition.outcome.kind, repetition.outcome.reason)


def _own_times(kernels: list[dict[str, Any]]) -> list[int]:
    """Each event's own duration (µs): the duration of a container excludes the nodes inside it."""
    containers = [each for each in kernels if each["args"].get("op_name") in CONTAINERS]
    own = []
    for event in kernels:
        duration = int(event["dur"])
        if any(event is each for each in containers):
            inside = [each for each in kernels if each is not event and _within(each, event)]
            # Nodes of a nested container are counted with the nested container.
            nested = [each for each in inside if each["args"].get("op_name") in CONTAINERS]
            direct = [each for each in inside if not any(each is not one and _within(each, one) for one in nested)]
            duration = max(0, duration - sum(int(each["dur"]) for each in direct))
        own.append(duration)
    return own


def _within(inner: Mapping[str, Any], outer: Mapping[str, Any]) -> bool:
    return bool(outer["ts"] <= inner["ts"] and inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"])


def _per_repetition(
    events: list[dict[str, Any]], kernels: list[dict[str, Any]], own: list[int], *, repetitions: int
) -> Mapping[str, tuple[float, ...]]:
    """Operator type → microseconds of each repetition."""
    runs = sorted((each for each in events if each.get("name") == "model_run"), key=lambda each: int(each["ts"]))
    each_has = (len(runs) - 1) // (1 + repetitions)
    if each_has < 1:
        return {}
    measured = runs[-each_has * repetitions :]
    totals: list[Counter[str]] = [Counter() for _ in range(repetitions)]
    for event, duration in zip(kernels, own, strict=True):
        for place, run in enumerate(measured):
            if _within(event, run):
                totals[place // each_has][_operator(event)] += duration
                break
    names = {name for total in totals for name in total}
    return {name: tuple(float(total[name]) for total in totals) for name in sorted(names)}


def _operator(event: Mapping[str, Any]) -> str:
    """The operator type; a subgraph that a provider runs as a whole has the provider's name."""
    name = str(event["args"].get("op_name", "unknown"))
    return name.rsplit("_", 1)[0] if "subgraph" in name else name
