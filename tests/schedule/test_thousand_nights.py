"""A thousand nights on the scripted clock: the expected runs, one alert for each planted step, flat memory."""

import math
import random
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from harness.records.schedule import AlertKind, FireOutcome
from harness.records.verdict import VerdictKind
from harness.schedule.process import Exit

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


def test_a_thousand_nights(bench: Any, make_run: Run) -> None:
    bench.put(promote="clean")
    nights = Nights(bench, make_run, steps={300: 0.10, 500: -0.10, 700: 0.20}, gate=True)
    process = psutil.Process()
    nights.play(0, 100)
    nights.play(103, 400)  # three nights without power: caught up once
    bench.daemon = bench.new_daemon()
    bench.daemon.recover()
    before = process.memory_info().rss
    nights.play(400, 1_000)
    assert process.memory_info().rss - before < 10 * 2**20
    assert nights.measured == [*range(100), *range(103, 1_000)]
    fires = bench.fires()
    assert len(fires) == len({fire.run_id for fire in fires}) == 997
    assert sum(fire.missed for fire in fires) == 3
    assert {fire.outcome for fire in fires} == {FireOutcome.OK, FireOutcome.WORSE}
    told = [(message.event, round((float(message.run[4:]) - START - HALF_PAST_TWO) / DAY)) for message in bench.told]
    assert [event for event, _ in told] == ["alert", "recovered", "alert"]
    # The gate may have been undecided in the very night of a step.
    for (_, night), planted in zip(told, (300, 500, 700), strict=True):
        assert planted <= night <= planted + 2
    alerts = bench.store.journal().alerts()
    assert [alert.kind for alert in alerts] == [AlertKind.REGRESSION] * 2
    assert "10.5 %" in bench.told[0].text
    assert "suspects: onnxruntime 1.30 → 1.31" in bench.told[0].text
    promoted = {(float(run_id[4:]) - START) // DAY for run_id in bench.promoted}
    assert promoted.isdisjoint(range(told[0][1], told[1][1]))
    assert promoted.isdisjoint(range(told[2][1], 1_000))
    assert len(bench.said) < 4_000


@pytest.mark.parametrize("planted", [{60: 0.10}, {60: 0.10, 100: -0.10}, {}])
def test_without_a_baseline_the_history_tells_each_step_once(
    bench: Any, make_run: Run, planted: dict[int, float]
) -> None:
    bench.put()
    nights = Nights(bench, make_run, steps=planted, gate=False)
    nights.play(0, 130)
    events = ["alert" if size > 0 else "recovered" for size in planted.values()]
    assert [message.event for message in bench.told] == events
    for message, night in zip(bench.told, planted, strict=True):
        told = (float(message.run[4:]) - START) // DAY
        assert night <= told <= night + 5
    alerts = bench.store.journal().alerts()
    assert len(alerts) == sum(size > 0 for size in planted.values())
    for alert in alerts:
        assert abs((float(alert.run_id[4:]) - START) // DAY - 60) <= 2
        assert "stepped up by" in alert.sentence
