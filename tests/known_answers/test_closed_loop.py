"""`load --users`: two loads of one command against `mock-server --log`, and the figures of streamed answers."""

from itertools import pairwise
from pathlib import Path
from statistics import median

import psutil
import pytest

from harness.core.records.repetition import Phase
from harness.metrics.registry import METRICS
from tests.known_answers.checks import check_closed_loop
from tests.known_answers.oracle import close, onset_s, stall_s, stops
from tests.known_answers.playing import EASY, Played, command, server, stored
from tests.known_answers.proofs import WITHOUT_A_SERVER, proves
from tests.known_answers.witness import NS, RATE, ROUNDING_NS, Load, Pair

SILENCE_S = 0.1
LEAK = 1 << 20
SCRIPT = f"""
leak_bytes = {LEAK}
[[answers]]
steps = [
  {{ wait_ms = 60 }}, {{ header = true }}, {{ wait_ms = 60 }}, {{ silence_ms = {1000 * SILENCE_S} }},
  {{ wait_ms = 40 }}, {{ audio_ms = 150 }}, {{ wait_ms = 350 }}, {{ audio_share = 0.8 }}, {{ wait_ms = 50 }},
]
"""
"""A header before there is audio, silence before there is sound, a stop of 140 ms, an end after the last audio."""
WARM_UP_S = 0.6
ALL_LOADS = ("closed-1", "closed-3")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Played, tuple[int, int]]:
    """The run, and the server's resident size before it and at most, in bytes."""
    root = tmp_path_factory.mktemp("closed")
    (root / "paced.toml").write_text(SCRIPT, encoding="utf-8")
    with server(root, "paced.toml", "--log", "log.jsonl") as (url, process):
        watched = psutil.Process(process.pid)
        before = watched.memory_info().rss
        ended = command(
            root, "load", "--url", url, *EASY, "--users", "1,3", "--text", "chars-12", "--seconds", "2s",
            "--warm-up", f"{WARM_UP_S}s", "--cool-down", "0.4s", "--endpoint-options", "format=wav",
        )  # fmt: skip
        peak = _peak_bytes(process.pid) or before
    return stored(root, ended, (root / "log.jsonl").read_text(encoding="utf-8")), (before, peak)


@pytest.fixture
def played(measured: tuple[Played, tuple[int, int]]) -> Played:
    return measured[0]


@pytest.fixture(params=ALL_LOADS)
def load(request: pytest.FixtureRequest, played: Played) -> Load:
    return played.loads[request.param]


def _peak_bytes(pid: int) -> int | None:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def test_it_measures_what_was_asked_for(played: Played) -> None:
    assert played.code == 0, played.said
    assert list(played.loads) == list(ALL_LOADS)
    assert all(each.outcome.valid for each in played.repetitions)


@proves("arrivals:closed")
@pytest.mark.parametrize(("name", "listeners"), [("closed-1", 1), ("closed-3", 3)])
def test_a_listener_asks_again_when_served_and_never_more_are_open(played: Played, name: str, listeners: int) -> None:
    load = played.loads[name]
    check_closed_loop(load, listeners=listeners)
    # They come evenly over the warm-up.
    came = sorted(each.intended_ns for each in load.pairs)[:1]
    for number in range(1, listeners):
        due_ns = came[0] + round(WARM_UP_S * NS) * number // listeners
        assert any(abs(each.intended_ns - due_ns) <= ROUNDING_NS for each in load.pairs)


@proves("arrivals:closed", "metric:latency")
def test_one_listener_is_served_one_after_the_other_by_the_servers_own_times(played: Played) -> None:
    pairs = played.loads["closed-1"].pairs
    for earlier, later in pairwise(pairs):
        assert earlier.seen.last_ns <= later.seen.asked_ns
        # Two of the server's stamps with the client's end, the next one's start, between them.
        assert later.intended_ns - earlier.intended_ns == pytest.approx(earlier.repetition.end_ns, abs=ROUNDING_NS)


@proves("phase:warmup", "phase:measured", "phase:cooldown")
def test_phases_are_those_of_the_window(load: Load) -> None:
    start_ns, end_ns = load.window_ns()
    for each in load.pairs:
        expected = Phase.WARMUP if each.intended_ns < start_ns else Phase.MEASURED
        expected = Phase.COOLDOWN if each.intended_ns >= end_ns else expected
        assert each.repetition.phase is expected
    assert {each.repetition.phase for each in load.pairs} >= {Phase.WARMUP, Phase.MEASURED}
    traffic = load.scenario.traffic
    assert traffic is not None
    assert load.block.wall_ns == traffic.seconds * NS
    # The load begins a warm-up before its window, and the server had nothing of it before.
    began_ns = start_ns - round(traffic.warm_up_s * NS)
    assert load.pairs[0].intended_ns == pytest.approx(began_ns, abs=ROUNDING_NS)
    assert began_ns + load.shift_ns[1] <= load.seen[0].asked_ns + ROUNDING_NS


@proves("phase:first")
def test_the_first_inference_is_no_repetition_and_lasts_as_long_as_the_server_took(played: Played) -> None:
    first, (launch,) = played.log.answers[0], played.launches
    took = next(part.ns for part in launch.parts if part.name == "first_inference")
    assert took >= first.last_ns - first.asked_ns
    assert Phase.FIRST not in {each.phase for each in played.repetitions}


@proves("keep_alive:on")
def test_connections_are_kept_and_a_new_ones_making_is_marked(load: Load) -> None:
    listeners = round(load.scenario.traffic.level) if load.scenario.traffic else 0
    used: set[int] = set()
    for each in load.pairs:
        made = any(mark.stage == "connect" for mark in each.repetition.stages)
        assert made == (each.seen.connection not in used)
        used.add(each.seen.connection)
    assert len(used) == listeners


def test_every_connection_that_the_server_accepted_is_accounted_for(played: Played) -> None:
    used = {each.connection for each in played.log.answers} | {each["connection"] for each in played.log.others}
    assert set(played.log.connections) == used


@proves("frames")
def test_all_audio_that_was_sent_was_heard_and_nothing_else(load: Load) -> None:
    for each in load.pairs:
        audio = each.repetition.audio
        assert audio is not None
        assert sum(chunk.frames for chunk in each.repetition.chunks) == audio.frames == each.seen.frames
        assert audio.sample_rate == RATE
        assert sum(write.body_bytes for write in each.seen.writes) == 44 + 2 * audio.frames


def _figures(played: Played, load: Load) -> list[tuple[Pair, dict[str, float]]]:
    """Measured pairs with the figures that the CSV has of them."""
    pairs = sorted((each for each in load.pairs if each.repetition.phase is Phase.MEASURED), key=_position)
    found = []
    for pair, line in zip(pairs, played.figures(load.scenario.id), strict=True):
        found.append((pair, {name: value for name, value in line.items() if value is not None}))
    assert len(found) > 2
    return found


def _position(pair: Pair) -> int:
    return pair.repetition.position


@proves("metric:ttfb", "metric:ttfc", "metric:latency", "metric:ttfa")
@pytest.mark.parametrize("metric", ["ttfb", "ttfc", "latency"])
def test_a_moment_is_no_earlier_than_the_servers_write_and_not_later_than_the_client_was_slow(
    played: Played, load: Load, metric: str
) -> None:
    lowest, highest = load.shift_ns
    late = []
    for pair, figures in _figures(played, load):
        written = {"ttfb": pair.seen.first_body_ns, "ttfc": pair.seen.first_audio_ns, "latency": pair.seen.last_ns}
        true_ns = written[metric] - pair.intended_ns
        assert figures[metric] * NS >= true_ns - highest - ROUNDING_NS
        late.append(figures[metric] * NS - (true_ns - lowest))
    assert median(late) <= load.slack_ns


@proves("metric:ttfa")
def test_first_audio_is_the_first_sound_and_neither_the_header_nor_the_silence(played: Played, load: Load) -> None:
    for pair, figures in _figures(played, load):
        # In its audio the onset is where the silence ends, to a window of 10 ms; when it sounds follows from the log.
        heard = [(write.at_ns, write.frames) for write in pair.seen.writes]
        true_s = onset_s(heard, silence=round(SILENCE_S * RATE)) - (pair.intended_ns + load.shift_ns[0]) / NS
        slack_s = max(pair.receptions_ns()) / NS + load.shift_ns[1] / NS
        assert true_s - 0.011 <= figures["ttfa"] <= true_s + 0.011 + slack_s
        assert figures["ttfa"] > figures["ttfc"] > figures["ttfb"]


@proves("metric:stall", "metric:stall_count", "metric:prebuffer", "metric:streaming_efficiency")
def test_stops_of_playback_are_those_of_the_servers_writes(played: Played, load: Load) -> None:
    for pair, figures in _figures(played, load):
        writes = [(write.at_ns, write.frames) for write in pair.seen.writes]
        true_s, spoken_s = stall_s(writes), pair.seen.frames / RATE
        assert figures["stall"] == pytest.approx(true_s, abs=pair.spread_s)
        assert figures["prebuffer"] == pytest.approx(figures["stall"], abs=1e-6)
        assert figures["streaming_efficiency"] == pytest.approx(spoken_s / (spoken_s + figures["stall"]), abs=1e-9)
        assert true_s > 0
        if pair.spread_s < 0.02:
            # Where the client heard every piece equally soon, it stopped as often.
            assert figures["stall_count"] == stops(writes)


@proves("metric:rtf", "metric:delivery_speed", "metric:overlap")
def test_ratios_are_of_the_time_and_of_the_audio_that_the_server_sent(played: Played, load: Load) -> None:
    for pair, figures in _figures(played, load):
        spoken_s = pair.seen.frames / RATE
        assert close(figures["rtf"], figures["latency"] / spoken_s)
        assert close(figures["delivery_speed"], spoken_s / figures["latency"])
        assert close(figures["overlap"], 1 - figures["ttfc"] / figures["latency"])


@proves("metric:gap")
def test_gaps_are_those_between_the_servers_writes_of_audio(played: Played, load: Load) -> None:
    summary = played.summary(load.scenario.id, "gap")
    measured = [each for each in load.pairs if each.repetition.phase is Phase.MEASURED]
    true_s = [
        (later - earlier) / NS
        for each in measured
        for earlier, later in pairwise(write.at_ns for write in each.seen.writes if write.frames)
    ]
    spread_s = max(each.spread_s for each in measured)
    assert summary.median is not None
    assert summary.minimum is not None
    assert summary.maximum is not None
    # Pieces that were heard together have no gap between them.
    assert summary.n <= len(true_s)
    if summary.n == len(true_s):
        assert summary.median == pytest.approx(median(true_s), abs=spread_s)
    assert summary.maximum <= max(true_s) + spread_s


@proves("metric:throughput", "metric:goodput", "metric:success_rate")
def test_what_came_in_the_window_is_what_the_server_sent_in_it(played: Played, load: Load) -> None:
    start_ns, end_ns = load.window_ns()
    lowest, highest = load.shift_ns
    seconds = load.block.wall_ns / NS
    # Complete within the window for certain, or perhaps: an answer ends between its last write and the next request.
    sure = [each for each in load.pairs if each.seen.last_ns > start_ns + highest and each.end_ns <= end_ns]
    maybe = [each for each in load.pairs if each.end_ns > start_ns and each.seen.last_ns <= end_ns + highest]
    assert sure
    for metric, value in (("throughput", lambda each: each.seen.frames / RATE), ("goodput", lambda _each: 1.0)):
        figure = played.summary(load.scenario.id, metric).median
        assert figure is not None
        assert sum(map(value, sure)) / seconds - 1e-9 <= figure <= sum(map(value, maybe)) / seconds + 1e-9
    assert lowest <= highest
    assert played.summary(load.scenario.id, "success_rate").median == 1.0


@proves("metric:client_lag")
def test_the_clients_lag_is_what_the_server_waited_for_at_most(played: Played, load: Load) -> None:
    """Lag is the time from the intended start to the sending, which the server sees as part of its wait."""
    lowest, _ = load.shift_ns
    for each in load.pairs:
        lag_ns = each.repetition.lag_ns
        assert lag_ns is not None
        assert 0 <= lag_ns <= each.seen.asked_ns - (each.intended_ns + lowest) + ROUNDING_NS
    beats = [
        steps / 10_000 for steps, times in (load.block.load.timer_lag if load.block.load else ()) for _ in range(times)
    ]
    lags = beats + [
        (each.repetition.lag_ns or 0) / NS for each in load.pairs if each.repetition.phase is Phase.MEASURED
    ]
    summary = played.summary(load.scenario.id, "client_lag")
    assert (summary.n, summary.maximum) == (len(lags), pytest.approx(max(lags)))
    # A beat of 5 ms for as long as the load was on, unless the machine stood still.
    assert len(beats) <= (load.pairs[-1].end_ns - load.pairs[0].intended_ns) / NS / 0.005 + 2


@proves("metric:cpu_per_audio")
def test_cpu_time_is_the_servers_own(played: Played, load: Load) -> None:
    block = load.block
    assert block.load is not None
    assert block.load.server_cpu_ns is not None
    lines = sorted(
        [(each.end_ns, each.cpu_ns) for each in played.log.answers]
        + [(each["end_ns"], each["cpu_ns"]) for each in played.log.others]
    )
    first_ns, last_ns = load.seen[0].asked_ns, max(each.end_ns for each in load.seen)
    before = max(cpu for at, cpu in lines if at < first_ns)
    within = [cpu for at, cpu in lines if first_ns <= at <= last_ns]
    after = next((cpu for at, cpu in lines if at > last_ns), within[-1] + NS)
    # The kernel counts in ticks of 10 ms, user and system apart, at the beginning and at the end.
    ticks = 4 * 10_000_000
    assert max(within) - min(within) - ticks <= block.load.server_cpu_ns <= after - before + ticks
    spoken = sum(each.seen.frames for each in load.pairs) / RATE
    shares = [(each.repetition.cpu_ns or 0) for each in load.pairs]
    assert sum(shares) == pytest.approx(block.load.server_cpu_ns, abs=len(shares))
    figure = played.summary(load.scenario.id, "cpu_per_audio").median
    assert figure == pytest.approx(block.load.server_cpu_ns / NS / spoken, rel=1e-3)


@proves("metric:rss_peak")
def test_memory_is_the_servers_own(measured: tuple[Played, tuple[int, int]], load: Load) -> None:
    played, (before, peak) = measured
    figure = played.summary(load.scenario.id, "rss_peak").median
    assert figure is not None
    # The kernel keeps up to 64 pages of each thread out of its count of the peak.
    assert before / 2 <= figure <= peak + (1 << 20)


@proves("metric:rss_slope")
def test_growth_of_memory_is_what_each_answer_left_behind(played: Played) -> None:
    # The memory is read every 0.1 s, and answers begin 0.2 s apart. One late reading does not decide the slope.
    summary = played.summary(played.loads["closed-3"].scenario.id, "rss_slope")
    assert summary.median is not None
    assert 0.5 * LEAK < summary.median < 2 * LEAK


@proves("table:load")
def test_the_printed_table_has_these_figures_under_their_headings(played: Played, load: Load) -> None:
    name = load.scenario.traffic.name if load.scenario.traffic else ""
    cells = played.row(name)

    def shown(metric: str, part: str = "median") -> str:
        value = getattr(played.summary(load.scenario.id, metric), part)
        return "–" if value is None else METRICS[metric].format(value)

    assert cells == [
        name,
        str(sum(each.repetition.phase is Phase.MEASURED for each in load.pairs)),
        shown("ttfa"),
        shown("ttfa", "p95"),
        shown("ttfa", "p99"),
        shown("latency", "p95"),
        shown("stall", "p95"),
        shown("stall", "maximum"),
        shown("success_rate"),
        shown("throughput"),
        shown("goodput"),
        shown("client_lag", "p99"),
        "✓ met",
    ]
    headings = next(line for line in played.said.splitlines() if line.split()[:2] == ["load", "n"])
    assert headings.split("  ")[0].strip() == "load"
    assert headings.split() == [
        "load", "n", "TTFA", "p50", "p95", "p99", "latency", "p95", "stall", "p95", "max", "success", "audio",
        "goodput", "lag", "p99", "targets",
    ]  # fmt: skip


@proves("metric:summaries")
def test_summaries_are_of_the_measured_requests_alone(played: Played, load: Load) -> None:
    figures = [figures for _, figures in _figures(played, load)]
    for metric in ("ttfa", "ttfb", "ttfc", "latency", "rtf", "stall", "prebuffer", "streaming_efficiency"):
        summary = played.summary(load.scenario.id, metric)
        values = [each[metric] for each in figures]
        assert summary.n == len(values)
        assert summary.median == pytest.approx(median(values))
        assert (summary.minimum, summary.maximum) == (pytest.approx(min(values)), pytest.approx(max(values)))


@pytest.mark.parametrize("metric", WITHOUT_A_SERVER)
def test_what_a_server_cannot_have_has_no_figure_but_a_reason(played: Played, load: Load, metric: str) -> None:
    if metric in played.metrics(load.scenario.id):
        summary = played.summary(load.scenario.id, metric)
        assert (summary.n, summary.median) == (0, None)
        assert summary.reason


def test_the_server_says_of_itself_what_it_logged(played: Played, load: Load) -> None:
    (figures,) = dict(load.block.servers).values()
    asked = [each for each in played.log.answers if each.asked_ns <= load.seen[-1].asked_ns]
    assert dict(figures.figures)["requests"] == len(asked)
