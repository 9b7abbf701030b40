"""The figures of `validate` against a server whose answers are scripted: what it gave is known, so is every target."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.metrics.registry import METRICS
from harness.server.mock.builtin import SCRIPTS
from harness.server.mock.script import Answer, Script, Step
from harness.server.mock.server import serving
from tests.conftest import Command

SHORT = ("--text", "chars-12", "--launches", "1", "--warmups", "1")
BEFORE_BLOCKS = 2
"""Requests of a launch before its blocks: the first inference and one warm-up."""
QUICK = Answer(steps=(Step(wait_ms=20), Step(audio_share=1.0)))
SLOW = Answer(steps=(Step(wait_ms=900), Step(audio_share=0.3), Step(wait_share=0.5), Step(audio_share=0.7)))
"""Sound after 20 ms, and after 900 ms with a stall in the middle."""
PROMISED = ("ttfa", "rtf", "streaming_efficiency", "success_rate")


def table(output: str) -> dict[str, tuple[str, str]]:
    """Target → (measured, sign), of the table of one scenario."""
    cells = [re.split(r"  +", line.strip()) for line in output.splitlines()]
    return {row[1]: (row[2], row[4]) for row in cells if len(row) > 4 and row[1] in PROMISED}


def summaries(kokoro_bench: Command, directory: Path) -> dict[str, dict[str, Any]]:
    """Metric → summary of the newest run, as the JSON lines export it."""
    exported = kokoro_bench("runs", "export", "latest", "--format", "jsonl", directory=directory)
    assert exported.returncode == 0, exported.stderr
    lines = [json.loads(line) for line in exported.stdout.splitlines()]
    return {line["record"]["metric"]: line["record"] for line in lines if line["kind"] == "summary"}


@pytest.mark.parametrize("script", ["two-bytes", "empty", "http-500"])
def test_a_server_that_only_fails_has_a_success_rate_of_zero(
    kokoro_bench: Command, tmp_path: Path, script: str
) -> None:
    with serving(SCRIPTS[script]) as (url, server):
        found = kokoro_bench("validate", "--url", url, *SHORT, "--blocks", "2")
        asked = server.tally.requests
    assert found.returncode == 1, found.stdout + found.stderr
    unmeasured = dict.fromkeys(("ttfa", "rtf", "streaming_efficiency"), ("–", "? not measured"))
    assert table(found.stdout) == {**unmeasured, "success_rate": ("0.0 %", "✗ missed")}
    rate = summaries(kokoro_bench, tmp_path)["success_rate"]
    assert rate["median"] == 0
    # Wilson's interval of none of two, at 95 %: 0 to z² / (2 + z²).
    assert (rate["interval"]["n"], rate["interval"]["low"]) == (asked - BEFORE_BLOCKS, 0)
    assert rate["interval"]["high"] == pytest.approx(0.6576, abs=1e-4)


def test_an_address_without_a_speech_server_is_not_measured(kokoro_bench: Command) -> None:
    with serving(SCRIPTS["http-404"]) as (url, _):
        found = kokoro_bench("validate", "--url", url, *SHORT, "--blocks", "1")
    assert found.returncode == 3, found.stdout + found.stderr
    assert {sign for _, sign in table(found.stdout).values()} == {"? not measured"}
    assert "404" in found.stdout


def answering(*measured: Answer) -> Script:
    """A script whose answers from the first measured one on are `measured`."""
    return Script(name="known", meaning="scripted figures", answers=(*[QUICK] * BEFORE_BLOCKS, *measured))


def whys(output: str) -> dict[str, str]:
    """Target → its sentence in the table of one scenario, with what was folded put together again."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in output.splitlines():
        cells = [cell for cell in re.split(r"  +", line.strip()) if cell]
        name = next((cell for cell in cells if cell in PROMISED), name if line.startswith(" ") and cells else "")
        if name and len(cells) > 1:
            found.setdefault(name, []).append(cells[-1])
    return {name: " ".join(parts) for name, parts in found.items()}


def test_two_values_have_no_interval_anywhere(kokoro_bench: Command, tmp_path: Path) -> None:
    with serving(answering(QUICK, SLOW)) as (url, _):
        found = kokoro_bench("validate", "--url", url, *SHORT, "--blocks", "2", "--summary", "summary.md")
    assert found.returncode in (0, 1), found.stdout + found.stderr
    alone = ("ttfa", "rtf", "streaming_efficiency")
    said = whys(found.stdout)
    assert all(said[name].endswith("; 2 values: no interval") for name in alone), said
    # Wilson's interval of two of two, in the unit of its table.
    assert said["success_rate"].endswith("its interval, 34.2 % to 100.0 %"), said
    exported = summaries(kokoro_bench, tmp_path)
    assert {exported[name]["interval"] for name in alone} == {None}
    shown = kokoro_bench("runs", "show", "latest").stdout
    assert "±" not in shown.replace("figures without ±", "")
    assert "2 values: no interval" in shown
    (page,) = (tmp_path / "reports" / "site" / "runs").glob("*.html")
    assert "; 2 values: no interval" in page.read_text()
    assert "2 values: no interval" in (tmp_path / "summary.md").read_text()


def test_no_interval_leaves_what_its_metric_can_be(kokoro_bench: Command, tmp_path: Path) -> None:
    with serving(answering(QUICK, SLOW, QUICK, SLOW)) as (url, _):
        found = kokoro_bench("validate", "--url", url, *SHORT, "--blocks", "4")
    assert found.returncode in (0, 1), found.stdout + found.stderr
    exported = summaries(kokoro_bench, tmp_path)
    for name, summary in exported.items():
        if interval := summary["interval"]:
            least, most = METRICS[name].bounds
            assert least <= interval["low"] <= summary["median"] <= interval["high"] <= most, name
    # Two at 20 ms and two at 900 ms: as wide as the figure itself.
    assert exported["ttfa"]["interval"] is None
    assert whys(found.stdout)["ttfa"].endswith("; 4 values: no interval")
    # Two values are 1, so that there are no logits, and Student's t reaches beyond.
    assert exported["streaming_efficiency"]["interval"]["high"] == 1.0
