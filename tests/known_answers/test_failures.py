"""`load --arrivals constant` against a server that fails in known ways: rates of success, goodput, kinds, phases."""

from collections import Counter

import pytest

from harness.core.records.repetition import OutcomeKind, Phase
from harness.core.records.verdict import TargetKind
from harness.server.mock.script import Answer, End, Script, Step
from tests.known_answers.oracle import stall_s
from tests.known_answers.playing import Played, play
from tests.known_answers.proofs import proves
from tests.known_answers.witness import NS, RATE, ROUNDING_NS, Load, Pair

GOOD = Answer(steps=(Step(wait_ms=40), Step(audio_share=0.5), Step(wait_ms=20), Step(audio_share=0.5)))
STOPS = Answer(steps=(Step(wait_ms=40), Step(audio_share=0.2), Step(wait_share=2.0), Step(audio_share=0.8)))
"""Silent for nearly twice as long as the text lasts."""
BUSY = Answer(status=503, steps=(Step(body=b'{"error": "busy"}'),), content_type="application/json")
TINY = Answer(steps=(Step(body=b"\0\0"),))
CUT = Answer(steps=(Step(wait_ms=20), Step(audio_share=0.5), Step(end=End.CLOSE)))
SCRIPT = Script(name="failing", answers=(GOOD, GOOD, STOPS, BUSY, GOOD, TINY, GOOD, CUT), cycle=True)
ARRIVALS, WARM_UP_S, SECONDS, COOL_DOWN_S = 20, 0.6, 2.0, 0.4
EFFICIENT = 0.5
"""The limit on streaming efficiency: one that is silent for longer than it speaks misses it."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(
        tmp_path_factory.mktemp("failing"), SCRIPT, "load", "--targets",
        f"ttfa=30,rtf=100,streaming_efficiency={EFFICIENT}", "--rate", str(ARRIVALS), "--arrivals", "constant",
        "--text", "chars-12", "--seconds", f"{SECONDS}s", "--warm-up", f"{WARM_UP_S}s",
        "--cool-down", f"{COOL_DOWN_S}s",
    )  # fmt: skip


@pytest.fixture
def load(played: Played) -> Load:
    (load,) = played.loads.values()
    return load


def _measured(load: Load) -> list[Pair]:
    return [each for each in load.pairs if each.repetition.phase is Phase.MEASURED]


@proves("arrivals:constant")
def test_requests_come_evenly_at_the_rate_and_the_server_sees_none_early(load: Load) -> None:
    load.check_stamps()
    assert load.scenario.traffic is not None
    assert load.scenario.traffic.name == f"constant-{ARRIVALS}"
    starts = sorted(each.intended_ns for each in load.pairs)
    assert len(starts) == ARRIVALS * (WARM_UP_S + SECONDS + COOL_DOWN_S)
    for number, start in enumerate(starts):
        assert start - starts[0] == pytest.approx(number * NS / ARRIVALS, abs=ROUNDING_NS)


@proves("phase:warmup", "phase:measured", "phase:cooldown")
def test_each_phase_has_the_requests_of_its_time(load: Load) -> None:
    counted = Counter(each.repetition.phase for each in load.pairs)
    assert counted == {
        Phase.WARMUP: ARRIVALS * WARM_UP_S,
        Phase.MEASURED: ARRIVALS * SECONDS,
        Phase.COOLDOWN: ARRIVALS * COOL_DOWN_S,
    }
    in_order = [each.repetition.phase for each in sorted(load.pairs, key=lambda each: each.intended_ns)]
    assert in_order == sorted(in_order, key=[Phase.WARMUP, Phase.MEASURED, Phase.COOLDOWN].index)
    start_ns, end_ns = load.window_ns()
    for each in load.pairs:
        assert (start_ns <= each.intended_ns < end_ns) == (each.repetition.phase is Phase.MEASURED)


@proves("outcome:error", "outcome:invalid-audio", "outcome:valid")
def test_each_failure_is_the_one_that_the_server_made(load: Load) -> None:
    for each in load.pairs:
        seen, outcome = each.seen, each.repetition.outcome
        if seen.status == 503:
            expected = (OutcomeKind.ERROR, "http-503")
        elif sum(write.body_bytes for write in seen.writes) == 2:
            expected = (OutcomeKind.INVALID_AUDIO, "")
        elif seen.writes[-1].frames:
            # The last write carries the end of the chunked body, but where the server has hung up.
            expected = (OutcomeKind.INVALID_AUDIO, "truncated")
        else:
            expected = (OutcomeKind.VALID, "")
        assert (outcome.kind, outcome.fault) == expected


@proves("metric:success_rate")
def test_the_rate_of_success_is_that_of_the_servers_good_answers(played: Played, load: Load) -> None:
    measured = _measured(load)
    good = [each for each in measured if each.seen.status == 200 and len(each.seen.writes) == 3]
    summary = played.summary(load.scenario.id, "success_rate")
    assert summary.median == pytest.approx(len(good) / len(measured))
    assert summary.interval is not None
    assert 0 <= summary.interval.low < summary.median < summary.interval.high <= 1
    (target,) = [each for each in played.targets if each.metric == "success_rate"]
    assert target.kind is TargetKind.MISSED
    assert played.code == 1
    assert f"{summary.median:.1%}".replace("%", " %") in played.said


@proves("metric:goodput", "metric:throughput")
def test_goodput_counts_what_meets_every_target_and_throughput_what_is_valid(played: Played, load: Load) -> None:
    start_ns, end_ns = load.window_ns()
    _, highest = load.shift_ns
    bounds = {"throughput": [0.0, 0.0], "goodput": [0.0, 0.0]}
    for each in load.valid:
        # By its last write it was not complete before, and by the client's end not after: what lies between is open.
        surely = each.seen.last_ns > start_ns + highest and each.end_ns <= end_ns
        perhaps = each.end_ns > start_ns and each.seen.last_ns <= end_ns + highest
        spoken_s = each.seen.frames / RATE
        stalled_s = stall_s([(write.at_ns, write.frames) for write in each.seen.writes])
        worst = spoken_s / (spoken_s + stalled_s + each.spread_s) > EFFICIENT
        best = spoken_s / (spoken_s + max(0.0, stalled_s - each.spread_s)) > EFFICIENT
        for metric, value, low, high in (("throughput", spoken_s, True, True), ("goodput", 1.0, worst, best)):
            bounds[metric][0] += value * (surely and low)
            bounds[metric][1] += value * (perhaps and high)
    for metric, (low, high) in bounds.items():
        figure = played.summary(load.scenario.id, metric).median
        assert figure is not None
        assert 0 < low / SECONDS - 1e-9 <= figure <= high / SECONDS + 1e-9
    # Some answers are valid and not good.
    assert bounds["goodput"][1] < len(load.valid)


@proves("table:failures")
def test_failures_are_printed_with_how_often_the_server_made_them(played: Played, load: Load) -> None:
    made = Counter(each.repetition.outcome.fault or each.repetition.outcome.kind.value for each in load.pairs)
    assert f": {made['http-503']} × error (http-503): " in played.said
    assert f": {made['truncated']} × invalid-audio (truncated): " in played.said
    assert f": {made['invalid-audio']} × invalid-audio: " in played.said
    # Of every phase, as the server saw them.
    assert made["http-503"] == sum(each.status == 503 for each in load.seen)
