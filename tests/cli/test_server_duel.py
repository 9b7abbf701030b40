"""Duels of two servers, against what the servers themselves received."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.records.repetition import Phase
from harness.core.records.run import RunData
from harness.server.mock.script import Answer, Script, Step
from harness.server.mock.server import serving
from harness.store.runs import open_store
from tests.conftest import Command

LAUNCHES, BLOCKS = 1, 3
FAST_MS, SLOW_MS = 10, 200
"""Twenty times as long: no busy machine turns the sides round."""


def script(first_ms: int) -> Script:
    steps = (Step(wait_ms=first_ms), Step(audio_share=1.0))
    return Script(name="test", meaning="a test's own", answers=(Answer(steps=steps),), cycle=True)


def texts_of(log: io.StringIO) -> list[str]:
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line["text"] for line in lines if line["kind"] == "answer"]


def stored(folder: Path) -> RunData:
    with open_store(str(folder / ".kokoro-bench/results.sqlite")) as store:
        return store.load(store.resolve("latest"))


def test_two_addresses_get_the_same_streamed_texts_and_the_slower_one_is_found(here: Command, tmp_path: Path) -> None:
    slow_log, fast_log = io.StringIO(), io.StringIO()
    with serving(script(SLOW_MS), log=slow_log) as (slow, _), serving(script(FAST_MS), log=fast_log) as (fast, _):
        options = f"--launches {LAUNCHES} --blocks {BLOCKS} --text chars-12 --budget 60s"
        found = here("duel", f"url={slow}", f"url={fast}", *options.split())
    assert found.returncode == 0, found.stdout + found.stderr  # one launch decides nothing
    data = stored(tmp_path)
    assert [each.id.partition("/")[2] for each in data.run.scenarios] == ["endpoint/chars-12/af_heart/rotating"] * 2
    change = next(each.change for each in data.verdicts if each.metric == "ttfa")
    assert change is not None
    assert change.point > 0
    measured = [each for each in data.repetitions if each.phase is Phase.MEASURED]
    for side, wait_ms in zip(data.run.scenarios, (SLOW_MS, FAST_MS), strict=True):
        arrivals = [each.chunks[0].at_ns for each in measured if each.scenario_id == side.id]
        assert len(arrivals) == LAUNCHES * BLOCKS
        assert min(arrivals) >= wait_ms * 1e6
    assert texts_of(slow_log) == texts_of(fast_log)
    # Each launch has a first inference, a warm-up, and a text for each block, which is another in each.
    assert len(texts_of(slow_log)) == 2 * LAUNCHES + len(measured) / 2
    spoken = [(each.block, each.variant) for each in measured]
    assert len(set(spoken)) == len({variant for _, variant in spoken}) == len(measured) / 2
    # A server with a cache must not have the text of a block from the warm-up.
    assert len(set(texts_of(slow_log))) == len(texts_of(slow_log))
    assert "the arms of a pair ran one after the other: endpoint.http-127.0.0.1-" in found.stdout
    assert "is a server, which continues to work while its client is halted" in found.stdout


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        (("url=127.0.0.1:1", "url=http://127.0.0.1:2"), "is no URL of an endpoint"),
        (("url=http://127.0.0.1:1,server=own", "current"), "one side names two servers"),
        (("server=own", "server=other"), "unknown server 'own'"),
        (("url=http://127.0.0.1:1,rev=HEAD", "url=http://127.0.0.1:1"), "a server at an address has no revision"),
        (("url=http://127.0.0.1:1,arena=off", "url=http://127.0.0.1:1"), "unknown change 'arena'"),
    ],
)
def test_sides_that_make_no_sense_are_refused(here: Command, sides: tuple[str, str], said: str) -> None:
    found = here("duel", *sides)
    assert found.returncode == 2
    assert said in found.stderr


LESS, MORE = 80, 240
"""Rounds of CPU work of an answer."""


def git(folder: Path, *arguments: str) -> None:
    user = ("-c", "user.name=me", "-c", "user.email=me@localhost", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *user, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose server became slower in its second commit, and whose work tree is not clean."""
    folder = tmp_path / "mine"
    (folder / "server").mkdir(parents=True)
    git(folder, "init", "-q")
    command = [sys.executable, "-m", "harness.cli", "mock-server", "own.toml", "--port", "{port}"]
    setup = [["sh", "-c", f"cat own.toml >> {tmp_path}/set-up.txt"]]
    (folder / "pyproject.toml").write_text(
        "[tool.kokoro-bench.server.own]\ncwd = 'server'\n"
        f"command = {json.dumps(command)}\nsetup = {json.dumps(setup)}\n"
    )
    for subject, rounds in (("Serve", LESS), ("Serve with care", MORE)):
        (folder / "server/own.toml").write_text(
            f'name = "{rounds}"\nmeaning = "own"\n[[answers]]\nwork = {rounds}\nsteps = [{{ audio_share = 1.0 }}]\n'
        )
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", subject)
    with (folder / "pyproject.toml").open("a") as file:
        file.write("# not committed\n")
    return folder


def test_revision_of_a_server_runs_in_its_checkout_and_in_slices_with_the_work_tree(
    here: Command, repository: Path, tmp_path: Path
) -> None:
    options = ("--launches", "1", "--blocks", "1", "--text", "chars-12", "--budget", "30s")
    found = here("duel", "server=own", "server=own,rev=HEAD~1", *options, directory=repository)
    assert found.returncode == 0, found.stdout + found.stderr
    data = stored(repository)
    now, before = (scenario.arm for scenario in data.run.scenarios)
    assert now.source.endswith(" Serve with care with uncommitted changes")
    assert before.source.endswith(" Serve")
    assert [each.server for each in (now, before)] == ["own", "own"]
    assert ", 1 pair of each text" in " ".join(found.stdout.split())
    # A server that computes stands still together with its client.
    assert "the arms of a pair ran at the same time, in turns of up to " in found.stdout
    assert all(block.slice_ns for block in data.blocks)
    more, less = (
        next(each for each in data.repetitions if each.scenario_id == side.id and each.phase is Phase.MEASURED)
        for side in data.run.scenarios
    )
    assert more.outcome.valid
    assert less.outcome.valid
    # In real time both took about as long as the longer one: only without its pauses is the shorter one shorter.
    assert more.end_ns > 1.5 * less.end_ns
    assert f"start of the server {before.id} (one start): " in found.stdout
    # The setup runs in the directory of each revision.
    assert [f'name = "{each}"' in (tmp_path / "set-up.txt").read_text() for each in (LESS, MORE)] == [True, True]


def test_revision_without_the_directory_of_the_server_is_refused(here: Command, repository: Path) -> None:
    git(repository, "rm", "-q", "-r", "--cached", "server")
    git(repository, "commit", "-q", "-m", "Serve no more")
    found = here("duel", "server=own,rev=HEAD", "server=own", directory=repository)
    assert found.returncode == 2
    assert "server is no directory" in found.stderr
    assert "Serve no more" in found.stderr
