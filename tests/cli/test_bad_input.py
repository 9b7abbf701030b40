"""What people and machines do to a run: one line that says what, where and what next, the exit code, nothing lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from harness.core.cache_root import ROOT_VARIABLE
from harness.models.files import ModelFiles
from harness.store.baseline_files import file_name
from tests import forking
from tests.conftest import Command, Laboratory
from tests.processes import await_ended

SCRIPTED = ("run", "--engine", "scripted", "--model", "scripted", "--launches", "2", "--blocks", "2", "-k", "chars-12")
SMALL = ("run", "--model", "replica-small", "--launches", "1", "-k", "whole", "--text", "chars-12")
PATIENCE_S = 240.0

posix_only = pytest.mark.skipif(os.name != "posix", reason="signals and limits are POSIX's")


def refused(found: subprocess.CompletedProcess[str], *told: str, code: int = 2) -> str:
    """The one line with which a command was refused: it holds all of `told`, and a remedy."""
    said = found.stdout + found.stderr
    assert "Traceback" not in said
    assert found.returncode == code, said
    (line,) = [line for line in said.splitlines() if "kokoro-bench: " in line]
    for part in told:
        assert part in line
    assert " — " in line
    return line


def listed(here: Command, **given: str) -> list[dict[str, object]]:
    found = here("runs", "list", "--json", **given)
    assert found.returncode == 0, found.stderr
    rows: list[dict[str, object]] = json.loads(found.stdout)
    return rows


class TestNames:
    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (("--engine", "kokorro"), "--engine: unknown engine 'kokorro' — did you mean 'kokoro'?"),
            (("--provider", "cpuu"), "--provider: unknown provider 'cpuu' — did you mean 'cpu'?"),
            (("--model", "replica-smal"), "--model: no model 'replica-smal' — did you mean 'replica-small'?"),
            (("--model", "replica-small", "--voice", "af_hart"), "no voice 'af_hart' — did you mean 'af_heart'?"),
            (("--text", "char-12"), "--text: unknown text class 'char-12' — did you mean 'chars-12'?"),
        ],
    )
    def test_one_that_there_is_not_names_the_nearest(
        self, here: Command, arguments: tuple[str, ...], told: str
    ) -> None:
        refused(here("run", *arguments), told)
        assert listed(here) == []

    def test_a_provider_that_this_build_lacks_is_said_and_costs_its_scenarios(self, here: Command) -> None:
        found = here(*SMALL, "--provider", "rocm")
        assert found.returncode == 3
        assert "provider 'rocm' is not in this build of ONNX Runtime" in found.stdout
        assert "it comes with onnxruntime-rocm" in found.stdout
        assert "Traceback" not in found.stdout + found.stderr
        assert [row["status"] for row in listed(here)] == ["failed"]


class TestModels:
    @pytest.fixture
    def copied(self, small_replica: ModelFiles, tmp_path: Path) -> tuple[Path, Path]:
        """A model and its voices as files of the user's own."""
        model, voices = tmp_path / "mine.onnx", tmp_path / "mine.npz"
        shutil.copy(small_replica.model_path, model)
        shutil.copy(small_replica.voices_path, voices)
        return model, voices

    def measured(self, here: Command, model: Path, voices: Path) -> subprocess.CompletedProcess[str]:
        return here("run", "--model", str(model), "--voices", str(voices), "-k", "chars-12")

    def test_one_that_is_not_there(self, here: Command, copied: tuple[Path, Path]) -> None:
        absent = copied[0].with_name("absent.onnx")
        refused(self.measured(here, absent, copied[1]), str(absent), "no such model file")

    def test_one_that_is_truncated(self, here: Command, copied: tuple[Path, Path]) -> None:
        os.truncate(copied[0], copied[0].stat().st_size // 2)
        refused(self.measured(here, *copied), str(copied[0]), "truncated")

    def test_one_that_is_not_onnx(self, here: Command, copied: tuple[Path, Path]) -> None:
        copied[0].write_bytes(b"GIF89a" + bytes(10_000))
        refused(self.measured(here, *copied), str(copied[0]), "is not an ONNX model")

    def test_one_whose_digest_differs(
        self, here: Command, model_cache: Path, small_replica: ModelFiles, tmp_path: Path
    ) -> None:
        cache = tmp_path / "cache"
        shutil.copytree(model_cache, cache)
        model = cache / "models" / small_replica.model_path.name
        content = bytearray(model.read_bytes())
        content[len(content) // 2] ^= 1
        model.write_bytes(content)
        found = here("run", "--model", "replica-small", "-k", "chars-12", **{ROOT_VARIABLE: str(cache)})
        refused(found, "replica-small is damaged", "kokoro-bench models build replica-small")

    def test_voices_that_are_not_there(self, here: Command, copied: tuple[Path, Path]) -> None:
        copied[1].unlink()
        refused(self.measured(here, *copied), str(copied[1]))

    def test_voices_of_the_wrong_shape(self, here: Command, copied: tuple[Path, Path]) -> None:
        with copied[1].open("wb") as file:
            np.savez(file, af_heart=np.zeros((510, 256), dtype=np.float32))
        refused(self.measured(here, *copied), str(copied[1]), "[510, 256]", "[510, 1, 256]")

    def test_voices_that_are_no_archive(self, here: Command, copied: tuple[Path, Path]) -> None:
        copied[1].write_bytes(b"not an archive")
        refused(self.measured(here, *copied), str(copied[1]))

    def test_a_model_of_the_users_own_without_voices(self, here: Command, copied: tuple[Path, Path]) -> None:
        # Its digest is the replica's, so its voices are known; one byte behind the graph's last field makes it foreign.
        import onnx

        model = onnx.load(copied[0])
        model.producer_name = "somebody"
        onnx.save(model, copied[0])
        found = here("run", "--model", str(copied[0]), "-k", "chars-12")
        refused(found, "a model file needs its voices", "--voices FILE")


class TestTexts:
    @pytest.mark.parametrize("text", ["", "  \n "])
    def test_empty_text_is_refused(self, here: Command, text: str) -> None:
        refused(here("run", "--engine", "scripted", f"--say={text}"), "--say", "empty", "at least one word")

    def test_an_unpronounceable_one_is_never_spoken_for_a_reason(self, here: Command) -> None:
        found = here("run", "--model", "replica-small", "--launches", "1", "--blocks", "1", "-k", "whole", "--say=<>")
        assert found.returncode == 1
        assert "success_rate 0.0 %, limit 99.0 %" in found.stdout
        assert "ValueError: " in found.stdout
        assert "phonem" in found.stdout
        assert "Traceback" not in found.stdout + found.stderr
        (row,) = listed(here)
        assert row["status"] == "failed"
        shown = here("runs", "show", str(row["id"])).stdout
        assert f"`kokoro-bench runs show {row['id']}` has every failure" in shown


class TestDuels:
    @pytest.mark.parametrize("side", ["v9", "rev=v9"])
    def test_a_revision_that_there_is_not(self, here: Command, tmp_path: Path, side: str) -> None:
        refused(here("duel", side, "--model", "replica-small"), "'v9'", "lies in no git repository")
        committed(tmp_path)
        refused(here("duel", side, "--model", "replica-small"), "'v9' is neither", "git revision", "git log --oneline")
        assert listed(here) == []

    def test_a_revision_that_measures_nothing(self, here: Command, tmp_path: Path) -> None:
        committed(tmp_path)
        found = here("duel", "HEAD", "--model", "replica-small")
        refused(found, f"{tmp_path}: this is no Python package", "pyproject.toml with [project]")

    def test_packages_that_do_not_install_are_told_by_the_installers_last_lines(self, here: Command) -> None:
        found = here("duel", "onnxruntime==0.0.1", "--model", "replica-small", UV_OFFLINE="1")
        refused(
            found, "onnxruntime==0.0.1", "the packages cannot be installed: ", "request compatible versions that exist"
        )
        assert "measuring" not in found.stdout
        assert listed(here) == []

    @pytest.mark.parametrize(
        ("side", "told"),
        [
            ("onnxruntime=1.22", "unknown change 'onnxruntime'"),
            ("thread=1", "unknown change 'thread' — did you mean 'threads'?"),
            ("threads=two", "threads takes a whole number, not 'two'"),
            ("provider=cpuu", "unknown provider 'cpuu' — did you mean 'cpu'?"),
            ("model=replica-smal", "no model 'replica-smal' — did you mean 'replica-small'?"),
            ("runtime=old", "no runtime 'old'"),
            ("", "an empty side"),
        ],
    )
    def test_a_side_that_makes_no_sense(self, here: Command, side: str, told: str) -> None:
        refused(here("duel", side, "--model", "replica-small"), told)
        assert listed(here) == []


def committed(root: Path) -> str:
    """The commit of a new repository in `root`, of all that lies there."""
    identity = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.invalid", "-c", "commit.gpgsign=false")

    def git(*arguments: str) -> str:
        return subprocess.run(
            ("git", "-C", str(root), *identity, *arguments), check=True, capture_output=True, encoding="utf-8"
        ).stdout.strip()

    (root / "kept.txt").write_text("one")
    git("init", "--quiet")
    git("add", "kept.txt")
    git("commit", "--quiet", "-m", "Keep one")
    return git("rev-parse", "HEAD")


def test_a_work_tree_with_changes_is_measured_as_it_is_and_that_is_said(here: Command, tmp_path: Path) -> None:
    commit = committed(tmp_path)
    (tmp_path / "kept.txt").write_text("two")
    found = here("duel", "threads=1", "--model", "replica-small", "--text", "one-word", "--budget", "1s")
    told = f"The work tree was measured as it is: with uncommitted changes on revision {commit[:12]}."
    assert told in " ".join(found.stdout.split())
    side = "(work tree with uncommitted changes)"
    assert f"current {side} against threads=1 {side}" in found.stdout
    (row,) = listed(here)
    assert told in (tmp_path / f"reports/site/runs/{row['id']}.html").read_text(encoding="utf-8")


class TestConfiguration:
    def test_a_misspelt_key_names_the_nearest(self, here: Command, tmp_path: Path) -> None:
        file = tmp_path / "pyproject.toml"
        file.write_text("[tool.kokoro-bench]\nlauches = 2\n")
        refused(here(*SCRIPTED), str(file), "unknown key 'lauches' — did you mean 'launches'?")
        refused(here("runs", "list"), "unknown key 'lauches'")


class TestResults:
    def test_a_directory_that_cannot_be_written_costs_no_measuring(self, here: Command, tmp_path: Path) -> None:
        # Below a file nobody may write, root least of all.
        (tmp_path / "file").touch()
        place = tmp_path / "file" / "results.sqlite"
        found = here(*SCRIPTED, "--results", str(place))
        refused(found, str(place.parent), "--results")
        assert "measuring" not in found.stdout

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
    def test_a_read_only_directory(self, here: Command, tmp_path: Path) -> None:
        place = tmp_path / "locked"
        place.mkdir(mode=0o500)
        refused(here(*SCRIPTED, "--results", str(place / "results.sqlite")), str(place))

    @posix_only
    def test_a_full_disk_keeps_what_was_stored(
        self, here: Command, user_environment: dict[str, str], tmp_path: Path
    ) -> None:
        # No file may grow beyond this: it holds the schema and some blocks, and not all of them.
        program = (
            "import resource, sys\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
            "from harness.cli import main\n"
            "main(sys.argv[1:])\n"
        )
        arguments = ["run", "--engine", "scripted", "--model", "scripted", "--blocks", "200", "--launches", "2"]
        found = subprocess.run(
            [sys.executable, "-c", program, *arguments, "-k", "chars-12", "--budget", "10h"],
            cwd=tmp_path, env=user_environment, capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
        refused(found, "results.sqlite", "what was stored before is safe", code=3)
        (row,) = listed(here)
        assert row["status"] == "interrupted"
        assert 0 < int(str(row["blocks"])) < 400

    def test_a_damaged_database_is_kept_aside_and_never_overwritten(self, here: Command, tmp_path: Path) -> None:
        Laboratory(tmp_path).run(launches="1", blocks="1")
        file = tmp_path / ".kokoro-bench/results.sqlite"
        damaged = b"SQLite format 3\0" + b"\xff" * (file.stat().st_size - 16)
        file.write_bytes(damaged)
        for journal in file.parent.glob("*-wal"):
            journal.unlink()
        line = refused(here("runs", "list"), str(file), "damaged", "it was kept as ", ".recover")
        kept = file.with_name("results.damaged-1.sqlite")
        assert str(kept) in line
        assert kept.read_bytes() == damaged
        assert listed(here) == []
        assert kept.read_bytes() == damaged


class TestBaselines:
    @pytest.fixture
    def baseline(self, tmp_path: Path) -> Path:
        lab = Laboratory(tmp_path)
        lab.promote(lab.run().data)
        shutil.rmtree(tmp_path / ".kokoro-bench")
        return tmp_path / "baselines/scripted" / file_name("scripted.cpu.tdefault/whole/chars-12/af_heart")

    def test_a_syntax_error_is_told_by_line_and_column_before_anything_is_measured(
        self, here: Command, baseline: Path
    ) -> None:
        lines = baseline.read_text().splitlines()
        baseline.write_text("\n".join([lines[0], lines[1].replace(":", ""), *lines[2:]]))
        found = here(*SCRIPTED)
        refused(found, f"{baseline}:2:", "has a syntax error")
        assert "measuring" not in found.stdout
        assert listed(here) == []

    def test_one_of_another_machine_is_refused_with_both_names(self, here: Command, baseline: Path) -> None:
        baseline.write_text(baseline.read_text().replace('"machine": "scripted"', '"machine": "elsewhere"'))
        refused(here(*SCRIPTED), str(baseline), "is of another machine (elsewhere)", "(scripted)")


Background = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def background(tmp_path: Path, user_environment: dict[str, str]) -> Iterator[Background]:
    """Start commands that go on by themselves; none outlives its test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        process = forking.Started(
            *arguments,
            cwd=tmp_path,
            env=user_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=os.name == "posix",
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for_blocks(process: "subprocess.Popen[str]", blocks: int) -> None:
    """Until the command has said that so many blocks are done."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith(f"  block {blocks}:"):
            return
    raise AssertionError("".join(said))


@posix_only
class TestEnds:
    MANY = (*SMALL, "--blocks", "100000", "--budget", "10h")

    def test_ctrl_c_keeps_every_finished_block(self, here: Command, background: Background) -> None:
        process = background(*self.MANY)
        wait_for_blocks(process, 2)
        workers = psutil.Process(process.pid).children(recursive=True)
        assert len(workers) >= 2
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130, said
        assert "exit code 130: interrupted; finished blocks are stored" in said
        assert "Traceback" not in said
        await_ended(workers)
        (row,) = listed(here)
        assert row["status"] == "interrupted"
        assert int(str(row["blocks"])) >= 2
        exported = here("runs", "export").stdout.splitlines()
        assert sum(json.loads(line)["kind"] == "block" for line in exported) == row["blocks"]
        refused(here("baseline", "promote"), "a run that is interrupted cannot be accepted")

    def test_kill_9_leaves_every_finished_block_and_the_next_command_says_so(
        self, here: Command, background: Background
    ) -> None:
        process = background(*self.MANY)
        wait_for_blocks(process, 2)
        workers = psutil.Process(process.pid).children(recursive=True)
        (running,) = listed(here)
        assert running["status"] == "running"
        process.kill()
        process.wait(PATIENCE_S)
        await_ended(workers)
        (row,) = listed(here)
        assert row["status"] == "interrupted"
        assert int(str(row["blocks"])) >= 2
        shown = here("runs", "show")
        assert shown.returncode == 0
        assert f"Run {row['id']}: interrupted" in shown.stdout

    def test_two_runs_at_once_on_one_database_keep_everything_of_both(
        self, here: Command, background: Background
    ) -> None:
        both = [background(*SCRIPTED, "--blocks", "8", "--budget", "1h") for _ in range(2)]
        for process in both:
            said, _ = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 0, said
        rows = listed(here)
        assert len({row["id"] for row in rows}) == 2
        assert {(row["status"], row["blocks"]) for row in rows} == {("complete", 16)}
