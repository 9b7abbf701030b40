"""What a command prints on a stream that is closed, full, read by nobody, or has no sign for it."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.command import COMMANDS
from harness.cli.streams import ASCII, HANDLER, steady_streams
from tests.conftest import Command

RUN = ("run", "--engine", "scripted", "--model", "scripted", "--launches", "1", "--blocks", "2", "-k", "chars-12")
posix_only = pytest.mark.skipif(os.name != "posix", reason="of the shell")


def shell(line: str, directory: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[bytes]":
    """A line of bash in which $KB is the command."""
    return subprocess.run(
        ["bash", "-c", line],
        cwd=directory,
        env={**environment, "KB": f"{sys.executable} -m harness.cli"},
        capture_output=True,
        check=False,
    )


class TestSigns:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("latency −6.2 % … +1.0 %", "latency -6.2 % ... +1.0 %"),
            ("✓ met  ✗ missed", "+ met  x missed"),
            ("Zürich → Łódź 日本", "Zurich -> ?odz ??"),
            ("\udcff", "?"),
        ],
    )
    def test_what_cannot_be_shown_is_replaced_and_a_figure_keeps_its_sign(self, text: str, shown: str) -> None:
        with steady_streams():
            assert text.encode("ascii", HANDLER).decode() == shown
            assert text.encode(ASCII, HANDLER).decode() == shown

    @pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "latin-1", "koi8-r"])
    def test_every_sign_of_ours_has_a_plain_one_in_every_encoding(self, encoding: str) -> None:
        from harness.cli.streams import PLAIN

        with steady_streams():
            for code in PLAIN:
                assert b"?" not in chr(code).encode(encoding, HANDLER)

    @pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_prints_to_such_a_stream(
        self, monkeypatch: pytest.MonkeyPatch, here: Command, encoding: str, command: str
    ) -> None:
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict") for _ in range(2))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        for arguments in ((command, "--help"), (command, "Łódź−", "--Łódź−")):
            assert here(*arguments).returncode in (0, 2)
        assert b"Exit codes:" in out.buffer.getvalue() or b"Commands:" in out.buffer.getvalue()  # type: ignore[attr-defined]
        assert "dz-" in err.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]

    def test_a_run_and_what_it_found_are_shown_on_such_a_stream(
        self, tmp_path: Path, user_environment: dict[str, str]
    ) -> None:
        found = subprocess.run(
            [sys.executable, "-m", "harness.cli", *RUN, "--targets", "rtf=0.01"],
            cwd=tmp_path,
            env={**user_environment, "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            check=False,
        )
        assert found.returncode == 1, found.stderr
        assert "exit code 1: a regression or a missed target" in found.stdout.decode("ascii")
        assert found.stderr == b""

    @posix_only
    def test_the_c_locale_without_utf_8_shows_and_refuses_alike(
        self, tmp_path: Path, user_environment: dict[str, str]
    ) -> None:
        plain = {**user_environment, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        found = shell("$KB config --budget Grüße", tmp_path, plain)
        assert found.returncode == 2
        assert found.stderr.decode("ascii").startswith("kokoro-bench: option --budget: ")


@posix_only
class TestEnds:
    def test_a_reader_that_goes_away_costs_neither_the_run_nor_its_code(
        self, tmp_path: Path, user_environment: dict[str, str], kokoro_bench: Command
    ) -> None:
        line = " ".join(RUN)
        found = shell(f"$KB {line} --targets rtf=0.01 | head -1; exit ${{PIPESTATUS[0]}}", tmp_path, user_environment)
        assert (found.returncode, found.stderr) == (1, b"")
        assert kokoro_bench("runs", "list", "--json").stdout.count('"complete"') == 1

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
    def test_a_full_disk_behind_the_output_is_told_and_is_never_a_success(
        self, tmp_path: Path, user_environment: dict[str, str]
    ) -> None:
        found = shell("$KB config > /dev/full", tmp_path, user_environment)
        assert found.returncode == 2
        told = "kokoro-bench: standard output: cannot be written: No space left on device — "
        assert found.stderr.decode().startswith(told)
        assert len(found.stderr.splitlines()) == 1
        lost_both = shell("$KB runs show nosuch > /dev/full 2> /dev/full", tmp_path, user_environment)
        assert lost_both.returncode == 2

    def test_closed_streams_lead_nowhere_and_into_no_file(
        self, tmp_path: Path, user_environment: dict[str, str], kokoro_bench: Command
    ) -> None:
        found = shell(f"$KB {' '.join(RUN)} --targets rtf=0.01 <&- >&- 2>&-", tmp_path, user_environment)
        assert found.returncode == 1
        # A database that had got the number of standard output would hold what was printed.
        shown = kokoro_bench("runs", "show")
        assert shown.returncode == 0, shown.stderr


def test_a_stream_that_does_not_wait_gets_all_of_it() -> None:
    """A pipe that its other end made non-blocking, as some CI runners do."""
    program = (
        "import os, sys, threading, time\n"
        "from harness.cli.streams import steady_streams\n"
        "reader, writer = os.pipe()\n"
        "os.set_blocking(writer, False)\n"
        "got = []\n"
        "def read():\n"
        "    while piece := os.read(reader, 65536):\n"
        "        got.append(len(piece))\n"
        "os.dup2(writer, 1); os.close(writer)\n"
        "thread = threading.Thread(target=read); thread.start()\n"
        "with steady_streams() as losses:\n"
        "    for _ in range(200):\n"
        "        print('x' * 10_000)\n"
        "os.close(1)\n"
        "thread.join()\n"
        "sys.stderr.write(f'{sum(got)} {losses.found}')\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert found.stderr == f"{200 * 10_001} {{}}"


def test_a_stand_in_of_a_stream_that_takes_any_text_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    before = sys.stdout
    with steady_streams():
        assert sys.stdout is before
