"""Where nights were measured against the accepted reference, report and alerts search the ratios, not the machine."""

import math
import random
from typing import Any

import pytest

from harness.core.records.verdict import REPLAYED, VerdictKind
from harness.runner.outputs import write_report
from harness.schedule.launcher import Exit

from .test_thousand_nights import DAY, HALF_PAST_TWO, START, Run

CHANGED = 12
"""From this night on, what is under test differs from the subject of the first night, which was accepted."""


class PairedNights:
    """Nights on a machine of its own speed; the pairs of each show `ratio` and decide nothing.

    What the workers loaded is unknown: it does not tell a step of the machine from one of the subject.
    """

    def __init__(self, bench: Any, make_run: Run) -> None:
        self.bench, self.make_run = bench, make_run
        self.random = random.Random(11)  # noqa: S311 - noise, no secret
        bench.put()

    def play(self, night: int, *, machine: float, ratio: float) -> None:
        def run(process: Any) -> None:
            at = self.bench.clock.wall()
            first = f"run-{int(START + HALF_PAST_TWO)}"
            same = night < CHANGED
            run_id = self.make_run(
                self.bench.store,
                at=at,
                median=math.exp(machine + ratio + self.random.gauss(0, 0.01)),
                size=ratio + self.random.gauss(0, 0.004),
                verdict=VerdictKind.SAME_SUBJECT if same else VerdictKind.INCONCLUSIVE,
                reference="" if same else f"{REPLAYED}{at}",
                accepted=first if night else "",
            )
            self.bench.begin(process, run_id)
            process.ends = Exit(code=0)

        self.bench.launcher.on_go = run
        self.bench.at(START + night * DAY + HALF_PAST_TWO)

    def marks(self) -> tuple[int, int]:
        """How many steps, and how many alerts that are none of them, the page of the trend marks."""
        (page,) = (write_report(self.bench.store, self.bench.config).parent / "trends").glob("latency-*.html")
        html = page.read_text(encoding="utf-8")
        assert "linked" not in html
        absolute = html.partition("ratio to the accepted reference")[0]
        return absolute.count('class="event step"'), absolute.count('class="event reported"')


@pytest.fixture
def nights(bench: Any, make_run: Run) -> PairedNights:
    return PairedNights(bench, make_run)


def test_a_step_of_the_machine_is_neither_marked_nor_told(nights: PairedNights) -> None:
    for night in range(34):
        nights.play(night, machine=0.15 if night >= 24 else 0.0, ratio=0.0)
    assert nights.bench.told == []
    assert nights.marks() == (0, 0)


def test_a_step_that_the_machine_hides_is_marked_and_told_at_one_run(nights: PairedNights) -> None:
    """The value stays where it is: the machine got faster by what the subject lost."""
    for night in range(34):
        nights.play(night, machine=-0.1 if night >= 24 else 0.0, ratio=0.1 if night >= 24 else 0.0)
    (message,) = nights.bench.told
    assert message.event == "alert"
    (alert,) = nights.bench.store.journal().alerts()
    place = (float(alert.run_id[4:]) - START - HALF_PAST_TWO) / DAY
    assert 23 <= place <= 25
    assert abs(alert.size - 0.1) < 0.01
    assert nights.marks() == (1, 0), "the alert is told at the run that the report marks"
