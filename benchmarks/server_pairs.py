"""A known difference of two servers, measured by a duel in time slices: one computes 3 % more for each answer.

Both are mock servers whose work is a number of rounds of equal size, started by the harness. The command and the
processes are those of a user's duel. The verdicts are printed beside the planted difference.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROUNDS = 1_200
METRICS = ("latency", "cpu_per_audio")
SCRIPT = 'name = "{name}"\nmeaning = "works"\n[[answers]]\nwork = {rounds}\nsteps = [{{ audio_share = 1.0 }}]\n'


def main() -> None:
    """Run the duel several times and print what each found."""
    parser = argparse.ArgumentParser(description="Duels of two servers, one of which computes more.")
    parser.add_argument("--percent", type=float, default=3.0, help="how much more one of them computes")
    parser.add_argument("--times", type=int, default=2, help="duels")
    parser.add_argument("--budget", default="120s", help="of each duel")
    options = parser.parse_args()
    planted = round(ROUNDS * options.percent / 100) / ROUNDS
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        _declare(directory, {"base": ROUNDS, "more": round(ROUNDS * (1 + planted))})
        for number in range(options.times):
            found = _duel(directory, options.budget)
            how = next((note for note in found["notes"] if note.startswith("the arms of a pair")), "")
            sys.stdout.write(f"duel {number + 1}, planted {planted:+.1%}: {how}\n")
            for verdict in found["verdicts"]:
                if verdict["metric"] in METRICS:
                    sys.stdout.write(f"  {_line(verdict)}\n")
            sys.stdout.flush()


def _declare(directory: Path, rounds: dict[str, int]) -> None:
    command = f"{sys.executable} -m harness.cli mock-server"
    tables = []
    for name, each in rounds.items():
        (directory / f"{name}.toml").write_text(SCRIPT.format(name=name, rounds=each), encoding="utf-8")
        tables.append(f'[tool.kokoro-bench.server.{name}]\ncommand = "{command} {name}.toml --port {{port}}"\n')
    (directory / "pyproject.toml").write_text("\n".join(tables), encoding="utf-8")


def _duel(directory: Path, budget: str) -> dict[str, Any]:
    arguments = ("server=more", "server=base", "--text", "chars-12", "--budget", budget, "--quality", "off", "--json")
    done = subprocess.run(
        (sys.executable, "-m", "harness.cli", "duel", *arguments), cwd=directory, check=False, stdout=subprocess.PIPE
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _line(verdict: dict[str, Any]) -> str:
    change = verdict["change"]
    if change is None:
        return f"{verdict['metric']}: {verdict['kind']}"
    point, low, high = (math.expm1(change[name]) for name in ("point", "low", "high"))
    span = f"{low:+.1%} to {high:+.1%} at {change['level']:.2%}"
    return f"{verdict['metric']}: {point:+.1%} ({span}), {verdict['kind']}"


if __name__ == "__main__":
    main()
