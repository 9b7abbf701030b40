"""Bisections of real workers whose step is known: `python -m benchmarks.planted_bisections --folder FOLDER`.

Each trial publishes twelve versions of kokoro-onnx in a folder of wheels. From one of them on, chosen at random, each
inference waits a share longer. `kokoro-bench bisect` then searches the twelve, as for a package of any index.

Trials are appended to a file, a JSON object a line, so that several evenings add up: `--table` counts all lines.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from statistics import median

from benchmarks.plants import INFER, MODEL, WAITED, change_package, write_package
from benchmarks.trials import Trial, Trials, run_command, share_of
from harness.core.records.bisection import BisectionAnswer
from harness.core.uv import run_uv

VERSIONS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Versions of kokoro-onnx as wheels of a folder; those from index `step` on wait."""

    folder: Path
    versions: Sequence[str]
    step: int

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder; uv finds the planted versions beside those of the index."""
        environment = {**os.environ, "UV_FIND_LINKS": str(self.folder / "wheels")}
        return run_command(self.folder, *words, environment=environment)


def publish(folder: Path, *, seed: int, share: float) -> Published:
    """Empty the folder and build the wheels. The step is chosen by the seed; `share` is the wait's of an inference."""
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    step = random.Random(seed).randrange(1, VERSIONS)  # noqa: S311 - a trial, not a secret
    # Runtimes are cached by version, so no two trials may publish the same one.
    versions = [f"{int(time.time())}.{minor}" for minor in range(1, VERSIONS + 1)]
    for number, released in enumerate(versions):
        source = write_package(folder / "source", released=released)
        if number >= step:
            change_package(source, *INFER, WAITED.format(share=share))
        run_uv("build", "--quiet", "--wheel", "--out-dir", str(folder / "wheels"), folder=source, what=released)
    return Published(folder=folder, versions=versions, step=step)


def play(root: Path, *, seed: int, share: float, options: Sequence[str]) -> Trial:
    """One search: the step that was planted and the one that was found, the words of the answer, and the seconds."""
    published = publish(root / f"{seed}", seed=seed, share=share)
    good, *_, bad = published.versions
    began = time.monotonic()
    done = published.run("bisect", "kokoro-onnx", good, bad, "--json", "--seed", str(seed), *options)
    if not done.stdout.startswith("{"):
        raise SystemExit(f"bisect kokoro-onnx {good} {bad}: exit code {done.returncode}\n{done.stderr[-4000:]}")
    answer = json.loads(done.stdout)
    return {
        "seed": seed,
        "share": share,
        "planted": published.step,
        "answer": answer["answer"],
        "steps": [each["after"] for each in answer["steps"]],
        "sentence": answer["sentence"],
        "seconds": round(time.monotonic() - began),
    }


def is_right(trial: Trial) -> bool:
    """Whether one step was found, and it is the planted one."""
    return bool(trial["answer"] == BisectionAnswer.STEP and trial["steps"] == [trial["planted"]])


def table(trials: Sequence[Trial]) -> list[Sequence[object]]:
    """The heading, and a row for each planted share."""
    heading = ("planted", "right", "of", "95 % interval", "without an answer", "median seconds", "most")
    rows: list[Sequence[object]] = [heading]
    for share in sorted({each["share"] for each in trials}):
        of = [each for each in trials if each["share"] == share]
        right, seconds = sum(map(is_right, of)), [each["seconds"] for each in of]
        # An undecided search names its most probable step as well.
        without = sum(each["answer"] in (BisectionAnswer.UNDECIDED, BisectionAnswer.NO_DIFFERENCE) for each in of)
        span = share_of(right, len(of))
        rows.append((f"{share:.0%}", right, len(of), span, without, f"{median(seconds):.0f}", max(seconds)))
    return rows


def main() -> int:
    """Play the trials and print the table. Return 3 if one was not right."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted_bisections", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="of the trials; kept, and used again")
    parser.add_argument("--times", type=int, default=8, metavar="N", help="number of trials")
    parser.add_argument("--seed", type=int, default=1, help="of the first trial")
    parser.add_argument("--share", type=float, default=0.05, help="what an inference waits longer, of its own time")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--text", default="chars-60", help="class of text")
    parser.add_argument("--threads", default="1")
    parser.add_argument("--budget", default="15m", help="of each search")
    parser.add_argument("--table", action="store_true", help="only print the table of the trials so far")
    given = parser.parse_args()
    root = given.folder.resolve()
    trials = Trials(root, is_right=is_right)
    options = ["--model", given.model, "--text", given.text, "--threads", given.threads, "--budget", given.budget]
    for seed in () if given.table else range(given.seed, given.seed + given.times):
        trial = play(root, seed=seed, share=given.share, options=[*options, "--metric", "latency", "--wait", "1h"])
        trials.add(trial, what=f"{seed}", found=f"planted {trial['planted']}: {trial['sentence']}")
    return trials.show(table)


if __name__ == "__main__":
    sys.exit(main())
