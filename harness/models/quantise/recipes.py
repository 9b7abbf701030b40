"""The recipes for quantised variants of a model."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from harness.core.errors import UsageError, nearest
from harness.models.quantise.node_classes import ATTENTION, LAST_STAGE


class Method(StrEnum):
    """Which of ONNX Runtime's tools a recipe uses."""

    DYNAMIC = "dynamic"
    """8-bit weights; the scales of activations are computed in each inference (`quantize_dynamic`)."""
    STATIC = "static"
    """8-bit weights and activations in quantise–dequantise pairs, with scales from real inputs (`quantize_static`)."""
    EQUALISED = "equalised"
    """As `STATIC`, of convolutions, with a scale for each channel of their results (`quantise.equalised`)."""
    HALF = "half"
    """16-bit floats inside, 32-bit inputs and outputs (`convert_float_to_float16`)."""
    BLOCKS = "blocks"
    """4-bit weights of MatMul in blocks, each with a scale of its own (`MatMulNBitsQuantizer`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantiseRecipe:
    """A recipe for a variant. `suffix` is its short name: the recipe with suffix `u8` makes `replica-u8`.

    `operators` are the operator types whose weights are converted; () means all that the tool supports except the
    `excluded`. An equalised variant has them with the scales of a dynamic one, beside its convolutions. `floats` are
    the classes of nodes (`harness.models.quantise.node_classes`) that stay in floats. `prepared` says that ONNX
    Runtime's pre-processing runs first. Increase `version` when the same recipe gives different files.
    """

    name: str
    suffix: str
    method: Method
    meaning: str
    signed: bool = False
    per_channel: bool = False
    operators: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    floats: tuple[str, ...] = ()
    prepared: bool = True
    block: int = 0
    version: int = 1

    @property
    def calibrated(self) -> bool:
        """Whether the recipe needs inputs of real syntheses."""
        return self.method in (Method.STATIC, Method.EQUALISED)

    def digest(self) -> str:
        """SHA-256 (hex) of everything on which the result depends: all fields except names and meaning."""
        fields = {key: value for key, value in asdict(self).items() if key not in ("name", "suffix", "meaning")}
        if not self.floats:  # the digests of recipes without it are in caches
            del fields["floats"]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


_DENSE = ("MatMul", "Gemm", "LSTM")


_KINDS: dict[str, str] = {
    "": "",
    "per-channel": ", a scale for each channel",
    "matmul": ", of MatMul, Gemm and LSTM only",
    "nolstm": ", of all operator types but LSTM",
    "as-is": ", without the pre-processing, so that weights shared through Identity nodes are missed",
}


_MIXED: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "conv": (", of convolutions only", ("LSTM", "MatMul", "Gemm", "Gather"), ()),
    "nolast": (", of all but the convolutions behind the last upsampling", (), (LAST_STAGE,)),
    "noattention": (", of all but the products of ALBERT", (), (ATTENTION,)),
    "nolstm-nolast": (", of all but LSTM and the convolutions behind the last upsampling", ("LSTM",), (LAST_STAGE,)),
}
"""Kind → meaning, operator types and classes of nodes that stay in floats. A ConvTranspose always stays in floats:
ONNX Runtime has no such operator of integers."""


def _mixed(kind: str) -> QuantiseRecipe:
    meaning, excluded, floats = _MIXED[kind]
    return replace(
        _dynamic("u8", ""),
        name=f"dynamic-u8-{kind}",
        suffix=f"u8-{kind}",
        meaning=f"unsigned 8-bit weights{meaning}; activations scaled at each run",
        excluded=excluded,
        floats=floats,
    )


def _dynamic(weights: str, kind: str) -> QuantiseRecipe:
    suffix = f"{weights}-{kind}" if kind else weights
    sign = "signed" if weights == "s8" else "unsigned"
    return QuantiseRecipe(
        name=f"dynamic-{suffix}",
        suffix=suffix,
        method=Method.DYNAMIC,
        meaning=f"{sign} 8-bit weights{_KINDS[kind]}; activations scaled at each run",
        signed=weights == "s8",
        version=2,
        per_channel=kind == "per-channel",
        operators=_DENSE if kind == "matmul" else (),
        excluded=("LSTM",) if kind == "nolstm" else (),
        prepared=kind != "as-is",
    )


RECIPES = (
    *(_dynamic(weights, kind) for weights in ("u8", "s8") for kind in _KINDS),
    *map(_mixed, _MIXED),
    QuantiseRecipe(
        name="fp16",
        suffix="fp16",
        method=Method.HALF,
        meaning="16-bit floats inside, 32-bit inputs and outputs",
        prepared=False,
    ),
    QuantiseRecipe(
        name="int4",
        suffix="int4",
        method=Method.BLOCKS,
        meaning="4-bit weights of MatMul in blocks of 32",
        operators=("MatMul",),
        block=32,
    ),
    QuantiseRecipe(
        name="int4-as-is",
        suffix="int4-as-is",
        method=Method.BLOCKS,
        meaning="4-bit weights of MatMul in blocks of 32, without the pre-processing",
        operators=("MatMul",),
        block=32,
        prepared=False,
    ),
    QuantiseRecipe(
        name="static-qdq",
        suffix="qdq",
        method=Method.STATIC,
        meaning="8-bit weights and activations of Conv, MatMul and Gemm, calibrated on real inputs",
        # Not signed: without VNNI the sums of 8-bit products saturate, and Kokoro's speech is cut to less than half.
        per_channel=True,
        version=2,
        operators=("Conv", "MatMul", "Gemm"),
    ),
    QuantiseRecipe(
        name="static-s7",
        suffix="s7",
        method=Method.EQUALISED,
        meaning="signed 7-bit weights and calibrated activations of convolutions, unsigned 8-bit weights elsewhere",
        operators=_DENSE,
    ),
    QuantiseRecipe(
        name="static-s7-conv",
        suffix="s7-conv",
        method=Method.EQUALISED,
        meaning="signed 7-bit weights and calibrated activations of convolutions",
    ),
)

BY_NAME = {recipe.name: recipe for recipe in RECIPES}
BY_SUFFIX = {recipe.suffix: recipe for recipe in RECIPES}


def recipe_named(name: str) -> QuantiseRecipe:
    """The recipe with this name or suffix. Raises UsageError with the nearest name."""
    recipe = BY_NAME.get(name) or BY_SUFFIX.get(name)
    if recipe is None:
        raise UsageError(f"no recipe {name!r}", where="--recipe", remedy=nearest(name, tuple(BY_NAME)))
    return recipe
