"""Many listeners of an engine in process, by threads. Structure and verdicts; no speeds."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from harness.core.clock import SystemClock
from harness.core.records.repetition import EngineCounters, EngineFacts, OutcomeKind, Phase
from harness.engines.protocol import EngineOrder
from harness.engines.speech import SpeechRequest
from harness.measure.worker.concurrent import handle_concurrent_in_process
from harness.measure.worker.probes import ScriptedProbes
from harness.measure.worker.protocol import ConcurrentAnswer, ConcurrentOrder, LoadOrder, RequestText
from harness.measure.worker.worker import Worker
from harness.models.files import ModelFiles
from tests.conftest import SMALL
from tests.measure.requests_sent import PATIENCE_S

RATE = 24_000
TEXTS: tuple[RequestText, ...] = tuple(
    RequestText(text_class="c", variant=number, text=text, language="en-us", band_low=0.0, band_high=9.0)
    for number, text in enumerate(("The first text.", "Another one here.", "Rain on the roof.", "A long way home."))
)


class Tones:
    """An engine of threads: each text has a tone of its own, in two chunks. What it is told to do wrong, it does."""

    def __init__(self, *, mixes: bool = False, fails_at: str = "", keeps: bool = False) -> None:
        self.facts = EngineFacts(sample_rate=RATE)
        self.at_once = self.most_at_once = 0
        self._mixes, self._fails_at, self._keeps = mixes, fails_at, keeps
        self._spoken: list[str] = []
        self._lock = threading.Lock()
        self.meeting = threading.Barrier(1)

    def synthesise(self, request: SpeechRequest) -> Iterator[np.ndarray]:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self._spoken.append(request.text)
            together = len(self._spoken) <= self.meeting.parties
        if together:
            self.meeting.wait(PATIENCE_S)
        crowded = together and self.meeting.parties > 1
        try:
            if request.text == self._fails_at:
                raise RuntimeError("no breath")
            pitch = 200 + 400 * [each.text for each in TEXTS].index(request.text)
            pitch = 3_000 if self._mixes and crowded else pitch
            tone = 0.1 * np.sin(2 * np.pi * pitch * np.arange(RATE) / RATE)
            # It comes and goes, so that there is a course to compare.
            tone *= np.sin(2 * np.pi * 3 * np.arange(RATE) / RATE) ** 2
            yield from np.split(tone.astype(np.float32), 2)
        finally:
            with self._lock:
                self.at_once -= 1

    def account(self) -> EngineCounters:
        computed = len(set(self._spoken)) if self._keeps else len(self._spoken)
        return EngineCounters(
            routes=(("cpu:1", computed),),
            hits=len(self._spoken) - computed,
            misses=computed,
            cache_limit=1_000 if self._keeps else 0,
        )

    def close(self) -> None:
        """Nothing to give back."""


def order(texts: tuple[RequestText, ...], *, compare: bool = True) -> ConcurrentOrder:
    return ConcurrentOrder(
        scenario_id="s", launch=1, block=2, phase=Phase.MEASURED, texts=texts, voice="af_heart", compare=compare
    )


def attended(engine: Tones, texts: tuple[RequestText, ...]) -> ConcurrentAnswer:
    # All are asked for at once first, and each alone afterwards.
    engine.meeting = threading.Barrier(len(texts))
    return handle_concurrent_in_process(order(texts), engine=engine, clock=SystemClock(), probes=ScriptedProbes())


def test_all_ask_in_one_moment_and_are_compared_with_their_text_alone() -> None:
    engine = Tones()
    answer = attended(engine, TEXTS)
    assert engine.most_at_once == len(TEXTS)
    assert [each.outcome.kind for each in answer.repetitions] == [OutcomeKind.VALID] * 4
    assert [each.variant for each in answer.repetitions] == [0, 1, 2, 3]
    assert {(each.launch, each.block, each.phase) for each in answer.repetitions} == {(1, 2, Phase.MEASURED)}
    assert {each.started_at for each in answer.repetitions} == {answer.began_at}
    assert all(len(each.chunks) == 2 and each.chunks[0].at_ns > 0 for each in answer.repetitions)
    assert all(each.lag_ns is not None and each.lag_ns >= 0 for each in answer.repetitions)
    assert all(each.memory.peak for each in answer.repetitions)
    assert all(each.cpu_ns is not None for each in answer.repetitions)


def test_the_account_is_of_what_was_asked_at_once_alone() -> None:
    """Not of what is asked for afterwards, to compare with."""
    answer = attended(Tones(), TEXTS)
    assert {each.account for each in answer.repetitions} == {EngineCounters(routes=(("cpu:1", 4),), misses=4)}


def test_audio_that_differs_from_that_alone_is_not_valid() -> None:
    answer = attended(Tones(mixes=True), TEXTS)
    wrong = [each.outcome.fault for each in answer.repetitions if not each.outcome.valid]
    assert wrong == ["differs-from-alone"] * len(TEXTS)


def test_a_failure_is_its_own_listeners() -> None:
    answer = attended(Tones(fails_at=TEXTS[1].text), TEXTS)
    assert [each.outcome.kind for each in answer.repetitions] == [
        OutcomeKind.VALID, OutcomeKind.ERROR, OutcomeKind.VALID, OutcomeKind.VALID
    ]  # fmt: skip
    assert answer.repetitions[1].outcome.reason == "RuntimeError: no breath"


def test_a_stampede_is_compared_with_one_text_alone_and_held_to_its_promise() -> None:
    engine = Tones(keeps=True)
    answer = attended(engine, [TEXTS[0]] * 8)
    assert all(each.outcome.valid for each in answer.repetitions)
    assert answer.repetitions[0].account == EngineCounters(routes=(("cpu:1", 1),), hits=7, misses=1, cache_limit=1_000)
    assert engine.account().hits == 9, "the text was asked for alone twice, not sixteen times"


def worker(files: ModelFiles, **options: str) -> Worker:
    made = Worker(clock=SystemClock(), probes=ScriptedProbes())
    engine = EngineOrder(
        engine="kokoro-sentences", model=SMALL, model_path=str(files.model_path),
        voices_path=str(files.voices_path), voice="af_heart", threads=1, session_options=options,
    )  # fmt: skip
    launch = made.answer(LoadOrder(arm_id="a", launch=0, engine=engine)).launch
    assert launch is not None
    assert launch.outcome.valid
    return made


@pytest.fixture
def pool(small_replica: ModelFiles) -> Iterator[Worker]:
    made = worker(small_replica, sessions="2", cache="8")
    yield made
    made.close()


def test_a_pool_speaks_to_each_his_own_and_says_which_session_spoke(pool: Worker) -> None:
    crowd = pool.answer(order(TEXTS)).crowd
    assert crowd is not None
    assert [each.outcome.reason for each in crowd.repetitions] == [""] * len(TEXTS)
    account = crowd.repetitions[0].account
    assert account is not None
    assert sum(pieces for _, pieces in account.routes) == account.misses == account.asked == len(TEXTS)
    assert [name for name, _ in account.routes] == ["cpu:1", "cpu:1"]


def test_a_stampede_into_its_cache_is_computed_once(pool: Worker) -> None:
    crowd = pool.answer(order((TEXTS[2],) * 32)).crowd
    assert crowd is not None
    assert [each.outcome.reason for each in crowd.repetitions] == [""] * 32
    account = crowd.repetitions[0].account
    assert account is not None
    assert (account.asked, account.misses) == (32, 1)
    assert 0 < account.cache_bytes <= account.cache_limit == 8 * 2**20
    assert len({each.audio.sha256 for each in crowd.repetitions if each.audio}) == 1
