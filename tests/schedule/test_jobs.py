"""Jobs and settings as people declare them."""

from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import ConfigError
from harness.plan.config import load_config
from harness.schedule.job import Job, duration, from_plain, limit_of, to_plain
from harness.schedule.jobs import declared, parse_job
from harness.schedule.launcher import arguments_of

WHOLE = """
[tool.kokoro-bench]
threads = [1]

[tool.kokoro-bench.schedule]
alerts = ["https://hooks.example/${TOKEN}", "file:alerts.jsonl"]
keep-raw = "30d"

[tool.kokoro-bench.schedule.nightly]
cron = "30 2 * * *"
timezone = "Europe/Berlin"
budget = "90m"
promote = "clean"
options = { model = ["replica", "replica-u8"], threads = [1, 2], script = { delay = 0.1, silent = true } }

[tool.kokoro-bench.schedule.often]
every = "6h"
selection = "quick"
k = "whole"
"""


def parse(**table: Any) -> Job:
    return parse_job("nightly", {"cron": "30 2 * * *", **table}, where="here", base=Path())


def test_declaration_with_every_key_is_read(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(WHOLE)
    config = load_config(start=tmp_path, environment={})
    found = declared(config)
    assert found.settings.keep_raw_s == 30 * 86_400
    nightly, often = found.jobs
    assert nightly.when == "30 2 * * * Europe/Berlin"
    assert dict(nightly.options)["script"] == "delay=0.1,silent=on"
    assert often.when == "every 6h"
    assert arguments_of(nightly, config, wait_s=60.0) == (
        "run",
        "--nightly",
        f"--results={tmp_path / '.kokoro-bench/results.sqlite'}",
        f"--baselines={tmp_path / 'baselines'}",
        f"--report={tmp_path / 'reports/site'}",
        "--wait=60",
        "--budget=5400",
        "--model=replica,replica-u8",
        "--script=delay=0.1,silent=on",
        "--threads=1,2",
    )
    assert arguments_of(often, config, wait_s=60.0)[-2:] == ("-k", "whole")


def test_confirmation_takes_15_minutes_unless_the_job_says_otherwise() -> None:
    assert (parse().confirm_s, parse().explain) == (900.0, "never")
    assert (parse(confirm="5m").confirm_s, parse(confirm="never").confirm_s) == (300.0, 0.0)
    assert parse(explain="bisect").explain == "bisect"


def test_a_file_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "jobs.toml"
    file.write_text('[schedule.nightly]\ncron = "@daily"\n')
    assert declared(load_config(start=tmp_path, environment={}), file).jobs == (Job(name="nightly", cron="@daily"),)


@pytest.mark.parametrize("text", ["", "[schedule", "[other]\na = 1\n", "schedule = 3\n"])
def test_a_file_without_a_schedule_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "jobs.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"jobs\.toml"):
        declared(load_config(start=tmp_path, environment={}), file)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"cron": ""}, "either cron or every"),
        ({"every": "6h"}, "either cron or every"),
        ({"cron": "", "every": "10s"}, "a minute or more"),
        (
            {"cron": "", "every": "soon"},
            "must be a duration such as 90s, 5m or 1h30m, not 'soon' — every = \"6h\"",
        ),
        ({"cron": "", "every": True}, "must be a duration"),
        ({"budget": -1}, "budget must be positive, not -1"),
        ({"budget": "inf"}, "must be a duration"),
        ({"croon": "x"}, "did you mean 'cron'"),
        ({"selection": "nightl"}, "selection must be one of quick, full, nightly, not 'nightl'"),
        ({"promote": "always"}, "promote must be one of never, clean"),
        ({"confirm": "often"}, "confirm must be a duration such as 90s, 5m or 1h30m, not 'often', or \"never\""),
        ({"explain": "always"}, "explain must be one of never, bisect"),
        ({"options": {"thread": 1}}, "did you mean 'threads'"),
        ({"options": {"threads": "many"}}, "threads"),
        ({"options": {"results": "x"}}, "unknown key 'results'"),
        ({"options": 3}, "must be a table"),
        ({"timezone": 3}, "must be text"),
    ],
)
def test_mistakes_are_told_when_they_are_made(table: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(**table)


@pytest.mark.parametrize("name", ["", "Nightly", "a b", "-x", "../x", "x" * 61])
def test_names_that_would_not_be_file_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is not a valid job name"):
        parse_job(name, {"cron": "@daily"}, where="here", base=Path())


@pytest.mark.parametrize(
    "plain",
    [{"alerts": "x"}, {"keep-raw-runs": -1}, {"keep-raw-runs": True}, {"busy-cpus": 0}, {"busy-cpu": 1}, {"runner": 3}],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, plain: dict[str, Any]) -> None:
    from dataclasses import replace

    config = replace(load_config(start=tmp_path, environment={}), tables={"schedule": plain})
    with pytest.raises(ConfigError):
        declared(config)


def test_a_job_is_read_back_equal_also_from_a_newer_version() -> None:
    job = parse(options={"model": "replica"}, budget="5m")
    assert from_plain({**to_plain(job), "invented later": 1}) == job


def test_a_run_may_take_half_again_its_budget_and_its_preparation() -> None:
    assert limit_of(parse(budget=600), {"nightly": 7_200.0}) == 1_800.0
    assert limit_of(parse(), {"nightly": 7_200.0}) == 11_700.0
    assert limit_of(parse(limit="1h"), {"nightly": 7_200.0}) == 3_600.0


@pytest.mark.parametrize(("seconds", "text"), [(90, "1.5m"), (30, "30s"), (21_600, "6h"), (172_800, "2d"), (61, "61s")])
def test_durations_are_written_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text
