"""Where a worker runs: which interpreter, and which copy of this package."""

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlace:
    """The interpreter of a worker's runtime, and the directory of the harness package that it loads."""

    python: str = sys.executable
    harness: Path = Path(__file__).resolve().parents[2]
    environment: tuple[tuple[str, str], ...] = ()


HERE = WorkerPlace()
