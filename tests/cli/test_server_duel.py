"""Duels of two servers, against what the servers themselves received."""

import io
import json
from pathlib import Path

import pytest

from harness.core.records.repetition import Phase
from harness.core.records.run import RunData
from harness.core.records.verdict import VerdictKind
from harness.server.mock.script import Answer, Script, Step
from harness.server.mock.server import serving
from harness.store.runs import open_store
from tests.conftest import Command

LAUNCHES, BLOCKS = 2, 4
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
        options = (
            f"--launches {LAUNCHES} --blocks {BLOCKS} --text chars-12 --effect 50% --budget 60s --gate-metrics ttfa"
        )
        found = here("duel", f"url={slow}", f"url={fast}", *options.split())
    assert found.returncode == 1, found.stdout + found.stderr
    data = stored(tmp_path)
    assert [each.id.partition("/")[2] for each in data.run.scenarios] == ["endpoint/chars-12/af_heart/rotating"] * 2
    verdict = next(each for each in data.verdicts if each.metric == "ttfa")
    assert verdict.kind is VerdictKind.REGRESSED
    assert verdict.suspects == ()
    measured = [each for each in data.repetitions if each.phase is Phase.MEASURED]
    assert texts_of(slow_log) == texts_of(fast_log)
    # Each launch has a first inference, a warm-up, and a text for each block, which is another in each.
    assert len(texts_of(slow_log)) == 2 * LAUNCHES + len(measured) / 2
    spoken = [(each.block, each.variant) for each in measured]
    assert len(set(spoken)) == len({variant for _, variant in spoken}) == len(measured) / 2
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
