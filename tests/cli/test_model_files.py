"""Model files of the user's own whose paths are out of the ordinary, through the command."""

import json
import re
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from harness.cli.duel import _opponents
from harness.core.cache_root import ROOT_VARIABLE
from harness.core.comma_lists import join_list
from harness.core.names import slug
from harness.models.files import ModelFiles
from harness.models.naming import label_of
from harness.plan.config import load_config
from harness.runner.resources import prepare_resources
from harness.runner.selection import wanted_arms
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
        resources = prepare_resources(config, report=lambda _message: None)
        arms = [resources.resolve(arm) for arm in (opponents.candidate, opponents.reference)]
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
    assert resolved("model=x=a/k.onnx", model="y=a/k.onnx") == ("x.cpu.tdefault", "y.cpu.tdefault", False)


def test_two_copies_of_one_file_are_an_a_a(odd: Path, resolved: Callable[..., tuple[str, str, bool]]) -> None:
    shutil.copy(odd / "a/k.onnx", odd / "b/k.onnx")
    candidate, reference, differ = resolved("b/k.onnx", model="a/k.onnx")
    assert (f"{candidate}.reference", differ) == (reference, False)


def test_a_name_stays_with_its_file_whatever_stands_beside_it(resolved: Callable[..., tuple[str, str, bool]]) -> None:
    assert resolved("model=mine=a/k.onnx", model="b/k.onnx") == ("mine.cpu.tdefault", "k.cpu.tdefault", True)
    assert resolved("model=n.onnx", model="mine=a/k.onnx") == ("n.cpu.tdefault", "mine.cpu.tdefault", True)


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


@pytest.mark.parametrize(
    ("models", "told"),
    [
        (
            ("n.onnx", "n.onnx"),
            "'n' — leave one of them out, or give it a name of its own: NAME=n.onnx",
        ),
        (("n.onnx", "./n.onnx"), "two models are called 'n'"),
        (("n.onnx", "a/../n.onnx"), "two models are called 'n-"),
        (("mine=n.onnx", "mine=K.ONNX"), "two models are called 'mine'"),
        (("mine=replica.onnx", "mine=replica.onnx"), "two models are called 'mine'"),
        (("my model=n.onnx",), "'my model' cannot be a model's name — letters, digits and _ . + -, such as my-model=n"),
        (
            (r"ü=one\,two.onnx",),
            (
                r"'ü' cannot be a model's name — letters, digits and _ . + -, such as mine=one\,two.onnx; "
                r"a file by itself is ./ü=one\,two.onnx"
            ),
        ),
        (("a/k.onnx", "nowhere/k.onnx"), "nowhere/k.onnx: no such model file"),
        (("mine=nowhere.onnx",), "nowhere.onnx: no such model file"),
    ],
)
def test_models_that_cannot_be_told_apart_are_refused(
    here: Command, odd: Path, models: tuple[str, ...], told: str
) -> None:
    found = here("run", *(word for name in models for word in ("--model", name)), "--voices", "v.npz")
    assert (found.returncode, told in found.stderr) == (2, True), found.stderr


def test_two_sides_of_a_duel_with_one_name_are_refused(here: Command, odd: Path) -> None:
    found = here("duel", "model=x=a/k.onnx", "model=x=b/k.onnx", "--voices", "v.npz")
    assert (found.returncode, "two models are called 'x'" in found.stderr) == (2, True), found.stderr


def test_what_is_made_of_files_of_one_stem_has_names_of_its_own(here: Command, odd: Path) -> None:
    names = [here("models", "show", f"{folder}/k.onnx", "--voices", "v.npz").stdout.splitlines()[0] for folder in "ab"]
    assert names[0] != names[1]
    assert all(re.fullmatch(r"name +k-[0-9a-f]{8}", name) for name in names)


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
        # A disk may take K and k for the same name, so that both are told apart by their contents.
        assert sum(label.lower().startswith("k-") for label in labels) == 3
        assert {"m", "a-b-c", "n"} < set(labels)
    environment = {"KOKORO_BENCH_MODEL": r"x\, y/m.onnx,mine=a/k.onnx", "KOKORO_BENCH_VOICES": "v.npz"}
    comma, named = wanted_arms(load_config(start=odd, environment=environment), "quick")
    assert (comma.id, named.id) == ("m.cpu.tdefault", "mine.cpu.tdefault")


SHORT = ("--voices", "v.npz", "--text", "chars-12", "--launches", "1", "--warmups", "1")


def exported(kokoro_bench: Command, directory: Path, run: str) -> tuple[dict[str, str], set[str]]:
    """Label of each model in the newest run → its digest; and the ids of the scenarios that repetitions are of."""
    done = kokoro_bench("runs", "export", run, "--format", "jsonl", directory=directory)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    (record,) = [line["record"] for line in lines if line["kind"] == "run"]
    models = [scenario["arm"]["model"] for scenario in record["scenarios"]]
    ids = {line["record"]["scenario_id"] for line in lines if line["kind"] == "repetition"}
    return {model["name"]: model["sha256"] for model in models}, ids


def test_files_with_odd_names_are_measured_side_by_side_under_names_of_their_own(
    kokoro_bench: Command, odd: Path
) -> None:
    """The models are the same everywhere: in the table, the store, the exports and the report, without folders."""
    models = (r"x\, y/m.onnx", "a/k.onnx", "b/k.onnx", "mine=é.onnx")
    given = [word for name in models for word in ("--model", name)]
    done = kokoro_bench("run", *given, *SHORT, "--blocks", "1", "-k", "text_lengths and whole", directory=odd)
    assert done.returncode == 0, done.stderr + done.stdout
    digests, ids = exported(kokoro_bench, odd, "latest")
    assert list(digests)[::3] == ["m", "mine"]
    files = ("x, y/m.onnx", "a/k.onnx", "b/k.onnx", "é.onnx")
    assert list(digests.values()) == [sha256((odd / name).read_bytes()).hexdigest() for name in files]
    assert list(digests)[1:3] == [f"k-{digests[label][:8]}" for label in list(digests)[1:3]]
    assert {name.partition("/")[0] for name in ids} == {f"{label}.cpu.tdefault" for label in digests}
    (page,) = (odd / "reports/site/runs").glob("*.html")
    published = page.read_text(encoding="utf-8") + done.stdout.partition("report: ")[0]
    for label in digests:
        assert published.count(f"{label}.cpu.tdefault") > 1
    assert str(odd) not in published
    assert "x, y/" not in published
    assert "a/k" not in published


def test_a_duel_of_two_files_of_one_stem_measures_both(kokoro_bench: Command, odd: Path) -> None:
    done = kokoro_bench("duel", "b/k.onnx", "model=a/k.onnx", *SHORT, "--budget", "3s", directory=odd)
    assert done.returncode in (0, 1), done.stderr + done.stdout
    digests, ids = exported(kokoro_bench, odd, "latest")
    assert set(digests.values()) == {sha256((odd / f"{each}/k.onnx").read_bytes()).hexdigest() for each in "ab"}
    ours, theirs = (f"k-{sha256((odd / f'{each}/k.onnx').read_bytes()).hexdigest()[:8]}" for each in "ba")
    assert len(ids) == len(digests) == 2
    # What is published says which is which, and not where they lie.
    assert f"{ours} against model={theirs}" in done.stdout
    (page,) = (odd / "reports/site/runs").glob("*.html")
    assert f"duel: {ours} against model={theirs}" in page.read_text(encoding="utf-8")
