"""The command as processes of its own: what each prints, and what the shell is told."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from harness.cli.command import COMMANDS, command
from harness.core.records.verdict import VerdictKind
from harness.plan.keys import KEYS, Group
from tests.conftest import Command, Laboratory

RUN = ("run", "--engine", "scripted", "--model", "scripted", "--launches", "2", "--blocks", "2")


class Ran:
    """A directory with one accepted and one later scripted run."""

    def __init__(self, root: Path) -> None:
        self.lab = Laboratory(root)
        self.root = root
        self.first = self.lab.run(seed="1").data
        self.lab.promote(self.first)
        self.second = self.lab.run(seed="2").data


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(tmp_path_factory.mktemp("ran"))


class TestHelp:
    def test_it_lists_every_command_and_the_exit_codes(self, kokoro_bench: Command) -> None:
        found = kokoro_bench("--help")
        assert found.returncode == 0
        assert all(name in found.stdout for name in COMMANDS)
        assert "Exit codes: 0 nothing worse" in found.stdout

    @pytest.mark.parametrize("name", sorted(COMMANDS))
    def test_every_command_explains_itself(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        from harness.cli import main

        with pytest.raises(SystemExit) as caught:
            main([name, "--help"])
        assert caught.value.code == 0
        assert capsys.readouterr().out.startswith(f"Usage: kokoro-bench {name}")

    def test_no_help_shows_a_mark_for_the_formatter(self) -> None:
        def shown(given: click.Command, path: tuple[str, ...]) -> Iterator[str]:
            with click.Context(given, info_name=" ".join(path)) as context:
                yield given.get_help(context)
                for name in given.list_commands(context) if isinstance(given, click.Group) else ():
                    below = given.get_command(context, name)
                    assert below is not None
                    yield from shown(below, (*path, name))

        texts = list(shown(command, ("kokoro-bench",)))
        assert len(texts) > len(COMMANDS)
        assert not [text for text in texts if "\\b" in text or "\b" in text]

    @pytest.mark.parametrize(
        ("name", "absent"),
        [
            *((name, ()) for name in ("run", "validate", "load", "duel")),
            *((name, ("report", "summary")) for name in ("calibrate", "tune")),
        ],
    )
    def test_options_stand_under_their_group_and_say_what_they_take(
        self, name: str, absent: tuple[str, ...], capsys: pytest.CaptureFixture[str]
    ) -> None:
        from harness.cli import main

        with pytest.raises(SystemExit):
            main([name, "--help"])
        sections = capsys.readouterr().out.split("\n\n")
        headings = [section.partition("\n")[0] for section in sections]
        assert [each for each in headings if each.rstrip(":") in set(Group)] == [f"{group}:" for group in Group]
        for key in KEYS:
            (section,) = (each for each in sections if each.startswith(f"{key.group}:\n"))
            value = f"/ --no-{key.name}" if key.flag else key.metavar
            assert (f"\n  --{key.name} {value}" in section) is (key.name not in absent)

    def test_a_former_name_of_a_command_works_and_says_its_new_one(self, here: Command) -> None:
        found = here("scripted-server", "--list")
        assert found.returncode == 0
        assert found.stderr == "kokoro-bench: scripted-server is now called mock-server\n"
        assert found.stdout == here("mock-server", "--list").stdout
        assert "scripted-server" not in here("--help").stdout

    def test_a_former_name_of_an_option_works_and_says_its_new_one(self, here: Command) -> None:
        loads = [here("load", "--url", "http://127.0.0.1:1", option, "0") for option in ("--listeners", "--users")]
        said = "kokoro-bench: --listeners is now called --users\n"
        assert [found.returncode for found in loads] == [2, 2]
        assert loads[0].stderr == said + loads[1].stderr
        assert "--users" in loads[1].stderr
        assert "--listeners" not in here("load", "--help").stdout

    def test_a_misspelt_command_names_the_nearest(self, kokoro_bench: Command) -> None:
        found = kokoro_bench("baselin")
        assert found.returncode == 2
        assert "unknown command 'baselin' — did you mean 'baseline'?" in found.stderr

    def test_an_unknown_option_is_a_usage_error(self, kokoro_bench: Command) -> None:
        found = kokoro_bench("run", "--lauches", "3")
        assert found.returncode == 2
        assert "Traceback" not in found.stderr

    def test_the_version_is_told(self, kokoro_bench: Command) -> None:
        assert kokoro_bench("--version").stdout.startswith("kokoro-bench, version ")


class TestRun:
    def test_the_whole_path_gives_the_same_bytes_each_time(
        self, kokoro_bench: Command, here: Command, tmp_path: Path
    ) -> None:
        outputs: set[str] = set()
        exports: set[str] = set()
        pages: set[bytes] = set()
        summaries: set[bytes] = set()
        for name in ("one", "two"):
            directory = tmp_path / name
            directory.mkdir()
            found = kokoro_bench(*RUN, "--summary", "summary.md", directory=directory, PYTHONHASHSEED=str(len(exports)))
            assert found.returncode == 0, found.stderr
            # The last line is pytest's, with its own time; the paths are of the directory.
            said = found.stdout.replace(str(directory), "HERE").splitlines()
            outputs.add("\n".join(line for line in said if " deselected in " not in line))
            exports.add(here("runs", "export", directory=directory).stdout)
            (page,) = (directory / "reports/site/runs").glob("2000*.html")
            pages.add(page.read_bytes())
            summaries.add((directory / "summary.md").read_bytes())
        assert len(exports) == len(pages) == len(summaries) == len(outputs) == 1
        (lines,) = exports
        assert len(lines.splitlines()) > 20

    def test_the_results_lie_where_the_user_is_and_not_where_the_suites_are(
        self, here: Command, tmp_path: Path
    ) -> None:
        assert here(*RUN, "-k", "chars-12").returncode == 0
        assert (tmp_path / ".kokoro-bench/results.sqlite").is_file()
        assert sorted(path.name for path in tmp_path.iterdir()) == [".kokoro-bench", "reports"]

    def test_options_reach_the_run_as_they_were_given(self, here: Command) -> None:
        found = here(
            *RUN, "-k", "whole", "--say", "One, two = three; [four]?", "--targets", "rtf=0.01,latency=9", "--seed", "7"
        )
        assert found.returncode == 1
        assert "target missed" in found.stdout
        lines = [json.loads(line) for line in here("runs", "export").stdout.splitlines()]
        assert lines[0]["record"]["seed"] == 7
        assert {line["record"]["limit"] for line in lines if line["kind"] == "target"} >= {0.01, 9.0}
        assert {line["record"]["characters"] for line in lines if line["kind"] == "repetition"} == {25}

    def test_two_texts_of_the_user_are_measured_in_one_run_under_names_that_are_explained(self, here: Command) -> None:
        texts = ("Hello world", "Well, this is the other one.")
        found = here(*RUN, "-k", "whole", "--say", texts[0], "--say", texts[1])
        assert found.returncode == 0, found.stderr
        named = {re.sub(r"  +.*", "", line): line for line in found.stdout.splitlines() if line.startswith("custom-")}
        assert [line.removeprefix(name).strip() for name, line in named.items()] == list(texts)
        table = found.stdout.partition("\nRun ")[2]
        assert all(f"/whole/{name}" in re.sub(r"\s", "", table) for name in named)

    def test_a_github_step_summary_is_written_where_github_asks_for_one(self, here: Command, tmp_path: Path) -> None:
        file = tmp_path / "step.md"
        here(*RUN, "-k", "chars-12", GITHUB_STEP_SUMMARY=str(file))
        assert "scripted" in file.read_text(encoding="utf-8")

    def test_pytest_benchmarks_json_is_written_where_it_is_asked_for(self, here: Command, tmp_path: Path) -> None:
        assert here(*RUN, "-k", "chars-12", "--json", "out.json").returncode == 0
        (benchmark,) = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["benchmarks"]
        assert benchmark["stats"]["rounds"] == 4

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (("--script", "pace=1.2"), 1),
            (("--script", "fault=crash,fault_text=40"), 3),
            (("--require", "baseline", "--text", "chars-200"), 4),
        ],
    )
    def test_the_shell_is_told_what_came_of_it(
        self, here: Command, accepted: Laboratory, arguments: tuple[str, ...], code: int
    ) -> None:
        baselines = str(accepted.config().baselines)
        given = (*RUN, "--launches", "3", "--blocks", "4", "--text", "chars-12,chars-60", "--baselines", baselines)
        found = here(*given, *arguments)
        assert found.returncode == code, found.stdout
        assert f"exit code {code}: " in found.stdout
        assert "Traceback" not in found.stdout + found.stderr


class TestRuns:
    def test_they_are_listed_newest_first(self, here: Command, ran: Ran) -> None:
        listed = json.loads(here("runs", "list", "--json", directory=ran.root).stdout)
        assert {row["id"] for row in listed} == {ran.first.run.id, ran.second.run.id}
        assert {(row["status"], row["blocks"]) for row in listed} == {("complete", 12)}
        assert len(json.loads(here("runs", "list", "--json", "--limit", "1", directory=ran.root).stdout)) == 1
        assert ran.first.run.id in here("runs", "list", directory=ran.root).stdout

    def test_where_there_is_none_the_way_to_one_is_said(self, here: Command) -> None:
        assert "kokoro-bench run makes one" in here("runs", "list").stdout

    def test_one_is_shown_with_every_verdict(self, here: Command, ran: Ran) -> None:
        found = here("runs", "show", ran.second.run.id, directory=ran.root)
        assert found.returncode == 0
        for verdict in ran.second.verdicts:
            assert verdict.reason in found.stdout

    def test_metrics_with_the_same_verdict_share_a_line(self, here: Command, ran: Ran) -> None:
        lines = [line for line in here("runs", "show", ran.first.run.id, directory=ran.root).stdout.splitlines()
                 if line.startswith("· no baseline")]  # fmt: skip
        verdicts = [each for each in ran.first.verdicts if each.kind is VerdictKind.NO_BASELINE]
        assert len(lines) == len({each.scenario_id for each in verdicts}) < len(verdicts)
        assert all(
            any(f"  {each.scenario_id}  " in line and each.metric in line for line in lines) for each in verdicts
        )
        assert all(line.count(f"`kokoro-bench baseline promote {ran.first.run.id}`") == 1 for line in lines)

    @pytest.mark.parametrize("form", ["jsonl", "csv", "pytest-benchmark"])
    def test_one_is_exported_to_standard_output_or_a_file(
        self, here: Command, ran: Ran, tmp_path: Path, form: str
    ) -> None:
        file = tmp_path / "export"
        shown = here("runs", "export", ran.first.run.id, "--format", form, directory=ran.root).stdout
        here("runs", "export", ran.first.run.id, "--format", form, "-o", str(file), directory=ran.root)
        assert file.read_text(encoding="utf-8").splitlines() == shown.splitlines()
        if form == "jsonl":
            assert json.loads(shown.splitlines()[0])["record"]["id"] == ran.first.run.id
        elif form == "csv":
            rows = list(csv.DictReader(io.StringIO(shown)))
            assert len(rows) == len(ran.first.repetitions)
            assert {row["run"] for row in rows} == {ran.first.run.id}
        else:
            whole = {scenario.id for scenario in ran.first.run.scenarios if not scenario.mode.is_start_up}
            assert {each["name"] for each in json.loads(shown)["benchmarks"]} == whole

    def test_one_is_deleted_for_good_once_it_is_confirmed(
        self, kokoro_bench: Command, here: Command, tmp_path: Path
    ) -> None:
        run_id = Laboratory(tmp_path).run().data.run.id
        assert kokoro_bench("runs", "delete", run_id).returncode != 0
        assert run_id in here("runs", "list").stdout
        assert here("runs", "delete", run_id, "--yes").stdout == f"deleted {run_id}\n"
        assert json.loads(here("runs", "list", "--json").stdout) == []

    def test_one_that_there_is_not_is_a_usage_error(self, here: Command, ran: Ran) -> None:
        found = here("runs", "show", "19990101", directory=ran.root)
        assert found.returncode == 2
        assert found.stderr.startswith("kokoro-bench: ")
        assert len(found.stderr.splitlines()) == 1


class TestBaseline:
    def test_a_run_is_compared_accepted_shown_and_listed(self, here: Command, tmp_path: Path) -> None:
        data = Laboratory(tmp_path).run().data
        assert "kokoro-bench baseline promote RUN makes one" in here("baseline", "list").stdout
        missing = here("baseline", "show", "--machine", "scripted")
        assert (missing.returncode, len(missing.stderr.splitlines())) == (2, 1)
        planned = here("baseline", "diff").stdout
        assert "scripted.cpu.tdefault/whole/chars-60/af_heart  latency: none → " in planned
        assert not (tmp_path / "baselines").exists()
        accepted = here("baseline", "promote")
        assert accepted.stdout.startswith(planned)
        assert f"accepted {data.run.id} in 3 files under {tmp_path / 'baselines/scripted'}" in accepted.stdout
        assert here("baseline", "diff").stdout == "nothing changes\n"
        assert here("baseline", "list").stdout == f"scripted: 3 scenarios, 1 run, newest {data.run.id}\n"
        shown = here("baseline", "show", "--machine", "scripted")
        assert shown.returncode == 0
        assert "latency" in shown.stdout

    def test_a_run_that_regressed_is_accepted_only_by_saying_so(
        self, here: Command, accepted: Laboratory, tmp_path: Path
    ) -> None:
        lab = Laboratory(tmp_path)
        baselines = str(accepted.config().baselines)
        lab.run(seed="11", script="pace=1.2", baselines=baselines)
        refused = here("baseline", "promote")
        assert refused.returncode == 2
        assert "figures regressed, first " in refused.stderr
        assert not (tmp_path / "baselines").exists()
        assert here("baseline", "promote", "--despite-regressions").returncode == 0

    def test_a_run_that_failed_is_not_accepted(self, here: Command, tmp_path: Path) -> None:
        Laboratory(tmp_path).run(script="fault=crash,fault_text=40")
        refused = here("baseline", "promote")
        assert refused.returncode == 2
        assert "a run that is failed cannot be accepted" in refused.stderr


class TestOthers:
    def test_the_configuration_names_every_origin(self, here: Command, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text("[tool.kokoro-bench]\nblocks = 5\n")
        found = here("config", "--seed", "9", KOKORO_BENCH_LAUNCHES="2")
        assert found.returncode == 0
        assert "option --seed" in found.stdout
        assert "environment variable KOKORO_BENCH_LAUNCHES" in found.stdout
        assert "pyproject.toml" in found.stdout

    def test_a_duration_may_have_several_units(self, here: Command) -> None:
        assert re.search(
            r"^ budget +5400\.0 +option --budget", here("config", "--budget", "1h30m").stdout, re.MULTILINE
        )
        refused = here("config", "--budget", "1h30")
        assert refused.returncode == 2
        assert "budget must be a duration such as 90s, 5m or 1h30m, not '1h30'" in refused.stderr

    def test_brackets_and_colons_of_a_users_text_are_shown_as_they_are(self, here: Command, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text('[tool.kokoro-bench.runtimes]\ngpu = ["engine[gpu]==1.0"]\n')
        assert "engine[gpu]==1.0" in here("runtimes", "list").stdout
        assert "'a [bold] :cat: and \\\\[x]'" in here("config", "--say", "a [bold] :cat: and \\[x]").stdout

    def test_the_models_are_listed_with_what_is_here(self, here: Command) -> None:
        found = here("models", "list")
        assert found.returncode == 0
        cells = [re.split(r"  +", line.strip()) for line in found.stdout.splitlines()]
        assert [row[:3] for row in cells if "replica-small" in row] == [["replica-small", "replica", "yes"]]

    def test_the_doctor_says_what_it_found_also_as_json(self, here: Command) -> None:
        found = here("doctor", "--json")
        assert found.returncode in (0, 3)
        assert {"topic", "status", "what", "remedy"} <= set(json.loads(found.stdout)[0])

    def test_the_doctor_says_that_nothing_can_be_measured_without_a_cache_to_write_to(
        self, here: Command, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        nowhere = {"KOKORO_BENCH_CACHE": str(tmp_path / "file" / "cache")}
        measured = here("run", "--engine", "espeak", **nowhere)
        assert (measured.returncode, "KOKORO_BENCH_CACHE" in measured.stderr) == (2, True)
        found = here("doctor", "--json", **nowhere)
        cache = next(each for each in json.loads(found.stdout) if each["topic"] == "cache")
        assert (found.returncode, cache["status"]) == (3, "bad")
        assert cache["what"] == f"{nowhere['KOKORO_BENCH_CACHE']} cannot be written"

    @pytest.mark.skipif(os.name != "posix", reason="a closed pipe is told by a signal")
    def test_a_reader_that_goes_away_is_no_error(self, ran: Ran) -> None:
        command = f"{sys.executable} -m harness.cli runs export | head -c 1"
        found = subprocess.run(["bash", "-c", command], cwd=ran.root, capture_output=True, text=True, check=False)
        assert found.stdout == "{"
        assert found.stderr == ""
