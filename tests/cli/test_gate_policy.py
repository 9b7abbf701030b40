"""The user's policy decides the exit code of a real command: tolerances, metrics that gate, waivers.

A scripted run begins on 2000-01-01, which is the day by which a waiver holds or has expired.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.core.records.run import REPLAY_OF
from tests.conftest import Command

RUN = ("run", "--engine", "scripted", "--model", "scripted", "--launches", "3", "--blocks", "4", "-k", "chars-12")
SLOWER = (*RUN, "--script", "pace=1.2", "--summary", "run.md", "--json", "run.json")
SCENARIO = "scripted.cpu.tdefault/whole/chars-12/af_heart"
WORSE = ("ttfa", "latency", "rtf", "cpu_per_audio")
REASON = "the new voice needs a longer style vector"

Configure = Callable[[str], None]


@pytest.fixture
def configure(here: Command, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Configure:
    """A folder with a baseline, and a function that writes its pyproject.toml."""
    kept = tmp_path_factory.getbasetemp() / "accepted"
    if not kept.is_dir():
        kept.mkdir()
        assert here(*RUN, directory=kept).returncode == 0
        assert here("baseline", "promote", directory=kept).returncode == 0
    shutil.copytree(kept / "baselines", tmp_path / "baselines")
    return lambda content: (tmp_path / "pyproject.toml").write_text(content) and None


def waivers(until: str, *, scenarios: str = "*/whole/chars-12/*", metrics: tuple[str, ...] = WORSE) -> str:
    return "\n".join(
        f'[[tool.kokoro-bench.waiver]]\nscenarios = "{scenarios}"\nmetric = "{metric}"\nreason = "{REASON}"\n'
        f"until = {until}"
        for metric in metrics
    )


def verdicts(here: Command) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in here("runs", "export").stdout.splitlines()]
    return {line["record"]["metric"]: line["record"] for line in lines if line["kind"] == "verdict"}


def measured(here: Command) -> list[dict[str, Any]]:
    """The stored runs, without the replays that are parts of them."""
    every = json.loads(here("runs", "list", "--json").stdout)
    return [run for run in every if not run["selection"].startswith(REPLAY_OF)]


def test_planted_slowdown_without_policy_ends_with_1(here: Command, configure: Configure) -> None:
    configure("")
    found = here(*SLOWER)
    assert "▲ worse ttfa, latency, rtf" in found.stdout
    assert found.returncode == 1


def test_waived_regression_is_shown_everywhere_and_ends_with_0(
    here: Command, configure: Configure, tmp_path: Path
) -> None:
    configure(waivers("2000-01-01"))
    found = here(*SLOWER)
    assert found.returncode == 0, found.stdout
    assert "▲ waived ttfa, latency, rtf" in found.stdout
    words = f"waived until 2000-01-01 ({REASON})"
    assert f"latency is worse in {SCENARIO} (+" in found.stdout
    assert f"): {words}" in found.stdout
    assert "figures got worse (waived)" in found.stdout
    assert "exit code 0: nothing worse but what is waived or informs, no target missed" in found.stdout
    summary = (tmp_path / "run.md").read_text()
    assert "### Worse, waived" in summary
    assert f": {words}" in summary.replace("\\", "")
    waiver = {"scenarios": "*/whole/chars-12/*", "metric": "latency", "reason": REASON, "until": "2000-01-01",
              "expired": False}  # fmt: skip
    exported = json.loads(here("runs", "export", "--format", "pytest-benchmark").stdout)
    for [benchmark] in (exported["benchmarks"], json.loads((tmp_path / "run.json").read_text())["benchmarks"]):
        assert benchmark["extra_info"]["waivers"]["latency"] == waiver
    stored = verdicts(here)["latency"]
    assert (stored["kind"], stored["waiver"]) == ("regressed", waiver)
    assert stored["change"]["low"] > 0
    [listed] = measured(here)
    page = tmp_path / f"reports/site/runs/{listed['id']}.html"
    assert "What got worse and is waived" in page.read_text()
    assert words in page.read_text()
    for other in ("index.html", "runs.html"):
        assert "figures got worse (waived)" in (tmp_path / "reports/site" / other).read_text()
    [scenario] = (tmp_path / "reports/site/scenarios").glob("*.html")
    assert "▲ waived" in scenario.read_text()
    shown = here("runs", "show").stdout
    assert "▲ waived  " in shown
    assert f"Waived until 2000-01-01 ({REASON})." in shown
    assert (listed["regressed"], listed["waived"], listed["missed"]) == (0, len(WORSE), 0)


def test_expired_waiver_fails_again_and_is_named(here: Command, configure: Configure, tmp_path: Path) -> None:
    configure(waivers("1999-12-31"))
    found = here(*SLOWER)
    assert found.returncode == 1
    words = f"the waiver for */whole/chars-12/* expired, it held until 1999-12-31 ({REASON})"
    assert f"latency is worse in {SCENARIO} (+" in found.stdout
    assert words in found.stdout
    assert "▲ worse ttfa, latency" in found.stdout
    assert words in (tmp_path / "run.md").read_text().replace("\\", "")
    assert verdicts(here)["latency"]["waiver"]["expired"] is True


def test_waiver_of_one_metric_leaves_others_failing(here: Command, configure: Configure) -> None:
    configure(waivers("2000-12-31", metrics=("latency",)))
    found = here(*SLOWER)
    assert found.returncode == 1
    assert "▲ worse ttfa, rtf" in found.stdout
    assert "4 of 5 figures got worse (1 waived)" in found.stdout


def test_waivers_without_use_are_noted(here: Command, configure: Configure) -> None:
    configure(waivers("2000-12-31", scenarios="*/chars-200/*") + "\n" + waivers("1999-12-31", metrics=("rss_peak",)))
    found = here(*RUN)
    assert found.returncode == 0
    for metric in WORSE:
        named = f"the waiver of {metric} for */chars-200/* until 2000-12-31 ({REASON})"
        assert f"{named} matches no scenario of this run" in found.stdout
    named = f"the waiver of rss_peak for */whole/chars-12/* until 1999-12-31 ({REASON})"
    assert f"{named} has expired: a regression fails again" in found.stdout


def test_overlapping_waivers_are_refused_before_anything_is_measured(
    here: Command, configure: Configure, tmp_path: Path
) -> None:
    configure(waivers("2000-12-31", metrics=("rtf",)) + "\n" + waivers("2000-11-30", scenarios="scripted.*"))
    found = here(*RUN)
    assert found.returncode == 2
    assert "two waivers of rtf overlap: '*/whole/chars-12/*' until 2000-12-31" in found.stderr
    assert "'scripted.*' until 2000-11-30" in found.stderr
    assert json.loads(here("runs", "list", "--json").stdout) == []


@pytest.mark.parametrize(("tolerance", "code"), [('{ "*/chars-12/*" = { TABLE } }', 0), ('{ "*/x/*" = { TABLE } }', 1)])
def test_tolerance_of_matching_pattern_decides(here: Command, configure: Configure, tolerance: str, code: int) -> None:
    table = ", ".join(f"{metric} = 0.99" for metric in WORSE)
    configure(f"[tool.kokoro-bench.gate]\ntolerance = {tolerance.replace('TABLE', table)}\n")
    found = here(*RUN, "--script", "pace=1.2")
    assert found.returncode == code, found.stdout


def test_metric_that_does_not_gate_informs(here: Command, configure: Configure, tmp_path: Path) -> None:
    configure('[tool.kokoro-bench.gate]\nmetrics = ["rss_peak"]\nrequire = "baseline"\n')
    found = here(*SLOWER)
    assert found.returncode == 0, found.stdout
    assert "▲ worse, informs ttfa, latency, rtf" in found.stdout
    assert "figures got worse (for information)" in found.stdout
    stored = verdicts(here)
    assert (stored["latency"]["kind"], stored["latency"]["gates"]) == ("regressed", False)
    assert stored["rss_peak"]["gates"] is True
    assert "for information (the metric does not gate)" in (tmp_path / "run.md").read_text().replace("\\", "")
    assert here(*SLOWER, "--gate-metrics", "latency").returncode == 1, "an option overrules the file"


def test_failure_decides_whichever_metric_gates(here: Command, configure: Configure) -> None:
    configure('[tool.kokoro-bench.gate]\nmetrics = ["rss_peak"]\n')
    assert here(*RUN, "--script", "fault=exit-at-load").returncode == 3


def test_configuration_is_shown_with_its_origin(here: Command, configure: Configure) -> None:
    configure("[tool.kokoro-bench.gate]\ntolerance = { latency = 0.03 }\n" + waivers("2000-12-31", metrics=("rtf",)))
    shown = " ".join(here("config").stdout.split())
    assert "(('*', 'latency', 0.03),)" in shown
    assert "[tool.kokoro-bench.gate]" in shown
    assert "waiver 1" in shown
    assert "rtf of */whole/chars-12/* until" in shown


def test_comparison_of_runs_names_waived_regressions(here: Command, configure: Configure) -> None:
    configure(waivers("2000-12-31"))
    here(*RUN)
    here(*SLOWER)
    newest, before = measured(here)
    told = here("compare", before["id"], newest["id"]).stdout.replace("\\", "")
    assert f"waived until 2000-12-31 ({REASON})" in told
