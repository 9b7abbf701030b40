"""Times commands that measure nothing against a bare interpreter: whole processes in turns, wall and CPU time.

They list what is stored and what could be measured, so a scripted run is stored first.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.kept_figures import keep

ROUNDS = 11
ROOT = Path(__file__).resolve().parent.parent
BENCH = (sys.executable, "-m", "harness.cli")
COLLECTED = ("--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
"""Only the project's own tests install Hypothesis. Its plug-in imports all of it at the end of each session."""
COMMANDS: dict[str, tuple[tuple[str, ...], float | None]] = {
    "python -c pass": ((sys.executable, "-c", "pass"), None),
    "kokoro-bench --help": ((*BENCH, "--help"), 0.1),
    "kokoro-bench runs list": ((*BENCH, "runs", "list"), 0.5),
    "kokoro-bench models list": ((*BENCH, "models", "list"), 0.5),
    "kokoro-bench doctor": ((*BENCH, "doctor"), 0.5),
    "pytest suites --collect-only": (
        (sys.executable, "-m", "pytest", str(ROOT / "suites"), *COLLECTED),
        1.5,
    ),
}
"""Command, and the wall time in seconds below which it should be."""


@dataclass(slots=True)
class Taken:
    """Seconds of each round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, command: tuple[str, ...], *, directory: Path) -> None:
        """Run the command once. CalledProcessError if it fails."""
        before = os.times()
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=directory)
        self.wall.append(time.perf_counter() - start)
        after = os.times()
        used = (after.children_user + after.children_system) - (before.children_user + before.children_system)
        self.cpu.append(used)


def main() -> None:
    """Print the medians and the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    taken = {name: Taken() for name in COMMANDS}
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        scripted = ("--engine", "scripted", "--budget", "20s", "--quality", "off")
        subprocess.run(
            (*BENCH, "run", *scripted), check=True, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(rounds):
            for name, (command, _) in COMMANDS.items():
                taken[name].add(command, directory=ROOT if "pytest" in name else directory)
    sys.stdout.write(f"{'':<30} {'wall':>9} {'CPU':>9}   median of {rounds} rounds\n")
    for name, (_, limit_s) in COMMANDS.items():
        wanted = f"   wanted: below {limit_s * 1e3:.0f} ms" if limit_s else ""
        wall, cpu = (median(each) * 1e3 for each in (taken[name].wall, taken[name].cpu))
        sys.stdout.write(f"{name:<30} {wall:6.0f} ms {cpu:6.0f} ms{wanted}\n")
        keep(name, wall, "ms", most=limit_s * 1e3 if limit_s else None)


if __name__ == "__main__":
    main()
