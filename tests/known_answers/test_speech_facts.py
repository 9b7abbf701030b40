"""Planted faults that lie within what eight bits do to the sound: a run knows them from the model and its phonemes."""

# ruff: noqa: RUF001 - the phonemes look like Latin letters

import re
import shutil
import sysconfig
import venv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from harness.core.cache_root import ROOT_VARIABLE
from harness.measure.speech.runtime import VARIABLE
from harness.models.cache import Cache, Manifest
from harness.models.catalogue import Catalogue
from harness.models.files import sha256_of
from tests.conftest import Command
from tests.model_jobs import do_jobs_here
from tests.speech_tools import say, stand_in

Weights = NDArray[Any]
BOTH = "replica-small,replica-small-u8"
ONCE = ("--text", "chars-12", "--launches", "1", "--blocks", "1", "--budget", "5s")
DIFFERENT = "Its speech is different from the original's"
ACCENT = """
from dataclasses import replace
from harness.engines.kokoro import engine

class Accent(engine.KokoroEngine):
    british = False

    def synthesise(self, request):
        return super().synthesise(replace(request, language="en-gb") if self.british else request)

def start(order, *, clock, stages):
    made = engine.start(order, clock=clock, stages=stages)
    made.__class__ = Accent
    made.british = "u8" in order.model_path
    return made

class Gaps(engine.KokoroEngine):
    some = False

    def synthesise(self, request):
        spoken = self._kokoro.tokenizer.phonemize(request.text, "en-us")
        kept = "".join(sound for at, sound in enumerate(spoken) if not self.some or at % 10 != 4)
        return super().synthesise(replace(request, text=kept, is_phonemes=True))

def start_with_gaps(order, *, clock, stages):
    made = engine.start(order, clock=clock, stages=stages)
    made.__class__ = Gaps
    made.some = "u8" in order.model_path
    return made
"""


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = stand_in(tmp_path_factory.mktemp("tools"))
    say(found, "Hello.")
    return found


@pytest.fixture(scope="module")
def both(model_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the small replica and its 8-bit variant."""
    root = tmp_path_factory.mktemp("both") / "cache"
    shutil.copytree(model_cache, root, ignore=shutil.ignore_patterns("locks"))
    with pytest.MonkeyPatch.context() as patch:
        do_jobs_here(patch)
        Catalogue(cache=Cache(root)).resolve("replica-small-u8")
    return root


@pytest.fixture
def settings(both: Path, tmp_path: Path, tools: Path) -> dict[str, str]:
    """A cache of the test's own with the small replica and its 8-bit variant, and the tools that judge speech."""
    shutil.copytree(both, tmp_path / "cache", ignore=shutil.ignore_patterns("locks"))
    return {ROOT_VARIABLE: str(tmp_path / "cache"), "KOKORO_BENCH_QUALITY": "on", VARIABLE: str(tools)}


def change_a_weight(root: Path, change: Callable[[Weights, Weights], Weights]) -> str:
    """Let a recipe have changed one weight tensor of the 8-bit variant, given its zero point too. Its name."""
    cache = Cache(root)
    (manifest,) = (each for each in cache.manifests() if each.variant.name == "replica-small-u8")
    path = cache.files(manifest).model_path
    model = onnx.load(path)
    tensors = {each.name: each for each in model.graph.initializer}
    name = max((each for each in tensors if each.endswith("_quantized")), key=lambda each: np.prod(tensors[each].dims))
    zero = numpy_helper.to_array(tensors[name.replace("_quantized", "_zero_point")])
    tensors[name].CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensors[name]), zero), name))
    onnx.save(model, path)
    damaged = replace(manifest, variant=replace(manifest.variant, sha256=sha256_of(path), size=path.stat().st_size))
    written = next(each for each in cache.models.glob("*.json") if cache.find(each.stem) == manifest)
    written.write_bytes(msgspec.json.encode(damaged))
    assert isinstance(cache.find(written.stem), Manifest)
    return name


def lost(weights: Weights, zero: Weights) -> Weights:
    return np.full_like(weights, zero.ravel()[0])


def shuffled(weights: Weights, _zero: Weights) -> Weights:
    return np.random.default_rng(0).permutation(weights.ravel()).reshape(weights.shape)


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        (lost, "broken", "holds one value throughout, and the original's does not"),
        (shuffled, "different", r"lies \d+% of its length from the original's"),
    ],
)
def test_a_variant_with_a_wrong_weight_is_broken_or_different_and_does_not_verify(
    here: Command,
    settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Weights, Weights], Weights],
    kind: str,
    says: str,
) -> None:
    do_jobs_here(monkeypatch)
    sound = here("run", "-k", "test_whole", "--model", BOTH, *ONCE, **settings)
    assert sound.returncode == 0, sound.stdout + sound.stderr
    assert "weights" not in sound.stdout
    assert "other phonemes" not in sound.stdout

    what = f"{re.escape(change_a_weight(Path(settings[ROOT_VARIABLE]), change))} {says}"
    wrong = here("run", "-k", "test_whole", "--model", BOTH, *ONCE, **settings)
    assert wrong.returncode == (3 if kind == "broken" else 0), wrong.stdout + wrong.stderr
    said = " ".join(wrong.stdout.split())
    assert re.search(f"Its speech is {kind}[^:]*: its weights are not its original's: {what}", said)

    verified = here("models", "verify", "replica-small-u8", **settings)
    assert verified.returncode != 0
    assert re.search(f"  BAD  weights: {what}", verified.stdout)
    assert "the model is not sound" in verified.stderr


@pytest.fixture(scope="module")
def accent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with engines that speak British, or lose phonemes, with the 8-bit model."""
    home = tmp_path_factory.mktemp("accent")
    venv.create(home, symlinks=True)
    site = next(home.glob("lib/python*/site-packages"))
    root = Path(__file__).parents[2]
    beside = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), str(root)])
    (site / "beside.pth").write_text("\n".join(beside))
    (site / "accent.py").write_text(ACCENT)
    about = site / "accent-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: accent\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[kokoro_bench.engines]\naccent = accent:start\ngaps = accent:start_with_gaps\n"
    )
    return home / "bin/python"


def test_british_phonemes_in_an_american_voice_are_different(
    kokoro_bench: Command, settings: dict[str, str], accent: Path
) -> None:
    text = ("--say", "The car is in the garden.")
    command = ("run", "-k", "test_whole", "--model", BOTH, "--engine", "accent", *text, *ONCE[2:])
    planted = kokoro_bench(*command, python=accent, **settings)
    assert planted.returncode == 0, planted.stdout + planted.stderr
    said = " ".join(planted.stdout.split())
    reason = "its model got other phonemes: “ɡˈɑːdən.” where the original's got “ɡˈɑːɹdən.”"
    assert f"replica-small-u8.accent.cpu.tdefault/whole/custom-0a867ea5/af_heart: {DIFFERENT}: {reason}" in said


def test_speech_without_every_tenth_phoneme_is_broken(
    kokoro_bench: Command, settings: dict[str, str], accent: Path
) -> None:
    text = ("--say", "My sister will visit us in the summer.")
    command = ("run", "-k", "test_whole", "--model", BOTH, "--engine", "gaps", *text, *ONCE[2:])
    planted = kokoro_bench(*command, python=accent, **settings)
    assert planted.returncode == 3, planted.stdout + planted.stderr
    lost = re.search(
        r"replica-small-u8\.gaps[^:]*: Its speech is broken[^:]*: its model got other phonemes: “[^”]+” where the"
        r" original's got “[^”]+”, and (\d) of 2\d sounds are missing",
        " ".join(planted.stdout.split()),
    )
    assert lost, planted.stdout
    assert 2 <= int(lost[1]) <= 4
