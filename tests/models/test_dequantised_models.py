"""The original that is made from a public 8-bit model, by the catalogue and the command."""

import shutil
from pathlib import Path

import pytest

from harness.core.errors import ModelError
from harness.core.records.scenario import DEQUANTISED, ModelVariant
from harness.models import public
from harness.models.cache import MODEL, VOICES, Cache, Plan
from harness.models.catalogue import Catalogue
from harness.models.files import ModelFiles
from harness.models.inspect import read_graph
from harness.models.naming import dequantised_from
from tests.conftest import Command
from tests.models.conftest import ToneReplicas

INT8, DQ = "kokoro-v1.0-int8", "kokoro-v1.0-dq"


@pytest.fixture
def int8(cache: Cache, tmp_path: Path) -> ModelFiles:
    """A tone with 8-bit weights where the public 8-bit model would be."""
    tone = Catalogue(cache=Cache(tmp_path / "making"), replicas=ToneReplicas()).resolve("replica-tokens-u8-as-is")

    def place(work: Path) -> None:
        shutil.copy(tone.model_path, work / MODEL)
        shutil.copy(tone.voices_path, work / VOICES)

    variant = ModelVariant(name=INT8, sha256="", size=0, origin="public", recipe=public.BY_NAME[INT8].meaning)
    return cache.make(Plan(key=INT8, variant=variant, needed=0), place, lambda _: None)


def test_the_original_is_made_once_from_the_8_bit_model(catalogue: Catalogue, int8: ModelFiles) -> None:
    with pytest.raises(ModelError, match=f"{DQ} is not here — kokoro-bench models build {DQ}"):
        catalogue.resolve(DQ, build=False)
    said: list[str] = []
    files = catalogue.resolve(DQ, report=said.append)
    variant = files.variant
    assert (variant.name, variant.origin, variant.parent) == (DQ, DEQUANTISED, int8.variant.sha256)
    assert variant.recipe == f"32-bit floats dequantised from the 8-bit file {INT8}; not the published 32-bit file"
    assert files.voices_path == int8.voices_path
    assert "MatMulInteger" not in read_graph(files.model_path).operators
    assert said[0].startswith(f"making {DQ}: ")
    assert said[1].endswith(": 1 MatMulInteger")
    assert catalogue.resolve(DQ, report=pytest.fail) == files
    assert catalogue.resolve(DQ, build=False) == files
    assert catalogue.show(DQ).parent_name == INT8
    assert catalogue.verify(DQ).passed


def test_a_damaged_original_is_made_again(catalogue: Catalogue, int8: ModelFiles) -> None:
    files = catalogue.resolve(DQ)
    content = files.model_path.read_bytes()
    files.model_path.write_bytes(content[:-1] + b"\xff")
    with pytest.raises(ModelError, match=f"{DQ} is damaged: .* — kokoro-bench models build {DQ}"):
        catalogue.resolve(DQ)
    assert catalogue.build(DQ) == files
    assert files.model_path.read_bytes() == content


def test_variants_are_quantised_from_it(catalogue: Catalogue, int8: ModelFiles) -> None:
    files = catalogue.resolve(f"{DQ}-u8-as-is")
    assert files.variant.parent == catalogue.resolve(DQ).variant.sha256
    assert catalogue.show(f"{DQ}-u8-as-is").parent_name == DQ
    assert {DQ, f"{DQ}-u8", f"{DQ}-fp16"} <= set(catalogue.names())


def test_the_list_says_what_it_is_made_from(catalogue: Catalogue, int8: ModelFiles) -> None:
    def entry() -> tuple[str, bool, str]:
        (found,) = (each for each in catalogue.entries() if each.name == DQ)
        return found.origin, found.present, found.note

    assert entry() == (DEQUANTISED, False, f"not built; made from {INT8}")
    catalogue.resolve(DQ)
    assert entry() == (DEQUANTISED, True, "")


def test_names_of_originals_that_can_be_made() -> None:
    assert dequantised_from(DQ) == INT8
    assert dequantised_from("kokoro-v1.1-dq") == "kokoro-v1.1-int8"
    for name in ("replica-dq", "kokoro-v1.0", "kokoro-v1.0-dq-u8", "-dq", "dq"):
        assert dequantised_from(name) == ""


@pytest.mark.parametrize("command", [("models", "build", DQ), ("models", "show", DQ), ("run", "--model", DQ)])
def test_without_the_8_bit_model_the_command_says_how_to_get_it(
    here: Command, tmp_path: Path, command: tuple[str, ...]
) -> None:
    found = here(*command, KOKORO_BENCH_CACHE=str(tmp_path / "empty"))
    assert found.returncode == 2
    assert found.stderr.splitlines()[-1] == f"kokoro-bench: {INT8} is not here — kokoro-bench models fetch {INT8}"


@pytest.mark.exhaustive  # needs the public file in the user's cache, and speaks with it
def test_the_public_8_bit_model_is_dequantised_whole(tmp_path: Path) -> None:
    fetched = Cache().find(INT8)
    if fetched is None:
        pytest.skip(f"kokoro-bench models fetch {INT8}")
    files = Cache().files(fetched)
    cache = Cache(tmp_path / "cache")

    def place(work: Path) -> None:
        shutil.copy(files.model_path, work / MODEL)
        shutil.copy(files.voices_path, work / VOICES)

    cache.make(Plan(key=INT8, variant=files.variant, needed=0), place, lambda _: None)
    said: list[str] = []
    made = Catalogue(cache=cache).resolve(DQ, report=said.append)
    assert said[1].endswith("87 ConvInteger, 4 DequantizeLinear, 6 DynamicQuantizeLSTM, 148 MatMulInteger")
    found = read_graph(made.model_path).operators
    assert {kind: found[kind] for kind in ("Conv", "MatMul", "LSTM")} == {"Conv": 88, "MatMul": 175, "LSTM": 6}
    assert not {kind for kind in found if "Integer" in kind or "Quantize" in kind or "Fused" in kind}
    assert 325_000_000 < made.variant.size < 326_000_000
