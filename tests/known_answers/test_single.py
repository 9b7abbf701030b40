"""`validate`: one request at a time of a server that refuses one of them; the table's figures and the exit code."""

import time
from statistics import median

import pytest

from harness.core.records.repetition import Phase, Repetition
from harness.server.mock.script import Answer, Script, Step
from tests.known_answers.oracle import onset_s, stall_s
from tests.known_answers.playing import Played, play
from tests.known_answers.proofs import proves
from tests.known_answers.witness import NS, RATE, Seen, most_open, spread_s

SILENCE_S = 0.1
GOOD = Answer(
    steps=(
        Step(wait_ms=150), Step(silence_ms=1000 * SILENCE_S), Step(audio_ms=100), Step(wait_ms=450),
        Step(audio_share=0.8), Step(wait_ms=30),
    )
)  # fmt: skip
"""Playback stops for a quarter of a second."""
BUSY = Answer(status=503, steps=(Step(body=b"{}"),), content_type="application/json")
SCRIPT = Script(name="single", answers=(GOOD, GOOD, GOOD, BUSY, GOOD))
"""The first inference, the warm-up, then blocks, of which the second is refused."""
BLOCKS = 4


@pytest.fixture(scope="module")
def apart_ns() -> int:
    """What the date is ahead of the monotonic clock."""
    return time.time_ns() - time.monotonic_ns()


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(
        tmp_path_factory.mktemp("single"), SCRIPT, "validate", "--text", "chars-12", "--launches", "1", "--blocks",
        str(BLOCKS), "--budget", "10m", "--targets", "ttfa=30,rtf=100,streaming_efficiency=0.01",
    )  # fmt: skip


@pytest.fixture
def measured(played: Played) -> list[tuple[Repetition, Seen]]:
    repetitions = sorted(
        (each for each in played.repetitions if each.phase is Phase.MEASURED), key=lambda each: each.block
    )
    pairs = list(zip(repetitions, played.log.answers[2:], strict=True))
    assert len(pairs) == BLOCKS
    return pairs


@proves("phase:warmup", "phase:first")
def test_every_request_is_stored_but_the_first_inference(played: Played) -> None:
    warm_ups = [each for each in played.repetitions if each.phase is Phase.WARMUP]
    assert len(warm_ups) == 1
    assert len(played.log.answers) == 1 + len(played.repetitions) == 2 + BLOCKS
    assert most_open(played.log.answers) == 1
    # Texts change with every block, since a server may keep its answers.
    assert len({each.text for each in played.log.answers[2:]}) == BLOCKS


@proves("keep_alive:on")
def test_one_connection_carries_them_all_until_one_is_refused(played: Played) -> None:
    used = [each.connection for each in played.log.answers]
    (refused,) = [number for number, each in enumerate(played.log.answers) if each.status == 503]
    assert len(set(used[: refused + 1])) == 1
    assert len(set(used[refused + 1 :])) == 1


@proves("metric:ttfb", "metric:ttfc", "metric:ttfa", "metric:latency", "metric:stall")
def test_stamps_are_no_earlier_than_the_servers_writes_and_typically_not_later(
    measured: list[tuple[Repetition, Seen]], played: Played, apart_ns: int
) -> None:
    (scenario,) = played.run.scenarios
    figures = played.figures(scenario.id)
    late: dict[str, list[float]] = {name: [] for name in ("ttfb", "ttfc", "latency", "ttfa")}
    waits = []
    for repetition, seen in measured:
        line = next(each for each in figures if each["block"] == repetition.block)
        if not repetition.outcome.valid:
            assert (seen.status, line["ttfa"], line["latency"]) == (503, None, None)
            continue
        writes = [(write.at_ns, write.frames) for write in seen.writes]
        sounds_ns = round(NS * onset_s(writes, silence=round(SILENCE_S * RATE)))
        true = {"ttfb": seen.first_body_ns, "ttfc": seen.first_audio_ns, "latency": seen.last_ns, "ttfa": sounds_ns}
        begun_ns = round(repetition.started_at * 1e9) - apart_ns
        waits.append(seen.asked_ns - begun_ns)
        for name, at_ns in true.items():
            figure = line[name]
            assert figure is not None
            # It began before the server had the request. An onset is found to a window of 10 ms.
            assert figure * NS >= at_ns - seen.asked_ns - (11_000_000 if name == "ttfa" else 0)
            late[name].append(figure * NS - (at_ns - begun_ns))
        assert line["stall"] == pytest.approx(stall_s(writes), abs=spread_s(repetition, seen))
    for name, found in late.items():
        # What the way to the server took at most, the way back takes typically; a repetition has only a date.
        assert median(found) <= max(waits) + (16 if name == "ttfa" else 5) * 1_000_000


@proves("metric:success_rate", "table:validate")
def test_the_table_says_what_the_server_did_and_the_code_what_the_table_says(
    measured: list[tuple[Repetition, Seen]], played: Played
) -> None:
    good = sum(seen.status == 200 for _, seen in measured)
    assert good == BLOCKS - 1
    (line,) = [line for line in played.said.splitlines() if "success_rate" in line]
    assert "75.0 %" in line
    assert "missed" in line
    assert played.code == 1
    for metric in ("ttfa", "rtf", "streaming_efficiency"):
        (line,) = [line for line in played.said.splitlines() if f" {metric} " in line]
        assert "✓ met" in line
        target = next(each for each in played.targets if each.metric == metric)
        (scenario,) = played.run.scenarios
        values = [each[metric] for each in played.figures(scenario.id) if each[metric] is not None]
        assert target.observed.value == pytest.approx(median(value for value in values if value is not None))
