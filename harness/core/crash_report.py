"""Writes a file for every unexpected error: versions, the command and the traceback.

Users attach the file to bug reports, so it contains none of their folders and no passwords of URLs.
"""

import contextlib
import os
import platform
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.core.comma_lists import join_list, split_list
from harness.core.file_names import last_part
from harness.core.scratch import shared_folder

PACKAGES = (
    "kokoro-bench", "kokoro-onnx", "onnxruntime", "onnx", "numpy", "scipy", "click", "rich", "msgspec", "sqlalchemy",
    "pytest", "pytest-benchmark", "httpx", "h11", "locust",
)  # fmt: skip
"""Packages whose versions the file lists. The versions are read from metadata, without imports."""
PREFIX = "kokoro-bench-crash-"
KEPT = 20
"""The number of files to keep; older ones are deleted."""
LONGEST = 300
"""The maximum number of characters of an error's message in the line."""

_USER_IN_URL = re.compile(r"(://)[^/@\s]+@")


def crash_line(error: BaseException, arguments: Sequence[str] | None = None) -> str:
    """Write the file. Return a line that states the error and the path of the file.

    `arguments` are those of `kokoro-bench`; without them, the file has the command line of this process.
    """
    command = [Path(sys.argv[0]).name, *sys.argv[1:]] if arguments is None else ["kokoro-bench", *arguments]
    path = write_crash_report(error, command)
    found = f"the traceback is in {path}; please report it" if path else "no file for the traceback could be written"
    return f"internal error: {summary(error)} — {found}"


def summary(error: BaseException) -> str:
    """The type and the message of an error, on one line."""
    try:
        message = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - an error may fail to say what it is
        message = ""
    if len(message) > LONGEST:
        message = f"{message[:LONGEST]}…"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def write_crash_report(error: BaseException, command: Sequence[str]) -> Path | None:
    """Write the file into the user's log directory, or else the temporary directory. None if neither is writable."""
    try:
        text = report_text(error, command)
    except Exception as failure:  # noqa: BLE001 - an error report must not fail
        text = f"{summary(error)}\n(the traceback could not be written: {summary(failure)})\n"
    for directory in _directories():
        try:
            directory.mkdir(parents=True, exist_ok=True)
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            handle, name = tempfile.mkstemp(prefix=f"{PREFIX}{stamp}-", suffix=".txt", dir=directory)
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError:
            continue
        _remove_oldest(directory)
        return Path(name)
    return None


def report_text(error: BaseException, command: Sequence[str]) -> str:
    """The content of the file."""
    versions = [f"{name} {version}" for name in PACKAGES if (version := _version(name))]
    head = [
        f"time: {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC",
        f"command: {' '.join(map(without_folders, command))}",
        f"Python {platform.python_version()} ({platform.python_implementation()}), {platform.platform()}",
        f"packages: {', '.join(versions)}",
        "",
    ]
    trace = "".join(traceback.format_exception(error))
    return "\n".join(head) + "\n" + without_users(trace)


def without_folders(argument: str) -> str:
    """An argument with every path reduced to its last component, and without the user of a URL."""
    option, equals, value = argument.partition("=") if argument.startswith("-") else ("", "", argument)
    return option + equals + join_list(_name_alone(part) for part in split_list(value))


def without_users(text: str) -> str:
    """A text without this machine's folders: paths become relative to the import path, home or current folder."""
    for folder, instead in _folders():
        text = text.replace(folder, instead)
    return _USER_IN_URL.sub(r"\1…@", text)


def _name_alone(part: str) -> str:
    name, equals, value = part.rpartition("=")
    if "://" in value:
        return name + equals + _USER_IN_URL.sub(r"\1…@", value)
    if "*" not in value and ("/" in value or os.sep in value):
        value = last_part(value)
    return name + equals + value


def _folders() -> list[tuple[str, str]]:
    """Pairs of a folder and its replacement, the longest folder first."""
    imported = [part for part in sys.path if part and Path(part).is_absolute()]
    imported.append(str(Path(__file__).resolve().parents[2]))
    pairs = dict.fromkeys(imported, "")
    own, shared = (tempfile.gettempdir, "TMP"), (lambda: str(shared_folder()), "TMP")
    for folder, instead in ((os.getcwd, "."), (lambda: str(Path.home()), "~"), own, shared):
        try:
            pairs.setdefault(folder(), f"{instead}{os.sep}")
        except (OSError, RuntimeError):  # a directory that was removed, a user without a home
            continue
    ended = {f"{folder.rstrip(os.sep)}{os.sep}": instead for folder, instead in pairs.items() if folder.strip(os.sep)}
    return sorted(ended.items(), key=lambda pair: -len(pair[0]))


def _directories() -> Iterable[Path]:
    try:
        import platformdirs

        yield platformdirs.user_log_path("kokoro-bench", appauthor=False)
    except (ImportError, OSError, RuntimeError):
        pass
    yield shared_folder()


def _remove_oldest(directory: Path) -> None:
    for path in sorted(directory.glob(f"{PREFIX}*.txt"))[:-KEPT]:
        with contextlib.suppress(OSError):  # of another user, in a temporary directory that several share
            path.unlink()


def _version(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
