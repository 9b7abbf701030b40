"""What a duel names as the cause, where the cause is known: the scripted engine's operators take what a table says."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.engines import scripted_profile
from harness.engines.scripted_profile import CHANGED, SHARES
from tests.conftest import Command

QUICKER = ("duel", "model=scripted-8bit", "model=scripted", "--engine", "scripted", "--text", "chars-12")
SLOWER = ("duel", "model=scripted", "model=scripted-8bit", "--engine", "scripted", "--text", "chars-12")
INTERVAL = r"[+-][\d.]+ ms \([+-][\d.]+ to [+-][\d.]+ at \d\d\.\d\d %\) of [+-][\d.]+ ms"


def claims(output: str) -> set[str]:
    """Everything that is named as an operator or as a stage beside a verdict, and that none is."""
    return set(re.findall(r"(?:operator|stage) [\w ]+(?=: [+-])|no (?:operator|stage) stands out", output))


def operators_of(monkeypatch: pytest.MonkeyPatch, quick: Mapping[str, float]) -> None:
    """The quicker model's operators take `quick` of the original's inference, whatever its inference takes."""
    shares: Callable[[float], Mapping[str, float]] = lambda factor: SHARES if factor == 1.0 else quick  # noqa: E731
    monkeypatch.setattr(scripted_profile, "shares_of", shares)


def test_the_operator_that_moved_is_named_with_its_interval(kokoro_bench: Command, tmp_path: Path) -> None:
    found = kokoro_bench(*SLOWER, "--summary", "summary.md")
    assert claims(found.stdout) == {"stage inference", f"operator {CHANGED}"}, found.stdout + found.stderr
    spans = re.findall(rf"operator {CHANGED}: ({INTERVAL})", found.stdout)
    assert spans
    assert all(part.startswith("+") for span in spans for part in re.findall(r"[+-][\d.]+(?= ms)", span))
    assert claims((tmp_path / "summary.md").read_text(encoding="utf-8")) == claims(found.stdout)


def test_an_operator_that_moved_against_the_verdict_is_not_named(
    here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    operators_of(monkeypatch, {**SHARES, "MatMul": 0.25, "Conv": 0.25})
    found = here(*QUICKER)
    assert claims(found.stdout) == {"stage inference", "operator MatMul"}, found.stdout


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
            database.execute(
                "UPDATE bench_verdicts SET payload = ? WHERE run = ? AND position = ?", (encode(verdict), run, position)
            )
    shown = here("runs", "show", "latest").stdout
    exported = here("runs", "export", "latest", "--format", "jsonl").stdout
    here("report", "--report", str(tmp_path / "second"))
    pages = [page.read_text(encoding="utf-8") for page in (tmp_path / "second").rglob("*.html")]
    assert "onnxruntime 1.31.1 → 1.32.0" in shown
    assert any("onnxruntime 1.31.1 → 1.32.0" in page for page in pages)
    for text in (shown, exported, *pages):
        assert "ConvInteger" not in text
        assert "of the whole" not in text
