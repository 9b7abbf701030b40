"""A regression that the schedule reported, from its duel to its acceptance, by the commands that a user gives."""

import json
from pathlib import Path
from typing import Any

from tests.conftest import Command

PROJECT = """
[tool.kokoro-bench]
engine = "scripted"
model = "scripted"
script = "pace={pace}"
launches = 3
blocks = 4
quality = "off"
budget = "40s"
[tool.kokoro-bench.schedule]
alerts = ["file:alerts.jsonl"]
busy-cpus = 1000
[tool.kokoro-bench.schedule.nightly]
cron = "30 2 * * *"
selection = "quick"
k = "chars-12 and whole"
confirm = "60s"
"""


def test_slowdown_is_confirmed_by_one_duel_reported_once_and_accepted(kokoro_bench: Command, tmp_path: Path) -> None:
    def night(pace: float) -> list[dict[str, Any]]:
        """Run the job and return what was reported so far."""
        (tmp_path / "pyproject.toml").write_text(PROJECT.format(pace=pace))
        found = kokoro_bench("schedule", "run-now", "nightly")
        assert found.returncode in (0, 1), found.stdout + found.stderr
        told = tmp_path / "alerts.jsonl"
        return [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []

    (tmp_path / "pyproject.toml").write_text(PROJECT.format(pace=1.0))
    assert kokoro_bench("run", "-k", "chars-12 and whole").returncode == 0
    assert kokoro_bench("baseline", "promote").returncode == 0
    [alert] = night(1.5)
    assert alert["event"] == "alert"
    by_metric = {line["metric"]: line for line in alert["alerts"]}
    assert set(by_metric) == {"latency", "rtf", "ttfa", "cpu_per_audio", "rss_peak"}
    assert {line["confirmed"] for line in by_metric.values()} == {"confirmed"}
    [duel] = {line["duel"] for line in by_metric.values()}
    for line in by_metric.values():
        assert line["confirmation"].startswith("confirmed by a duel with what was accepted: +")
        assert f"{line['sentence']}; {line['confirmation']}" in alert["text"]
    assert f"duel: runs/{duel}.html" in alert["text"]
    [confirmation, run] = json.loads(kokoro_bench("schedule", "history", "--json").stdout)
    assert (confirmation["job"], confirmation["confirms"]) == ("nightly/confirm", run["run_id"])
    assert (confirmation["run_id"], confirmation["outcome"]) == (duel, "worse")
    key = by_metric["latency"]["alert"]
    page = tmp_path / "reports" / "site" / by_metric["latency"]["page"]
    assert f"alert {key}: alerts/{key}.html" in alert["text"]
    html = page.read_text(encoding="utf-8")
    assert "Latency got worse" in html
    assert f'<a href="../runs/{duel}.html">run {duel}</a>' in html
    assert "stage inference" in html
    assert f"kokoro-bench schedule confirm {key}" in html
    shown = kokoro_bench("schedule", "alert", str(key), "--markdown")
    assert shown.returncode == 0, shown.stderr
    assert f"| Measured again, pair by pair | {duel} |" in shown.stdout
    assert kokoro_bench("baseline", "promote", "--only", "*/chars-12/*", "--reason", "new voice").returncode == 0
    _, ended = night(1.5)
    assert ended["event"] == "accepted"
    assert ended["subject"].startswith("kokoro-bench: accepted: ")
    shown = kokoro_bench("schedule", "status").stdout
    assert "accepted 2" in shown
    assert "Accepted: the new level was promoted" in page.read_text(encoding="utf-8")
    assert "open since" not in shown
