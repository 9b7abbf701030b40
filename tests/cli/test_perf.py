"""The project's own benchmarks through their command: one table, and a history that grows by each call."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]


def perf(folder: Path, *arguments: str, before: Path = ROOT) -> str:
    """What it says. `before` is searched for modules before the project."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (before, ROOT))), "COLUMNS": "160"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def calls(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / ".kokoro-bench" / "perf.jsonl").read_text().splitlines()]


def test_figures_end_in_a_table_and_in_a_history(tmp_path: Path) -> None:
    said = perf(tmp_path, "store_speed", "--blocks", "20")
    printed = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    row = next(line for line in said.splitlines() if "writing a block" in line)
    [figure] = calls(tmp_path)[0]["figures"]["store_speed"]
    assert round(figure["value"], 3) == printed["store_ms"]
    assert [[name, round(value, 3)] for name, value in figure["peers"]] == [
        ["plain sqlite3", printed["plain_sqlite3_ms"]]
    ]
    assert "at most 10" in row
    assert ("not met" in row) == (printed["store_ms"] > 10)
    page = tmp_path / "reports" / "site" / "perf.html"
    assert "One value so far" in page.read_text()

    # As a kill leaves it: the next call says so, and loses nothing else.
    file = tmp_path / ".kokoro-bench" / "perf.jsonl"
    file.write_text(file.read_text() + '{"at": 1796000000.0, "mach\n')
    (tmp_path / "sitecustomize.py").write_text("import os; os.getloadavg = lambda: (4_000.0, 0.0, 0.0)")
    said = perf(tmp_path, "store_speed", "--blocks", "20", before=tmp_path)
    assert "perf.jsonl: line 2 is not whole and is left out" in said
    load = 4_000 / (psutil.cpu_count() or 1)
    assert f"The machine was busy before (load {load:.1f} for each CPU): times are too long." in said
    lines = file.read_text().splitlines()
    newest = json.loads(lines[-1])["figures"]["store_speed"][0]["value"]
    assert len(lines) == 3
    text = page.read_text()
    assert "2 calls" in text
    assert f"the newest began on a busy machine (load {load:.1f} for each CPU)" in text
    assert re.search(rf"<b>{newest:.4g} ms</b>", text)
    assert text.count('<path class="line"') == 1


def test_every_benchmark_defines_all_before_it_begins() -> None:
    bodies = {file.name: ast.parse(file.read_text()).body for file in (ROOT / "benchmarks").glob("*.py")}
    begins = [
        (name, len(body) - 1 - place)
        for name, body in bodies.items()
        for place, each in enumerate(body)
        if isinstance(each, ast.If) and "__name__" in ast.dump(each.test)
    ]
    assert begins
    assert [name for name, after in begins if after] == []
