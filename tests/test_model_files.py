"""Model files of the user's own whose paths are out of the ordinary, through the command."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli.duel import _opponents
from harness.equipment import equip, wanted_arms
from harness.models.cache import ROOT_VARIABLE
from harness.models.files import ModelFiles
from harness.models.naming import label_of
from harness.plan.config import load_config
from harness.plan.readers import join_list
from harness.records.scenario import slug
from tests.conftest import Command

ODD = ("x, y/m.onnx", "K.ONNX", "模型.onnx", "é.onnx", "a b#c.onnx", "a/k.onnx", "b/k.onnx", "n.onnx")


@pytest.fixture
def odd(tmp_path: Path, small_replica: ModelFiles) -> Path:
    """A folder with a model under each odd name, every one of a content of its own, and voices."""
    for number, name in enumerate(ODD):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        shutil.copy(small_replica.model_path, file)
        with file.open("ab") as model:
            model.write(bytes([0x32, number + 1]) + b"v" * (number + 1))  # the field with its documentation
    shutil.copy(small_replica.voices_path, tmp_path / "v.npz")
    return tmp_path


@pytest.fixture
def resolved(odd: Path, model_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, str, bool]]:
    """The ids of both sides of a duel, and whether they have different files."""
    monkeypatch.chdir(odd)
    monkeypatch.setenv(ROOT_VARIABLE, str(model_cache))

    def sides(candidate: str, reference: str = "current", **options: str) -> tuple[str, str, bool]:
        config = load_config({"voices": "v.npz", **options}, start=odd, environment={})
        config, opponents = _opponents(config, candidate, reference)
        equipment = equip(config, report=lambda _message: None)
        arms = [equipment.resolve(arm) for arm in (opponents.candidate, opponents.reference)]
        assert arms[0].model is not None
        assert arms[1].model is not None
        return arms[0].id, arms[1].id, arms[0].model.sha256 != arms[1].model.sha256

    return sides


def test_two_files_of_one_stem_are_told_apart_in_a_duel(resolved: Callable[..., tuple[str, str, bool]]) -> None:
    candidate, reference, differ = resolved("a/k.onnx", "b/k.onnx")
    assert (candidate != reference, differ) == (True, True)
    assert candidate.startswith("k-")
    assert resolved("b/k.onnx", model="a/k.onnx") == (reference, candidate, True)
    assert resolved("model=b/k.onnx", "model=n.onnx") == ("k.cpu.tdefault", "n.cpu.tdefault", True)


def test_a_file_called_as_a_model_of_the_catalogue_is_not_taken_for_it(
    odd: Path, resolved: Callable[..., tuple[str, str, bool]]
) -> None:
    shutil.copy(odd / "n.onnx", odd / "replica-small.onnx")
    candidate, reference, differ = resolved("replica-small", model="replica-small.onnx")
    assert (candidate, differ) == ("replica-small.cpu.tdefault", True)
    assert reference.startswith("replica-small-")


def test_a_file_against_itself_is_an_a_a(resolved: Callable[..., tuple[str, str, bool]]) -> None:
    assert resolved("current", model="a/k.onnx") == ("k.cpu.tdefault", "k.cpu.tdefault.reference", False)
    assert resolved("./a/k.onnx", model="a/k.onnx") == ("k.cpu.tdefault", "k.cpu.tdefault.reference", False)


def test_a_path_with_a_comma_in_a_side_has_a_backslash_before_it(
    resolved: Callable[..., tuple[str, str, bool]],
) -> None:
    assert resolved(r"x\, y/m.onnx,threads=1", model="n.onnx") == ("m.cpu.t1", "n.cpu.tdefault", True)
    assert resolved("K.ONNX", model="模型.onnx") == ("K.cpu.tdefault", f"{label_of('模型.onnx')}.cpu.tdefault", True)


def test_a_path_with_commas_that_was_read_as_a_list_is_told_how_to_write_it(here: Command, odd: Path) -> None:
    found = here("run", "--model", "x, y/m.onnx", "--voices", "v.npz")
    assert found.returncode == 2
    assert r"write x\, y/m.onnx" in found.stderr
    assert "the commas in its path" in found.stderr


def test_one_file_given_twice_is_refused(here: Command, odd: Path) -> None:
    for models in (("n.onnx", "n.onnx"), ("n.onnx", "./n.onnx")):
        found = here("run", *(word for name in models for word in ("--model", name)), "--voices", "v.npz")
        assert (found.returncode, "the model n" in found.stderr, "is given twice" in found.stderr) == (2, True, True)


@pytest.mark.parametrize("name", ["K.ONNX", "x, y/m.onnx", "模型.onnx", "a b#c.onnx"])
def test_a_command_about_one_model_takes_any_path(here: Command, odd: Path, name: str) -> None:
    found = here("models", "show", name, "--voices", "v.npz")
    assert (found.returncode, found.stderr) == (0, "")
    assert str(odd / name) in found.stdout


def test_arms_of_odd_files_have_ids_that_are_slugs_and_differ(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(odd)
    for model in (join_list(ODD), list(ODD)):
        arms = wanted_arms(load_config({"model": model, "voices": "v.npz"}, start=odd, environment={}), "quick")
        labels = [arm.model.name for arm in arms if arm.model]
        assert len(set(labels)) == len(ODD)
        assert all(slug(label) == label for label in labels)
        assert {"m", "K", "a-b-c", "n"} < set(labels)
    environment = {"KOKORO_BENCH_MODEL": r"x\, y/m.onnx", "KOKORO_BENCH_VOICES": "v.npz"}
    (arm,) = wanted_arms(load_config(start=odd, environment=environment), "quick")
    assert arm.id == "m.cpu.tdefault"
