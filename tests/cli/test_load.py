"""`kokoro-bench load` as a user calls it: the command as a process, the scripted server, real sockets between them."""

from pathlib import Path

import pytest

from harness.core.records.repetition import Phase
from harness.core.records.run import RunData
from harness.server.mock.script import Answer, Script, Step
from harness.server.mock.server import serving
from harness.store.runs import open_store
from tests.conftest import Command

GOOD = (Step(wait_ms=50), Step(audio_share=0.5), Step(wait_ms=50), Step(audio_share=0.5))
EASY = ("--targets", "ttfa=30,rtf=100,streaming_efficiency=0.01")
"""Limits that a machine meets on which much else runs."""
BUSY = Answer(status=503, steps=(Step(body=b'{"error": "busy"}'),), content_type="application/json")
SHORT = ("--text", "chars-12", "--seconds", "1s", "--warm-up", "0.3s", "--cool-down", "0.3s")


def script(*answers: Answer) -> Script:
    return Script(name="test", meaning="a test's own", answers=answers)


def stored(directory: Path) -> RunData:
    with open_store(directory / ".kokoro-bench/results.sqlite") as store:
        return store.load(store.resolve("latest"))


def test_loads_are_measured_stored_shown_and_reported(kokoro_bench: Command, tmp_path: Path) -> None:
    with serving(script(Answer(steps=GOOD))) as (url, _):
        found = kokoro_bench("load", "--url", url, *SHORT, *EASY, "--rate", "8,4", "--arrivals", "constant")
        shown = kokoro_bench("runs", "show")
    assert found.returncode == 0, found.stdout + found.stderr
    data = stored(tmp_path)
    assert [each.traffic.name for each in data.run.scenarios if each.traffic] == ["constant-4", "constant-8"]
    assert data.run.selection == "load"
    for scenario, block, rate in zip(data.run.scenarios, data.blocks, (4, 8), strict=True):
        assert block.order == (scenario.id,)
        ours = [each for each in data.repetitions if each.scenario_id == scenario.id]
        assert sum(each.phase is Phase.MEASURED for each in ours) == pytest.approx(rate, abs=1)
        assert {each.phase for each in ours} == {Phase.WARMUP, Phase.MEASURED, Phase.COOLDOWN}
    summaries = {(each.scenario_id, each.metric): each for each in data.summaries}
    for scenario in data.run.scenarios:
        for metric in ("ttfa", "stall", "throughput", "goodput", "client_lag", "rss_peak", "cpu_per_audio"):
            assert summaries[scenario.id, metric].n, metric
    # The server is this test's process, and what it says of itself is beside what was seen.
    assert dict(data.blocks[-1].servers)[data.run.scenarios[0].arm.id].figures
    for said in (found.stdout, shown.stdout):
        assert "constant-4" in said
        assert "goodput" in said
        assert "lag p99" in said
    page = (tmp_path / f"reports/site/runs/{data.run.id}.html").read_text(encoding="utf-8")
    assert "requests a second, evenly" in page


def test_a_sweep_ends_at_the_first_load_that_is_not_sustained(kokoro_bench: Command, tmp_path: Path) -> None:
    # Fourteen answers come: the first inference, and a load of 10 a second over 1.3 s. Then the server is busy.
    options = ("--sweep", "--rate", "10,20,40", "--arrivals", "constant", "--cool-down", "0")
    with serving(script(*[Answer(steps=GOOD)] * 14, BUSY)) as (url, _):
        found = kokoro_bench("load", "--url", url, *SHORT, *EASY, *options)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "highest sustained load: 10 (" in found.stdout
    assert "constant-40: not tried, since constant-20 did not meet every target" in found.stdout
    assert "not tried" in found.stdout
    data = stored(tmp_path)
    assert len(data.blocks) == 2
    assert {each.scenario_id.rpartition("-")[2] for each in data.targets} == {"10", "20"}


def test_a_sweep_exits_with_1_if_the_lightest_load_is_not_sustained(kokoro_bench: Command) -> None:
    late = Answer(steps=(Step(wait_ms=1_000), Step(audio_share=1.0)))
    with serving(script(late)) as (url, _):
        found = kokoro_bench("load", "--url", url, *SHORT, "--sweep", "--rate", "5,10")
    assert found.returncode == 1, found.stdout + found.stderr
    assert "highest sustained load: none: the targets were not all met at the lowest load" in found.stdout


def test_a_sweep_without_a_valid_request_in_the_window_exits_with_3(kokoro_bench: Command) -> None:
    # The only user's first request starts before the window and is answered after it.
    slow = Answer(steps=(Step(wait_ms=3_000), Step(audio_share=1.0)))
    with serving(script(slow)) as (url, _):
        found = kokoro_bench("load", "--url", url, *SHORT, "--sweep", "--users", "1")
    assert found.returncode == 3, found.stdout + found.stderr
    assert "none: the lightest load has no valid request in its measured window" in found.stdout
    assert "exit code 3: a load could not be measured" in found.stdout


def test_listeners_hear_it_out_in_each_block_and_stalls_are_counted(kokoro_bench: Command, tmp_path: Path) -> None:
    stalling = (Step(audio_share=0.3), Step(wait_share=0.8), Step(audio_share=0.7))
    options = ("--users", "2", "--listen", "--blocks", "2")
    with serving(script(Answer(steps=stalling))) as (url, _):
        found = kokoro_bench("load", "--url", url, *SHORT, *options)
    assert found.returncode == 1, found.stdout + found.stderr
    data = stored(tmp_path)
    assert [block.block for block in data.blocks] == [0, 1]
    (scenario,) = data.run.scenarios
    assert scenario.id.endswith("/closed-2-listening")
    stalls = next(each for each in data.summaries if each.metric == "stall_count")
    assert stalls.median == 1
    assert "streaming_efficiency" in {each.metric for each in data.targets if each.kind.value == "missed"}


def test_failures_are_counted_by_kind(kokoro_bench: Command) -> None:
    mixed = Script(name="mixed", answers=(Answer(steps=GOOD), Answer(steps=(Step(body=b"\0\0"),)), BUSY), cycle=True)
    with serving(mixed) as (url, _):
        found = kokoro_bench("load", "--url", url, *SHORT, "--rate", "10")
    assert found.returncode == 1, found.stdout + found.stderr
    assert "× error (http-503): " in found.stdout
    assert "× invalid-audio: " in found.stdout


def test_a_server_that_is_not_there_cannot_be_loaded(kokoro_bench: Command) -> None:
    found = kokoro_bench("load", "--url", "http://127.0.0.1:9", *SHORT, "--rate", "2")
    assert found.returncode == 3, found.stdout + found.stderr
    assert "refused" in found.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "no load is named"),
        (("--rate", "2", "--users", "2"), "leave --rate out"),
        (("--rate", "fast"), "--rate: 'fast' is not a rate in requests per second"),
        (("--rate", "0"), "'0' is not a rate"),
        (("--rate", "2,2"), "2 comes twice"),
        (("--rate", "4", "--rate", "2,4"), "4 comes twice"),
        (("--users", "1.5"), "'1.5' is not a whole number of users"),
        (("--users", "inf"), "'inf' is not a whole number of users"),
        (("--ramp", "5"), "'5' is no ramp — --ramp 1:10"),
        (("--ramp", "5:0"), "--ramp: '0' is not a rate in requests per second — such as --ramp 1:10"),
        (("--rate", "0", "--warm-up", "0s", "--cool-down", "0ms"), "'0' is not a rate"),
        (("--rate", "2", "--listen"), "it needs users, not a rate"),
        (("--rate", "2", "--seconds", "0"), "the window must be longer than 0 s"),
        (("--rate", "2", "--seconds", "soon"), "--seconds: "),
        (("--rate", "2", "--text", "chars-13"), "unknown text class 'chars-13'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(
    here: Command, options: tuple[str, ...], said: str
) -> None:
    found = here("load", "--url", "http://127.0.0.1:9", *options)
    assert found.returncode == 2
    assert said in found.stderr


def test_a_load_takes_a_server(here: Command) -> None:
    found = here("load", "--rate", "2")
    assert found.returncode == 2
    assert "a load takes a server — --url http://127.0.0.1:8880" in found.stderr
