"""The file that an unforeseen error leaves: what helps to find it, and nothing of the user's."""

from pathlib import Path

import platformdirs
import pytest

from harness.core import crash_report
from harness.core.crash_report import KEPT, crash_line, without_folders, write_crash_report


def caught(message: str = "by zero") -> Exception:
    try:
        raise ZeroDivisionError(message)
    except ZeroDivisionError as error:
        return error


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(platformdirs, "user_log_path", lambda *_given, **_named: tmp_path / "logs")
    return tmp_path / "logs"


@pytest.mark.parametrize(
    ("argument", "kept"),
    [
        ("--model=/home/me/models/k.onnx,~/other/v.onnx", "--model=k.onnx,v.onnx"),
        (r"--model=/home/me\, us/x/k.onnx,my\, own.onnx", r"--model=k.onnx,my\, own.onnx"),
        ("/home/me/models/k.onnx", "k.onnx"),
        ("models/k.onnx", "k.onnx"),
        (r"C:\Users\me\k.onnx", r"C:\Users\me\k.onnx" if crash_report.os.sep == "/" else "k.onnx"),
        ("--results=postgresql://me:secret@host/db", "--results=postgresql://…@host/db"),
        ("http://127.0.0.1:8880", "http://127.0.0.1:8880"),
        ("--targets=*/stream/*=1", "--targets=*/stream/*=1"),
        ("--threads=1,2", "--threads=1,2"),
        ("run", "run"),
    ],
)
def test_an_argument_keeps_names_and_loses_folders(argument: str, kept: str) -> None:
    assert without_folders(argument) == kept


def test_the_file_says_what_helps_and_nothing_of_the_users(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = logs.parent / "home" / "somebody"
    home.mkdir(parents=True)
    monkeypatch.setattr(Path, "home", lambda: home)
    monkeypatch.chdir(home)
    error = caught(f"no {home}/secret/model.onnx at http://me:pw@host/x")
    path = write_crash_report(error, ["kokoro-bench", "run", "--model", str(home / "k.onnx")])
    assert path is not None
    assert path.parent == logs
    text = path.read_text(encoding="utf-8")
    assert "command: kokoro-bench run --model k.onnx\n" in text
    assert "kokoro-bench 0." in text
    assert "onnxruntime " in text
    assert 'File "tests/core/test_crash_report.py"' in text
    assert "ZeroDivisionError: no ./secret/model.onnx at http://…@host/x" in text
    assert "somebody" not in text


def test_the_line_holds_a_message_of_several_lines_and_is_not_endless(logs: Path) -> None:
    line = crash_line(caught("first\nsecond " + "x" * 1_000), [])
    assert "\n" not in line
    assert line.startswith("internal error: ZeroDivisionError: first second xxx")
    assert str(logs) in line
    assert len(line) < 600


def test_where_the_users_folder_cannot_be_written_the_temporary_one_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(platformdirs, "user_log_path", lambda *_given, **_named: tmp_path / "file" / "logs")
    monkeypatch.setattr(crash_report.tempfile, "gettempdir", lambda: str(tmp_path))
    path = write_crash_report(caught(), [])
    assert path is not None
    assert path.parent == tmp_path


def test_where_nothing_can_be_written_the_error_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(platformdirs, "user_log_path", lambda *_given, **_named: tmp_path / "file" / "logs")
    monkeypatch.setattr(crash_report.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    line = crash_line(caught(), [])
    assert line == "internal error: ZeroDivisionError: by zero — no file for the traceback could be written"


def test_the_oldest_files_go(logs: Path) -> None:
    logs.mkdir()
    for number in range(KEPT + 5):
        (logs / f"kokoro-bench-crash-19990101T0000{number:02d}Z-x.txt").touch()
    path = write_crash_report(caught(), [])
    assert path in list(logs.iterdir())
    assert len(list(logs.iterdir())) == KEPT


def test_an_error_without_words_is_named_by_its_type(logs: Path) -> None:
    class Mute(Exception):  # noqa: N818
        def __str__(self) -> str:
            raise ValueError("mute")

    assert crash_line(Mute(), []).startswith("internal error: Mute — the traceback is in ")
