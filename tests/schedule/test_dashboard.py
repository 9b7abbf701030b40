"""The dashboard over real HTTP: what it shows, and what it does not."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.core.errors import StoreError, UsageError
from harness.core.records.verdict import VerdictKind
from harness.schedule.dashboard import LIVE_PAGES, Address, Dashboard, Source, parse_address, site_file
from harness.schedule.last_results import LastResults
from harness.schedule.launcher import Exit
from harness.schedule.status import Overview, overview
from tests.schedule.conftest import MACHINE, SCENARIO

START = 1_767_225_600.0
FREE = Address(host="127.0.0.1", port=0)
NIGHT = START + 2.5 * 3_600


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    (root / "runs").mkdir(parents=True)
    (root / "index.html").write_text("<p>the index</p>")
    (root / "runs" / "run-1.html").write_text("<p>run 1</p>")
    (root / ".book.msgpack").write_text("hidden")
    (root / "notes.md").write_text("of a kind that is not served")
    (tmp_path / "secret.html").write_text("outside")
    (root / "link.html").symlink_to(tmp_path / "secret.html")
    (root / "looped.html").symlink_to(root / "looped.html")
    return root


@pytest.fixture
def serve(bench: Any, site: Path) -> Iterator[Callable[..., Any]]:
    boards: list[Dashboard] = []

    def start(read: Callable[[], Overview] | None = None, silent_s: float = 0.0) -> Callable[..., Any]:
        def own() -> Overview:
            return overview(
                bench.store, bench.store.journal(), bench.job_store.all(), runner="here", now=bench.clock.wall()
            )

        source = Source(read or own, lambda: silent_s, LastResults(bench.store).read)
        board = Dashboard(source, site=site, address=FREE, poll_s=0.02)
        boards.append(board)

        def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
            connection = http.client.HTTPConnection("127.0.0.1", board.port, timeout=240)
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            body = answer.read().decode()
            connection.close()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body

        ask.port = board.port  # type: ignore[attr-defined]
        return ask

    yield start
    for board in boards:
        board.close()


@pytest.mark.parametrize(("path", "body"), [("/", "<p>the index</p>"), ("/runs/run-1.html", "<p>run 1</p>")])
def test_the_site_is_served(serve: Any, path: str, body: str) -> None:
    status, headers, found = serve()(path)
    assert (status, found, headers["content-type"]) == (200, body, "text/html; charset=utf-8")
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.html", "/runs/../../secret.html", "/%2e%2e/secret.html", "/..%2fsecret.html", "/..%5csecret.html",
        "//secret.html", "/runs/%2e%2e/%2e%2e/secret.html", "/link.html", "/looped.html", "/.book.msgpack", "/notes.md",
        "/runs", "/runs/", "/index.html%00.html", "/C:/secret.html", "/etc/passwd", "/%ff.html",
        "/" + "a" * 5_000 + ".html",
    ],
)  # fmt: skip
def test_path_outside_the_pages_of_the_site_is_404(serve: Any, site: Path, path: str) -> None:
    assert serve()(path)[0] == 404
    assert site_file(site, "/../secret.html") is None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_it_is_read_only(serve: Any, method: str) -> None:
    assert serve()("/", method)[0] == 501


def test_another_sites_name_that_points_here_is_refused(serve: Any) -> None:
    ask = serve()
    assert ask("/live/state", Host="attacker.example")[0] == 403
    assert ask("/live/state", Host=f"localhost:{ask.port}")[0] == 200


def test_the_live_page_may_fetch_from_here_alone(serve: Any) -> None:
    ask = serve()
    status, headers, body = ask("/live")
    assert status == 200
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert "http" not in body.replace("http-equiv", "")
    assert ask("/live.js")[1]["content-type"].startswith("text/javascript")
    assert ask("/live.css", "HEAD")[2] == ""


def test_the_state_and_the_metrics(serve: Any, bench: Any, make_run: Callable[..., str]) -> None:
    bench.put()
    bench.at(NIGHT)
    process = bench.launcher.started[-1]
    bench.begin(process, make_run(bench.store, at=NIGHT))
    with process.order.events.open("a") as file:
        file.write('{"at": 1, "event": "progress", "doing": "x", "share": 0.5, "remaining_s": 60.0}\n')
        file.write('{"at": 2, "event": "block", "blocks": 3, "launches": 1}\n{"at": 3, "event": "lo')
    ask = serve()
    state = json.loads(ask("/live/state")[2])
    assert state["running"]["job"] == "nightly"
    assert (state["watched"]["blocks"], state["watched"]["share"], state["watched"]["remaining_s"]) == (3, 0.5, 60.0)
    metrics = ask("/metrics")[2]
    assert 'kokoro_bench_schedule_running{job="nightly"} 1.0' in metrics
    assert 'kokoro_bench_schedule_run_progress_ratio{job="nightly"} 0.5' in metrics


def test_what_ended_is_counted(serve: Any, bench: Any, make_run: Callable[..., str]) -> None:
    bench.put()
    for night in range(3):
        bench.at(NIGHT + night * 86_400)
        process = bench.launcher.started[-1]
        if night:
            bench.begin(process, make_run(bench.store, at=NIGHT + night * 86_400))
        process.ends = Exit(code=0 if night else 2)
        bench.clock.sleep(90)
        bench.daemon.step()
    ask = serve()
    lines = ask("/metrics")[2].splitlines()
    for line in (
        'kokoro_bench_schedule_runs_total{job="nightly",outcome="failed"} 1.0',
        'kokoro_bench_schedule_runs_total{job="nightly",outcome="ok"} 2.0',
        'kokoro_bench_schedule_last_run_duration_seconds{job="nightly"} 90.0',
        'kokoro_bench_schedule_streak{job="nightly"} 2.0',
        'kokoro_bench_schedule_open_alerts{kind="failed run"} 0.0',
    ):
        assert line in lines
    assert values(ask("/metrics")[2], "kokoro_bench_schedule_next_run_timestamp_seconds") == {
        (("job", "nightly"),): NIGHT + 3 * 86_400
    }
    [job] = json.loads(ask("/live/state")[2])["jobs"]
    assert (job["succeeded"], job["failed"], job["streak"], job["typical_s"]) == (2, 1, 2, 90.0)


def values(text: str, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """The samples of one metric, as Prometheus' own reader finds them."""
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_the_metrics_have_the_last_median_of_each_scenario_its_verdict_and_its_age(
    serve: Any, bench: Any, make_run: Callable[..., str]
) -> None:
    ask = serve()
    assert "kokoro_bench_verdict" not in serve()("/metrics")[2]
    other = replace(MACHINE, key="other")
    for number, median in enumerate((1.0, 1.25)):
        at = NIGHT + number * 86_400
        make_run(bench.store, at=at, median=median, verdict=VerdictKind.REGRESSED, size=0.2 * number)
    make_run(bench.store, at=NIGHT + 60, median=3.0, machine=other, id="elsewhere")
    # Neither a duel nor a run in progress gives a value of its own.
    make_run(bench.store, at=NIGHT + 3 * 86_400, median=9.0, selection="duel: a against b")
    bench.clock.to(NIGHT + 2 * 86_400)
    text = ask("/metrics")[2]
    here = (("machine", MACHINE.key), ("scenario", SCENARIO.id))
    there = (("machine", "other"), ("scenario", SCENARIO.id))
    assert values(text, "kokoro_bench_latency_seconds") == {here: 1.25, there: 3.0}
    assert values(text, "kokoro_bench_result_age_seconds") == {here: 86_400 - 30, there: 2 * 86_400 - 90}
    latency = ("metric", "latency")
    assert values(text, "kokoro_bench_verdict") == {
        tuple(sorted((*here, latency, ("verdict", "regressed")))): 1.0,
        tuple(sorted((*there, latency, ("verdict", "no baseline")))): 1.0,
    }
    assert values(text, "kokoro_bench_regressed")[tuple(sorted((*here, latency)))] == 1.0
    assert values(text, "kokoro_bench_change_log_ratio") == {tuple(sorted((*here, latency))): 0.2}


def test_a_reader_of_openmetrics_gets_openmetrics(serve: Any, bench: Any) -> None:
    _, headers, body = serve()("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith("# EOF\n")


def test_a_stream_tells_what_changes(serve: Any, bench: Any) -> None:
    ask = serve()
    connection = http.client.HTTPConnection("127.0.0.1", ask.port, timeout=240)
    connection.request("GET", "/live/events")
    answer = connection.getresponse()
    assert answer.getheader("content-type") == "text/event-stream"
    first = json.loads(answer.readline().removeprefix(b"data: "))
    assert first["jobs"] == []
    answer.readline()
    bench.put()
    second = json.loads(answer.readline().removeprefix(b"data: "))
    assert [job["name"] for job in second["jobs"]] == ["nightly"]
    connection.close()


def test_all_live_pages_hear_of_a_change(serve: Any, bench: Any) -> None:
    ask = serve()
    connections = [http.client.HTTPConnection("127.0.0.1", ask.port, timeout=240) for _ in range(LIVE_PAGES)]
    answers = []
    for connection in connections:
        connection.request("GET", "/live/events")
        answers.append(connection.getresponse())
    assert {answer.status for answer in answers} == {200}
    assert ask("/live/events")[::2] == (503, "too many live pages are open\n")
    bench.put()
    for answer in answers:
        while not json.loads(answer.readline().removeprefix(b"data: "))["jobs"]:
            answer.readline()
    for connection in connections:
        connection.close()


def test_a_state_is_encoded_once_for_all_live_pages(bench: Any) -> None:
    made = overview(bench.store, bench.store.journal(), (), runner="here", now=START)
    source = Source(lambda: made, lambda: 0.0)
    state, line = source.live()
    assert json.loads(line.removeprefix(b"data: "))["now"] == START
    assert json.loads(state)["now"] == 0.0
    assert source.live()[1] is line


def test_it_is_healthy_while_the_daemon_works_and_the_store_answers(serve: Any) -> None:
    def away() -> Overview:
        raise StoreError("the database server cannot be reached", where="postgresql://host/name")

    assert serve()("/healthz")[::2] == (200, "ok\n")
    assert serve(silent_s=200.0)("/healthz")[0] == 503
    status, _, body = serve(away)("/healthz")
    assert status == 503
    assert "cannot be reached" in body


def test_a_taken_port_is_told(serve: Any, site: Path, bench: Any) -> None:
    ask = serve()
    with pytest.raises(UsageError, match="cannot listen"):
        Dashboard(Source(lambda: None, lambda: 0.0), site=site, address=Address(host="127.0.0.1", port=ask.port))  # type: ignore[arg-type, return-value]
    assert threading.active_count() < 50


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("8321", Address(host="127.0.0.1", port=8321), True),
        (":8321", Address(host="127.0.0.1", port=8321), True),
        ("localhost:1", Address(host="localhost", port=1), True),
        ("[::1]:80", Address(host="::1", port=80), True),
        ("0.0.0.0:80", Address(host="0.0.0.0", port=80), False),  # noqa: S104 - only an address
        ("bench.example:80", Address(host="bench.example", port=80), False),
    ],
)
def test_address_without_a_host_is_loopback(text: str, address: Address, *, loopback: bool) -> None:
    assert parse_address(text) == address
    assert address.loopback is loopback


@pytest.mark.parametrize("text", ["", "host", "host:", "1:99999", "host:x"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="not an address"):
        parse_address(text)
