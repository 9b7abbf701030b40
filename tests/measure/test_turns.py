"""Both sides of a duel at the same time: what the conductor makes of it, with workers that only seem to be halted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn, cast

from harness.clock import ScriptedClock
from harness.measure.events import BlockDone
from harness.measure.handle import WorkerLost, WorkerPlace
from harness.measure.messages import SpeakOrder
from harness.measure.standstill import Halter
from harness.plan.matrix import Rhythm
from harness.records.repetition import OutcomeKind, Repetition
from tests.measure.conducting import (
    DERIVED,
    ORIGINAL,
    Agency,
    Hand,
    Played,
    Rule,
    brief,
    lose,
    perform,
    plan,
    scenario,
)

PAIRS = (
    scenario(ORIGINAL, "short"),
    scenario(DERIVED, "short"),
    scenario(ORIGINAL, "long"),
    scenario(DERIVED, "long"),
)


@dataclass
class FakeHalter:
    """Writes down who is halted when."""

    log: list[str]
    name: Callable[[], str]
    halted: bool = False

    def halt(self, *, instead: object = None) -> None:
        del instead
        if not self.halted:
            self.halted = True
            self.log.append(f"halt {self.name()}")

    def go_on(self) -> None:
        if self.halted:
            self.halted = False
            self.log.append(f"go on {self.name()}")


class HaltableHand(Hand):
    """A scripted worker that answers in its first slice."""

    def __init__(self, agency: "SlicedAgency") -> None:
        super().__init__(agency)
        self.order: SpeakOrder | None = None
        self.fake = FakeHalter(agency.halts, lambda: self.name)

    @property
    def halter(self) -> Halter | None:
        return cast("Halter", self.fake)

    def begin(self, order: SpeakOrder) -> None:
        assert self.fake.halted
        self.order = order

    def heard(self, order: SpeakOrder, *, within_s: float) -> Repetition | None:
        assert order is self.order
        cast("SlicedAgency", self.agency).parts.append(within_s)
        assert not self.fake.halted
        return self.speak(order, timeout_s=within_s)

    def give_up(self, order: SpeakOrder, *, after_s: float) -> NoReturn:
        raise WorkerLost(OutcomeKind.TIMEOUT, f"{order.text_summary}: {after_s}")


@dataclass
class SlicedAgency(Agency):
    halts: list[str] = field(default_factory=list)
    parts: list[float] = field(default_factory=list)
    able: bool = True

    def start(self, _place: WorkerPlace) -> Hand:
        hand = HaltableHand(self) if self.able else Hand(self)
        self.open.append(hand)
        return hand


def play(*, able: bool = True, rule: Rule = lambda _order: None, **pace: float) -> tuple[Played, SlicedAgency]:
    agency = SlicedAgency(ScriptedClock(), rule=rule, able=able)
    return perform(plan(PAIRS, rhythm=Rhythm(slice_s=0.025), **pace), agency=agency), agency


def spoken(block: BlockDone) -> list[str]:
    return [brief(each.scenario_id) for each in block.repetitions]


def test_each_text_is_spoken_by_both_before_the_next() -> None:
    played, agency = play(launches=2, blocks=3)
    assert len(played.blocks) == 6
    for block in played.blocks:
        one, other, third, fourth = spoken(block)
        assert {one.split()[1], third.split()[1]} == {"short", "long"}
        assert one.split()[1] == other.split()[1]
        assert third.split()[1] == fourth.split()[1]
        assert block.block.slice_ns == 25_000_000
        assert [each.position for each in block.repetitions] == [0, 1, 2, 3]
    assert agency.halts.count("halt scripted.cpu.tdefault") == agency.halts.count("go on scripted.cpu.tdefault")
    assert not any(cast("HaltableHand", hand).fake.halted for hand in agency.open)


def test_who_begins_is_turned_round_with_the_block() -> None:
    played, _ = play(launches=1, blocks=4)
    first = [spoken(block)[0].split()[0] for block in played.blocks]
    assert first[0] != first[1]
    assert first[2] != first[3]


def test_workers_that_cannot_be_halted_speak_one_after_the_other() -> None:
    played, agency = play(able=False)
    assert {block.block.slice_ns for block in played.blocks} == {0}
    assert all(len(block.repetitions) == 4 for block in played.blocks)
    assert not agency.halts


def test_who_is_lost_over_it_costs_itself_alone() -> None:
    def rule(order: object) -> None:
        if isinstance(order, SpeakOrder) and order.phase == "measured" and brief(order.scenario_id) == "8bit long":
            lose(OutcomeKind.CRASHED, "killed by SIGSEGV")

    played, _ = play(launches=2, blocks=2, rule=rule)
    first, *others = played.blocks
    assert {brief(each.scenario_id): each.outcome.kind for each in first.repetitions} == {
        "fp32 short": OutcomeKind.VALID,
        "8bit short": OutcomeKind.VALID,
        "fp32 long": OutcomeKind.VALID,
        "8bit long": OutcomeKind.CRASHED,
    }
    lost = next(each for each in first.repetitions if not each.outcome.valid)
    beside = next(each for each in first.repetitions if brief(each.scenario_id) == "fp32 long")
    assert {lost.position, beside.position} in ({0, 1}, {2, 3})
    assert lost.variant == beside.variant
    for block in others:
        assert sorted(spoken(block)) == ["8bit short", "fp32 long", "fp32 short"]


def test_a_short_text_has_shorter_turns() -> None:
    """Of 10 characters the faster side takes 115 ms, of 100 more than a second; the first turn is half a one."""
    _, agency = play(launches=1, blocks=1)
    # Who is left has the time that is left, which is seconds.
    assert {round(seconds, 4) for seconds in agency.parts if seconds < 1} == {0.0125, round(0.115 / 8 / 2, 4)}
