"""Built-in speed targets inform in `run`; they decide in `validate`, and where the user configures them."""

import json
from pathlib import Path

from tests.conftest import Command

SLOW = ("--engine", "scripted", "--script", "pace=40", "--launches", "2", "--blocks", "2")
RUN = ("run", *SLOW, "-k", "chars-12")
NOT_MET = "target not met: scripted.cpu.tdefault/whole/chars-12/af_heart: rtf"


def test_run_on_slow_machine_shows_built_in_targets_and_ends_with_0(here: Command, tmp_path: Path) -> None:
    found = here(*RUN, "--summary", "run.md")
    assert NOT_MET in found.stdout
    assert "(built-in, does not decide the exit code)" in found.stdout
    assert "exit code 0: nothing worse, no target missed that decides it\n" in found.stdout
    assert found.returncode == 0
    assert "not met" in (tmp_path / "run.md").read_text()
    assert "not met" in (tmp_path / "reports/site/index.html").read_text()
    assert "`kokoro-bench baseline promote" in found.stdout, "the newcomer's next step"


def test_run_with_configured_limit_ends_with_1(here: Command) -> None:
    found = here(*RUN, "--targets", "rtf=1.0")
    assert NOT_MET.replace("not met", "missed") in found.stdout
    assert found.returncode == 1


def test_run_with_limit_configured_for_other_scenarios_ends_with_0(here: Command, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.kokoro-bench.targets]\n"*/chars-200/*" = { rtf = 1.0 }\n')
    assert here(*RUN).returncode == 0


def test_validate_on_slow_machine_ends_with_1(here: Command) -> None:
    found = here("validate", *SLOW)
    assert "✗ missed" in found.stdout
    assert found.returncode == 1


def test_run_with_failed_requests_does_not_end_with_0(here: Command) -> None:
    found = here("run", *SLOW[:2], "--script", "fault=silent", "--launches", "2", "--blocks", "2", "-k", "chars-12")
    assert "target missed" in found.stdout
    assert "success_rate" in found.stdout
    assert found.returncode == 1


def test_runs_list_counts_only_missed_targets(here: Command) -> None:
    here(*RUN)
    lines = [json.loads(line) for line in here("runs", "export").stdout.splitlines()]
    kinds = {line["record"]["metric"]: line["record"]["kind"] for line in lines if line["kind"] == "target"}
    assert kinds["rtf"] == "not met"
    listed = here("runs", "list").stdout.splitlines()
    assert [line.split()[-1] for line in listed if "scripted" in line] == ["0"], listed
