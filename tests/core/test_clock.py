"""The clocks that everything reads."""

from dataclasses import dataclass, field

from harness.core.clock import ScriptedClock, both_now


@dataclass
class InterruptedClock(ScriptedClock):
    """A clock of a process that is interrupted, so many ns, before each reading of the wall clock."""

    interruptions: list[int] = field(default_factory=list)

    def wall(self) -> float:
        self.elapsed_ns += self.interruptions.pop(0) if self.interruptions else 9_000_000
        read = super().wall()
        self.elapsed_ns += 10
        return read


def test_one_moment_on_both_clocks_is_read_where_nothing_came_between() -> None:
    clock = InterruptedClock(interruptions=[50_000_000, 3_000_000, 10, 7_000_000])
    at_ns, wall = both_now(clock)
    # The third reading is the one without an interruption.
    assert at_ns == 53_000_000 + 2 * 10 + 10
    assert wall == clock.epoch + at_ns / 1e9
