"""Play the suite again and again while other processes want every core. `nox -s steady [-- --times 10 ARGUMENTS…]`.

What gates must give the same verdict on a busy machine: the programme prints a line for each time, and the names of the
tests whose outcome was not the same each time.

Exit code: 0 where every time was green, 1 where a test failed or was an error, or where the outcomes differ.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
BUSY = "while True: pass"


@contextmanager
def hog(processes: int) -> Iterator[None]:
    """Keep as many busy processes as there are cores, of the same priority as the tests."""
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(processes)]
    try:
        yield
    finally:
        for each in busy:
            each.kill()
            each.wait()


def outcomes(arguments: Sequence[str]) -> Mapping[str, str]:
    """Test → passed, skipped, failed or error, of one time. What pytest says is shown only where it is not green."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "outcomes.xml")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            f"--junitxml={written}",
            "-o",
            "junit_family=xunit2",
            *arguments,
        ]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", errors="replace", check=False)
        if ended.returncode:
            sys.stderr.write(ended.stdout[-8000:] + ended.stderr[-2000:])
        if not written.exists():
            return {"pytest": f"ended with {ended.returncode}"}
        found = {}
        for case in ET.parse(written).iter("testcase"):  # noqa: S314 - written by the pytest above
            bad = next((each.tag for each in case if each.tag in {"failure", "error", "skipped"}), "passed")
            found[f"{case.get('classname')}::{case.get('name')}"] = bad
        return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=10, help="how often the suite is played")
    parser.add_argument("--hogs", type=int, default=os.cpu_count() or 1, help="busy processes beside it")
    options, arguments = parser.parse_known_args()
    seen: list[Mapping[str, str]] = []
    with hog(options.hogs):
        for number in range(1, options.times + 1):
            start = time.monotonic()
            seen.append(outcomes(arguments))
            counts = ", ".join(f"{count} {how}" for how, count in sorted(Counter(seen[-1].values()).items()))
            sys.stdout.write(f"{number} of {options.times}: {counts}, {time.monotonic() - start:.0f} s\n")
            sys.stdout.flush()
    names = sorted(set().union(*seen))
    bad = {name: [one.get(name, "not run") for one in seen] for name in names}
    bad = {name: how for name, how in bad.items() if set(how) - {"passed", "skipped"} or len(set(how)) > 1}
    for name, how in bad.items():
        sys.stdout.write(f"{name}: {', '.join(how)}\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
