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
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import rmtree
from statistics import median
from typing import Any

from scipy.stats import binomtest

from benchmarks.plants import INFER, MODEL, WAITED, change_package, write_package
from harness.core.records.bisection import BisectionAnswer
from harness.core.uv import run_uv

VERSIONS = 12


def publish(folder: Path, *, step: int, share: float, major: int) -> list[str]:
    """Build a wheel of each version in `folder`/wheels; those from index `step` on wait. Return the versions."""
    versions = [f"{major}.{minor}" for minor in range(1, VERSIONS + 1)]
    for number, released in enumerate(versions):
        source = write_package(folder / "source", released=released)
        if number >= step:
            change_package(source, *INFER, WAITED.format(share=share))
        run_uv("build", "--quiet", "--wheel", "--out-dir", str(folder / "wheels"), folder=source, what=released)
    return versions


def play(root: Path, *, seed: int, share: float, options: Sequence[str]) -> dict[str, Any]:
    """One search: the step that was planted and the one that was found, the words of the answer, and the seconds."""
    folder = root / f"{seed}"
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    step = random.Random(seed).randrange(1, VERSIONS)  # noqa: S311 - a trial, not a secret
    # Runtimes are cached by version, so no two trials may publish the same one.
    versions = publish(folder, step=step, share=share, major=int(time.time()))
    command = [sys.executable, "-m", "harness.cli", "bisect", "kokoro-onnx", versions[0], versions[-1]]
    environment = {**os.environ, "UV_FIND_LINKS": str(folder / "wheels")}
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--json", "--seed", str(seed), *options],
        cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    if not done.stdout.startswith("{"):
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-4000:]}")
    answer = json.loads(done.stdout)
    return {
        "seed": seed,
        "share": share,
        "planted": step,
        "answer": answer["answer"],
        "steps": [each["after"] for each in answer["steps"]],
        "sentence": answer["sentence"],
        "seconds": round(time.monotonic() - began),
    }


def is_right(trial: dict[str, Any]) -> bool:
    """Whether one step was found, and it is the planted one."""
    return bool(trial["answer"] == BisectionAnswer.STEP and trial["steps"] == [trial["planted"]])


def table(trials: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A line for each planted share, with the 95 % Clopper–Pearson interval of the searches that were right."""
    yield "| planted | right | of | 95 % interval | without an answer | median seconds | most |\n"
    yield "|---|---|---|---|---|---|---|\n"
    for share in sorted({each["share"] for each in trials}):
        of = [each for each in trials if each["share"] == share]
        right, seconds = sum(map(is_right, of)), [each["seconds"] for each in of]
        exact = binomtest(right, len(of)).proportion_ci(0.95)
        without = sum(not each["steps"] for each in of)
        span = f"{exact.low:.0%} to {exact.high:.0%}"
        cells = (f"{share:.0%}", right, len(of), span, without, f"{median(seconds):.0f}", max(seconds))
        yield f"| {' | '.join(map(str, cells))} |\n"


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
    written = root / "trials.jsonl"
    options = ["--model", given.model, "--text", given.text, "--threads", given.threads, "--budget", given.budget]
    for seed in () if given.table else range(given.seed, given.seed + given.times):
        trial = play(root, seed=seed, share=given.share, options=[*options, "--metric", "latency", "--wait", "1h"])
        with written.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(trial)}\n")
        mark = "right" if is_right(trial) else "WRONG"
        sys.stdout.write(f"{seed}: {mark}, planted {trial['planted']}: {trial['sentence']} {trial['seconds']} s\n")
        sys.stdout.flush()
    trials = [json.loads(line) for line in written.read_text(encoding="utf-8").splitlines()]
    sys.stdout.writelines(table(trials))
    return 0 if all(map(is_right, trials)) else 3


if __name__ == "__main__":
    sys.exit(main())
