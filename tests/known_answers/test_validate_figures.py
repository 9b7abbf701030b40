"""The figures of `validate` against a server whose answers are scripted: what it gave is known, so is every target."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.server.builtin import SCRIPTS
from harness.server.scripted import serving
from tests.conftest import Command

SHORT = ("--text", "chars-12", "--launches", "1", "--warmups", "1")
BEFORE_BLOCKS = 2
"""Requests of a launch before its blocks: the first inference and one warm-up."""
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
