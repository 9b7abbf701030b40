"""The gate of a job: red only on a regression, and annotations that nobody's text can forge."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command

HOSTILE = "bad\n::set-env name=PATH::/evil\r\n50 % worse"


def verdict(**changes: Any) -> dict[str, Any]:
    found = {"scenario_id": "a/whole", "metric": "latency", "shown_as": "regressed", "fails": True, "sentence": "worse"}
    return {**found, **changes}


def result(code: int, *verdicts: dict[str, Any]) -> str:
    return json.dumps({"format": 1, "exit_code": code, "headline": "a headline", "verdicts": list(verdicts)})


@pytest.mark.parametrize(
    ("content", "usual", "strict"),
    [
        (result(0, verdict(shown_as="unchanged", fails=False)), 0, 0),
        (result(1, verdict()), 1, 1),
        (result(3, verdict(shown_as="failed", fails=False)), 0, 3),
        (result(4), 0, 4),
        (result(130), 0, 130),
        ("", 0, 3),
        (None, 0, 3),
    ],
)
def test_the_job_is_red_only_on_a_regression(
    here: Command, tmp_path: Path, content: str | None, usual: int, strict: int
) -> None:
    if content is not None:
        (tmp_path / "duel.json").write_text(content)
    found = here("ci", "gate", "duel.json")
    assert found.returncode == usual
    if usual != strict:
        assert "warning: " in found.stdout
    assert here("ci", "gate", "duel.json", "--strict").returncode == strict


def test_on_github_it_annotates_and_no_text_becomes_a_command(here: Command, tmp_path: Path) -> None:
    waived = verdict(shown_as="waived", fails=False, sentence="waived until May")
    (tmp_path / "duel.json").write_text(result(1, verdict(sentence=HOSTILE), waived))
    lines = here("ci", "gate", "duel.json", GITHUB_ACTIONS="true").stdout.splitlines()
    assert lines == [
        "::error title=kokoro-bench::a headline",
        "::error title=kokoro-bench::latency of a/whole: bad%0A::set-env name=PATH::/evil%0D%0A50 %25 worse",
        "::notice title=kokoro-bench::latency of a/whole: waived until May",
    ]


def test_more_than_github_shows_is_counted(here: Command, tmp_path: Path) -> None:
    (tmp_path / "duel.json").write_text(result(1, *(verdict() for _ in range(30))))
    lines = here("ci", "gate", "duel.json").stdout.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "notice: … and 22 more, in the report"


@pytest.mark.parametrize("content", ["[]", '{"benchmarks": []}', "not JSON", '{"format": 99}'])
def test_another_file_is_a_usage_error(here: Command, tmp_path: Path, content: str) -> None:
    (tmp_path / "duel.json").write_text(content)
    found = here("ci", "gate", "duel.json")
    assert found.returncode == 2
    assert "duel.json: is no result of a duel" in found.stderr
