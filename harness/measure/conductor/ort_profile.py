"""Profiles arms with ONNX Runtime's profiler: which provider ran which nodes, and how long each of them took.

Profiling runs in a separate worker and never during a measurement, because it costs time.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from harness.core.clock import Clock
from harness.core.records.profile import FEWEST_REPETITIONS, Node, Profile, Profiles
from harness.core.records.repetition import Phase
from harness.core.records.scenario import Arm, Utterance
from harness.engines.protocol import EngineOrder
from harness.measure.conductor.requests import engine_order
from harness.measure.conductor.trace_reader import added_by_operator, read_profile
from harness.measure.conductor.worker_factory import LOAD_TIMEOUT_S, WorkerFactory
from harness.measure.worker.handle import WorkerHandle
from harness.measure.worker.protocol import LoadOrder, SynthesisOrder
from harness.measure.worker.worker_lost import WorkerLost

LAUNCHES, REPETITIONS = 8, 4
"""The most processes per side, and repetitions per process. An operator's time differs between processes."""
LONGEST_S = 60.0
"""By default, no launch begins that would end after this time (s), unless there are too few repetitions.

The profile only explains a verdict that is already final.
"""
SYNTHESIS_TIMEOUT_S = 120.0
NO_PROFILE = "the engine wrote no profile"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimit:
    """How long the profiles of a pair may take (s), by a clock."""

    clock: Clock
    longest_s: float = LONGEST_S


Keep = Callable[[int, int, Path], None]
"""Keeps a trace, which is deleted after the call: called with the number of its side and of its launch, from 0."""


def keep_none(side: int, launch: int, trace: Path) -> None:
    """Keep no trace."""
    del side, launch, trace


def profile_arm(
    arm: Arm,
    *,
    worker_factory: WorkerFactory,
    voice: str,
    seed: int,
    utterance: Utterance | None = None,
    repetitions: int = 0,
    script: Mapping[str, str] = MappingProxyType({}),
    keep: Keep = keep_none,
) -> Profile:
    """Start a worker of the arm with profiling on, and read its profile.

    Without an `utterance` only the first inference runs, which shows where nodes are placed.
    """
    make = _Launch(worker_factory=worker_factory, voice=voice, script=script, keep=keep)
    (profile,) = make([arm], seed=seed, utterance=utterance, repetitions=repetitions)
    return profile


def profile_pair(
    arms: tuple[Arm, Arm],
    *,
    worker_factory: WorkerFactory,
    limit: TimeLimit,
    voice: str,
    seed: int,
    utterance: Utterance,
    script: Mapping[str, str] = MappingProxyType({}),
    keep: Keep = keep_none,
) -> Profiles:
    """Profile a candidate and a reference that synthesise `utterance` alternately, under the same machine conditions.

    Each launch restarts both arms with the same generator seed. Once there are enough repetitions, another launch
    begins only if it would end within the limit. Profiling stops at the first failed profile.
    """
    began_ns = limit.clock.now_ns()
    make = _Launch(worker_factory=worker_factory, voice=voice, script=script, keep=keep)
    found: list[tuple[Profile, ...]] = []
    while len(found) < LAUNCHES:
        number = len(found)
        with_next_s = (limit.clock.now_ns() - began_ns) / 1e9 * (number + 1) / max(1, number)
        if number * REPETITIONS >= FEWEST_REPETITIONS and with_next_s > limit.longest_s:
            break
        found.append(make(arms, seed=seed + number, utterance=utterance, repetitions=REPETITIONS, number=number))
        if any(profile.reason for profile in found[-1]):
            break
    return Profiles(candidate=tuple(ours for ours, _ in found), reference=tuple(theirs for _, theirs in found))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Launch:
    """Starts arms with profiling on, and reads what they write."""

    worker_factory: WorkerFactory
    voice: str
    script: Mapping[str, str]
    keep: Keep

    def __call__(
        self, arms: Sequence[Arm], *, seed: int, utterance: Utterance | None, repetitions: int, number: int = 0
    ) -> tuple[Profile, ...]:
        """One launch: a profile of each arm. If one worker is lost, all profiles of the launch hold its reason."""
        factory = self.worker_factory
        with tempfile.TemporaryDirectory(prefix="kokoro-bench-profile-", ignore_cleanup_errors=True) as folder:
            prefixes = [f"{folder}/profile-{side}-" for side in range(len(arms))]
            orders = [
                engine_order(arm, factory.files(arm), voice=self.voice, seed=seed, profile=prefix, script=self.script)
                for arm, prefix in zip(arms, prefixes, strict=True)
            ]
            try:
                with ExitStack() as open_workers:
                    workers = [
                        _started(arm, order, factory, open_workers) for arm, order in zip(arms, orders, strict=True)
                    ]
                    if utterance is not None:
                        _synthesise_alternately(workers, utterance, voice=self.voice, times=1 + repetitions)
            except WorkerLost as lost:
                return (Profile(reason=lost.reason),) * len(arms)
            return tuple(
                _read_all(prefix, repetitions=repetitions, keep=partial(self.keep, side, number))
                for side, prefix in enumerate(prefixes)
            )


def _synthesise_alternately(workers: Sequence[WorkerHandle], utterance: Utterance, *, voice: str, times: int) -> None:
    for number in range(times):
        # Reverse the order each time, as in the blocks of a duel.
        for worker in workers[:: -1 if number % 2 else 1]:
            synthesise_once(worker, utterance, voice=voice)


def _read_all(prefix: str, *, repetitions: int, keep: Callable[[Path], None]) -> Profile:
    written = sorted(Path(prefix).parent.glob(f"{Path(prefix).name}*.json"))
    if not written:
        return Profile(reason=NO_PROFILE)
    profile = _merged([read_profile(each.read_bytes(), repetitions=repetitions) for each in written])
    for trace in () if profile.reason else written:
        keep(trace)
    return profile


def _started(arm: Arm, engine: EngineOrder, worker_factory: WorkerFactory, open_workers: ExitStack) -> WorkerHandle:
    worker = worker_factory.start(worker_factory.place(arm))
    open_workers.callback(worker.close)
    launch = worker.load(LoadOrder(arm_id=arm.id, launch=0, engine=engine), timeout_s=LOAD_TIMEOUT_S)
    if not launch.outcome.valid:
        raise WorkerLost(launch.outcome.kind, launch.outcome.reason)
    return worker


def _merged(profiles: Sequence[Profile]) -> Profile:
    if failed := next((profile for profile in profiles if profile.reason), None):
        return failed
    nodes, microseconds = Counter[str](), Counter[str]()
    for profile in profiles:
        nodes.update(profile.nodes)
        microseconds.update(profile.microseconds)
    # If sessions got different numbers of segments, no session's time per repetition is known.
    by_node = _added(profiles) if all(profile.by_node for profile in profiles) else {}
    arenas = [profile.arena for profile in profiles if profile.arena is not None]
    return Profile(
        nodes=nodes,
        microseconds=microseconds,
        operators=added_by_operator(by_node),
        by_node=by_node,
        arena=sum(arenas) if len(arenas) == len(profiles) else None,
    )


def _added(profiles: Sequence[Profile]) -> dict[Node, tuple[float, ...]]:
    """Node → its time in all sessions, repetition by repetition."""
    nodes = dict.fromkeys(node for profile in profiles for node in profile.by_node)
    of_each = [[each.by_node[node] for each in profiles if node in each.by_node] for node in nodes]
    return {node: tuple(map(sum, zip(*times, strict=True))) for node, times in zip(nodes, of_each, strict=True)}


def synthesise_once(worker: WorkerHandle, utterance: Utterance, *, voice: str) -> None:
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
