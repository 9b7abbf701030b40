"""`python -m benchmarks [NAME …] [--option …]`: runs the project's own benchmarks, each in a separate process.

Options go to each benchmark that runs, so name one with them. At the end, a table shows the figures with their limits
and what other tools need. The figures are added to `.kokoro-bench/perf.jsonl`, and `reports/site/perf.html` shows them
over all calls.
"""

import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.kept_figures import VARIABLE, Figure, kept

HERE = Path(__file__).parent
HELPERS = ("__init__", "__main__")
ONLY_BY_NAME = ("accepted_reference", "planted_bisections", "planted_causes", "planted_night", "soak", "speech_quality")
"""Those that take so long that they run only when they are named."""


def main() -> int:
    """Run the named benchmarks, or all. Return 3 if one did not finish."""
    known = sorted(
        file.stem for file in HERE.glob("*.py") if file.stem not in HELPERS and "def main" in file.read_text()
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
    load = psutil.getloadavg()[0] / (psutil.cpu_count() or 1)
    failed, figures = [], dict[str, list[Figure]]()
    for module in known:
        if not any(name in module for name in asked) if asked else module in ONLY_BY_NAME:
            continue
        sys.stdout.write(f"\n== {module} ==\n")
        sys.stdout.flush()
        code, found = _run(module, options)
        if code:
            failed.append(module)
        if found:
            figures[module] = found
    if figures:
        _show(figures, load)
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return 3 if failed else 0


def _run(module: str, options: list[str]) -> tuple[int, list[Figure]]:
    """The exit code of a benchmark, and the figures that it kept."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.jsonl"
        environment = {**os.environ, VARIABLE: str(file)}
        command = [sys.executable, "-m", f"benchmarks.{module}", *options]
        return subprocess.run(command, check=False, env=environment).returncode, kept(file)


def _show(figures: dict[str, list[Figure]], load: float) -> None:
    """Print the table, add the figures to the history, and write its page. `load` is that for each CPU at the begin."""
    from rich.console import Console

    from benchmarks.history import BUSY, FILE, PAGE, Call, add, read, write_page
    from harness.measure.system.machine import identify
    from harness.measure.system.subject import subject
    from reports.terminal.plain_table import PlainTable

    table = PlainTable("benchmark", "figure", "value", "wanted", "", "other tools")
    for module, found in figures.items():
        for figure in found:
            peers = ", ".join(f"{peer} {value:.4g} {figure.unit}" for peer, value in figure.peers)
            met = ("met" if figure.met else "not met") if figure.wanted else ""
            table.add_row(module, figure.name, figure.shown, figure.wanted, met, peers)
    console = Console(highlight=False)
    console.print()
    console.print(table)
    if load > BUSY:
        console.print(f"The machine was busy before (load {load:.1f} for each CPU): times are too long.")
    here = subject(models=(), root=HERE)
    call = Call(
        at=time.time(),
        machine=identify().key,
        python=here.python,
        revision=here.revision + ("+" if here.dirty else ""),
        load=load,
        figures=figures,
    )
    add(FILE, call)
    write_page(PAGE, read(FILE))
    sys.stdout.write(f"figures: {FILE}; over all calls: {PAGE}\n")


if __name__ == "__main__":
    sys.exit(main())
