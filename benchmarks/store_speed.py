"""Times the store: one block of 12 repetitions, compared with plain sqlite3 for the same bytes; and reading trends.

The two writers alternate on separate files in one directory. Plain sqlite3 gets ready-made payloads and writes as the
store does: one transaction per block, WAL, synchronous=NORMAL. `--history` adds reading: every trend of a synthetic
history of that many nights (60 scenarios × 8 metrics) is read once.
"""

import argparse
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.kept_figures import keep
from benchmarks.synthetic_history import made_run
from benchmarks.synthetic_run import Made
from harness.core.records.repetition import Phase
from harness.core.records.run import RunData, RunStatus
from harness.core.records.verdict import Summary

if TYPE_CHECKING:
    from harness.store.runs import RunStore

REPETITIONS = 12
TRENDS = [(f"model-{n // 6}.cpu.t2/whole/class-{n % 6}/voice", f"metric-{m}") for n in range(60) for m in range(8)]


def main() -> None:
    """Print medians in milliseconds, and the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=200)
    parser.add_argument("--history", type=int, default=0, metavar="NIGHTS")
    parser.add_argument("--store", default="", help="a database URL to write to instead of a fresh SQLite file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(_writing(Path(directory), given.blocks, given.store)))
        if given.history:
            print(json.dumps(_reading(given.store or Path(directory) / "history.sqlite", given.history)))


def _writing(directory: Path, blocks: int, store_url: str) -> dict[str, object]:
    from harness.store.payload import encode
    from harness.store.runs import open_store

    made = made_run(Made(), night=0)
    repetitions = [one for one in made.repetitions if one.phase is Phase.MEASURED and one.outcome.valid][:REPETITIONS]
    taken: dict[str, list[float]] = {"store": [], "sqlite3": []}
    with open_store(store_url or directory / "store.sqlite") as store, _plain(directory / "plain.sqlite") as write:
        run_id = store.begin(replace(made.run, id="store-speed", status=RunStatus.RUNNING))
        for number in range(blocks):
            block = replace(made.blocks[0], launch=0, block=number)
            mine = [replace(one, launch=0, block=number) for one in repetitions]
            payloads = [encode(one) for one in mine]
            in_turn: dict[str, Callable[[], None]] = {
                "store": partial(store.add_block, run_id, block, mine),
                "sqlite3": partial(write, number, payloads),
            }
            for name in sorted(in_turn, reverse=bool(number % 2)):
                start = time.perf_counter()
                in_turn[name]()
                taken[name].append((time.perf_counter() - start) * 1e3)
        store.delete(run_id)
    store_ms, plain_ms = median(taken["store"]), median(taken["sqlite3"])
    keep("writing a block", store_ms, "ms", most=10, peers=[("plain sqlite3", plain_ms)])
    return {
        "what": f"writing one block of {REPETITIONS} repetitions, median of {blocks}",
        "store_ms": round(store_ms, 3),
        "plain_sqlite3_ms": round(plain_ms, 3),
        "ratio": round(store_ms / plain_ms, 1),
        "bytes_per_repetition": round(median(len(encode(one)) for one in repetitions)),
        "wanted": "store_ms < 10",
    }


@contextmanager
def _plain(file: Path) -> Iterator[Callable[[int, list[bytes]], None]]:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("CREATE TABLE repetitions (block INTEGER, payload BLOB)")

        def write(block: int, payloads: list[bytes]) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO repetitions VALUES (?, ?)", [(block, one) for one in payloads])
            connection.execute("COMMIT")

        yield write


def _reading(place: str | Path, nights: int) -> dict[str, object]:
    from harness.store.runs import open_store

    made = made_run(Made(), night=0)
    machine = made.run.machine.key
    with open_store(place) as store:
        ids = [_add_night(store, made, night) for night in range(nights)]
        seconds = {"conclude": 0.0, "one_trend": 0.0, "every_trend": 0.0, "list": 0.0}
        conclusions = [_summary(scenario, metric, 1) for scenario, metric in TRENDS]
        seconds["conclude"] = _seconds(lambda: store.conclude(ids[-1], conclusions, (), ()))
        seconds["list"] = _seconds(store.list)
        trends: list[float] = []
        for scenario, metric in TRENDS:
            trends.append(_seconds(lambda s=scenario, m=metric: store.series(m, s, machine)))  # type: ignore[misc]
        seconds["one_trend"], seconds["every_trend"] = median(trends), sum(trends)
        for run_id in ids if isinstance(place, str) else ():
            store.delete(run_id)
    for name, taken in seconds.items():
        keep(f"{nights} nights: {name.replace('_', ' ')}", taken * 1e3, "ms")
    return {"what": f"reading a history of {nights} nights × {len(TRENDS)} trends"} | {
        f"{name}_ms": round(taken * 1e3, 2) for name, taken in seconds.items()
    }


def _add_night(store: "RunStore", made: RunData, night: int) -> str:
    run_id = store.begin(replace(made.run, id=f"history-{night}", started_at=night * 86_400.0))
    store.conclude(run_id, [_summary(scenario, metric, night) for scenario, metric in TRENDS], (), ())
    store.finish(run_id, status=RunStatus.COMPLETE, ended_at=night * 86_400.0 + 600.0)
    return run_id


def _summary(scenario: str, metric: str, night: int) -> Summary:
    centre = 1.0 + (night * 7919 % 101) / 1_000
    return Summary(
        scenario_id=scenario,
        metric=metric,
        definition=1,
        n=36,
        median=centre,
        q1=centre * 0.99,
        q3=centre * 1.01,
        p90=centre * 1.02,
        minimum=centre * 0.97,
        maximum=centre * 1.05,
    )


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
