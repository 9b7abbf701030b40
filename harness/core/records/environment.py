"""Where and on what a run was made: a stable machine, volatile conditions, and the subject under test."""

from dataclasses import dataclass

from harness.core.records.value import Reading

SCRIPTED_KEY = "scripted"
"""The machine key of scripted runs: their figures are the same everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Stable identity only: no clock reading, no bogomips, nothing that two boots could tell apart.

    `key` is a readable slug with a digest of the other fields; runs are comparable only within one key. `memory` is in
    bytes, rounded to whole gibibytes; `cpu_limit` is a container's quota in CPUs, None where there is none.
    """

    key: str
    system: str
    architecture: str
    cpu: str
    logical_cpus: int
    physical_cpus: int | None
    memory: int
    cpu_limit: float | None = None
    accelerators: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How the machine was at one moment; name → reading, in the unit that the name ends with (`frequency_mhz`, …)."""

    taken_at: float
    readings: tuple[tuple[str, Reading], ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    """What is no number: governor, power source, container, …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is under test: the differences of two subjects are the suspects of a verdict."""

    packages: tuple[tuple[str, str], ...] = ()
    python: str = ""
    revision: str = ""
    dirty: bool = False
    models: tuple[tuple[str, str], ...] = ()
    """Model name → SHA-256."""
