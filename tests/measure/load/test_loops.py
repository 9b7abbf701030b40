"""The load generator against the scripted server, over real sockets. Structure and verdicts; no speeds.

No stamp has an upper bound here, however late a busy machine makes it: that is what `test_scripted_time` has.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.core.clock import SystemClock
from harness.core.event_loop import run
from harness.core.records.repetition import OutcomeKind
from harness.core.records.scenario import Band, Utterance
from harness.engines.http.dialects import OPENAI
from harness.engines.http.exchange import AudioChunk
from harness.engines.http.target import Target, read_address, read_settings
from harness.engines.protocol import ServerProcess
from harness.measure.load.arrivals import constant
from harness.measure.load.client import LoadClient, LoadResult
from harness.measure.load.http_streams import MOST_DEFERRED, DeferredDecoding
from harness.measure.load.invariants import SoloReference, similarity
from harness.measure.load.loops import closed_loop, open_loop, playback_end_ns
from harness.measure.load.records import KeepAudio, RequestTrace, Workload
from harness.measure.system.server_process import ServerWatch
from harness.metrics.per_request import repetition_figures
from harness.metrics.throughput import Window, within
from harness.server.mock.builtin import SCRIPTS
from harness.server.mock.script import Answer, Freeze, Script, Step
from harness.server.mock.server import serving

MS = 1_000_000
SHORT = Script(name="short", answers=(Answer(steps=(Step(wait_ms=100), Step(audio_share=0.5), Step(wait_ms=100),
                                                     Step(audio_share=0.5))),))  # fmt: skip
# Their tones, 1,140, 340, 630 and 230 Hz, lie in bands of their own.
TEXTS = tuple(
    Utterance(text_class="c", variant=number, text=text)
    for number, text in enumerate(("The first text.", "Another one here.", "Rain on the roof.", "A long way home."))
)


def target(url: str, **options: str) -> Target:
    return Target(address=read_address(url), settings=read_settings({"dialect": "openai"} | options), dialect=OPENAI)


def workload(texts: tuple[Utterance, ...] = TEXTS, *, stream: bool = True) -> Workload:
    return Workload(
        scenario_id="load", utterances=texts, band=lambda _: Band(low=0.06, high=0.08), voice="af_heart", stream=stream
    )


def client(url: str, *, keep: KeepAudio | None = None, watch: ServerWatch | None = None, **options: str) -> LoadClient:
    return LoadClient(target(url, **options), workload(), clock=SystemClock(), keep=keep, watch=watch)


def listening(url: str, *, users: int, seconds: float, listen: bool = False, **options: str) -> LoadResult:
    return run(
        closed_loop(
            client(url, **options),
            users=users,
            seconds=seconds,
            listen=listen,
        )
    )


def scheduled(url: str, starts: Sequence[int], *, places: int = 0, **options: str) -> LoadResult:
    return run(open_loop(client(url, **options), starts_ns=starts, places=places))


def test_a_closed_loop_keeps_each_listener_busy_with_one_request_after_the_other() -> None:
    with serving(SHORT) as (url, server):
        result = listening(url, users=3, seconds=0.5)
    assert all(each.outcome.valid for each in result.repetitions)
    assert server.tally.requests == len(result.load_records)
    for user in range(3):
        mine = [each for each in result.load_records if each.user == user]
        # 200 ms each: two end before 500 ms, and a third begins; fewer only on a machine that stands still.
        assert 1 <= len(mine) <= 3
        for earlier, later in pairwise(mine):
            assert later.intended_ns == earlier.intended_ns + earlier.repetition.end_ns
    assert sorted(each.position for each in result.repetitions) == list(range(len(result.load_records)))


def test_stamps_count_from_the_intended_start_and_hold_the_script() -> None:
    with serving(SHORT) as (url, _):
        result = listening(url, users=1, seconds=0.1)
    (load_record,) = result.load_records
    found = load_record.repetition
    # Both halves are one chunk where this process did not read the first before the second came.
    assert sum(chunk.frames for chunk in found.chunks) == 25_200
    assert found.chunks[0].at_ns >= 100 * MS
    assert 200 * MS <= found.chunks[-1].at_ns <= found.end_ns
    assert found.first_byte_ns == found.chunks[0].at_ns
    assert load_record.lag_ns >= 0
    assert load_record.waited_ns == 0
    assert result.loop_lag_ns
    assert result.lag_ns == (load_record.lag_ns, *result.loop_lag_ns)


def test_requests_are_made_before_their_time_and_each_is_asked_for_once_in_order() -> None:
    with serving(SHORT) as (url, _):
        result = scheduled(url, constant(50, 0.3))
    assert [each.position for each in result.repetitions] == list(range(15))
    assert [each.variant for each in result.repetitions] == [number % len(TEXTS) for number in range(15)]


def test_what_came_is_looked_at_in_its_order_one_piece_a_round_and_sooner_where_too_much_waits() -> None:
    done: list[int] = []
    rounds: list[int] = []

    async def put(count: int) -> None:
        decoding = DeferredDecoding()
        done.clear()
        rounds.clear()
        for number in range(count):
            decoding.put(partial(done.append, number))
        while len(done) < count:
            rounds.append(len(done))
            await asyncio.sleep(0)

    run(put(3))
    assert (done, rounds) == ([0, 1, 2], [0, 1, 2])
    run(put(MOST_DEFERRED + 10))
    assert done == list(range(MOST_DEFERRED + 10))
    # All that may not wait is done in the first round, then one in each.
    assert rounds[:3] == [0, 10, 11]


def test_audio_beyond_a_bound_is_judged_while_the_load_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(SHORT) as (url, _):
        later = scheduled(url, (0, 0, 0))
        monkeypatch.setattr("harness.measure.load.client.MOST_PENDING_FRAMES", 0)
        at_once = scheduled(url, (0, 0, 0))
    digests = [[each.audio.sha256 for each in result.repetitions if each.audio] for result in (later, at_once)]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 3


def test_connections_are_kept_in_a_closed_loop_or_made_anew_for_each_request() -> None:
    with serving(SHORT) as (url, _):
        kept = listening(url, users=2, seconds=1.5)
        cold = listening(url, users=2, seconds=0.3, keep_alive="off")
    assert sum(bool(each.stages) for each in kept.repetitions) == 2 < len(kept.repetitions)
    assert all([mark.stage for mark in each.stages] == ["connect"] for each in cold.repetitions)


def test_playback_ends_where_the_last_chunk_has_been_heard() -> None:
    half = np.zeros(12_000, dtype=np.float32)
    trace = RequestTrace(number=0, user=0, intended_ns=5 * MS, ready_ns=5 * MS, end_ns=2_000 * MS)
    assert playback_end_ns(trace, 24_000) == 2_000 * MS
    trace.chunks += [AudioChunk(at_ns=100 * MS, audio=half), AudioChunk(at_ns=800 * MS, audio=half)]
    assert playback_end_ns(trace, 24_000) == 1_300 * MS
    # The last piece is a quarter of a second, and comes while the others are still playing.
    trace.chunks.append(AudioChunk(at_ns=900 * MS, audio=half[:6_000]))
    assert playback_end_ns(trace, 24_000) == 1_550 * MS


def test_an_open_loop_starts_when_its_schedule_says_whatever_the_server_does() -> None:
    starts = constant(40, 0.5)
    with serving(SCRIPTS["no-answer"]) as (url, server):
        result = scheduled(url, starts, total_timeout="0.3")
        assert server.tally.requests == 20
    assert [each.intended_ns for each in result.load_records] == list(starts)
    assert {each.outcome.fault for each in result.repetitions} == {"timeout-total"}
    assert all(each.end_ns >= 300 * MS for each in result.repetitions)


def test_a_request_that_waits_for_a_place_waits_in_its_latency() -> None:
    with serving(SHORT) as (url, _):
        result = scheduled(url, (0, 0, 0), places=1)
    first, second, third = result.load_records
    assert first.waited_ns == 0
    assert 200 * MS <= second.waited_ns < third.waited_ns
    assert third.repetition.chunks[0].at_ns >= 500 * MS


def test_a_server_that_stands_still_is_charged_for_all_who_were_to_be_served_meanwhile() -> None:
    steps = (Step(wait_ms=400), Step(audio_share=0.5), Step(wait_ms=400), Step(audio_share=0.5))
    script = Script(name="freeze", answers=(Answer(steps=steps),), freeze=Freeze(at_ms=500, for_ms=1_000))
    with serving(script) as (url, _):
        result = scheduled(url, constant(20, 1.5))
    chunks = {each.intended_ns // MS: each.repetition.chunks for each in result.load_records}
    # Nothing is sent between 500 ms and 1,500 ms after the first request came. It may have come 400 ms late.
    assert chunks[150][-1].at_ns >= 1_800 * MS
    assert chunks[600][0].at_ns >= 1_300 * MS
    assert chunks[1_200][0].at_ns >= 700 * MS
    # So do those of a client that could not have asked meanwhile, having one place.
    with serving(script) as (url, _):
        bounded = scheduled(url, (0, 600 * MS, 1_200 * MS), places=1)
    assert bounded.load_records[0].repetition.chunks[-1].at_ns >= 1_800 * MS
    assert bounded.load_records[1].repetition.chunks[0].at_ns >= 1_600 * MS
    assert bounded.load_records[2].repetition.chunks[0].at_ns >= 1_800 * MS


def test_faults_are_outcomes_counted_by_name() -> None:
    with serving(SCRIPTS["flaky"]) as (url, _):
        result = scheduled(url, constant(100, 0.2))
    faults = [each.outcome.fault for each in result.repetitions]
    assert faults.count("http-503") == 2
    assert faults.count("") == 18


@pytest.mark.parametrize(
    ("script", "options", "kind", "fault"),
    [
        ("cut", {}, OutcomeKind.INVALID_AUDIO, "truncated"),
        ("reset", {}, OutcomeKind.INVALID_AUDIO, "truncated"),
        ("closes", {}, OutcomeKind.ERROR, "closed"),
        ("hang", {"idle_timeout": "0.3"}, OutcomeKind.TIMEOUT, "timeout-idle"),
        ("flood", {"max_bytes": "500000"}, OutcomeKind.ERROR, "too-large"),
        ("json-as-audio", {}, OutcomeKind.INVALID_AUDIO, "not-audio"),
        ("two-bytes", {}, OutcomeKind.INVALID_AUDIO, ""),
        ("http-307", {}, OutcomeKind.ERROR, "redirect"),
        ("raycast", {}, OutcomeKind.ERROR, "dialect"),
    ],
)
def test_the_load_generator_sees_the_faults_that_the_engine_sees(
    script: str, options: dict[str, str], kind: OutcomeKind, fault: str
) -> None:
    with serving(SCRIPTS[script]) as (url, _):
        result = scheduled(url, (0, 0), **options)
    assert [(each.outcome.kind, each.outcome.fault) for each in result.repetitions] == [(kind, fault)] * 2
    assert repetition_figures(result.repetitions[0])["ttfc"].value is None


@pytest.mark.parametrize(("url", "fault"), [("https://127.0.0.1:{port}", "tls"), ("http://nowhere.invalid:1", "dns")])
def test_an_address_that_cannot_be_reached_is_named(url: str, fault: str) -> None:
    with serving(SHORT) as (good, _):
        result = scheduled(url.format(port=good.rpartition(":")[2]), (0,))
    assert result.repetitions[0].outcome.fault == fault


def test_the_window_leaves_warm_up_and_cool_down_out() -> None:
    with serving(SHORT) as (url, _):
        result = scheduled(url, constant(20, 1.0))
    starts = [each.started_at for each in result.repetitions]
    window = Window(start=min(starts) + 0.4, end=max(starts) - 0.2)
    assert window.seconds == pytest.approx(0.95 - 0.6, abs=1e-3)
    inside = within(result.repetitions, window)
    assert 0 < len(inside) < 20


def test_the_servers_process_is_watched_over_the_whole_load_or_unknown() -> None:
    import os

    async def loaded(server: ServerProcess) -> LoadResult:
        return await open_loop(client(url, watch=ServerWatch(server)), starts_ns=(0,))

    with serving(SHORT) as (url, _):
        known = run(loaded(ServerProcess(pid=os.getpid(), found="ourselves")))
        unknown = run(loaded(ServerProcess(pid=None, found="elsewhere")))
    assert known.memory.peak is not None
    assert known.server_cpu_ns is not None
    assert (unknown.memory.peak, unknown.memory.peak_reason, unknown.server_cpu_ns) == (None, "elsewhere", None)


def answers(script: str, *, together: bool) -> dict[int, NDArray[np.float32]]:
    """Each text's audio, the texts asked for at once or one after the other."""
    found: dict[int, NDArray[np.float32]] = {}

    def keep(number: int, chunks: Sequence[NDArray[np.float32]]) -> None:
        found[number] = np.concatenate(chunks)

    starts = (0,) * len(TEXTS)
    with serving(SCRIPTS[script]) as (url, _):
        run(open_loop(client(url, keep=keep), starts_ns=starts, places=0 if together else 1))
    return found


@pytest.mark.parametrize(
    ("script", "same"), [("steady", True), ("swapped", False), ("mixed", False), ("same-audio", False)]
)
def test_answers_under_load_are_held_against_those_given_alone(script: str, same: bool) -> None:  # noqa: FBT001
    alone, loaded = answers("steady", together=False), answers(script, together=True)
    verdicts = [
        SoloReference(first=alone[n], again=alone[n], sample_rate=24_000).judge(loaded[n]) for n in range(len(TEXTS))
    ]
    if same:
        assert all(verdict.valid for verdict in verdicts)
    else:
        wrong = [verdict for verdict in verdicts if not verdict.valid]
        # With "same-audio" the first text's answer is its own; of two that are asked for at once one may be alone.
        assert len(wrong) >= len(TEXTS) - 1
        assert {verdict.fault for verdict in wrong} == {"differs-from-alone"}
        assert "differs from the solo answer: the similarity is" in wrong[0].reason


def test_noise_of_the_synthesiser_is_no_difference_and_another_sound_is() -> None:
    generator = np.random.default_rng(1)
    at = np.arange(48_000) / 24_000
    speech = (np.sin(2 * np.pi * 300 * at) * (np.sin(2 * np.pi * 3 * at) > 0)).astype(np.float32)
    other = (np.sin(2 * np.pi * 900 * at) * (np.sin(2 * np.pi * 5 * at) > 0)).astype(np.float32)
    noisy = [speech + 0.003 * generator.standard_normal(48_000).astype(np.float32) for _ in range(3)]
    assert SoloReference(first=noisy[0], again=noisy[1], sample_rate=24_000).judge(noisy[2]).valid
    assert not SoloReference(first=noisy[0], again=noisy[1], sample_rate=24_000).judge(other).valid
    assert not SoloReference(first=noisy[0], again=noisy[1], sample_rate=24_000).judge((speech + other) / 2).valid
    assert similarity(speech, speech, 24_000) == pytest.approx(1.0)
    assert similarity(speech, speech[:24_000], 24_000) == 0.0
    assert similarity(speech * 0, speech * 0, 24_000) == 1.0
