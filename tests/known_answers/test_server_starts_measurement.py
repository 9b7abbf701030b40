"""A server that started the command which measures it: its memory is its own, without that of the command."""

import json
import subprocess
import sys
from pathlib import Path

from tests.known_answers.playing import EASY, Played, environment, stored

SERVER = """
import io, json, subprocess, sys
import psutil
from harness.server.mock.builtin import SCRIPTS
from harness.server.mock.server import serving

log = io.StringIO()
with serving(SCRIPTS["steady"], log=log) as (url, _):
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *sys.argv[1:], "--url", url], capture_output=True, text=True
    )
    own = psutil.Process().memory_info().rss
print(json.dumps({"code": done.returncode, "out": done.stdout, "err": done.stderr, "log": log.getvalue(), "own": own}))
"""


def played(root: Path, *arguments: str) -> tuple[Played, int]:
    """The run, and the server's own resident size at its end, in bytes."""
    said = subprocess.run(
        [sys.executable, "-c", SERVER, *arguments],
        cwd=root, env=environment(root), check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    found = json.loads(said)
    ended = subprocess.CompletedProcess([], found["code"], found["out"], found["err"])
    return stored(root, ended, found["log"]), found["own"]


def test_the_memory_of_a_server_is_without_the_command_that_it_started(tmp_path: Path) -> None:
    run, own = played(tmp_path, "load", *EASY, "--users", "1", "--text", "chars-12", "--seconds", "1s")
    assert run.code == 0, run.said
    (load,) = run.loads.values()
    figure = run.summary(load.scenario.id, "rss_peak").median
    assert figure is not None
    # The command has more modules loaded than the server has, and would at least double it.
    assert 0.7 * own < figure < 1.3 * own
