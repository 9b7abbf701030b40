"""`kokoro-bench schedule …`, in this process."""

import json
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
import zoneinfo
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import pytest

import harness
from harness.cli import main
from harness.schedule.triggers import trigger_of
from tests import forking
from tests.conftest import Command
from tests.schedule.cron_walk import changes

DOCS = Path(harness.__file__).parents[1] / "docs"
Said = Callable[..., tuple[int, str]]
TABLE = """
[tool.kokoro-bench.schedule.nightly]
cron = "30 2 * * *"
timezone = "Europe/Berlin"
"""


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    (tmp_path / "pyproject.toml").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KOKORO_BENCH_CACHE", str(tmp_path / "cache"))

    def ask(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["schedule", *arguments])
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out + shown.err

    return ask


def test_a_declared_job_is_listed_before_the_schedule_ever_ran(said: Said) -> None:
    code, output = said("list")
    assert code == 0
    assert "nightly" in output
    assert "when the schedule runs" in output


def test_a_declared_job_is_paused_resumed_and_removed_before_the_schedule_ever_ran(said: Said) -> None:
    assert said("pause", "nightly")[1] == "nightly is paused until `kokoro-bench schedule resume nightly`\n"
    assert "paused" in said("list")[1]
    assert said("resume", "nightly")[1].startswith("nightly: next 2")
    assert "adds it again" in said("remove", "nightly")[1]


def test_what_the_file_has_changed_since_is_listed(said: Said) -> None:
    said("add", "nightly")
    assert "when the schedule" not in said("list")[1]
    Path("pyproject.toml").write_text(TABLE.replace("30 2", "45 4"))
    listed = said("list")[1]
    assert re.search(
        r"nightly +45 4 \* \* \* Europe/Berlin +nightly +when the schedule starts anew +never +file", listed
    )
    assert "30 2" not in listed


def test_a_scheduler_that_was_killed_is_not_said_to_run(
    tmp_path: Path, user_environment: dict[str, str], here: Command
) -> None:
    (tmp_path / "pyproject.toml").write_text(TABLE)
    process = forking.Started("schedule", "run", cwd=tmp_path, env=user_environment, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert "runs 1 jobs of " in process.stdout.readline()
        assert f"process {process.pid} " in here("schedule", "status").stdout
    finally:
        process.kill()
        process.communicate()
    assert "no scheduler is running" in here("schedule", "status").stdout
    assert json.loads(here("schedule", "status", "--json").stdout)["keeper"] is None  # codespell:ignore keeper


def test_a_job_is_added_paused_resumed_and_removed(said: Said) -> None:
    assert said("add", "often", "--every", "6h", "--selection", "quick", "--option", "model=replica")[0] == 0
    assert "every 6h" in said("list")[1]
    assert "is paused until" in said("pause", "often")[1]
    assert "paused" in said("list")[1]
    assert "next 2" in said("resume", "often")[1]
    assert said("remove", "often") == (0, "removed often\n")
    assert "often" not in said("list")[1]
    assert "30 2 * * * Europe/Berlin, next" in said("add", "nightly")[1]
    assert "adds it again" in said("remove", "nightly")[1]


def test_a_midnight_that_clocks_skip_is_announced_for_the_first_moment_after_it(said: Said) -> None:
    zone = zoneinfo.ZoneInfo("Asia/Beirut")
    now = datetime.now(UTC)
    moments = [change for year in (now.year, now.year + 1) for change in changes("Asia/Beirut", year)]
    forward = next(each for each in moments if each > now and each.astimezone(zone).strftime("%H:%M") == "01:00")
    there = forward.astimezone(zone)
    code, output = said("add", "n", "--cron", f"0 0 {there.day} {there.month} *", "--timezone", "Asia/Beirut")
    assert (code, output.rpartition("next ")[2]) == (0, f"{forward:%Y-%m-%d %H:%M:%S} UTC\n")


def test_zones_are_known_on_a_system_without_a_database_of_them(kokoro_bench: Command) -> None:
    found = kokoro_bench("schedule", "add", "n", "--cron", "0 0 * * *", "--timezone", "Africa/Cairo", PYTHONTZPATH="")
    assert (found.returncode, found.stderr) == (0, "")
    assert "n: 0 0 * * * Africa/Cairo, next 2" in found.stdout
    assert any(each.startswith("tzdata") for each in metadata.requires("kokoro-bench") or ())


@pytest.fixture
def _no_zones(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a system without a database of zones, in an environment without tzdata."""
    # Whatever an earlier test has loaded of it would still be found.
    for name in ("tzdata", *(each for each in sys.modules if each.startswith("tzdata."))):
        monkeypatch.setitem(sys.modules, name, None)
    zoneinfo.reset_tzpath(to=())
    zoneinfo.ZoneInfo.clear_cache()
    trigger_of.cache_clear()
    yield
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()
    trigger_of.cache_clear()


@pytest.mark.usefixtures("_no_zones")
def test_utc_needs_no_database_and_other_zones_name_what_is_missing(said: Said) -> None:
    Path("pyproject.toml").write_text("")
    assert said("add", "n", "--every", "6h")[0] == 0
    assert said("add", "n", "--cron", "30 2 * * *")[1].endswith(" 02:30:00 UTC\n")
    code, output = said("add", "n", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin")
    assert code == 2
    assert "this Python has no database of time zones — pip install tzdata" in output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "x", "--every", "6h", "--timezone", "Nowhere"), "unknown time zone 'Nowhere'"),
        (("add", "other"), "give --cron or --every"),
        (("add", "x", "--cron", "nonsense"), "1 fields instead of 5"),
        (("add", "x", "--every", "6h", "--option", "model"), "NAME=VALUE"),
        (("add", "x", "--every", "6h", "--option", "modl=a"), "did you mean 'model'"),
        (("add", "x", "--every", "6h", "--option", "model=a", "--option", "model=b"), "model is set twice"),
        (
            ("add", "x", "--every", "6h", "--option", "engine=scripted", "--option", "text=chars-400"),
            "unknown text class",
        ),
        (("pause", "nightl"), "nightl: no job of this name — did you mean 'nightly'?"),
        (("run-now", "nightl"), "nightl: no job of this name — did you mean 'nightly'?"),
        (("history", "nightl"), "nightl: no job of this name — did you mean 'nightly'?"),
        (("run", "--http", "nowhere"), "not an address"),
        (("list", "--config", "none.toml"), "cannot be read"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(said: Said, arguments: tuple[str, ...], says: str) -> None:
    code, output = said(*arguments)
    assert code == 2
    assert says in output
    assert output.startswith("kokoro-bench: ")
    assert output.count("\n") == 1


def test_nothing_is_due(said: Said) -> None:
    code, output = said("run", "--once")
    assert code == 0
    assert "runs 1 jobs of " in output
    assert "nothing was due yet" in said("history")[1]
    found = json.loads(said("status", "--json")[1])
    assert [job["name"] for job in found["jobs"]] == ["nightly"]
    assert found["keeper"] is None
    assert "no scheduler is running" in said("status")[1]


def test_alerts_that_cannot_be_told_are_known_at_the_start(said: Said) -> None:
    Path("pyproject.toml").write_text('[tool.kokoro-bench.schedule]\nalerts = ["https://x/${NOT_SET_ANYWHERE}"]\n')
    code, output = said("run", "--once")
    assert (code, "the environment has no NOT_SET_ANYWHERE" in output) == (2, True)
    assert said("status")[0] == 0  # looking needs no secrets


class TestUnits:
    """What the unit files start is what the command understands."""

    def understood(self, arguments: list[str]) -> None:
        import click

        from harness.cli.schedule import schedule

        assert arguments[0] == "schedule"
        with click.Context(schedule) as parent:
            _, command, rest = schedule.resolve_command(parent, arguments[1:])
            assert command is not None
            command.make_context("run", list(rest), parent=parent)

    @pytest.mark.parametrize("name", ["kokoro-bench.service", "kokoro-bench-once.service"])
    def test_systemd_unit_starts_a_valid_command(self, name: str) -> None:
        unit = ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str  # type: ignore[assignment, method-assign]
        unit.read(DOCS / "systemd" / name)
        assert unit["Service"]["NoNewPrivileges"] == "yes"
        self.understood(shlex.split(unit["Service"]["ExecStart"])[1:])

    def test_launchd_job_starts_a_valid_command(self) -> None:
        tree = ET.parse(DOCS / "launchd" / "org.kokoro-bench.schedule.plist")  # noqa: S314 - our own file
        words = [word.text or "" for word in next(tree.iter("array"))]
        self.understood(words[words.index("schedule") :])

    def test_container_starts_a_valid_command(self) -> None:
        line = next(line for line in (DOCS / "Containerfile").read_text().splitlines() if line.startswith("ENTRYPOINT"))
        self.understood(json.loads(line.removeprefix("ENTRYPOINT "))[1:])
