"""What a duel names as the cause, where the cause is known: the scripted engine's operators take what a table says."""

import gzip
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.core.cache_root import ROOT_VARIABLE
from harness.engines import scripted_profile
from harness.engines.declarations import Declaration
from harness.engines.scripted_profile import CHANGED, SHARES
from tests import forking
from tests.conftest import Command
from tests.engine_packages import environment_in

QUICKER = ("duel", "model=scripted-8bit", "model=scripted", "--engine", "scripted", "--text", "chars-12")
SLOWER = ("duel", "model=scripted", "model=scripted-8bit", "--engine", "scripted", "--text", "chars-12")
INTERVAL = r"[+−][\d.]+ ms \([+−][\d.]+ to [+−][\d.]+ at \d\d\.\d+ %\), \d+ % of [+−][\d.]+ ms"
LAST_NODE = f"scripted/{CHANGED}_{scripted_profile.NODES[CHANGED]}"
"""The node of the changed operator that alone changes."""


def claims(output: str) -> set[str]:
    """Everything that is named as an operator, a node or a stage beside a verdict, and that none is."""
    named = r"(?<!by )(?:operator|stage) [\w ]+(?=: [+−])|node \S+(?= \()|no (?:operator|stage) stands out"
    return set(re.findall(named, output))


def operators_of(monkeypatch: pytest.MonkeyPatch, quick: Mapping[str, float]) -> None:
    """The quicker model's operators take `quick` of the original's inference, whatever its inference takes."""
    shares: Callable[[float], Mapping[str, float]] = lambda factor: SHARES if factor == 1.0 else quick  # noqa: E731
    monkeypatch.setattr(scripted_profile, "shares_of", shares)


@pytest.fixture(scope="module")
def slower(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> tuple[Path, str]:
    """The folder of a duel that found a change, and what it printed."""
    folder = tmp_path_factory.mktemp("slower")
    environment = {**environment_in(folder), ROOT_VARIABLE: str(model_cache)}
    found = forking.run(*SLOWER, "--summary", "summary.md", cwd=folder, env=environment)
    assert found.returncode == 1, found.stdout + found.stderr
    return folder, found.stdout


def test_the_operator_and_the_node_that_moved_are_named_with_their_intervals(slower: tuple[Path, str]) -> None:
    folder, said = slower
    expected = {"stage inference", f"operator {CHANGED}", f"node {LAST_NODE}"}
    assert claims(said) == expected, said
    spans = re.findall(rf"operator {CHANGED}: ({INTERVAL})", said)
    assert spans
    assert all(part.startswith("+") for span in spans for part in re.findall(r"[+−][\d.]+(?= ms)", span))
    summary = (folder / "summary.md").read_text(encoding="utf-8").replace("\\", "")
    assert claims(summary) == claims(said)
    for text in (said, summary):
        assert text.count(f"operator {CHANGED}: ") == 1, "however many metrics moved"
        assert text.count("model scripted-8bit → scripted") == 1


def test_the_traces_of_both_sides_are_kept_and_linked(slower: tuple[Path, str]) -> None:
    folder, said = slower
    (kept,) = (folder / ".kokoro-bench" / "traces").iterdir()
    note = f"traces for Perfetto and speedscope: traces/{kept.name}, beside the results"
    assert note in said
    traces = sorted(kept.glob("*.json.gz"))
    assert [re.search(r"\.(\w+)\.launch-(\d)\.", each.name).groups() for each in traces] == [
        (side, str(launch)) for side in ("candidate", "reference") for launch in (1, 2, 3)
    ]  # type: ignore[union-attr]
    for trace in traces:
        events = json.loads(gzip.decompress(trace.read_bytes()))
        assert {event["ph"] for event in events} == {"X"}, "complete events of Chrome's trace format"
        assert all({"name", "cat", "pid", "tid", "ts", "dur"} <= event.keys() for event in events)
    page = folder / "reports" / "site" / "runs" / f"{kept.name}.html"
    html = page.read_text(encoding="utf-8")
    assert note in html
    links = re.findall(r'href="(\.\./traces/[^"]+)"', html)
    assert sorted((page.parent / link).read_bytes() for link in links) == sorted(each.read_bytes() for each in traces)


def test_the_page_draws_operators_and_nodes_and_has_them_in_tables(slower: tuple[Path, str]) -> None:
    folder, said = slower
    (page,) = (folder / "reports" / "site" / "runs").glob("*.html")
    html = page.read_text(encoding="utf-8")
    section = html[html.index('id="profiles"') :]
    ((repetitions, launches),) = re.findall(r"medians of (\d+) profiled repetitions a side in (\d+) launches", section)
    assert int(repetitions) == 4 * int(launches)
    assert 3 < int(launches) <= 8, "as many as there is time for, and the traces of three"
    blocks = re.findall(r'<svg class="part (\w+)"[^>]*><title>([^:<]+): ', section)
    assert ("worse", CHANGED) in blocks
    assert ("worse", f"{LAST_NODE} 1×64×8") in blocks
    (told,) = re.findall(rf"operator {CHANGED}: [^)]*\), \d+ % of [^(]*\(([\d.]+) → ([\d.]+)\)", said)
    row = re.search(rf'<th scope="row" role="rowheader">{CHANGED}</th>(.*?)</tr>', section)
    assert row is not None
    figures = re.findall(r">([+−]?[\d.]+)</td>", row[1])
    assert tuple(f"{float(each):.1f}" for each in figures[:2]) == told, "the same medians as in the sentence"
    assert "data-sortable" in section


def test_a_run_profiles_each_arm_where_it_is_asked_to(here: Command, tmp_path: Path) -> None:
    chosen = ("--engine", "scripted", "--model", "scripted", "--text", "chars-12", "--budget", "20s")
    found = here("run", *chosen, "-k", "text_lengths", "--profile")
    assert found.returncode == 0, found.stdout + found.stderr
    assert re.search(rf"{CHANGED} +[\d.]+ +50\.\d %", found.stdout), "its share of the scripted engine"
    (kept,) = (tmp_path / ".kokoro-bench" / "traces").iterdir()
    assert len(list(kept.glob("*.json.gz"))) == 1
    here("runs", "delete", "latest", "--yes")
    assert not kept.exists()


@pytest.mark.usefixtures("no_pages")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda whole: whole[: len(whole) // 2], "the profile is not JSON"),
        (lambda whole: json.dumps({"traceEvents": json.loads(whole)}), "the profile has another format"),
    ],
)
def test_a_trace_that_cannot_be_read_costs_the_operators_alone(
    here: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: Callable[[str], str],
    said: str,
) -> None:
    write = scripted_profile.ScriptedProfile.write

    def spoilt(self: scripted_profile.ScriptedProfile) -> None:
        write(self)
        path = self._path
        path.write_text(content(path.read_text(encoding="utf-8")), encoding="utf-8")

    monkeypatch.setattr(scripted_profile.ScriptedProfile, "write", spoilt)
    found = here(*QUICKER)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count(f"operators: not profiled ({said}") == 1
    assert "stage inference: −" in found.stdout
    assert not (tmp_path / ".kokoro-bench" / "traces").exists()


@pytest.mark.usefixtures("no_pages")
def test_an_engine_that_writes_no_profile_is_not_started_for_one(
    here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr("harness.runner.duel_causes.declaration_of", lambda name: Declaration(name=name))
    monkeypatch.setattr("harness.runner.profiles.profile_pair", lambda *arms, **_: started.append(arms))
    found = here(*QUICKER)
    assert "operators: not profiled (the engine scripted writes no profile)" in found.stdout
    assert started == []


@pytest.mark.usefixtures("no_pages")
def test_memory_is_named_by_what_holds_it(here: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smaller model holds half as much again in everything, and in the arena that ONNX Runtime counts."""
    factor: Callable[..., float] = lambda order, launch: 1.5 if order.model == "scripted-8bit" else 1.0  # noqa: ARG005, E731
    monkeypatch.setattr("harness.measure.worker.scripted_handle.memory_factor", factor)
    made = scripted_profile.ScriptedProfile.__init__
    held: Callable[..., None] = lambda self, prefix, *, factor, **rest: made(  # noqa: E731
        self, prefix, factor=factor, **{**rest, "memory": 1.0 if factor == 1.0 else 1.5}
    )
    monkeypatch.setattr(scripted_profile.ScriptedProfile, "__init__", held)
    found = here(*QUICKER, "--launches", "8", "--blocks", "1")
    (line,) = re.findall(r"Suspects of rss_peak: (.*)", found.stdout) or [found.stdout]
    assert [each.partition(": ")[0] for each in line.split("; ")] == [
        "memory once loaded", "memory per request", "memory in ONNX Runtime's arena",
    ]  # fmt: skip
    assert "(8.0 → 12.0)" in line


@pytest.mark.usefixtures("no_pages")
def test_an_operator_that_moved_against_the_verdict_is_not_named(
    here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    operators_of(monkeypatch, {**SHARES, "MatMul": 0.25, "Conv": 0.25})
    found = here(*QUICKER)
    assert {each for each in claims(found.stdout) if "node" not in each} == {"stage inference", "operator MatMul"}
    assert re.search(r"unexplained by operator: \+[\d.]+ ms, −\d+ % of −", found.stdout), "Conv became slower"


@pytest.mark.usefixtures("no_pages")
def test_where_only_what_is_not_a_node_became_quicker_no_operator_is_named(
    here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operators_of(monkeypatch, SHARES)
    for seed in range(4):
        found = here(*QUICKER, "--seed", str(seed), "--results", str(tmp_path / f"{seed}.sqlite"))
        assert claims(found.stdout) == {"stage inference", "no operator stands out"}, f"seed {seed}: {found.stdout}"


def test_a_suspect_of_an_earlier_version_without_an_interval_is_not_shown(here: Command, tmp_path: Path) -> None:
    import sqlite3

    from harness.core.records.verdict import Verdict
    from harness.store.payload import PAYLOAD_FORMAT, decode, encode

    here(*QUICKER, "--report", str(tmp_path / "first"))
    with sqlite3.connect(tmp_path / ".kokoro-bench" / "results.sqlite") as database:
        rows = database.execute("SELECT run, position, payload FROM bench_verdicts").fetchall()
        for run, position, payload in rows:
            verdict = decode(payload, Verdict, payload_format=PAYLOAD_FORMAT, where="here")
            told = (
                "inference: -6.1% of the whole (61.0 → 55.1 ms)",
                "operator ConvInteger: +5.1% of all nodes' time (0.0 → 3.1 ms)",
                "onnxruntime 1.31.1 → 1.32.0",
            )
            object.__setattr__(verdict, "suspects", told)
            object.__setattr__(verdict, "suspect_kinds", ())
            database.execute(
                "UPDATE bench_verdicts SET payload = ? WHERE run = ? AND position = ?", (encode(verdict), run, position)
            )
    shown = here("runs", "show", "latest").stdout
    for verdict in json.loads(here("runs", "show", "latest", "--json").stdout)["verdicts"]:
        assert (verdict["suspects"], verdict["suspect_kinds"]) == ([told[2]], ["unknown"])
    exported = here("runs", "export", "latest", "--format", "jsonl").stdout
    here("report", "--report", str(tmp_path / "second"))
    pages = [page.read_text(encoding="utf-8") for page in (tmp_path / "second").rglob("*.html")]
    assert "onnxruntime 1.31.1 → 1.32.0" in shown
    assert any("onnxruntime 1.31.1 → 1.32.0" in page for page in pages)
    for text in (shown, exported, *pages):
        assert "ConvInteger" not in text
        assert "of the whole" not in text


def suspects_from(output: str, metric: str) -> list[str]:
    """The suspects of a metric of a duel's JSON, each up to its figures."""
    (found,) = (each["suspects"] for each in json.loads(output)["verdicts"] if each["metric"] == metric)
    return [each.partition(": ")[0] for each in found]


@pytest.mark.usefixtures("no_pages")
@pytest.mark.parametrize(
    ("candidate", "part"),
    [("leak=20", "memory kept by each request (leak)"), ("memory=1.3", "memory once loaded")],
)
def test_a_leak_is_told_from_what_is_held_anyway(here: Command, candidate: str, part: str) -> None:
    """In three launches, each with one peak and as few repetitions as a duel makes."""
    options = ("--engine", "scripted", "--text", "chars-12", "--launches", "3", "--blocks", "3", "--json")
    found = here("duel", f"script={candidate}", "script=leak=0", *options)
    assert found.returncode == 1, found.stderr
    cause, where, *_ = suspects_from(found.stdout, "rss_peak")
    assert (cause, where) == (f"script leak=0 → {candidate}", part)


@pytest.mark.usefixtures("no_pages")
def test_equal_sides_whose_memory_scatters_as_much_as_is_presumed_have_no_suspect(
    here: Command, tmp_path: Path
) -> None:
    options = ("--engine", "scripted", "--text", "chars-12", "--launches", "3", "--blocks", "6", "--json")
    for seed in range(5):
        sides = ("script=memory_noise=0.005", "script=memory_noise=0.0050")
        found = here("duel", *sides, *options, "--seed", str(seed), "--results", str(tmp_path / f"{seed}.sqlite"))
        assert [each["suspects"] for each in json.loads(found.stdout)["verdicts"] if each["suspects"]] == [], seed


@pytest.mark.usefixtures("no_pages")
def test_the_chosen_option_is_named_before_the_stage_in_which_it_acts(here: Command) -> None:
    found = here("duel", "script=pace=1.2", "script=pace=1", "--engine", "scripted", "--text", "chars-12", "--json")
    assert suspects_from(found.stdout, "latency")[0] == "script pace=1 → pace=1.2"
    assert "stage inference" in suspects_from(found.stdout, "latency")[1:]
    (kinds,) = (each["suspect_kinds"] for each in json.loads(found.stdout)["verdicts"] if each["metric"] == "latency")
    named = [
        "option" if each.startswith("script ") else each.split()[0] for each in suspects_from(found.stdout, "latency")
    ]
    assert kinds == ["nothing" if each in ("no", "unexplained") else each for each in named]


@pytest.mark.usefixtures("no_pages")
@pytest.mark.parametrize("extra", ["an operator", "nodes"])
def test_what_only_one_arm_executes_is_named_with_the_range_of_its_launches(
    extra: str, here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original executes what the quicker model lacks: an operator, or two nodes of one that both have."""
    kept = {"an operator": 0.0, "nodes": SHARES["Sin"]}[extra]
    original = {**SHARES, "Sin": SHARES["Sin"] + 0.3}
    quick = {name: share for name, share in {**SHARES, "Sin": kept}.items() if share}
    shares: Callable[[float], Mapping[str, float]] = lambda factor: original if factor == 1.0 else quick  # noqa: E731
    monkeypatch.setattr(scripted_profile, "shares_of", shares)
    usual = scripted_profile.parts_of
    more: Callable[[str, float], list[float]] = lambda operator, share: (  # noqa: E731
        [share - 0.3, 0.15, 0.15] if operator == "Sin" and share > 0.3 else usual(operator, share)
    )
    monkeypatch.setattr(scripted_profile, "parts_of", more)
    found = here(*SLOWER)
    assert found.returncode == 1, found.stdout + found.stderr
    (sheet,) = (tmp_path / ".kokoro-bench" / "traces").glob("*/profile.json")
    (profiled,) = json.loads(sheet.read_text(encoding="utf-8"))["profiled"]
    level = f"{100 * (1 - 2 ** (1 - profiled['launches'])):.2f}"
    pattern = rf"operator Sin: \+[^;]*? at {re.escape(level)} %\), \d+ % of \+[\d.]+ ms \(([\d.]+) →"
    (before,) = set(re.findall(pattern, found.stdout))
    assert (float(before) > 0) is (extra == "nodes")
