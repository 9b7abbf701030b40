"""Locust's distributed mode without a server. What it does with one: tests/known_answers/test_distributed_*.py."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

LOCUSTFILE = Path(__file__).resolve().parents[2] / "suites" / "locustfile.py"
WORKERS, LISTENERS = 2, 4
LONGEST_S = 240

# Looked up, not imported: importing it replaces sockets, threads and locks of the whole process.
pytestmark = pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="locust is not installed")


def locust(directory: Path, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--only-summary", *arguments],
        cwd=directory,
        env={**environment, "PYTHONPATH": os.pathsep.join([str(LOCUSTFILE.parents[1]), *sys.path[1:]])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def played(directory: Path, environment: dict[str, str], url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """One load of master and workers: the master's output and exit code. Nothing of it is left behind."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    workers = [
        locust(directory, environment, "--worker", "--master-host", "127.0.0.1", "--master-port", port)
        for _ in range(WORKERS)
    ]
    master = locust(
        directory, environment, "--headless", "--host", url, "-u", str(LISTENERS), "-r", str(LISTENERS),
        "--seconds", "3", "--warm-up", "2", "--cool-down", "1", "--text-class", "chars-12", *options, "--master",
        "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", str(WORKERS),
        "--expect-workers-max-wait", "120",
    )  # fmt: skip
    try:
        said, _ = master.communicate(timeout=LONGEST_S)
    finally:
        for process in (master, *workers):
            process.kill()
            process.communicate()
    return subprocess.CompletedProcess([], master.returncode, said, "")


def test_a_server_that_is_not_there_is_told_in_one_line_and_measures_nothing(
    tmp_path: Path, user_environment: dict[str, str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    found = played(tmp_path, user_environment, url)
    assert found.returncode == 3, found.stdout
    assert "Traceback" not in found.stdout
    assert "refused" in found.stdout
