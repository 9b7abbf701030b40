"""What a duel makes of a delay of a known share: slept, spun by the wall clock, spun by CPU time, or waited for.

Two workers, of which one has the delay, speak the same text in slices and one after the other, each way as often and in
a drawn order. The table has the estimate of both with its interval at 95 %, and what the duel would do.
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
from harness.engines.protocol import EngineOrder
from harness.judge.paired import log_ratio_estimate
from harness.measure.handle import ProcessHandle, WorkerLost, WorkerPlace
from harness.measure.messages import LoadOrder, SpeakOrder
from harness.measure.slices import Speaking, haltable, speak_in_slices
from harness.perf.waiting_engine import Peer
from harness.records.repetition import Phase

NAME = "waiting"
KINDS = ("none", "sleep", "spin", "cpu", "socket")
SHARES = (0.03, 0.1)
TIMEOUT_S = 120.0
TEXT = "A sentence of some forty letters or so."


def installed(home: Path) -> Path:
    """The interpreter of an environment that has what this one has, and the waiting engine under its entry point."""
    venv.create(home, symlinks=True)
    site = next(home.glob("lib/python*/site-packages"))
    root = Path(harness.__file__).parents[1]
    here = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), str(root)])
    (site / "beside.pth").write_text("\n".join(here))
    info = site / f"{NAME}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[kokoro_bench.engines]\n{NAME} = harness.perf.waiting_engine:start\n")
    return home / "bin/python"


@dataclass
class Way:
    """The log-ratios of one way, launch by launch."""

    ratios: list[list[float]] = field(default_factory=list)

    def told(self) -> str:
        """Estimate and interval, in per cent."""
        found = log_ratio_estimate(tuple(map(tuple, self.ratios)), level=0.95)
        if found is None:
            return "–"
        point, low, high = (math.expm1(each) for each in (found.point, found.low, found.high))
        return f"{point:+.1%} ({low:+.1%} … {high:+.1%})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How much is played: launches, and pairs of each way in each."""

    launches: int
    pairs: int
    slice_s: float
    seed: int


def main() -> int:
    """Print a line for each kind of delay and each share."""
    parser = argparse.ArgumentParser(prog="python -m harness.perf.waiting_engines", description=__doc__)
    parser.add_argument("--kinds", type=lambda text: tuple(text.split(",")), default=KINDS)
    parser.add_argument("--shares", type=lambda text: tuple(map(float, text.split(","))), default=SHARES)
    parser.add_argument("--model", default="", help="of the catalogue; else the engine only computes")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--work", type=int, default=600, help="about so many milliseconds, where there is no model")
    parser.add_argument("--launches", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=6, help="of each way in each launch")
    parser.add_argument("--slice", type=float, default=100.0, help="milliseconds")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    course = Course(launches=given.launches, pairs=given.pairs, slice_s=given.slice / 1e3, seed=given.seed)
    engine = _engine(given.model, threads=given.threads)
    peer = Peer()
    peer.begin()
    print(f"{given.model or 'computing only'}, {given.launches} launches of {given.pairs} pairs each way")
    print("delay | planted | in slices | one after the other")
    with tempfile.TemporaryDirectory() as home:
        place = WorkerPlace(python=str(installed(Path(home))))
        for kind in given.kinds:
            for share in given.shares if kind != "none" else (0.0,):
                options = {"wait": kind, "share": str(share), "work": str(given.work), "peer": peer.address}
                plain = {**options, "wait": "none"}
                sliced, whole = _play(
                    place, [replace(engine, session_options=each) for each in (options, plain)], course
                )
                print(f"{kind} | {share:.0%} | {sliced.told()} | {whole.told()}", flush=True)
    peer.shutdown()
    return 0


def _engine(model: str, *, threads: int) -> EngineOrder:
    if not model:
        return EngineOrder(engine=NAME)
    from harness.models.catalogue import Catalogue

    files = Catalogue().resolve(model, report=print)
    return EngineOrder(
        engine=NAME,
        model_path=str(files.model_path),
        voices_path=str(files.voices_path),
        voice="af_heart",
        threads=threads,
    )


def _play(place: WorkerPlace, engines: Sequence[EngineOrder], course: Course) -> tuple[Way, Way]:
    """Both ways, in slices and one after the other, of the first engine against the second."""
    rng = random.Random(course.seed)  # noqa: S311 - an order, no secret
    sliced, whole = Way(), Way()
    for launch in range(course.launches):
        workers = [ProcessHandle(place) for _ in engines]
        try:
            for worker, engine in zip(workers, engines, strict=True):
                worker.load(
                    LoadOrder(arm_id=engine.session_options["wait"], launch=launch, engine=engine), timeout_s=TIMEOUT_S
                )
                worker.speak(_order(), timeout_s=TIMEOUT_S)
            for way in (sliced, whole):
                way.ratios.append([])
            for _ in range(course.pairs):
                first = rng.randrange(2)
                for way in rng.sample((sliced, whole), 2):
                    took = _slices(workers, first, course.slice_s) if way is sliced else _one_by_one(workers, first)
                    way.ratios[-1].append(math.log(took[0] / took[1]))
        finally:
            for worker in workers:
                worker.close()
    return sliced, whole


def _slices(workers: Sequence[ProcessHandle], first: int, slice_s: float) -> list[int]:
    sides = [Speaking(worker=haltable(worker), order=_order()) for worker in workers]
    speak_in_slices((sides[first], sides[1 - first]), slice_s=slice_s, timeout_s=TIMEOUT_S)
    took = []
    for side in sides:
        if isinstance(side.found, WorkerLost):
            raise side.found
        took.append(side.found.end_ns if side.found else 0)
    return took


def _one_by_one(workers: Sequence[ProcessHandle], first: int) -> list[int]:
    took = {place: workers[place].speak(_order(), timeout_s=TIMEOUT_S).end_ns for place in (first, 1 - first)}
    return [took[0], took[1]]


def _order() -> SpeakOrder:
    return SpeakOrder(
        scenario_id="scenario",
        launch=0,
        block=0,
        position=0,
        phase=Phase.MEASURED,
        variant=0,
        text=TEXT,
        voice="af_heart",
    )


if __name__ == "__main__":
    sys.exit(main())
