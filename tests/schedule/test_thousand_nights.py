"""Many nights on the scripted clock: the expected runs, one alert for each planted step, flat memory."""

import gc
import math
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

from harness.core.records.schedule import AlertKind, FireOutcome
from harness.core.records.verdict import VerdictKind
from harness.schedule.launcher import Exit

START = 1_767_225_600.0
DAY = 86_400.0
HALF_PAST_TWO = 2.5 * 3_600
Run = Callable[..., str]


class Nights:
    """What the runs of the nights measure: noise of 1 %, and steps where they were planted."""

    def __init__(self, bench: Any, make_run: Run, *, steps: dict[int, float], gate: bool) -> None:
        self.bench, self.make_run, self.steps, self.gate = bench, make_run, steps, gate
        self.random = random.Random(7)  # noqa: S311 - noise, no secret
        bench.launcher.on_go = self.run
        self.measured: list[int] = []

    def night(self) -> int:
        return int((self.bench.clock.wall() - START) // DAY)

    def level(self, night: int) -> float:
        return sum(size for planted, size in self.steps.items() if night >= planted)

    def run(self, process: Any) -> None:
        """Measure at once; every tenth night the gate cannot tell."""
        night = self.night()
        level = self.level(night)
        verdict = VerdictKind.NO_BASELINE
        if self.gate:
            verdict = VerdictKind.REGRESSED if level > 0.03 else VerdictKind.UNCHANGED
            verdict = VerdictKind.INCONCLUSIVE if self.random.random() < 0.1 else verdict
        median = math.exp(level + self.random.gauss(0.0, 0.01))
        run_id = self.make_run(self.bench.store, at=self.bench.clock.wall(), median=median, verdict=verdict, size=level)
        self.bench.begin(process, run_id)
        process.ends = Exit(code=1 if verdict is VerdictKind.REGRESSED else 0)
        self.measured.append(night)

    def play(self, first: int, last: int) -> None:
        for night in range(first, last):
            self.bench.at(START + night * DAY + HALF_PAST_TWO)


@pytest.mark.parametrize("count", [200, pytest.param(1_000, marks=pytest.mark.exhaustive)])
def test_each_planted_step_is_sent_once_in_hundreds_of_nights(bench: Any, make_run: Run, count: int) -> None:
    """Both counts have the same shape: what happens in the 300th of a thousand nights happens in the 60th of 200."""
    tenth = count // 10
    bench.put(promote="clean")
    nights = Nights(bench, make_run, steps={3 * tenth: 0.10, 5 * tenth: -0.10, 7 * tenth: 0.20}, gate=True)
    nights.play(0, tenth)
    nights.play(tenth + 3, 4 * tenth)  # three nights without power: caught up once
    bench.daemon = bench.new_daemon()
    bench.daemon.recover()
    # The judge's caches are full after some 150 nights of one history.
    filled = max(4 * tenth, 150)
    nights.play(4 * tenth, filled)
    objects, size = held()
    nights.play(filled, count)
    more_objects, more_bytes = (now - before for now, before in zip(held(), (objects, size), strict=True))
    assert more_objects < 500
    assert more_bytes < 2**20
    assert nights.measured == [*range(tenth), *range(tenth + 3, count)]
    fires = bench.fires()
    assert len(fires) == len({fire.run_id for fire in fires}) == count - 3
    assert sum(fire.missed for fire in fires) == 3
    assert {fire.outcome for fire in fires} == {FireOutcome.OK, FireOutcome.WORSE}
    told = [(message.event, round((float(message.run[4:]) - START - HALF_PAST_TWO) / DAY)) for message in bench.told]
    assert [event for event, _ in told] == ["alert", "recovered", "alert"]
    # The gate may have been undecided in the very night of a step.
    for (_, night), planted in zip(told, nights.steps, strict=True):
        assert planted <= night <= planted + 2
    alerts = bench.store.journal().alerts()
    assert [alert.kind for alert in alerts] == [AlertKind.REGRESSION] * 2
    assert "10.5 %" in bench.told[0].text
    assert "suspects: onnxruntime 1.30 → 1.31" in bench.told[0].text
    promoted = {(float(run_id[4:]) - START) // DAY for run_id in bench.promoted}
    assert promoted.isdisjoint(range(told[0][1], told[1][1]))
    assert promoted.isdisjoint(range(told[2][1], count))
    assert len(bench.said) < 4 * count


def held() -> tuple[int, int]:
    """How many objects Python's collector knows once it has collected, and the bytes of them and of what they hold.

    The process's resident size would depend on what ran in it before.
    """
    gc.collect()
    known = gc.get_objects()
    every = {id(each): each for each in known}
    # Strings, bytes and arrays are not known to the collector.
    every |= {id(each): each for each in gc.get_referents(*known)}
    return len(known), sum(map(sys.getsizeof, every.values()))


@pytest.mark.parametrize("planted", [{25: 0.10}, {25: 0.10, 45: -0.10}, {}])
def test_without_a_baseline_the_history_tells_each_step_once(
    bench: Any, make_run: Run, planted: dict[int, float]
) -> None:
    bench.put()
    nights = Nights(bench, make_run, steps=planted, gate=False)
    nights.play(0, 60)
    events = ["alert" if size > 0 else "recovered" for size in planted.values()]
    assert [message.event for message in bench.told] == events
    for message, night in zip(bench.told, planted, strict=True):
        told = (float(message.run[4:]) - START) // DAY
        assert night <= told <= night + 5
    alerts = bench.store.journal().alerts()
    assert len(alerts) == sum(size > 0 for size in planted.values())
    for alert in alerts:
        assert abs((float(alert.run_id[4:]) - START) // DAY - 25) <= 2
        assert "stepped up by" in alert.sentence
