"""Four nights of a schedule with real workers, in which a package gets slower and is put back: what each of them says.

A folder of wheels has twelve versions of kokoro-onnx, of which the later ones wait a share of each inference more. The
first night is accepted, the second measures the same version, the third the newest one, and the fourth the first again.
The scheduler confirms what the third finds, sends an alert, and bisects the versions between. Each check is a line of
the table. Return 3 if one does not hold: `python -m benchmarks.planted_night --folder FOLDER`.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.planted_bisections import Published, publish
from benchmarks.plants import MODEL

PROJECT = """
[tool.kokoro-bench.runtimes]
mine = ["kokoro-onnx=={version}"]
[tool.kokoro-bench.schedule]
alerts = ["file:alerts.jsonl"]
busy-cpus = 1000
[tool.kokoro-bench.schedule.nightly]
cron = "30 2 * * *"
selection = "quick"
k = "test_whole"
budget = "{budget}"
confirm = "{confirm}"
promote = "clean"
explain = "bisect"
options = {{ model = ["{model}"], text = ["{text}"], runtime = ["mine"], threads = [1], quality = "off" }}
"""


class Nights:
    """The schedule of a folder with published versions."""

    def __init__(self, published: Published, **settings: str) -> None:
        self._published = published
        self._settings = settings

    def night(self, version: str) -> tuple[int, float]:
        """Measure a version now, with all that follows. The exit code and the seconds."""
        project = PROJECT.format(version=version, **self._settings)
        (self._published.folder / "pyproject.toml").write_text(project, encoding="utf-8")
        began = time.monotonic()
        done = self._published.run("schedule", "run-now", "nightly")
        log = self._published.folder / f"{version}-{began:.0f}.log"
        log.write_text(done.stdout + done.stderr, encoding="utf-8")
        return done.returncode, time.monotonic() - began

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts so far."""
        keys = count(1)
        shown = iter(lambda: self._published.run("schedule", "alert", f"{next(keys)}", "--json").stdout, "")
        return [json.loads(each) for each in shown]

    def history(self) -> list[dict[str, Any]]:
        """What became due, newest first."""
        return list(json.loads(self._published.run("schedule", "history", "--json").stdout))


def checks(folder: Path, *, share: float, seed: int, **settings: str) -> Iterator[tuple[str, bool, str]]:
    """Let the nights pass. What each has to do, whether it did, and what it was."""
    published = publish(folder, seed=seed, share=share)
    first, culprit, last = (published.versions[number] for number in (0, published.step, -1))
    nights = Nights(published, **settings)
    code, seconds = nights.night(first)
    reference = folder / "baselines" / "reference.toml"
    yield "the first night is accepted", code == 0 and reference.exists(), f"exit code {code}, {seconds:.0f} s"
    code, seconds = nights.night(first)
    yield "the same version raises no alert", code == 0 and not nights.alerts(), f"exit code {code}, {seconds:.0f} s"
    code, seconds = nights.night(last)
    latency = [each for each in nights.alerts() if each["metric"] == "latency" and not each["ending"]]
    course = "; ".join(f"{each['job']} {each['outcome']}" for each in nights.history()[::-1][2:])
    yield "a slower version fails the night", code == 1, f"exit code {code}, {seconds:.0f} s: {course}"
    yield (
        "one alert, confirmed by a duel",
        len(latency) == 1 and latency[0]["confirmation"] == "confirmed",
        "; ".join(each["confirmation_reason"] for each in latency),
    )
    explained = "; ".join(each["explanation"] for each in latency)
    yield f"{culprit} is found to be the first slow one", f" {culprit} " in f"{explained} ", explained
    code, seconds = nights.night(first)
    endings = [each["ending"] for each in nights.alerts() if each["metric"] == "latency"]
    yield "put back, it has recovered", code == 0 and endings == ["recovered"], f"{endings}, {seconds:.0f} s"


def main() -> int:
    """Print a line for each check."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted_night", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="of the schedule; emptied first")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=0.08, help="what an inference waits longer, of its own time")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--text", default="chars-60", help="class of text")
    parser.add_argument("--budget", default="3m", help="of each night")
    parser.add_argument("--confirm", default="5m", help="of the duel that confirms")
    given = vars(parser.parse_args())
    folder = given.pop("folder").resolve()
    held = True
    for what, holds, figure in checks(folder, **given):
        sys.stdout.write(f"| {what} | {'holds' if holds else 'DOES NOT HOLD'} | {figure} |\n")
        sys.stdout.flush()
        held &= holds
    return 0 if held else 3


if __name__ == "__main__":
    sys.exit(main())
