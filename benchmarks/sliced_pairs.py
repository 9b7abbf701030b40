"""Measures the benefit of slices: the scatter of pairs of an arm against itself, in slices and one after the other.

Two workers of one arm synthesise the same text in both ways, and in slices of several lengths if given. All ways run
equally often and in random order, so that all run under the same machine conditions. The benchmark also measures
whether slices change the value itself: it compares a worker's latency in slices with that of whole texts, by the
medians of each launch, with an interval over launches and workers.
"""

import argparse
import math
import random
import sys
from dataclasses import dataclass, field
from statistics import mean, median, stdev

from scipy import stats

from benchmarks.orders import TIMEOUT_S, engine_of, in_slices, one_by_one, synthesis_of
from harness.engines.protocol import EngineOrder
from harness.measure.worker.handle import ProcessHandle
from harness.measure.worker.protocol import LoadOrder, SynthesisOrder
from harness.measure.worker.time_slicing import can_pause, pauser_of

NORMAL = 1.4826
"""1 / Φ⁻¹(3/4): converts a median absolute deviation to a normal standard deviation."""

Pair = tuple[int, int]
"""Latencies of both workers, in ns."""

WHOLE = 0.0
"""The slice length, in ms, that stands for texts that are synthesised one after the other."""


@dataclass
class Seen:
    """Results of one way: log-ratios per launch, and the difference of a worker's values from those of whole texts."""

    ratios: list[list[float]] = field(default_factory=list)
    apart: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)


def main() -> int:
    """Print the table of both ways."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sliced_pairs", description=__doc__)
    parser.add_argument("--model", default="replica")
    parser.add_argument("--text", default="chars-12")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--launches", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=6, help="of each way in each launch")
    parser.add_argument("--slice", type=_lengths, default=(100.0,), help="milliseconds; several, joined by commas")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    from harness.plan.corpus import Corpus

    engine = engine_of(given.model, threads=given.threads)
    synthesise = synthesis_of(Corpus().utterance(given.text).text)
    rng = random.Random(given.seed)  # noqa: S311 - an order, no secret
    seen = {way: Seen() for way in (WHOLE, *given.slice)}
    for _ in range(given.launches):
        if not _launch(engine, synthesise, pairs=given.pairs, rng=rng, seen=seen):
            sys.stderr.write("this system does not end a paused worker with its conductor: there are no slices here\n")
            return 1
    print(f"{given.model}, {given.text}, {given.threads or 'default'} threads,")
    print(f"{given.launches} launches of {given.pairs} pairs each way, seed {given.seed}")
    for way, each in seen.items():
        name = f"in slices of {way:g} ms" if way else "one after the other"
        inside = [value - mean(launch) for launch in each.ratios for value in launch]
        sd = math.sqrt(sum(value**2 for value in inside) / (len(inside) - len(each.ratios)))
        robust = NORMAL * median(abs(value - median(launch)) for launch in each.ratios for value in launch)
        means = ", ".join(f"{mean(launch):+.2%}" for launch in each.ratios)
        print(f"{name}: pairs scatter by {sd:.2%} within a launch (robust {robust:.2%}); means of launches {means}")
        print(f"  latency {median(each.latencies):.3f} s", end="")
        if way:
            half = float(stats.t.ppf(0.975, len(each.apart) - 1)) * stdev(each.apart) / math.sqrt(len(each.apart))
            print(f", / of a whole text: {mean(each.apart):+.2%} ± {half:.2%} (95 %)", end="")
        print()
    return 0


def _lengths(given: str) -> tuple[float, ...]:
    return tuple(float(each) for each in given.split(","))


def _launch(
    engine: EngineOrder, synthesise: SynthesisOrder, *, pairs: int, rng: random.Random, seen: dict[float, Seen]
) -> bool:
    """Run a launch with two new workers. Return False if they cannot be paused."""
    workers = ProcessHandle(), ProcessHandle()
    try:
        if not all(map(can_pause, workers)):
            return False
        for worker in workers:
            pauser_of(worker).pause_clocks()
            worker.load(LoadOrder(arm_id="arm", launch=0, engine=engine), timeout_s=TIMEOUT_S)
            worker.synthesise(synthesise, timeout_s=TIMEOUT_S)
        found: dict[float, list[Pair]] = {way: [] for way in seen}
        for _ in range(pairs):
            first = rng.randrange(2)
            for way in rng.sample([*seen], len(seen)):
                if way:
                    found[way].append(in_slices(workers, synthesise, first, slice_s=way / 1e3))
                else:
                    found[way].append(one_by_one(workers, synthesise, first))
    finally:
        for worker in workers:
            worker.close()
    for way, each in seen.items():
        each.ratios.append([math.log(one / other) for one, other in found[way]])
        each.latencies += [took / 1e9 for pair in found[way] for took in pair]
        for place in range(2):
            medians = [median(pair[place] for pair in found[which]) for which in (way, WHOLE)]
            each.apart.append(math.log(medians[0] / medians[1]))
    return True


if __name__ == "__main__":
    sys.exit(main())
