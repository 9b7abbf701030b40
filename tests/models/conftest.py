"""A Kokoro-shaped graph of a few nodes, a builder of such replicas, and a cache of the test's own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.models.cache import Cache
from harness.models.catalogue import Catalogue
from tests.model_jobs import do_jobs_here

SAMPLES_PER_TOKEN = 1800


def write_model(
    path: Path,
    *,
    tokens: str = "input_ids",
    level: float = 0.3,
    gain: float = 1.0,
    samples: int = SAMPLES_PER_TOKEN,
    inputs: tuple[str, ...] = ("style", "speed"),
    output: int = TensorProto.FLOAT,
    external: str = "",
) -> Path:
    """A tone of 1800 samples a token; its level is `level`, a MatMul of the style standing in for the network.

    `gain` multiplies the audio last, so that NaN and silence can be planted.
    """
    weight = np.zeros((256, 32), dtype=np.float32)
    weight[:, 0] = 1e-6
    constants = {
        "weight": weight,
        "rate": np.array(samples, dtype=np.int64),
        "zero": np.array(0, dtype=np.int64),
        "one": np.array(1, dtype=np.int64),
        "step": np.array(0.05, dtype=np.float32),
        "level": np.array(level, dtype=np.float32),
        "gain": np.array(gain, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Size", [tokens], ["count"]),
        helper.make_node("Mul", ["count", "rate"], ["length"]),
        helper.make_node("Range", ["zero", "length", "one"], ["ticks"]),
        helper.make_node("Cast", ["ticks"], ["time"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["time", "step"], ["phase"]),
        helper.make_node("Sin", ["phase"], ["tone"]),
        helper.make_node("MatMul", [inputs[0], "weight"], ["hidden"], name="dense"),
        helper.make_node("ReduceMean", ["hidden"], ["mean"], keepdims=0),
        helper.make_node("Add", ["mean", "level"], ["loud"]),
        helper.make_node("Mul", ["tone", "loud"], ["audible"]),
        helper.make_node("Mul", ["audible", "gain"], ["audio"]),
        helper.make_node("Cast", ["audio"], ["waveform"], to=output),
    ]
    given = [helper.make_tensor_value_info(tokens, TensorProto.INT64, [1, "N"])]
    given += [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 256] if index == 0 else [1])
        for index, name in enumerate(inputs)
    ]
    graph = helper.make_graph(
        nodes,
        "tone",
        given,
        [helper.make_tensor_value_info("waveform", output, ["samples"])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if external:
        onnx.save(model, path, save_as_external_data=True, location=external, size_threshold=1024)
    else:
        onnx.save(model, path)
    return path


def write_voices(path: Path, *names: str, shape: tuple[int, ...] = (510, 1, 256), dtype: str = "float32") -> Path:
    with path.open("wb") as file:
        np.savez(file, **{name: np.full(shape, 0.01, dtype=dtype) for name in names or ("af_heart", "am_puck")})
    return path


@dataclass(frozen=True, kw_only=True)
class ToneRecipe:
    name: str
    scale: float = 0.01

    def digest(self) -> str:
        return self.name.encode().hex().ljust(64, "0")


class ToneReplicas:
    """Builds the tone under the replica's names, and counts."""

    def __init__(self) -> None:
        self.built: list[str] = []

    def names(self) -> tuple[str, ...]:
        return ("replica", "replica-tokens", "replica-small")

    def recipe(self, name: str) -> ToneRecipe | None:
        return ToneRecipe(name=name) if name in self.names() else None

    def build(self, recipe: ToneRecipe, *, model: Path, voices: Path) -> None:
        self.built.append(recipe.name)
        write_model(model, tokens="tokens" if recipe.name.endswith("-tokens") else "input_ids")
        write_voices(voices)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def replicas() -> ToneReplicas:
    return ToneReplicas()


@pytest.fixture
def catalogue(cache: Cache, replicas: ToneReplicas) -> Catalogue:
    return Catalogue(cache=cache, replicas=replicas)


@pytest.fixture
def model_file() -> Callable[..., Path]:
    return write_model


@pytest.fixture
def voices_file() -> Callable[..., Path]:
    return write_voices


@pytest.fixture
def true_child() -> None:
    """Named by tests whose jobs need a process of their own, as a user's have."""


@pytest.fixture(autouse=True)
def _jobs_in_this_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "true_child" not in request.fixturenames:
        do_jobs_here(monkeypatch)
