"""What a run shows whose process was killed before it evaluated what it had measured."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.conftest import Command


def test_a_killed_run_does_not_say_that_nothing_was_measured(here: Command, tmp_path: Path) -> None:
    ran = here("run", "--engine", "scripted", "--model", "scripted", "-k", "chars-12", "--budget", "20s")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    with closing(sqlite3.connect(tmp_path / ".kokoro-bench" / "results.sqlite")) as database, database:
        # As the kill leaves it: every finished block, no conclusion, and a process that is gone.
        for table in ("bench_summaries", "bench_verdicts", "bench_targets"):
            database.execute(f"DELETE FROM {table}")  # noqa: S608 - one of three names
        database.execute("UPDATE bench_runs SET status = 'running', ended_at = NULL")
        (made,) = database.execute("SELECT COUNT(*) FROM bench_repetitions").fetchone()
    shown = here("runs", "show", "latest")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert f"Nothing was evaluated: {made} stored repetitions; `kokoro-bench runs export " in shown.stdout
    assert "ended before the run did; every finished block is here." in shown.stdout
    assert "Nothing was measured" not in shown.stdout
    exported = here("runs", "export", "latest")
    assert exported.stdout.count('"kind": "repetition"') + exported.stdout.count('"kind":"repetition"') == made
