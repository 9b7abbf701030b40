"""The jobs of the written workflows, step by step, in the repository of an engine with a slow revision."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.ci.comment_text import harmless
from tests import forking
from tests.ci.hostile import is_text
from tests.ci.jobs import Runner, workflow
from tests.conftest import Command
from tests.engine_packages import WORK, commit, git, write_engine, write_index

WORKFLOWS = Path(".github/workflows")
BELLS = "--engine bells --text chars-12 --effect 20%"
NIGHT = "--engine scripted --model scripted --launches 1 --blocks 2 -k chars-12"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the jobs run on Linux")


@pytest.fixture(scope="module")
def command_on_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder, forking.command_in(Path(folder)) as found:
        yield found


@pytest.fixture
def environment(user_environment: dict[str, str], command_on_path: Path, tmp_path: Path) -> dict[str, str]:
    path = os.pathsep.join([str(command_on_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**user_environment, "PATH": path, "KOKORO_BENCH_CACHE": str(tmp_path / "cache")}


@pytest.fixture
def pull_request(tmp_path: Path) -> Path:
    """The repository of an engine, at the merge of a pull request that makes it so slow that few pairs tell."""
    write_index(tmp_path)
    repository = write_engine(tmp_path / "bells")
    git(repository, "init", "--quiet", "--initial-branch", "main")
    commit(repository, "Ring the bells")
    git(repository, "checkout", "--quiet", "-b", "change")
    write_engine(repository, work=10 * WORK)
    commit(repository, "Ring them <b>ten times</b>")
    git(repository, "checkout", "--quiet", "main")
    git(repository, "merge", "--quiet", "--no-ff", "--message", "Merge @change, closes #1", "change")
    return repository


def test_a_slow_commit_turns_the_check_red_and_its_summary_becomes_the_comment(
    here: Command, tmp_path: Path, pull_request: Path, environment: dict[str, str]
) -> None:
    made = here("ci", "github", "--install", "true", "--duel-options", BELLS, directory=pull_request)
    assert made.returncode == 0, made.stderr
    job = workflow(pull_request / WORKFLOWS / "kokoro-bench.yml")["jobs"]["duel"]
    shorter = {"KOKORO_BENCH_LAUNCHES": "2", "KOKORO_BENCH_BLOCKS": "4"}
    runner = Runner(pull_request, tmp_path / "runner", {**environment, **shorter})
    assert not runner.run(job), runner.log

    result = json.loads((runner.artifacts / "kokoro-bench-report" / "duel.json").read_text())
    assert result["exit_code"] == 1
    assert any(each["fails"] for each in result["verdicts"] if each["metric"] in ("latency", "cpu_per_audio"))
    assert re.search("^::error title=kokoro-bench::(latency|cpu_per_audio) of bells", runner.log, re.MULTILINE)
    assert (runner.artifacts / "kokoro-bench-report" / "index.html").is_file()
    summary = (runner.artifacts / "kokoro-bench-comment" / "summary.md").read_text()
    assert summary == runner.summary.read_text()
    assert "### Worse" in summary
    assert is_text(harmless(summary))


def test_a_duel_that_cannot_be_measured_leaves_the_check_green(
    here: Command, tmp_path: Path, environment: dict[str, str]
) -> None:
    """The checkout is no repository here, so neither revision is found."""
    here("ci", "github", "--install", "true", "--duel-options", "--engine scripted")
    job = workflow(tmp_path / WORKFLOWS / "kokoro-bench.yml")["jobs"]["duel"]
    runner = Runner(tmp_path, tmp_path / "runner", environment)
    assert runner.run(job), runner.log
    assert "kokoro-bench duel: exit code 2" in runner.log
    assert "::warning title=kokoro-bench::the duel gave no result" in runner.log


def test_the_nights_make_one_history_on_a_branch_with_one_commit(
    here: Command, tmp_path: Path, environment: dict[str, str]
) -> None:
    here("ci", "github", "--install", "true", "--nightly-options", NIGHT)
    jobs = workflow(tmp_path / WORKFLOWS / "kokoro-bench-nightly.yml")["jobs"]
    origin, checkout = tmp_path / "origin.git", tmp_path / "checkout"
    subprocess.run(["git", "init", "--quiet", "--bare", str(origin)], check=True)
    subprocess.run(["git", "clone", "--quiet", str(origin), str(checkout)], check=True, capture_output=True)
    (checkout / "README.md").write_text("the source")
    commit(checkout, "Begin")
    git(checkout, "push", "--quiet", "origin", "HEAD")
    for night in (1, 2):
        runner = Runner(checkout, tmp_path / f"night-{night}", environment)
        assert runner.run(jobs["measure"]), runner.log
        assert "stored=yes" in (runner.root / "output").read_text()
        keeping = Runner(checkout, runner.root, environment)
        assert keeping.run(jobs["keep-history"]), keeping.log
    files = git(origin, "ls-tree", "-r", "--name-only", "kokoro-bench-history").splitlines()
    assert "results.sqlite" in files
    assert any(name.startswith("baselines/scripted/") for name in files)
    assert "README.md" not in files
    assert git(origin, "rev-list", "--count", "kokoro-bench-history") == "1"
    results = str(runner.artifacts / "kokoro-bench-history" / "results.sqlite")
    assert len(json.loads(here("runs", "list", "--json", "--results", results).stdout)) == 2


def test_a_history_that_cannot_be_reached_is_not_replaced(
    here: Command, tmp_path: Path, environment: dict[str, str]
) -> None:
    here("ci", "github", "--install", "true", "--nightly-options", NIGHT)
    job = workflow(tmp_path / WORKFLOWS / "kokoro-bench-nightly.yml")["jobs"]["measure"]
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    git(tmp_path, "remote", "add", "origin", str(tmp_path / "nowhere"))
    runner = Runner(tmp_path, tmp_path / "runner", environment)
    assert not runner.run(job)
    assert not (runner.root / "output").exists()
