"""Many requests of one worker, over real sockets. Structure and verdicts; no speeds."""

from itertools import pairwise

import pytest

from harness.core.clock import SystemClock
from harness.core.records.repetition import Phase
from harness.core.records.scenario import Arrivals, Traffic
from harness.engines.http.dialects import OPENAI
from harness.engines.http.target import Target, read_address, read_settings
from harness.engines.protocol import EngineOrder, ServerProcess
from harness.measure.load.arrivals import starts_of
from harness.measure.worker.concurrent import handle_concurrent
from harness.measure.worker.probes import ScriptedProbes
from harness.measure.worker.protocol import (
    ConcurrentAnswer,
    ConcurrentOrder,
    LoadOrder,
    RequestText,
    read_order,
    write_order,
)
from harness.measure.worker.worker import Worker
from harness.server.mock.builtin import SCRIPTS
from harness.server.mock.script import Answer, Script, Step, Voice
from harness.server.mock.server import serving

STEPS = (Step(wait_ms=50), Step(audio_share=0.5), Step(wait_ms=50), Step(audio_share=0.5))
QUICK = Script(name="quick", answers=(Answer(steps=STEPS),))
# Their tones lie in bands of their own.
TEXTS: tuple[RequestText, ...] = tuple(
    RequestText(text_class="c", variant=number, text=text, language="en-us", band_low=0.06, band_high=0.08)
    for number, text in enumerate(("The first text.", "Another one here.", "Rain on the roof.", "A long way home."))
)


def order(**changes: object) -> ConcurrentOrder:
    fields: dict[str, object] = {
        "scenario_id": "s", "launch": 1, "block": 2, "phase": Phase.MEASURED, "texts": TEXTS, "voice": "af_heart",
    }  # fmt: skip
    return ConcurrentOrder(**(fields | changes))  # type: ignore[arg-type]


def attended(url: str, given: ConcurrentOrder) -> ConcurrentAnswer:
    target = Target(address=read_address(url), settings=read_settings({"dialect": "openai"}), dialect=OPENAI)
    server = ServerProcess(pid=None, found="elsewhere")
    # As it comes over a worker's input.
    sent = read_order(write_order(given).strip())
    assert isinstance(sent, ConcurrentOrder)
    return handle_concurrent(sent, target=target, server=server, clock=SystemClock())


def traffic(arrivals: Arrivals, level: float, *, first: float = 0.0) -> Traffic:
    return Traffic(arrivals=arrivals, level=level, first=first, seconds=0.4, warm_up_s=0.2, cool_down_s=0.2)


def test_texts_at_once_are_asked_for_in_one_moment_and_compared_with_themselves_alone() -> None:
    with serving(QUICK) as (url, server):
        answer = attended(url, order(compare=True))
        # Each once together with the others, and twice alone.
        assert server.tally.requests == 3 * len(TEXTS)
    # They come in the order in which they ended.
    assert sorted(each.variant for each in answer.repetitions) == [0, 1, 2, 3]
    assert all(each.outcome.valid for each in answer.repetitions)
    assert {(each.launch, each.block, each.phase) for each in answer.repetitions} == {(1, 2, Phase.MEASURED)}
    assert len({each.started_at for each in answer.repetitions}) == 1
    # Connections were there.
    assert not any(each.stages for each in answer.repetitions)


@pytest.mark.parametrize("voice", [Voice.OTHER, Voice.MIXED])
def test_an_answer_that_is_anothers_under_load_is_not_valid(voice: Voice) -> None:
    with serving(Script(name="mixing", answers=(Answer(steps=STEPS, voice=voice),))) as (url, _):
        answer = attended(url, order(compare=True))
    wrong = [each.outcome.fault for each in answer.repetitions if not each.outcome.valid]
    # Of all that are asked for at once, one may be alone.
    assert len(wrong) >= len(TEXTS) - 1
    assert set(wrong) == {"differs-from-alone"}


def test_what_failed_under_load_keeps_its_own_reason() -> None:
    with serving(SCRIPTS["http-503"]) as (url, _):
        answer = attended(url, order(compare=True))
    assert [each.outcome.fault for each in answer.repetitions] == ["http-503"] * len(TEXTS)


@pytest.mark.parametrize("arrivals", [Arrivals.CONSTANT, Arrivals.POISSON, Arrivals.RAMP])
def test_an_open_loop_has_its_phases_by_intended_start(arrivals: Arrivals) -> None:
    with serving(QUICK) as (url, _):
        answer = attended(url, order(traffic=traffic(arrivals, 40, first=10 if arrivals is Arrivals.RAMP else 0)))
    starts = [each.started_at - answer.began_at for each in answer.repetitions]
    assert starts == sorted(starts)
    for each, start in zip(answer.repetitions, starts, strict=True):
        # A start on the very edge may be rounded to either side of it.
        if min(abs(start - edge) for edge in (0.2, 0.6)) > 1e-6:
            expected = Phase.WARMUP if start < 0.2 else Phase.MEASURED if start < 0.6 else Phase.COOLDOWN
            assert each.phase is expected
    assert {each.phase for each in answer.repetitions} >= {Phase.WARMUP, Phase.MEASURED}
    assert all(each.lag_ns is not None for each in answer.repetitions)
    assert sum(times for _, times in answer.note.timer_lag) > 0
    assert answer.note.memory.peak_reason == "elsewhere"


def test_listeners_of_a_closed_loop_come_during_the_warm_up() -> None:
    with serving(QUICK) as (url, _):
        answer = attended(url, order(traffic=traffic(Arrivals.CLOSED, 3)))
    assert all(each.outcome.valid for each in answer.repetitions)
    first = sorted(each.started_at - answer.began_at for each in answer.repetitions)[:3]
    assert first[0] < 0.05
    assert all(later - earlier > 0.01 for earlier, later in pairwise(first[:2]))


def test_starts_follow_the_load() -> None:
    even = Traffic(arrivals=Arrivals.CONSTANT, level=10, seconds=1, warm_up_s=0.5, cool_down_s=0.5)
    assert starts_of(even, seed=0) == tuple(range(0, 2_000_000_000, 100_000_000))
    rising = Traffic(arrivals=Arrivals.RAMP, level=10, first=0, seconds=1, warm_up_s=0.5, cool_down_s=0.5)
    assert len(starts_of(rising, seed=0)) == 10
    chance = Traffic(arrivals=Arrivals.POISSON, level=10, seconds=1)
    assert starts_of(chance, seed=1) != starts_of(chance, seed=2)


TAKES = "concurrent requests need a server or an engine that several threads can call"


def test_an_engine_for_one_says_that_it_takes_no_crowd() -> None:
    worker = Worker(clock=SystemClock(), probes=ScriptedProbes())
    worker.answer(LoadOrder(arm_id="a", launch=0, engine=EngineOrder(engine="scripted", script={"quick_start": "1"})))
    assert worker.answer(order()).error == TAKES
    worker.close()
