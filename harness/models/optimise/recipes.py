"""The recipes for graphs that compute the same with fewer nodes, or load faster."""

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum


class Step(StrEnum):
    """What a recipe does to a graph."""

    FOLD = "fold"
    """ONNX Runtime's basic level: folds constants, removes what has no effect and repeated nodes."""
    SLIM = "slim"
    """onnxslim's simplification."""
    NORMS = "norms"
    """Computes an adaptive instance norm in the InstanceNormalization itself, after `FOLD`."""
    SAVE = "save"
    """ONNX Runtime's full optimisation for this machine, saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphRecipe:
    """A recipe for a graph. `suffix` is its short name: the recipe with suffix `folded` makes `replica-folded`.

    `bound` is the largest difference of a sample from the source's that is accepted, where full scale is 1. A graph
    that is `tied` runs only with the version of ONNX Runtime, the provider and the kind of CPU that it was made for.
    `ort` says that it is written in ONNX Runtime's own format. Increase `version` when the same recipe gives different
    files.
    """

    name: str
    suffix: str
    step: Step
    meaning: str
    bound: float
    tied: bool = False
    ort: bool = False
    version: int = 1

    @property
    def calibrated(self) -> bool:
        """Whether the recipe needs inputs of real syntheses."""
        return False

    def digest(self) -> str:
        """SHA-256 (hex) of everything on which the result depends: all fields except names and meaning."""
        fields = {key: value for key, value in asdict(self).items() if key not in ("name", "suffix", "meaning")}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


_TIED = "for this version of ONNX Runtime, the CPU provider and this kind of CPU"

RECIPES = (
    GraphRecipe(
        name="folded",
        suffix="folded",
        step=Step.FOLD,
        meaning="constants folded, shared weights restored and idle nodes removed by ONNX Runtime's basic level",
        bound=1e-4,
    ),
    GraphRecipe(
        name="slim",
        suffix="slim",
        step=Step.SLIM,
        meaning="simplified by onnxslim",
        bound=1e-4,
    ),
    GraphRecipe(
        name="norms",
        suffix="norms",
        step=Step.NORMS,
        meaning="adaptive instance norm in one operator, after folding",
        bound=1e-4,
    ),
    GraphRecipe(
        name="saved",
        suffix="saved",
        step=Step.SAVE,
        meaning=f"ONNX Runtime's optimised graph, saved {_TIED}",
        bound=1e-6,
        tied=True,
    ),
    GraphRecipe(
        name="saved-ort",
        suffix="ort",
        step=Step.SAVE,
        meaning=f"ONNX Runtime's optimised graph in its own format, saved {_TIED}",
        bound=1e-6,
        tied=True,
        ort=True,
    ),
)

BY_NAME = {recipe.name: recipe for recipe in RECIPES}
BY_SUFFIX = {recipe.suffix: recipe for recipe in RECIPES}
