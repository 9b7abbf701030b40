"""Which lines a duel names where memory grew: of engines on real workers that take a known number of bytes."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.analysis.allocations import NONE, allocation_suspects
from harness.core.records.allocations import AllocationPair, Allocations, CodePlace, Held
from harness.core.records.scenario import Arm, Mode, Scenario
from harness.measure.conductor.memray_reader import place_of
from harness.runner.duel_causes import why_not_tracked
from tests.conftest import Command
from tests.engine_packages import commit, environment_in, git, write_engine, write_index

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="memray does not run on Windows")

SHORT = (
    "--engine", "bells", "--text", "chars-12", "--launches", "3", "--blocks", "2", "--budget", "60s",
    "--gate-metrics", "rss_peak", "--json",
)  # fmt: skip
KEPT = "        globals().setdefault('_kept', []).append(np.ones({megabytes}_000_000, np.uint8))\n"
ONCE = "        self._held = np.ones({megabytes}_000_000, np.uint8)\n"
BEFORE_SPEAKING, BEFORE_STAGES = "        done = self", "        self._stages = stages\n"


def write(folder: Path, added: Mapping[str, str], *, above: str = "") -> Path:
    """An engine with lines that are `added` before others, and with `above`, which moves all lines, at its start."""
    module = write_engine(folder, released="2.0" if added else "1.0", work=20) / "bells.py"
    text = above + module.read_text(encoding="utf-8")
    for before, line in added.items():
        assert text.count(before) == 1
        text = text.replace(before, line + before)
    module.write_text(text, encoding="utf-8")
    return folder


def number_of(line: str, source: Path) -> int:
    lines = (source / "bells.py").read_text(encoding="utf-8").splitlines()
    return lines.index(line.rstrip("\n")) + 1


def suspects(tmp_path: Path, here: Command, candidate: Path, reference: Path) -> list[tuple[str, str]]:
    """The kinds and sentences of what a duel of the two suspects of its peak memory."""
    write_index(tmp_path)
    found = here("duel", f"path:{candidate}", f"path:{reference}", *SHORT, **environment_in(tmp_path))
    assert found.returncode == 1, found.stdout + found.stderr
    (peak,) = (each for each in json.loads(found.stdout)["verdicts"] if each["metric"] == "rss_peak")
    return [*zip(peak["suspect_kinds"], peak["suspects"], strict=True)]


@pytest.mark.usefixtures("no_pages")
def test_a_leak_and_memory_held_once_are_found_at_their_lines(tmp_path: Path, here: Command) -> None:
    kept, once = KEPT.format(megabytes=20), ONCE.format(megabytes=30)
    candidate = write(tmp_path / "new", {BEFORE_SPEAKING: kept, BEFORE_STAGES: once}, above="A = 1\n")
    found = suspects(tmp_path, here, candidate, write(tmp_path / "old", {}))
    kinds = [kind for kind, _ in found if kind != "nothing"]
    assert kinds[0] == "package"
    assert kinds[-3:] == ["memory", "allocation", "allocation"], "after the parts of memory"
    sentences = [sentence for kind, sentence in found if kind == "allocation"]
    for line, place, tail in (
        (kept, "synthesise (numpy ones): +60.0 MB, 67 %", ", kept by each"),
        (once, "__init__ (numpy ones): +30.0 MB, 33 %", ""),
    ):
        expected = re.escape(f"allocation bells.py:{number_of(line, candidate)} {place} of ")
        assert re.fullmatch(rf"{expected}\+(89|90)\.\d MB in 3 requests{tail}", sentences.pop(0))
    assert not sentences


@pytest.mark.usefixtures("no_pages")
def test_without_memray_the_duel_says_what_to_install(
    tmp_path: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.measure.conductor.memray_launches.find_spec", lambda _name: None)
    candidate = write(tmp_path / "new", {BEFORE_STAGES: ONCE.format(megabytes=30)})
    found = suspects(tmp_path, here, candidate, write(tmp_path / "old", {}))
    assert found[0][0] == "package"
    told = "allocations: not shown (memray is not installed: pip install 'kokoro-bench[memray]')"
    assert found[-1] == ("nothing", told)


HOLDING = "import sys; held = b'x' * {size}; from harness.cli import main; main(sys.argv[1:])"


@contextmanager
def server_holding(size: int) -> Iterator[str]:
    """The address of a server that holds so many bytes more than it needs."""
    command = [sys.executable, "-c", HOLDING.format(size=size), "mock-server", "steady", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip().partition(" at ")[2]
        process.terminate()


def test_a_duel_of_servers_says_that_memray_cannot_see_theirs(tmp_path: Path, here: Command) -> None:
    options = ("--text", "chars-12", "--launches", "3", "--blocks", "2", "--gate-metrics", "rss_peak", "--json")
    with server_holding(100_000_000) as heavy, server_holding(0) as light:
        found = here("duel", f"url={heavy}", f"url={light}", *options, "--budget", "60s", **environment_in(tmp_path))
    assert found.returncode == 1, found.stdout + found.stderr
    (peak,) = (each for each in json.loads(found.stdout)["verdicts"] if each["metric"] == "rss_peak")
    assert peak["suspects"][-1] == "allocations: not shown (memray sees those of a worker, and not those of a server)"


PROJECT = """
[tool.kokoro-bench]
engine = "bells"
runtime = "mine"
launches = 3
blocks = 2
text = ["chars-12"]
budget = "60s"
[tool.kokoro-bench.gate]
metrics = ["rss_peak"]
[tool.kokoro-bench.runtimes]
mine = ["bells @ git+file://{repository}@main"]
[tool.kokoro-bench.schedule]
alerts = ["file:alerts.jsonl"]
busy-cpus = 1000
[tool.kokoro-bench.schedule.nightly]
cron = "30 2 * * *"
selection = "quick"
k = "whole and chars-12"
confirm = "90s"
"""


def test_an_alert_names_the_line_that_holds_the_memory(tmp_path: Path, kokoro_bench: Command) -> None:
    write_index(tmp_path)
    repository = write(tmp_path / "bells", {})
    git(repository, "init", "--quiet", "--initial-branch", "main")
    commit(repository, "Ring the bells")
    (tmp_path / "pyproject.toml").write_text(PROJECT.format(repository=repository), encoding="utf-8")
    usual = environment_in(tmp_path)
    for command in (("run", "-k", "whole and chars-12"), ("baseline", "promote", "--reason", "the first")):
        done = kokoro_bench(*command, **usual)
        assert done.returncode == 0, done.stdout + done.stderr
    held = ONCE.format(megabytes=60)
    write(repository, {BEFORE_STAGES: held})
    commit(repository, "Hold some memory")
    done = kokoro_bench("schedule", "run-now", "nightly", **usual)
    assert done.returncode == 1, done.stdout + done.stderr
    (message,) = (json.loads(line) for line in (tmp_path / "alerts.jsonl").read_text("utf-8").splitlines())
    (alert,) = message["alerts"]
    assert (alert["metric"], alert["confirmed"]) == ("rss_peak", "confirmed")
    place = f"allocation bells.py:{number_of(held, repository)} __init__ (numpy ones): +60.0 MB"
    assert any(each.startswith(place) for each in alert["suspects"])
    page = (tmp_path / "reports" / "site" / alert["page"]).read_text(encoding="utf-8")
    assert place in page
    shown = kokoro_bench("schedule", "alert", str(alert["alert"]), "--markdown", **usual).stdout
    assert place in shown.replace("\\", "")


INSTALLED = "/opt/arm/lib/python3.11/site-packages"
ENGINE = ("_infer", f"{INSTALLED}/kokoro_onnx/__init__.py", 136)


@pytest.mark.parametrize(
    ("inside", "within"),
    [
        ([], ""),
        ([("ones", f"{INSTALLED}/numpy/_core/numeric.py", 232)], " (numpy ones)"),
        ([("run", f"{INSTALLED}/onnxruntime/capi/session.py", 406)], " (ONNX Runtime)"),
        ([("get_data", "<frozen importlib._bootstrap_external>", 1)], " (import)"),
        ([("loads", "/usr/lib/python3.11/json/__init__.py", 346)], " (json loads)"),
    ],
)
def test_an_allocation_belongs_to_the_line_that_calls_a_library(
    inside: list[tuple[str, str, int]], within: str
) -> None:
    assert str(place_of([*inside, ENGINE])) == f"kokoro_onnx/__init__.py:136 _infer{within}"


def test_an_allocation_without_such_a_line_belongs_to_the_library_or_the_thread() -> None:
    assert str(place_of([("main", "/usr/lib/python3.11/threading.py", 9)])) == "threading.py:9 main"
    assert str(place_of([("main", "<string>", 9)])) == "<string>:9 main"
    assert str(place_of([])) == "a thread without Python"


MB = 1_000_000
KEEPS, FREES = (CodePlace(file="bells.py", function=name, line=9) for name in ("keeps", "frees"))


def named(ours: Mapping[CodePlace, int], theirs: Mapping[CodePlace, int], *, growth: float = 30 * MB) -> list[str]:
    """What is suspected where the sides hold these bytes."""
    sides = [Allocations(peak={place: Held(size, 1) for place, size in side.items()}) for side in (ours, theirs)]
    found = allocation_suspects(AllocationPair(candidate=sides[0], reference=sides[1], requests=3), growth)
    return [each.sentence for each in found]


def test_a_place_that_holds_less_or_hardly_more_is_no_suspect() -> None:
    assert named({KEEPS: 40 * MB}, {KEEPS: 10 * MB, FREES: 5 * MB}) == [
        "allocation bells.py:9 keeps: +30.0 MB, 120 % of +25.0 MB in 3 requests"
    ]
    assert named({KEEPS: 10 * MB}, {FREES: 20 * MB}) == [NONE], "less is allocated"
    assert named({KEEPS: MB}, {}) == [NONE], "peak memory grew by thirty times as much"
    assert named({KEEPS: MB}, {KEEPS: MB}, growth=0) == [NONE]


def test_lines_are_the_same_by_their_text_and_have_the_numbers_of_the_candidate() -> None:
    ours, theirs = (CodePlace(file="a.py", function="f", text="x = take()", line=line) for line in (12, 10))
    (sentence,) = named({ours: 40 * MB}, {theirs: 10 * MB})
    assert sentence.startswith("allocation a.py:12 f: +30.0 MB, 100 %")


def test_a_server_is_not_tracked() -> None:
    arms = Arm(engine="endpoint", url="http://127.0.0.1:8880"), Arm(engine="kokoro")
    pair = [Scenario(arm=arm, mode=Mode.WHOLE, text_class="chars-12", voice="af_heart") for arm in arms]
    assert why_not_tracked((pair[0], pair[1])) == "memray sees those of a worker, and not those of a server"
