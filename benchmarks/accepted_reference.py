"""What a run finds against an accepted reference whose difference is known, on real workers.

Each trial is one `kokoro-bench run` of the real model against one accepted arm: with a patch version of NumPy, which
changes nothing, with an engine that waits a share of each inference more, or with one that holds a share of the peak
memory. A machine either has the values of the acceptance, or only `baselines/reference.toml`, as a new machine has.

Trials are appended to a file, a JSON object a line, so that several evenings add up: `--table` counts all lines.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.plants import IMPORT, INFER, WAITED, change_package, commit_all, write_package
from benchmarks.trials import Trial, Trials, run_command, share_of
from harness.core.errors import ExitCode
from harness.core.records.verdict import REPLAYED

NUMPY = "2.4.5", "2.4.6"
"""Of the accepted arm, and of the arm with another patch version."""
HELD = "\n\n_HELD = np.ones({held}, np.uint8)\n\n\nclass Kokoro:"
PLACES = "here", "elsewhere"
KINDS = "nothing", "numpy", "delay 3 %", "delay 5 %", "memory 10 %"
FINDS = {"delay 3 %": "latency", "delay 5 %": "latency", "memory 10 %": "rss_peak"}
"""The metric whose regression each kind has to show. The others must show none of any."""


class Project:
    """A folder with an accepted arm and a package for each kind of trial."""

    def __init__(self, root: Path, options: Sequence[str]) -> None:
        self.root = root
        self._options = options
        self._known = root / "known.json"

    def prepare(self) -> None:
        """Write the packages, measure the accepted arm and promote it; nothing if an earlier call did."""
        if self._known.exists():
            if (made := json.loads(self._known.read_text())["options"]) != list(self._options):
                raise SystemExit(f"{self.root} was made for {' '.join(made)}: use another folder")
            return
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        # From the index: what was installed from a repository cannot be restored for a replay.
        usual = [f"kokoro-onnx=={version('kokoro-onnx')}", f"numpy=={NUMPY[0]}"]
        runtimes = {"nothing": usual, "numpy": [usual[0], f"numpy=={NUMPY[1]}"]}
        self._measure(runtimes["nothing"], expected=(ExitCode.OK,))
        self._run("baseline", "promote", "latest", "--reason", "as published", expected=(ExitCode.OK,))
        shown = json.loads(self._run("runs", "show", "latest", "--json").stdout)
        peak = max(each["median"] for each in shown["values"] if each["metric"] == "rss_peak")
        for kind, change in (
            ("delay 3 %", (*INFER, WAITED.format(share=0.03))),
            ("delay 5 %", (*INFER, WAITED.format(share=0.05))),
            ("memory 10 %", (*IMPORT, HELD.format(held=round(peak / 10)))),
        ):
            runtimes[kind] = self._package("-".join(kind.split()[:2]), *change)
        shutil.copytree(self.root / "baselines", self.root / "accepted")
        self._known.write_text(json.dumps({"options": self._options, "runtimes": runtimes}, indent=1))

    def play(self, kind: str, place: str) -> Trial:
        """One run: its exit code, its seconds, and the regressions that it found with their changes."""
        shutil.rmtree(self.root / "baselines", ignore_errors=True)
        if place == "here":
            shutil.copytree(self.root / "accepted", self.root / "baselines")
        else:
            (self.root / "baselines").mkdir()
            shutil.copy(self.root / "accepted" / "reference.toml", self.root / "baselines")
        runtime = json.loads(self._known.read_text())["runtimes"][kind]
        began = time.monotonic()
        replay = ("--replay", "always") if kind == "nothing" else ()
        done = self._measure(runtime, *replay)
        seconds = time.monotonic() - began
        shown = json.loads(self._run("runs", "show", "latest", "--json").stdout)
        return {
            "kind": kind,
            "place": place,
            "exit_code": done.returncode,
            "seconds": round(seconds, 1),
            "worse": {each["metric"]: _change(each) for each in shown["verdicts"] if each["fails"]},
            "replayed": any(each["reference"].startswith(REPLAYED) for each in shown["verdicts"]),
            "looked for": [_change(each) for each in shown["verdicts"] if each["metric"] == FINDS.get(kind, "latency")],
        }

    def _package(self, name: str, file: str, pattern: str, replacement: str) -> list[str]:
        """The requirements of a runtime with kokoro-onnx from a repository of its own, with a change in it."""
        engine = write_package(self.root / f"engine-{name}", released=version("kokoro-onnx"))
        change_package(engine, file, pattern, replacement)
        return [f"kokoro-onnx @ git+file://{engine}@{commit_all(engine, name)}", f"numpy=={NUMPY[0]}"]

    def _measure(
        self, requirements: Sequence[str], *options: str, expected: Sequence[int] = ()
    ) -> subprocess.CompletedProcess[str]:
        """A run. Its runtime has the same name each time, so that the arm is the accepted one."""
        table = f"[tool.kokoro-bench.runtimes]\nmine = {json.dumps(list(requirements))}\n"
        (self.root / "pyproject.toml").write_text(table, encoding="utf-8")
        return self._run("run", *self._options, "--runtime", "mine", *options, expected=expected)

    def _run(self, *arguments: str, expected: Sequence[int] = ()) -> subprocess.CompletedProcess[str]:
        done = run_command(self.root, *arguments)
        if expected and done.returncode not in expected:
            raise SystemExit(f"{' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"[-4000:])
        return done


def _change(verdict: dict[str, Any]) -> str:
    change = verdict["change"]
    if change is None:
        return str(verdict["kind"])
    point, low, high = (math.expm1(change[name]) for name in ("point", "low", "high"))
    return f"{verdict['kind']} {point:+.1%} ({low:+.1%} to {high:+.1%})"


def is_right(trial: Trial) -> bool:
    """Whether a run found what was planted, and fails for it; or failed nothing, and compared, where nothing was."""
    wanted = FINDS.get(trial["kind"])
    if wanted is None:
        return bool(trial["exit_code"] == ExitCode.OK and trial["replayed"])
    return bool(trial["exit_code"] == ExitCode.WORSE and wanted in trial["worse"])


def table(trials: Sequence[Trial]) -> list[Sequence[object]]:
    """The heading, and a row for each kind and place."""
    rows: list[Sequence[object]] = [("planted", "accepted values", "right", "of", "95 % interval", "median seconds")]
    for kind in KINDS:
        for place in PLACES:
            of = [each for each in trials if (each["kind"], each["place"]) == (kind, place)]
            if not of:
                continue
            right, seconds = sum(map(is_right, of)), median(each["seconds"] for each in of)
            rows.append((kind, place, right, len(of), share_of(right, len(of)), f"{seconds:.0f}"))
    return rows


def main() -> int:
    """Play the trials in turns and print the table. Return 3 if a trial was not right."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accepted_reference", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="of the project; kept, and used again")
    parser.add_argument("--kind", action="append", choices=KINDS, help="this kind, several times for several")
    parser.add_argument("--place", action="append", choices=PLACES, help="which accepted values the machine has")
    parser.add_argument("--times", type=int, default=20, metavar="N", help="trials of each kind and place")
    parser.add_argument("--model", default="kokoro-v1.0-int8")
    parser.add_argument("--text", default="chars-60", help="class of text")
    parser.add_argument("--budget", default="2m", help="of each run")
    parser.add_argument("--table", action="store_true", help="only print the table of the trials so far")
    given = parser.parse_args()
    options = ("--model", given.model, "-k", f"whole and {given.text}", "--budget", given.budget, "--wait", "1h")
    root = given.folder.resolve()
    trials = Trials(root, is_right=is_right)
    if not given.table:
        project = Project(root, (*options, "--quality", "off"))
        project.prepare()
        for _ in range(given.times):
            for kind in given.kind or KINDS[1:]:
                for place in given.place or PLACES:
                    trial = project.play(kind, place)
                    trials.add(trial, what=f"{kind}, {place}", found=f"{trial['looked for']}")
    return trials.show(table)


if __name__ == "__main__":
    sys.exit(main())
