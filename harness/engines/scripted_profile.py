"""The profile of the scripted engine: events in the format of ONNX Runtime, of operators with computed times."""

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
"""Operator → its share of the inference of the original model."""
CHANGED = "MatMul"
"""The only operator whose time differs in a model with a factor other than 1."""
NODES: Mapping[str, int] = {"MatMul": 3, "Conv": 2}
"""Operator → the number of its nodes, with equal times; 1 if it is not here. Only the last node of CHANGED changes."""
ARENA = 8_000_000
"""The size of the arena in bytes."""


def shares_of(factor: float) -> Mapping[str, float]:
    """Operator → its time in a model of `factor`, as a ratio of the original's inference."""
    return {**SHARES, CHANGED: max(0.0, SHARES[CHANGED] + factor - 1)}


def parts_of(operator: str, share: float) -> list[float]:
    """The time of each node of an operator that takes `share`, as ratios of the original's inference."""
    usual = SHARES.get(operator, share) / NODES.get(operator, 1)
    parts = [usual] * NODES.get(operator, 1)
    return [*parts[:-1], max(0.0, share - sum(parts[:-1]))]


class ScriptedProfile:
    """Collects the events of runs. The times of a run's operators add up to its inference, except for their noise."""

    def __init__(self, prefix: str, *, factor: float, noise: float, memory: float = 1.0) -> None:
        """`factor` is that of the model, `noise` the variation of an operator, `memory` a factor on the arena."""
        self._path = Path(f"{prefix}scripted.json")
        self._shares = shares_of(factor)
        self._noise = noise
        self._arena = round(ARENA * memory)
        self._events: list[dict[str, object]] = []
        self._at_us = 0

    def add(self, seconds: float, generator: "np.random.Generator") -> None:
        """Add a run that takes the original model `seconds`."""
        began = self._at_us
        for name, share in self._shares.items():
            noise = 1 + self._noise * float(generator.standard_normal())
            for number, part in enumerate(parts_of(name, share), start=1):
                took = max(1, round(seconds * part * noise * 1e6))
                self._events.append(self._node(name, number, took=took))
                self._at_us += took
        self._events.append(self._event("Session", "model_run", began=began, took=self._at_us - began, args={}))

    def write(self) -> None:
        self._path.write_text(json.dumps(self._events), encoding="utf-8")

    def _node(self, operator: str, number: int, *, took: int) -> dict[str, object]:
        shape = [{"float": [1, 64, 2**number]}]
        args = {
            "op_name": operator,
            "provider": PROVIDER,
            "node_index": str(number),
            "output_type_shape": shape,
            "mem_arena_held": str(self._arena),
        }
        name = f"/scripted/{operator}_{number}_kernel_time"
        return self._event("Node", name, began=self._at_us, took=took, args=args)

    @staticmethod
    def _event(category: str, name: str, *, began: int, took: int, args: Mapping[str, object]) -> dict[str, object]:
        return {
            "cat": category,
            "pid": 1,
            "tid": 1,
            "dur": took,
            "ts": began,
            "ph": "X",
            "name": name,
            "args": dict(args),
        }
