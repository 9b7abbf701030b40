"""Small replicas of each kind, built once, and a voice to run them with."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from harness.models.replica.assemble import build_model, build_voices
from harness.models.replica.recipe import Recipe

SAMPLE_RATE = 24_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    audio: NDArray[np.float32]
    durations: NDArray[np.int64] | None


def token_numbers(phonemes: int, seed: int = 1) -> NDArray[np.int64]:
    """That many phonemes between the two pads."""
    numbers = np.random.default_rng(seed).integers(1, 178, phonemes + 2)[None]
    numbers[0, 0] = numbers[0, -1] = 0
    return numbers


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The file of a small replica with the given fields of its recipe."""
    folder = tmp_path_factory.mktemp("replicas")

    def build(**fields: Any) -> Path:
        recipe = Recipe(size="small", **fields)
        path = folder / f"{recipe.name}.onnx"
        if not path.exists():
            build_model(recipe, path)
        return path

    return build


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("voices") / "voices.npz"
    build_voices(Recipe(), path)
    return path


@pytest.fixture(scope="session")
def opened() -> Callable[..., onnxruntime.InferenceSession]:
    """A new session of a model, after seeding ONNX Runtime: the seed decides the noise of the session's syntheses."""

    def start(model: Path, seed: int = 1) -> onnxruntime.InferenceSession:
        onnxruntime.set_seed(seed)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # further threads mostly wait for work, which takes CPU time too
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    return start


@pytest.fixture(scope="session")
def say(voices: Path, opened: Callable[..., onnxruntime.InferenceSession]) -> Callable[..., Spoken]:
    """Synthesise in the given session, else in one that all tests share for each model: opening takes the longest."""
    styles = dict(np.load(voices))
    shared = functools.cache(opened)

    def run(
        model: Path | onnxruntime.InferenceSession,
        phonemes: int,
        *,
        speed: float = 1.0,
        voice: str = "af_heart",
        tokens: int = 1,
    ) -> Spoken:
        session = shared(model) if isinstance(model, Path) else model
        names = [entry.name for entry in session.get_inputs()]
        values = [token_numbers(phonemes, tokens), styles[voice][phonemes - 1], np.array([speed], np.float32)]
        outputs = session.run(None, dict(zip(names, values, strict=True)))
        return Spoken(audio=outputs[0], durations=outputs[1] if len(outputs) > 1 else None)

    return run
