"""Times `kokoro-bench --help` against a bare interpreter: wall time of whole processes, alternating."""

import subprocess
import sys
import time
from statistics import median

ROUNDS = 21
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "kokoro-bench --help": [sys.executable, "-m", "harness.cli", "--help"],
}


def main() -> None:
    """Print the medians and the limit."""
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            taken[name].append(time.perf_counter() - start)
    for name, seconds in taken.items():
        print(f"{name:<22} median {median(seconds) * 1e3:6.1f} ms  (min {min(seconds) * 1e3:.1f}, {ROUNDS} rounds)")
    print("wanted: kokoro-bench --help below 150 ms")


if __name__ == "__main__":
    main()
