"""A load whose clients are elsewhere, without the tool that drives it: reports in, a run out."""

import io
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy import stats

from harness.core.clock import ScriptedClock
from harness.core.errors import ExitCode, UsageError
from harness.core.records.repetition import AudioFeatures, ChunkMark, Phase, Repetition
from harness.core.records.run import RunStatus
from harness.core.records.scenario import Arrivals, Scenario, Traffic
from harness.engines.http.dialects import OPENAI
from harness.engines.http.target import Target, read_address, read_settings
from harness.measure.load.arrivals import starts_of
from harness.measure.load.external_client import ExternalClient, own_starts, resolve_target, texts_of
from harness.plan.arms import endpoint_arm
from harness.plan.config import Config, load_config
from harness.runner.distributed_load import LoadCollector, asked_scenario, scenario_of
from harness.runner.resources import Resources, prepare_resources
from harness.server.mock.builtin import SCRIPTS
from harness.server.mock.script import Answer, Step
from harness.server.mock.server import serving
from harness.store.runs import RunStore, open_store

LOAD = Traffic(arrivals=Arrivals.CLOSED, level=4, seconds=10, warm_up_s=5, cool_down_s=2)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config({"url": "http://127.0.0.1:1"}, start=tmp_path, environment={})


@pytest.fixture
def resources() -> Resources:
    """A scripted machine; the clock is the test's to move."""
    return prepare_resources(load_config({"engine": "scripted"}, environment={}), report=print)


@pytest.fixture
def store(config: Config) -> Iterator[RunStore]:
    with open_store(config.results) as opened:
        yield opened


def answered(scenario_id: str, *, started_at: float) -> Repetition:
    """One second of audio that came whole after 0.1 s."""
    audio = AudioFeatures(
        sample_rate=24_000, frames=24_000, sha256="", finite=True, peak=0.5, rms_dbfs=-20.0, clipped_share=0.0,
        onset_frame=0,
    )  # fmt: skip
    return Repetition(
        scenario_id=scenario_id, launch=0, block=0, position=0, phase=Phase.MEASURED, variant=0, characters=12,
        started_at=started_at, end_ns=100_000_000, chunks=(ChunkMark(at_ns=100_000_000, frames=24_000),), audio=audio,
        lag_ns=1_000_000,
    )  # fmt: skip


def report(repetitions: list[Repetition], *, wall: float) -> dict[str, object]:
    return {"repetitions": msgspec.json.encode(repetitions), "lag": [(1, 3)], "wall": wall}


def loaded(config: Config) -> Scenario:
    return scenario_of(config, endpoint_arm(config), "chars-12", LOAD)


def test_what_clients_report_becomes_one_run(config: Config, store: RunStore, resources: Resources) -> None:
    scenario, clock = loaded(config), resources.clock
    assert isinstance(clock, ScriptedClock)
    gathering = LoadCollector(config, scenario, store, resources, clients=("a", "b"))
    # What the clients prepare takes as long as it takes: the warm-up begins when both are ready, with all listeners.
    clock.sleep(30)
    assert not gathering.note_ready("a", 4)
    clock.sleep(30)
    assert gathering.note_ready("b", 0)
    assert not gathering.note_ready("b", 0)
    began = clock.wall()
    # The clients do not know how many they are: their scenario has another name.
    clock.sleep(6)
    gathering.add("a", report([answered("closed-1", started_at=began + at) for at in (1, 6)], wall=clock.wall()))
    assert len(store.load(gathering.run_id).repetitions) == 2
    clock.sleep(12)
    gathering.add("b", report([answered("closed-1", started_at=began + at) for at in (7, 16)], wall=clock.wall()))
    for client in "ab":
        gathering.add(client, report([], wall=clock.wall()) | {"lag": [], "last": True})
    finished = gathering.finish()
    data = finished.data
    assert finished.code is ExitCode.OK
    assert data.run.status is RunStatus.COMPLETE
    assert [each.phase for each in data.repetitions] == [
        Phase.WARMUP, Phase.MEASURED, Phase.MEASURED, Phase.COOLDOWN,
    ]  # fmt: skip
    assert {each.scenario_id for each in data.repetitions} == {scenario.id}
    summaries = {each.metric: each for each in data.summaries}
    assert summaries["throughput"].median == pytest.approx(0.2)
    assert summaries["goodput"].median == pytest.approx(0.2)
    # Two requests, and three beats from each client.
    assert summaries["client_lag"].n == 8
    assert dict(data.launches[0].facts.options)["clients"] == "2"
    (note,) = data.run.notes
    assert note.startswith("the server's memory and CPU time are not known: unknown: the listener at port 1 is not")


def test_a_load_that_is_cut_short_is_partial_and_no_success(
    config: Config, store: RunStore, resources: Resources
) -> None:
    gathering = LoadCollector(config, loaded(config), store, resources, clients=("a",))
    gathering.note_ready("a", 4)
    began = resources.clock.wall()
    resources.clock.sleep(7)
    gathering.add("a", report([answered("", started_at=began + 6)], wall=resources.clock.wall()))
    finished = gathering.finish()
    assert finished.data.run.status is RunStatus.PARTIAL
    assert finished.data.run.reason == "the load ended before its window did"
    assert finished.code is ExitCode.MEASUREMENT


@pytest.mark.parametrize("ready", [{}, {"a": 3}, {"a": 3, "b": 0}])
def test_a_load_that_never_began_is_no_success(
    config: Config, store: RunStore, resources: Resources, ready: dict[str, int]
) -> None:
    gathering = LoadCollector(config, loaded(config), store, resources, clients=("a", "b"))
    for client, users in ready.items():
        # Of four listeners, three.
        assert not gathering.note_ready(client, users)
    assert not gathering.is_over(2, waited_s=100)
    assert gathering.is_over(1, waited_s=1)
    assert gathering.is_over(2, waited_s=121)
    resources.clock.sleep(1_000)
    finished = gathering.finish()
    assert finished.data.run.status is RunStatus.PARTIAL
    assert finished.data.run.reason == "the load did not begin: a client disconnected, or was not ready in time"
    assert finished.code is ExitCode.MEASUREMENT


def test_a_load_ends_with_the_last_report_or_when_that_is_long_overdue(
    config: Config, store: RunStore, resources: Resources
) -> None:
    gathering = LoadCollector(config, loaded(config), store, resources, clients=("a", "b"))
    assert not gathering.note_ready("a", 2)
    assert gathering.note_ready("b", 2)
    gathering.add("a", report([], wall=resources.clock.wall()) | {"last": True})
    assert not gathering.is_over(1, waited_s=500)
    # 17 s of load, 30 s for its answers, and as long again for the report.
    resources.clock.sleep(76.9)
    assert not gathering.is_over(1, waited_s=500)
    resources.clock.sleep(0.2)
    assert gathering.is_over(1, waited_s=500)
    assert gathering.finish().data.run.notes[0].startswith("1 of the clients did not send")
    gathering.add("b", report([], wall=resources.clock.wall()) | {"last": True})
    assert gathering.is_over(2, waited_s=0)


def test_listeners_of_all_clients_come_evenly_and_clients_take_turns(
    config: Config, store: RunStore, resources: Resources
) -> None:
    gathering = LoadCollector(config, loaded(config), store, resources, clients=("a", "b", "c"))
    for client, users in {"a": 3, "b": 0, "c": 1}.items():
        gathering.note_ready(client, users)
    half_s = 500_000_000
    assert gathering.user_starts(2.0) == {"a": [0, 2 * half_s, 3 * half_s], "b": [], "c": [half_s]}


def test_a_clients_window_is_placed_by_its_own_beginning(config: Config, store: RunStore, resources: Resources) -> None:
    gathering = LoadCollector(config, loaded(config), store, resources, clients=("a", "b"))
    gathering.note_ready("a", 2)
    gathering.note_ready("b", 2)
    began = resources.clock.wall()
    resources.clock.sleep(20)
    for client, late in (("a", 0.25), ("b", 1.0)):
        # The warm-up lasts 5 s: these are its last request and the window's first.
        requests = [answered("", started_at=began + late + at) for at in (4.999, 5.001)]
        gathering.add(client, report(requests, wall=resources.clock.wall()) | {"began": began + late})
    data = gathering.finish().data
    assert [each.phase for each in data.repetitions] == [Phase.WARMUP, Phase.MEASURED] * 2
    assert data.blocks[0].started_at == pytest.approx(began + 5.25)
    assert dict(data.launches[0].facts.options)["clients_began_s"] == "0.000000, 0.750000"
    assert "clients began 0.8 s apart: the parts of the schedule are as far from one another" in data.run.notes


def test_clocks_that_differ_are_told(config: Config, store: RunStore, resources: Resources) -> None:
    gathering = LoadCollector(config, loaded(config), store, resources, clients=("far",))
    gathering.note_ready("far", 4)
    resources.clock.sleep(20)
    gathering.add("far", report([], wall=resources.clock.wall() - 3.0))
    note = gathering.finish().data.run.notes[-1]
    assert "client far: its clock or its reports are 3.0 s away" in note


def test_a_desk_asks_judges_and_hands_out_what_came_once(config: Config) -> None:
    from harness.core.clock import SystemClock

    clock = SystemClock()
    with serving(SCRIPTS["steady"]) as (url, _):
        arm = replace(endpoint_arm(config), url=url)
        scenario = scenario_of(config, arm, "chars-12", LOAD)
        client = ExternalClient(resolve_target(arm, clock=clock), scenario, texts_of(scenario), clock=clock)
        line, stages = client.connection()
        for _ in range(2):
            client.record(*client.send(line, stages, user=0, intended_ns=clock.now_ns()))
        line.close()
    gone = client.send(*client.connection(), user=0, intended_ns=clock.now_ns())
    client.record(*gone)
    client.note_timer_lag(250_000)
    drained = client.drain()
    first, second, third = msgspec.json.decode(drained["repetitions"], type=list[Repetition])
    assert first.outcome.valid
    assert second.outcome.valid
    assert third.outcome.fault == "refused"
    # One connection for both; the texts change.
    assert [mark.stage for mark in first.stages] == ["connect"]
    assert second.stages == ()
    assert first.variant != second.variant
    assert drained["lag"] == [(2, 1)]
    assert msgspec.json.decode(client.drain()["repetitions"]) == []


@pytest.mark.parametrize("language", ["", "b"])
def test_a_desk_sends_the_language_that_was_chosen_and_no_other(tmp_path: Path, language: str) -> None:
    from harness.core.clock import SystemClock

    clock, log = SystemClock(), io.StringIO()
    script = replace(SCRIPTS["steady"], answers=(Answer(steps=(Step(audio_share=1.0),)),), dialect="openai")
    with serving(script, log=log) as (url, _):
        config = load_config({"url": url, "voice": "bf_emma", "language": language}, start=tmp_path, environment={})
        scenario = scenario_of(config, endpoint_arm(config), "chars-12", LOAD)
        client = ExternalClient(resolve_target(scenario.arm, clock=clock), scenario, texts_of(scenario), clock=clock)
        line, stages = client.connection()
        client.send(line, stages, user=0, intended_ns=clock.now_ns())
        line.close()
    (asked,) = [line for line in map(json.loads, log.getvalue().splitlines()) if line["kind"] == "answer"]
    fixed = {"input": asked["text"], "voice": "bf_emma", "response_format": "pcm", "stream": True, "model": "kokoro"}
    assert asked["body"] == fixed | ({"lang_code": "b"} if language else {})


@pytest.mark.parametrize("arrivals", [Arrivals.CONSTANT, Arrivals.RAMP])
def test_the_parts_of_an_open_loop_are_its_schedule(arrivals: Arrivals) -> None:
    traffic = replace(LOAD, arrivals=arrivals, level=5)
    parts = [own_starts(traffic, seed=3, client=client, clients=3) for client in range(3)]
    assert sorted(each for part in parts for each in part) == list(starts_of(traffic, seed=3))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert own_starts(LOAD, seed=3, client=0, clients=1) == ()


def test_parts_of_poisson_arrivals_are_a_poisson_process_however_far_apart_clients_begin() -> None:
    traffic = replace(LOAD, arrivals=Arrivals.POISSON, level=60, seconds=30)
    assert own_starts(traffic, seed=3, client=0, clients=1) == starts_of(traffic, seed=3)
    parts = [own_starts(traffic, seed=3, client=client, clients=3) for client in range(3)]
    assert len(set(parts)) == 3
    for apart_s in (0.0, 0.35):
        together = sorted(each / 1e9 + apart_s * client for client, part in enumerate(parts) for each in part)
        inner = [at for at in together if 1 <= at <= traffic.total_s]
        assert stats.kstest(np.diff(inner), stats.expon(scale=1 / 60).cdf).pvalue > 0.001
        assert len(inner) == pytest.approx(60 * (traffic.total_s - 1), rel=0.05)


def test_requests_of_an_open_loop_count_from_when_the_load_began(config: Config) -> None:
    clock = ScriptedClock()
    target = Target(address=read_address(config["url"]), settings=read_settings({}), dialect=OPENAI)
    client = ExternalClient(target, loaded(config), texts_of(loaded(config)), clock=clock)
    clock.sleep(3)
    assert client.drain()["began"] is None
    began_ns = client.begin()
    assert began_ns == 3_000_000_000
    clock.sleep(0.5)
    meant: list[int] = []
    client.run_open_loop(
        [0, 2_000_000_000], sleep=clock.sleep, spawn=lambda _, _number, at: meant.append(at), trace=print
    )
    assert meant == [began_ns, began_ns + 2_000_000_000]
    assert client.drain()["began"] == clock.epoch + 3


def test_options_are_those_of_the_command(config: Config) -> None:
    given = {
        "seconds": "10s",
        "warm_up": "5s",
        "cool_down": "2s",
        "drain": "30s",
        "listen": False,
        "text_class": "chars-12",
    }
    assert asked_scenario(config, given, users=4) == loaded(config)
    ramp = asked_scenario(config, given | {"ramp": "0:10"}, users=4).traffic
    assert ramp == replace(LOAD, arrivals=Arrivals.RAMP, first=0.0, level=10.0)
    constant = asked_scenario(config, given | {"rate": "2", "arrivals": "constant"}, users=4).traffic
    assert constant == replace(LOAD, arrivals=Arrivals.CONSTANT, level=2.0)
    refused = ({"rate": "1,2", "arrivals": "poisson"}, {"rate": "1", "ramp": "1:2"}, {"ramp": "x:1"}, {"seconds": "0"})
    for wrong in refused:
        with pytest.raises(UsageError):
            asked_scenario(config, given | wrong, users=4)


def test_the_servers_process_is_watched_where_it_is_on_the_gatherers_machine(
    config: Config, store: RunStore, resources: Resources
) -> None:
    with serving(SCRIPTS["steady"]) as (url, _):
        scenario = scenario_of(config, replace(endpoint_arm(config), url=url), "chars-12", LOAD)
        gathering = LoadCollector(config, scenario, store, resources, clients=("a",))
        gathering.note_ready("a", 4)
        began = resources.clock.wall()
        for start in (1, 6, 7):
            resources.clock.sleep(6)
            requests = report([answered("", started_at=began + start)] * 2, wall=resources.clock.wall())
            gathering.add("a", requests | {"last": start == 7})
        data = gathering.finish().data
    assert f"({os.getpid()}), which listens at port" in dict(data.launches[0].facts.options)["server_process"]
    load = data.blocks[0].load
    assert load is not None
    assert load.memory.peak is not None
    assert load.memory.peak > 1 << 20
    charged = [each.cpu_ns for each in data.repetitions]
    assert load.server_cpu_ns is not None
    assert None not in charged
    assert 0 <= sum(each or 0 for each in charged) <= load.server_cpu_ns
    summaries = {each.metric: each for each in data.summaries}
    assert summaries["rss_peak"].n == 1
    assert summaries["cpu_per_audio"].n == 4
    assert not data.run.notes


def test_clients_begin_at_different_texts(config: Config) -> None:
    scenario = scenario_of(config, endpoint_arm(config), "chars-60", LOAD)
    assert texts_of(scenario, client=1)[0] == texts_of(scenario)[137]
    assert len(set(texts_of(scenario, client=3))) == 1_000
