"""`python -m benchmarks [NAME …] [--option …]`: runs the project's own benchmarks, each in a separate process.

Options go to each benchmark that runs, so name one with them.
"""

import platform
import subprocess
import sys
from pathlib import Path

import psutil

HELPERS = ("__init__", "__main__")
ONLY_BY_NAME = ("soak",)
"""Those that take so long that they run only when they are named."""


def main() -> int:
    """Run the named benchmarks, or all. Return 3 if one did not finish."""
    here = Path(__file__).parent
    known = sorted(
        file.stem for file in here.glob("*.py") if file.stem not in HELPERS and "def main" in file.read_text()
    )
    given = sys.argv[1:]
    first = next((place for place, each in enumerate(given) if each.startswith("-")), len(given))
    asked, options = given[:first], given[first:]
    unknown = [name for name in asked if not any(name in module for module in known)]
    if unknown:
        sys.stderr.write(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(known)}\n")
        return 2
    cpus = f"{psutil.cpu_count(logical=False)} cores, {psutil.cpu_count()} logical CPUs"
    sys.stdout.write(f"{platform.platform()}, {cpus}, Python {platform.python_version()}\n")
    failed = []
    for module in known:
        if not any(name in module for name in asked) if asked else module in ONLY_BY_NAME:
            continue
        sys.stdout.write(f"\n== {module} ==\n")
        sys.stdout.flush()
        if subprocess.run([sys.executable, "-m", f"benchmarks.{module}", *options], check=False).returncode:
            failed.append(module)
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
