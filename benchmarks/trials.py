"""Trials with a known answer that add up over several calls: kept in a file, a JSON object a line."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

Trial = dict[str, Any]


class Trials:
    """The trials of a folder; `is_right` says whether one found what was planted."""

    def __init__(self, root: Path, *, is_right: Callable[[Trial], bool]) -> None:
        self._file = root / "trials.jsonl"
        self._is_right = is_right

    def add(self, trial: Trial, *, what: str, found: str) -> None:
        """Keep a trial and print its line."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(trial)}\n")
        mark = "right" if self._is_right(trial) else "WRONG"
        sys.stdout.write(f"{what}: {mark}, {found}, {trial['seconds']:.0f} s\n")
        sys.stdout.flush()

    def show(self, table: Callable[[Sequence[Trial]], Sequence[Sequence[object]]]) -> int:
        """Print the rows of all trials so far. Return 3 if one was not right."""
        trials = [json.loads(line) for line in self._file.read_text(encoding="utf-8").splitlines()]
        heading, *rows = table(trials)
        for row in (heading, ["---"] * len(heading), *rows):
            sys.stdout.write(f"| {' | '.join(map(str, row))} |\n")
        return 0 if all(map(self._is_right, trials)) else 3


def share_of(right: int, of: int) -> str:
    """The 95 % Clopper–Pearson interval of a share."""
    exact = binomtest(right, of).proportion_ci(0.95)
    return f"{exact.low:.0%} to {exact.high:.0%}"


def run_command(
    folder: Path, *words: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of this version in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *words],
        cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
