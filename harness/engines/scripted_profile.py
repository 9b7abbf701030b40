"""The profile of the scripted engine: events as ONNX Runtime writes them, of operators whose times are a formula."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

PROVIDER = "CPUExecutionProvider"
SHARES: Mapping[str, float] = {
    "MatMul": 0.50, "Conv": 0.20, "LSTM": 0.15, "Add": 0.05, "Mul": 0.04, "Sin": 0.03, "Transpose": 0.02, "Cast": 0.01,
}  # fmt: skip
"""Operator → its part of the original model's inference."""
CHANGED = "MatMul"
"""The operator that alone is quicker, or slower, in a model with another factor than 1."""


def shares_of(factor: float) -> Mapping[str, float]:
    """Operator → its time in a model of `factor`, as a ratio of the original's inference."""
    return {**SHARES, CHANGED: max(0.0, SHARES[CHANGED] + factor - 1)}


class ScriptedProfile:
    """Collects runs. A run's operators add up to its inference but for noise of their own."""

    def __init__(self, prefix: str, *, factor: float, noise: float) -> None:
        self._path = Path(f"{prefix}scripted.json")
        self._shares = shares_of(factor)
        self._noise = noise
        self._events: list[dict[str, object]] = []
        self._at_us = 0

    def add(self, seconds: float, generator: "np.random.Generator") -> None:
        """One run; `seconds` is what the original model takes for it."""
        began = self._at_us
        for name, share in self._shares.items():
            noise = 1 + self._noise * float(generator.standard_normal())
            took = max(1, round(seconds * share * noise * 1e6))
            args = {"op_name": name, "provider": PROVIDER}
            self._events.append(self._event("Node", f"{name}_kernel_time", began=self._at_us, took=took, args=args))
            self._at_us += took
        self._events.append(self._event("Session", "model_run", began=began, took=self._at_us - began, args={}))

    def write(self) -> None:
        """Write the file, as ONNX Runtime does when profiling ends."""
        self._path.write_text(json.dumps(self._events), encoding="utf-8")

    @staticmethod
    def _event(category: str, name: str, *, began: int, took: int, args: Mapping[str, str]) -> dict[str, object]:
        return {"cat": category, "name": name, "ts": began, "dur": took, "ph": "X", "args": dict(args)}
