"""Places of outputs: made, or refused before anything is measured; written whole, or not at all."""

import json
import os
import re
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.core.output_files import append_whole, check_directory, check_file, write_whole
from tests.conftest import Command, Laboratory

ONE = ("--engine", "scripted", "--model", "scripted", "--launches", "1", "--blocks", "1")
MEASURING = {
    "run": ("run", *ONE, "-k", "chars-12"),
    "validate": ("validate", *ONE),
    "load": ("load", "--url", "http://127.0.0.1:9", "--users", "1", "--seconds", "1s"),
    "duel": ("duel", *ONE, "model=scripted", "model=scripted"),
    "calibrate": ("calibrate", *ONE, "--duels", "1", "--sizes", "0"),
    "tune": ("tune", *ONE, "--budget", "1s"),
}
PLACES = {
    "run": ("--json", "--summary", "--report", "--results"),
    "validate": ("--summary", "--report", "--results"),
    "load": ("--summary", "--report", "--results"),
    "duel": ("--summary", "--report", "--results"),
    "calibrate": ("--baselines", "--results"),
    "tune": ("--results",),
}
"""Command → its options that name an output."""
FULL = pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no device that is always full")


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """Below a file nobody may write, root least of all."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "out"


@pytest.mark.parametrize(
    ("command", "option"), [(command, option) for command, options in PLACES.items() for option in options]
)
def test_one_that_cannot_be_written_is_refused_before_anything_is_measured(
    here: Command, tmp_path: Path, nowhere: Path, command: str, option: str
) -> None:
    found = here(*MEASURING[command], option, str(nowhere / "name.sqlite"))
    assert found.returncode == 2, found.stdout
    (line,) = found.stderr.splitlines()
    assert str(nowhere) in line
    assert option.removeprefix("--") in line
    assert " — " in line
    assert "measuring" not in found.stdout
    assert not list(tmp_path.rglob("*.sqlite"))


@pytest.mark.parametrize("command", [*PLACES, "optimise"])
def test_a_command_has_no_option_for_an_output_that_it_does_not_write(here: Command, command: str) -> None:
    told = here(command, "--help").stdout.partition("Where results go:")[2].partition("Exit codes:")[0]
    named = set(re.findall(r"^ +(--[a-z]+) ", told, re.MULTILINE))
    assert named >= {"--results"}
    assert named - {"--baselines"} == {*PLACES.get(command, ("--results",))} - {"--baselines"}


def test_those_of_a_run_are_made(here: Command, tmp_path: Path) -> None:
    wanted = {"--json": "a/b/bench.json", "--summary": "c/summary.md", "--report": "d/e", "--results": "f/r.sqlite"}
    found = here(*MEASURING["run"], *(part for pair in wanted.items() for part in pair))
    assert found.returncode == 0, found.stderr
    assert all((tmp_path / place).exists() for place in wanted.values())
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("runs", "export"), "-o"),
        (("compare", "latest", "latest"), "-o"),
        (("compare", "latest", "latest", "--html"), "-o"),
        (("report", "--single-file", "latest"), "-o"),
        (("mock-server", "steady", "--port", "0"), "--log"),
        (("report",), "--report"),
        (("baseline", "promote"), "--baselines"),
    ],
)
def test_one_of_a_stored_run_is_made_or_refused(
    here: Command, tmp_path: Path, nowhere: Path, arguments: tuple[str, ...], option: str
) -> None:
    Laboratory(tmp_path).run(launches="1", blocks="1")
    refused = here(*arguments, option, str(nowhere / "x"))
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert str(nowhere) in line
    if option != "--log":
        assert here(*arguments, option, "new/folder/x").returncode == 0
        assert (tmp_path / "new/folder/x").exists()


SAME_FILE = [
    ("run", ("--json", "x", "--summary", "x"), ("--json", "--summary")),
    ("run", ("--json", "x", "--report", "x"), ("--json", "--report")),
    ("run", ("--json", "x", "--summary", "./folder/../x"), ("--json", "--summary")),
    ("run", ("--json", "x", "--summary", "link"), ("--json", "--summary")),
    ("run", ("--json", "x", "--summary", "other/x"), ("--json", "--summary")),
    ("run", ("--json", "x.sqlite", "--results", "x.sqlite"), ("--json", "--results")),
    ("run", ("--json", ".kokoro-bench/results.sqlite"), ("--json", "--results")),
    ("run", ("--json", "x", "--", "--junitxml=x"), ("--json", "--junitxml")),
    ("run", ("--summary", "x", "--", "--junit-xml", "x"), ("--summary", "--junitxml")),
    ("run", ("--json", "x", "--", "--benchmark-json=y"), ("--json", "--benchmark-json")),
    ("run", ("--json", "site/index.html", "--report", "site"), ("site/index.html", "--report")),
    ("validate", ("--summary", "x", "--report", "x"), ("--summary", "--report")),
    ("load", ("--summary", "x", "--results", "x"), ("--summary", "--results")),
    ("duel", ("--summary", "x", "--results", "sqlite:///x"), ("--summary", "--results")),
]


@pytest.mark.parametrize(("command", "outputs", "named"), SAME_FILE)
def test_two_that_are_one_file_are_refused_before_anything_is_made(
    here: Command, tmp_path: Path, command: str, outputs: tuple[str, ...], named: tuple[str, str]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "other").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "x")
    before = sorted(tmp_path.iterdir())
    found = here(*MEASURING[command], *outputs)
    assert found.returncode == 2, found.stdout
    (line,) = found.stderr.splitlines()
    assert all(each in line for each in named)
    assert " — " in line
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("runs", "export", "latest"),
        ("compare", "latest", "latest", "--json"),
        ("report", "--single-file", "latest"),
    ],
)
def test_the_results_are_never_replaced_by_what_is_made_of_them(
    here: Command, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    Laboratory(tmp_path).run(launches="1", blocks="1")
    results = tmp_path / ".kokoro-bench" / "results.sqlite"
    content = results.read_bytes()
    found = here(*arguments, "-o", str(results))
    assert found.returncode == 2
    assert "--output: the same file as --results, " in found.stderr
    assert results.read_bytes() == content


@pytest.mark.parametrize(("variable", "option"), [("GITHUB_STEP_SUMMARY", "--json"), ("KOKORO_BENCH_EVENTS", "--json")])
def test_a_file_that_the_environment_names_is_no_other_output(here: Command, variable: str, option: str) -> None:
    found = here(*MEASURING["run"], option, "x", **{variable: "x"})
    assert found.returncode == 2
    assert f"{option}: the same file as {variable}, " in found.stderr


def test_a_log_does_not_replace_the_script_that_is_served(here: Command, tmp_path: Path) -> None:
    script = tmp_path / "served.toml"
    script.write_text("[[answers]]\nsteps = [{ audio_share = 1 }]\n")
    found = here("mock-server", "served.toml", "--port", "0", "--log", "./served.toml")
    assert found.returncode == 2
    assert "--log: the same file as SCRIPT, " in found.stderr
    assert script.read_text().startswith("[[answers]]")


def test_a_summary_that_is_also_the_ci_s_is_written_once(here: Command, tmp_path: Path) -> None:
    found = here(*MEASURING["run"], "--summary", "x", GITHUB_STEP_SUMMARY="./x")
    assert found.returncode == 0
    assert found.stdout.count("summary: ") == 1
    assert (tmp_path / "x").read_text(encoding="utf-8").count("\nRun 2000") == 1


@FULL
def test_a_device_may_take_two(here: Command) -> None:
    found = here(*MEASURING["run"], "--json", os.devnull, "--summary", os.devnull)
    assert found.returncode == 0, found.stderr


def test_a_summary_that_the_ci_names_and_that_cannot_be_written_costs_its_sentence(
    here: Command, nowhere: Path
) -> None:
    found = here(*MEASURING["run"], GITHUB_STEP_SUMMARY=str(nowhere))
    assert found.returncode == 0
    assert f"summary: not written: {nowhere} cannot be written: " in found.stdout


@pytest.mark.skipif(os.name != "posix", reason="limits are POSIX's")
def test_a_disk_that_is_full_after_measuring_costs_the_json_and_not_the_verdict(
    tmp_path: Path, user_environment: dict[str, str]
) -> None:
    program = (
        "import resource, sys\n"
        "from harness.core import output_files\n"
        "write = output_files.write_whole\n"
        "def full(*given, **named):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))\n"
        "    try:\n"
        "        write(*given, **named)\n"
        "    finally:\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "import harness.cli.run\n"
        "harness.cli.run.write_whole = full\n"
        "from harness.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    arguments = [*MEASURING["run"], "--json", "out.json", "--targets", "rtf=0.01"]
    found = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path, env=user_environment, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert found.returncode == 1, found.stderr
    assert "json: not written: out.json cannot be written: File too large" in found.stdout
    assert not (tmp_path / "out.json").exists()


@FULL
@pytest.mark.parametrize(
    ("command", "option"), [("run", "--json"), ("run", "--summary"), ("validate", "--summary"), ("duel", "--summary")]
)
def test_one_that_is_lost_after_measuring_is_named_and_ends_the_command_with_2(
    here: Command, tmp_path: Path, command: str, option: str
) -> None:
    found = here(*MEASURING[command], "--targets", "ttfa=9,rtf=9", option, "/dev/full")
    assert found.returncode == 2
    assert "not written: /dev/full cannot be written: No space left on device" in found.stdout
    assert "exit code 2: an output could not be written; what was measured is stored" in found.stdout
    assert found.stderr == ""
    (stored,) = json.loads(here("runs", "list", "--json").stdout)
    assert stored["status"] == "complete"


@FULL
@pytest.mark.parametrize(
    "arguments", [("runs", "export"), ("compare", "latest", "latest"), ("report", "--single-file", "latest")]
)
def test_a_device_is_written_to_and_not_replaced(here: Command, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    Laboratory(tmp_path).run(launches="1", blocks="1")
    found = here(*arguments, "-o", "/dev/full")
    assert found.returncode == 2
    assert "/dev/full cannot be written: No space left on device" in found.stderr
    assert Path("/dev/full").is_char_device()


@pytest.mark.skipif(os.name != "posix", reason="limits are POSIX's")
@pytest.mark.parametrize("command", ["run", "validate", "duel"])
def test_a_disk_that_is_full_is_found_before_measuring(
    tmp_path: Path, user_environment: dict[str, str], command: str
) -> None:
    arguments = [sys.executable, "-m", "harness.cli", *MEASURING[command], "--report", "full/out"]
    found = subprocess.run(
        ["bash", "-c", 'ulimit -f 0; exec "$@"', "bash", *arguments],
        cwd=tmp_path, env=user_environment, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert found.returncode == 2
    assert "full/out cannot be written: File too large" in found.stderr
    assert not [each for each in tmp_path.rglob("*") if each.is_file()]


@FULL
def test_a_log_of_a_mock_server_that_is_lost_costs_no_answer_and_ends_it_with_2(
    user_environment: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "harness.cli", "mock-server", "steady", "--port", "0", "--log", "/dev/full"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=user_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        address = server.stdout.readline().split()[-1]
        for _ in range(2):
            request = urllib.request.Request(f"{address}/v1/audio/speech", data=b'{"input": "Hello."}')  # noqa: S310
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - on loopback
                assert answer.read()
        server.terminate()
        assert server.stderr.read() == (
            "kokoro-bench: --log /dev/full: cannot be written: No space left on device — the log ends here\n"
        )
    assert server.returncode == 2


class TestFiles:
    def test_an_old_one_stays_where_the_new_one_cannot_be_written(self, tmp_path: Path) -> None:
        file = tmp_path / "f"
        file.write_text("old")
        with pytest.raises(TypeError):
            write_whole(file, "no bytes", where="x")  # type: ignore[arg-type]
        assert file.read_text() == "old"
        assert list(tmp_path.iterdir()) == [file]

    def test_a_link_is_followed_and_the_mode_is_kept(self, tmp_path: Path) -> None:
        file, link = tmp_path / "real", tmp_path / "link"
        file.write_text("old")
        file.chmod(0o640)
        link.symlink_to(file)
        write_whole(link, b"new", where="x")
        assert link.is_symlink()
        assert file.read_bytes() == b"new"
        assert stat.S_IMODE(file.stat().st_mode) == 0o640

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
    def test_a_pipe_and_a_device_are_written_and_not_replaced(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        check_file(pipe, where="x")
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        write_whole(pipe, b"new", where="x")
        assert os.read(reader, 10) == b"new"
        os.close(reader)
        check_file(Path(os.devnull), where="x")
        write_whole(Path(os.devnull), b"new", where="x")
        append_whole(Path(os.devnull), b"new", where="x")
        assert not Path(os.devnull).is_file()

    @pytest.mark.skipif(os.name != "posix", reason="limits are POSIX's")
    def test_an_addition_that_fails_leaves_what_was_there(self, tmp_path: Path) -> None:
        import resource

        file = tmp_path / "new" / "f"
        append_whole(file, b"one\n", where="x")
        append_whole(file, b"two\n", where="x")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        try:
            with pytest.raises(UsageError, match="File too large"):
                append_whole(file, b"three\n", where="x")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert file.read_bytes() == b"one\ntwo\n"

    def test_a_folder_in_the_place_of_a_file_and_the_reverse(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="Is a directory"):
            check_file(tmp_path, where="x")
        (tmp_path / "f").touch()
        with pytest.raises(UsageError, match="a file stands where"):
            check_directory(tmp_path / "f", where="x")

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
    def test_one_that_is_read_only_is_not_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "f").touch(mode=0o400)
        with pytest.raises(UsageError, match="Permission denied"):
            check_file(tmp_path / "f", where="x")

    def test_a_loop_of_links_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to(tmp_path / "b")
        (tmp_path / "b").symlink_to(tmp_path / "a")
        with pytest.raises(UsageError, match="cannot be written"):
            check_file(tmp_path / "a", where="x")
