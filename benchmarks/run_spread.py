"""Measures how much runs of an unchanged subject differ, and their launches: the source of the registry's priors.

Give it the result stores of as many machines and boots as there are: `nox -s perf -- run_spread --stores A B`.
Without any, it reads the store of the working directory. Runs count together if machine, packages, models, texts and
protocol are the same; duels and runs that did not finish do not count. Every scenario of a run is compared with the
same scenario of the other runs.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.judge_tables import row
from harness.core.records.run import RunStatus
from harness.metrics.derive import RunValues
from harness.metrics.registry import METRICS
from harness.store.runs import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.core.records.run import RunData, RunRecord

DEFAULT_STORE = ".kokoro-bench/results.sqlite"
UPPER = 0.90
"""The level of the one-sided upper limit of a standard deviation."""


@dataclass(slots=True)
class Measured:
    """All runs of one scenario, metric and subject on one machine."""

    medians: list[float] = field(default_factory=list)
    """Logarithms of the runs' medians."""
    launches: list[float] = field(default_factory=list)
    """Variances of the logarithms of the launches' medians, one of each run with several launches."""
    runs: set[str] = field(default_factory=set)
    boots: set[str] = field(default_factory=set)


Key = tuple[str, str, str]
"""Metric, subject (with its machine), scenario."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run_spread", description=__doc__)
    parser.add_argument("--stores", nargs="+", default=[], metavar="STORE", help="database files or SQLAlchemy URLs")
    parser.add_argument("--by-scenario", action="store_true", help="also print each scenario")
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    stores = options.stores or [DEFAULT_STORE]
    if missing := [each for each in stores if "://" not in each and not Path(each).exists()]:
        sys.stdout.write(f"no results at {', '.join(missing)}: measure something twice, or name a store\n")
        return 0 if not options.stores else 2
    sys.stdout.write(table(collect(stores), by_scenario=options.by_scenario))
    return 0


def collect(stores: Sequence[str]) -> dict[Key, Measured]:
    """Read every finished run of the stores; a run that several stores hold counts once."""
    found: dict[Key, Measured] = defaultdict(Measured)
    seen: set[str] = set()
    for place in stores:
        with open_store(place) as store:
            for line in store.list():
                if line.status not in (RunStatus.COMPLETE, RunStatus.PARTIAL) or line.selection.startswith("duel"):
                    continue
                data = store.load(line.id)
                identity = f"{data.run.machine.key}/{line.id}/{line.started_at}"
                if identity not in seen:
                    seen.add(identity)
                    _add(found, data, identity)
    return {key: each for key, each in found.items() if len(each.medians) > 1}


def _add(found: dict[Key, Measured], data: RunData, identity: str) -> None:
    values = RunValues(data)
    subject = _subject(data.run)
    for scenario in data.run.scenarios:
        for name, each in values.of(scenario).items():
            if METRICS[name].tolerance is None or not each.n or min(each.flat) <= 0:
                continue
            measured = found[name, subject, scenario.id]
            measured.medians.append(math.log(median(each.flat)))
            measured.runs.add(identity)
            measured.boots.add(f"{data.run.machine.key}/{data.run.boot}")
            if len(each.grouped) > 1:
                logs = [math.log(median(launch)) for launch in each.grouped]
                measured.launches.append(float(np.var(logs, ddof=1)))


def _subject(run: RunRecord) -> str:
    """What must be equal for two runs to be of one unchanged subject on one machine."""
    return repr((run.machine.key, run.subject.python, run.subject.packages, run.subject.models, run.setting))


def table(measured: dict[Key, Measured], *, by_scenario: bool = False) -> str:
    """One line per metric: the pooled spread between runs with its upper limit, and between launches."""
    lines = [
        "Standard deviations of log-medians. Freedom: distinct runs less one per subject, since the scenarios of a run",
        f"share its moment. Upper: one-sided limit at {UPPER:.0%} with that freedom. Worst: the scenario that differs",
        "most. Presumed: what the registry says.",
        "",
        row("metric", "machines", "boots", "runs", "freedom", "sd", "upper", "worst", "presumed", "of launches"),
    ]
    for name in METRICS:
        groups = {key: each for key, each in measured.items() if key[0] == name}
        if groups:
            lines.append(_line(name, groups))
            lines.extend(_scenarios(groups) if by_scenario else ())
    if not measured:
        lines.append("no two runs of one subject")
    return "\n".join(lines) + "\n"


def _line(name: str, groups: dict[Key, Measured]) -> str:
    from scipy.stats import chi2

    boots = set().union(*(each.boots for each in groups.values()))
    runs = set().union(*(each.runs for each in groups.values()))
    freedom = len(runs) - len({subject for _, subject, _ in groups})
    weight = sum(len(each.medians) - 1 for each in groups.values())
    variance = sum(np.var(each.medians, ddof=1) * (len(each.medians) - 1) for each in groups.values()) / weight
    launches = [one for each in groups.values() for one in each.launches]
    upper = math.sqrt(variance * freedom / chi2.ppf(1 - UPPER, freedom))
    return row(
        name,
        str(len({boot.rpartition("/")[0] for boot in boots})),
        str(len(boots)),
        str(len(runs)),
        str(freedom),
        f"{math.sqrt(variance):.2%}",
        f"{upper:.2%}",
        f"{max(np.std(each.medians, ddof=1) for each in groups.values()):.2%}",
        f"{METRICS[name].run_spread.sd:.2%}",
        f"{math.sqrt(np.mean(launches)):.2%}" if launches else "–",
    )


def _scenarios(groups: dict[Key, Measured]) -> Iterator[str]:
    for (_, _, scenario), each in sorted(groups.items()):
        yield f"    {scenario}: {len(each.medians)} runs, sd {np.std(each.medians, ddof=1):.2%}"


if __name__ == "__main__":
    sys.exit(main())
