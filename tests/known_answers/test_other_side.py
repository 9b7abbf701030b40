"""What the figures of sound are held against, as a user sees it: the other side has a name, and is never oneself."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.engines import scripted
from harness.engines.scripted import ScriptedEngine
from harness.engines.speech import SpeechRequest
from reports.text.format import NARROW
from tests.conftest import Command

MINE, OTHER = "mine", "other"
RUN = ("run", "--engine", "scripted", "-k", "text_lengths", "--text", "chars-12", "--launches", "2", "--blocks", "3")
SOUNDS = ("lsd", "mcd", "duration_ratio", "lsd_itself", "mcd_itself")
ARM = "{}.cpu.tdefault"


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models of unknown origin, as a user's files are; the second speaks half as long again, and with noise."""
    whole = ScriptedEngine.synthesise
    generator = np.random.default_rng(3)

    def synthesise(self: ScriptedEngine, request: SpeechRequest) -> Iterator[NDArray[np.float32]]:
        for chunk in whole(self, request):
            if self._factor == 0.9:
                longer = np.concatenate([chunk, chunk[: len(chunk) // 5]])
                yield (longer + 0.05 * generator.standard_normal(len(longer))).astype(np.float32)
            else:
                yield chunk

    monkeypatch.setattr(ScriptedEngine, "synthesise", synthesise)
    monkeypatch.setattr(scripted, "SCRIPTED_MODELS", {**scripted.SCRIPTED_MODELS, MINE: 1.0, OTHER: 0.9})


def rows(output: str) -> dict[str, list[str]]:
    """First cell → the other cells, of the tables."""
    cells = [re.split(r"  +", line.strip().replace(NARROW, " ")) for line in output.splitlines()]
    return {row[0]: row[1:] for row in cells if len(row) > 4}


def figures(here: Command) -> dict[str, dict[str, dict[str, Any]]]:
    """Arm → metric of sound → its summary, as the newest run is exported."""
    exported = here("runs", "export", "latest", "--format", "jsonl")
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for line in map(json.loads, exported.stdout.splitlines()):
        record = line["record"] if line["kind"] == "summary" else {"metric": "", "scenario_id": ""}
        if record["metric"] in SOUNDS and "/whole/" in record["scenario_id"]:
            found.setdefault(record["scenario_id"].partition("/")[0], {})[record["metric"]] = record
    return found


def test_files_of_unknown_origin_are_held_against_the_tables_reference(here: Command, tmp_path: Path) -> None:
    found = here(*RUN, "--model", f"{MINE},{OTHER}", "--summary", "summary.md")
    head = next(line for line in found.stdout.splitlines() if line.startswith("Side by side"))
    assert f"* against {ARM.format(MINE)}" in head, found.stdout + found.stderr
    table = rows(found.stdout[found.stdout.index(head) :])
    assert {"change *", "mcd *", "duration *"} <= set(table["combination"])
    assert "0.00 dB (itself)" in " ".join(table[ARM.format(MINE)])
    assert table[ARM.format(OTHER)][-1] == "1.20"
    assert "0.00 dB" not in " ".join(table[ARM.format(OTHER)])
    assert f"sound: {ARM.format(OTHER)} is compared with {ARM.format(MINE)}" in found.stdout
    told = figures(here)
    assert told[ARM.format(OTHER)]["duration_ratio"]["median"] == pytest.approx(1.2, abs=0.01)
    assert {name: each["n"] for name, each in told[ARM.format(MINE)].items()} == {
        "lsd": 0, "mcd": 0, "duration_ratio": 0, "lsd_itself": 1, "mcd_itself": 1,
    }  # fmt: skip
    pages = "".join(page.read_text(encoding="utf-8") for page in (tmp_path / "reports").rglob("runs/*.html"))
    assert "Audio differences are against" in pages
    assert "(itself)" in pages


def test_a_single_file_has_a_dash_and_the_reason(here: Command) -> None:
    here(*RUN, "--model", MINE)
    for name, each in figures(here)[ARM.format(MINE)].items():
        assert (each["n"], each["median"]) == (0, None), name
        assert each["reason"] in ("the run has nothing else with this text to compare it with",
                                  "nothing in the run is compared with it")  # fmt: skip


@pytest.mark.parametrize(("limit", "kind", "code"), [("1.0", "missed", 1), ("90.0", "met", 0)])
def test_a_target_on_sound_is_decided_by_the_other_side_and_never_by_oneself(
    here: Command, tmp_path: Path, limit: str, kind: str, code: int
) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.kokoro-bench.targets]\n'*/whole/*' = {{ mcd = {limit} }}\n")
    found = here(*RUN, "--model", f"{MINE},{OTHER}")
    exported = here("runs", "export", "latest", "--format", "jsonl").stdout
    targets = [line["record"] for line in map(json.loads, exported.splitlines()) if line["kind"] == "target"]
    kinds = {each["scenario_id"].partition(".")[0]: each["kind"] for each in targets if each["metric"] == "mcd"}
    assert kinds == {MINE: "unknown", OTHER: kind}, found.stdout + found.stderr
    assert found.returncode == code


def test_a_variant_that_is_held_against_another_than_the_tables_reference_says_so(here: Command) -> None:
    found = here(*RUN, "--model", f"{MINE},scripted,scripted-8bit")
    table = rows(found.stdout[found.stdout.index("Side by side") :])
    assert "0.00 dB (against scripted" in " ".join(table[ARM.format("scripted-8bit")])
    assert "(against" not in " ".join(table[ARM.format(MINE)])


def test_a_run_of_an_earlier_version_shows_no_comparison_with_itself(here: Command, tmp_path: Path) -> None:
    """Definition 1 held files of unknown origin against themselves, under the names of the others' figures."""
    import sqlite3

    here(*RUN, "--model", f"{MINE},{OTHER}", "--report", str(tmp_path / "first"))
    with sqlite3.connect(tmp_path / ".kokoro-bench" / "results.sqlite") as database:
        changed = database.execute(
            "UPDATE bench_summaries SET definition = 1, n = 1, median = 1.0, reason = '' WHERE series IN "
            "(SELECT key FROM bench_series WHERE metric IN ('mcd', 'lsd', 'duration_ratio'))"
        )
        assert changed.rowcount
    for arm in (MINE, OTHER):
        told = figures(here)[ARM.format(arm)]
        assert [told[name]["n"] for name in ("lsd", "mcd", "duration_ratio")] == [0, 0, 0]
        assert told["mcd_itself"]["median"] == 1.0
    here("report", "--report", str(tmp_path / "second"))
    (page,) = (tmp_path / "second").rglob("runs/2*.html")
    assert "(itself)" in page.read_text(encoding="utf-8")
