"""Measures a delay of a known share in a duel: a sleep, a spin by wall clock or CPU time, a wait for a socket.

One of two workers has the delay. Both synthesise the same text in three ways, equally often and in random order: in
slices with clocks that run on during halts, in slices with clocks that stop, and one after the other. The table shows
the estimate of each way with its 95 % interval, and the decision of a duel after its warm-up.
"""

import argparse
import math
import random
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import harness
from benchmarks.orders import TIMEOUT_S, engine_of, in_slices, one_by_one, result_of, synthesis_of
from benchmarks.waiting_engine import Peer
from harness.analysis.stats.paired import log_ratio_estimate
from harness.engines.protocol import EngineOrder
from harness.measure.worker.handle import ProcessHandle
from harness.measure.worker.observed_synthesis import synthesise_observed
from harness.measure.worker.place import WorkerPlace
from harness.measure.worker.protocol import LoadOrder
from harness.measure.worker.slicing_checks import Evidence
from harness.measure.worker.time_slicing import SlicedSynthesis, as_pausable, pauser_of

NAME = "waiting"
KINDS = ("none", "sleep", "spin", "cpu", "socket")
SHARES = (0.03, 0.1)
TEXT = "A sentence of some forty letters or so."


def installed(home: Path) -> Path:
    """The interpreter of an environment with this one's packages and the waiting engine under its entry point."""
    venv.create(home, symlinks=True)
    site = next(home.glob("lib/python*/site-packages"))
    root = Path(harness.__file__).parents[1]
    here = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), str(root)])
    (site / "beside.pth").write_text("\n".join(here))
    info = site / f"{NAME}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[kokoro_bench.engines]\n{NAME} = benchmarks.waiting_engine:start\n")
    return home / "bin/python"


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The number of launches, and of pairs per way in a launch."""

    launches: int
    pairs: int
    slice_s: float
    seed: int


WAYS = ("slices, its clocks run on", "slices", "one after the other")


@dataclass
class Line:
    """One delay: the log-ratios of each way, launch by launch, and the observations of its warm-ups."""

    ratios: dict[str, list[list[float]]] = field(default_factory=lambda: {way: [] for way in WAYS})
    seen: Evidence = field(default_factory=Evidence)

    def cells(self) -> list[str]:
        """Estimate and interval of each way in percent, and the decision of a duel."""
        return [*map(_estimate, self.ratios.values()), self.seen.reason("it") or "slices"]


def _estimate(ratios: Sequence[Sequence[float]]) -> str:
    found = log_ratio_estimate(tuple(map(tuple, ratios)), level=0.95)
    if found is None:
        return "–"
    point, low, high = (math.expm1(each) for each in (found.point, found.low, found.high))
    return f"{point:+.1%} ({low:+.1%} … {high:+.1%})"


def main() -> int:
    """Print a line for each kind of delay and each share."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiting_engines", description=__doc__)
    parser.add_argument("--kinds", type=lambda text: tuple(text.split(",")), default=KINDS)
    parser.add_argument("--shares", type=lambda text: tuple(map(float, text.split(","))), default=SHARES)
    parser.add_argument("--model", default="", help="of the catalogue; else the engine only computes")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--work", type=int, default=300, help="about so many milliseconds, where there is no model")
    parser.add_argument("--pieces", type=int, default=1, help="of the work, each with a delay after it")
    parser.add_argument("--launches", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=6, help="of each way in each launch")
    parser.add_argument("--slice", type=float, default=25.0, help="milliseconds")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    course = Course(launches=given.launches, pairs=given.pairs, slice_s=given.slice / 1e3, seed=given.seed)
    engine = _engine(given.model, threads=given.threads)
    peer = Peer()
    peer.begin()
    print(f"{given.model or 'computing only'}, {given.launches} launches of {given.pairs} pairs each way")
    print(" | ".join(("delay", "planted", *WAYS, "what a duel does")))
    with tempfile.TemporaryDirectory() as home:
        place = WorkerPlace(python=str(installed(Path(home))))
        for kind in given.kinds:
            for share in given.shares if kind != "none" else (0.0,):
                options = {
                    "wait": kind,
                    "share": str(share),
                    "work": str(given.work),
                    "pieces": str(given.pieces),
                    "peer": peer.address,
                }
                sides = [replace(engine, session_options=each) for each in (options, {**options, "wait": "none"})]
                print(" | ".join((kind, f"{share:.0%}", *_play(place, sides, course).cells())), flush=True)
    peer.shutdown()
    return 0


def _engine(model: str, *, threads: int) -> EngineOrder:
    return engine_of(model, engine=NAME, threads=threads) if model else EngineOrder(engine=NAME)


def _play(place: WorkerPlace, engines: Sequence[EngineOrder], course: Course) -> Line:
    """Measure the first engine against the second in each way."""
    rng = random.Random(course.seed)  # noqa: S311 - an order, no secret
    line = Line()
    for launch in range(course.launches):
        # A worker's clocks are chosen when it starts, so two workers have clocks that stop, and two do not.
        running: list[ProcessHandle] = []
        following: list[ProcessHandle] = []
        try:
            for workers, pause_clocks in ((running, False), (following, True)):
                for engine in engines:
                    workers.append(ProcessHandle(place))
                    _load(workers[-1], engine, launch=launch, pause_clocks=pause_clocks)
            _watch(following[0], line.seen)
            for ratios in line.ratios.values():
                ratios.append([])
            for _ in range(course.pairs):
                first = rng.randrange(2)
                for way in rng.sample(WAYS, len(WAYS)):
                    workers = running if way is WAYS[0] else following
                    if way is WAYS[-1]:
                        took = one_by_one(workers, synthesis_of(TEXT), first)
                    else:
                        took = in_slices(workers, synthesis_of(TEXT), first, slice_s=course.slice_s)
                    line.ratios[way][-1].append(math.log(took[0] / took[1]))
        finally:
            for worker in (*running, *following):
                worker.close()
    return line


def _load(worker: ProcessHandle, engine: EngineOrder, *, launch: int, pause_clocks: bool) -> None:
    if pause_clocks:
        pauser_of(worker).pause_clocks()
    worker.load(LoadOrder(arm_id=NAME, launch=launch, engine=engine), timeout_s=TIMEOUT_S)
    worker.synthesise(synthesis_of(TEXT), timeout_s=TIMEOUT_S)


def _watch(worker: ProcessHandle, seen: Evidence) -> None:
    """Observe a worker as the warm-up of a duel does."""
    side, before_ns = SlicedSynthesis(worker=as_pausable(worker), order=synthesis_of(TEXT)), pauser_of(worker).looped_ns
    seen.add_observations(synthesise_observed(side, timeout_s=TIMEOUT_S).states())
    seen.add_synthesis(result_of(side), looped_ns=pauser_of(worker).looped_ns - before_ns)


if __name__ == "__main__":
    sys.exit(main())
