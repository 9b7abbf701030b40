import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.core.errors import BenchError, ModelError, UsageError
from harness.models import public
from harness.models.cache import Cache
from harness.models.catalogue import Catalogue
from harness.models.default import default_models
from harness.models.files import sha256_of
from harness.models.naming import as_path, derivations, derived_name
from harness.models.public import Asset, PublicModel
from harness.models.quantise.recipes import recipe_named
from harness.models.recipes import BY_SUFFIX
from harness.models.replica.catalogue import BuiltReplicas, needed_bytes

Make = Callable[..., Path]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, catalogue: Catalogue, tmp_path: Path, model_file: Make) -> PublicModel:
    """A public model whose digest a file of ours has."""
    path = model_file(tmp_path / "published.onnx", level=0.25)
    asset = Asset(release="r", file="kokoro-v1.0.onnx", size=path.stat().st_size, sha256=sha256_of(path))
    model = dataclasses.replace(public.BY_NAME["kokoro-v1.0"], model=asset)
    monkeypatch.setitem(public.BY_NAME, "kokoro-v1.0", model)
    monkeypatch.setitem(public.BY_SHA256, asset.sha256, model)
    return model


def test_a_replica_is_built_once_and_known(catalogue: Catalogue, replicas: Any) -> None:
    said: list[str] = []
    files = catalogue.resolve("replica", report=said.append)
    assert catalogue.resolve("replica") == files
    assert (replicas.built, said) == (["replica"], ["building replica"])
    assert (files.variant.name, files.variant.origin) == ("replica", "replica")
    assert files.variant.recipe == "name replica, scale 0.01"
    assert files.variant.sha256 == sha256_of(files.model_path)
    assert files.variant.voices_sha256 == sha256_of(files.voices_path)


def test_nothing_is_built_unasked(catalogue: Catalogue, replicas: Any) -> None:
    with pytest.raises(ModelError, match="replica is not here — kokoro-bench models build replica"):
        catalogue.resolve("replica", build=False)
    assert replicas.built == []


def test_an_unknown_name_has_a_nearest(catalogue: Catalogue) -> None:
    with pytest.raises(ModelError, match="--model: no model 'replcia' — did you mean 'replica'"):
        catalogue.resolve("replcia")
    with pytest.raises(ModelError, match="no model 'replica-small-u9' — did you mean 'replica-small-u8'"):
        catalogue.resolve("replica-small-u9")


def test_a_public_file_that_is_absent_names_the_command(catalogue: Catalogue) -> None:
    with pytest.raises(ModelError, match=r"kokoro-v1\.0 is not here — kokoro-bench models fetch kokoro-v1\.0"):
        catalogue.resolve("kokoro-v1.0")
    with pytest.raises(ModelError, match=r"kokoro-bench models fetch kokoro-v1\.1-fp16"):
        catalogue.resolve("kokoro-v1.1-fp16")


def test_the_real_model_is_the_default_once_it_is_here(catalogue: Catalogue, cache: Cache) -> None:
    assert default_models(cache).original == "replica"
    catalogue.resolve("replica")
    manifest = cache.manifests()[0]
    text = cache.models.joinpath(f"{manifest.model.removesuffix('.onnx')}.json").read_text()
    cache.models.joinpath("kokoro-v1.1.json").write_text(text)
    assert default_models(cache).original == "kokoro-v1.1"
    cache.models.joinpath("kokoro-v1.0.json").write_text(text)
    assert default_models(cache).original == "kokoro-v1.0"


def test_a_damaged_model_is_refused_and_rebuilt(catalogue: Catalogue, replicas: Any) -> None:
    files = catalogue.resolve("replica")
    content = files.model_path.read_bytes()
    files.model_path.write_bytes(content[:-1] + b"\xff")
    with pytest.raises(ModelError, match=r"replica is damaged: .* — kokoro-bench models build replica"):
        catalogue.resolve("replica")
    assert catalogue.build("replica") == files
    assert catalogue.resolve("replica").model_path.read_bytes() == content
    assert replicas.built == ["replica", "replica"]


def test_a_users_file_is_known_by_its_digest(
    catalogue: Catalogue, tmp_path: Path, model_file: Make, voices_file: Make
) -> None:
    path, voices = model_file(tmp_path / "my model.onnx"), voices_file(tmp_path / "v.bin")
    files = catalogue.resolve(path, voices)
    sha256 = sha256_of(path)
    assert (files.variant.name, files.variant.origin) == (f"my-model-{sha256[:8]}", "user")
    assert (files.variant.sha256, files.variant.size) == (sha256, path.stat().st_size)
    assert (files.model_path, files.voices_path) == (path, voices)
    assert catalogue.resolve(str(path), voices) == files


def test_one_name_and_two_files_are_two_models(
    catalogue: Catalogue, tmp_path: Path, model_file: Make, voices_file: Make
) -> None:
    voices = voices_file(tmp_path / "v.bin")
    names = set()
    for folder, level in (("a", 0.2), ("b", 0.3)):
        (tmp_path / folder).mkdir()
        path = model_file(tmp_path / folder / "kokoro-v1.0.onnx", level=level)
        names.add(catalogue.resolve(path, voices).variant.name)
    assert len(names) == 2
    assert names.isdisjoint(catalogue.names())


def test_a_public_file_is_recognised_wherever_it_lies(
    catalogue: Catalogue, tmp_path: Path, voices_file: Make, published: PublicModel
) -> None:
    variant = catalogue.resolve(tmp_path / "published.onnx", voices_file(tmp_path / "v.bin")).variant
    assert (variant.name, variant.origin, variant.sha256) == ("kokoro-v1.0", "public", published.model.sha256)


def test_a_file_of_the_cache_needs_no_voices(catalogue: Catalogue) -> None:
    files = catalogue.resolve("replica")
    assert catalogue.resolve(files.model_path) == files


def test_external_weights_belong_to_the_model(
    catalogue: Catalogue, tmp_path: Path, model_file: Make, voices_file: Make
) -> None:
    path, voices = model_file(tmp_path / "a.onnx", external="a.data"), voices_file(tmp_path / "v.bin")
    before = catalogue.resolve(path, voices).variant
    data = tmp_path / "a.data"
    assert before.size == path.stat().st_size + data.stat().st_size
    data.write_bytes(bytes(len(data.read_bytes())))
    assert catalogue.resolve(path, voices).variant.sha256 != before.sha256


def test_voices_may_be_others(catalogue: Catalogue, tmp_path: Path, voices_file: Make) -> None:
    voices = voices_file(tmp_path / "v.bin", "bm_george")
    files = catalogue.resolve("replica", voices)
    assert (files.voices_path, files.variant.voices_sha256) == (voices, sha256_of(voices))
    with pytest.raises(ModelError, match="no such voices file"):
        catalogue.resolve("replica", tmp_path / "w.bin")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tokens": "ids"}, "is not a Kokoro graph: its inputs are ids"),
        ({"external": "gone.data"}, r"its weights are in gone\.data, which is not beside it"),
    ],
)
def test_a_users_file_that_cannot_be_measured_is_refused(
    catalogue: Catalogue, tmp_path: Path, model_file: Make, voices_file: Make, options: dict[str, str], said: str
) -> None:
    path = model_file(tmp_path / "a.onnx", **options)
    tmp_path.joinpath("gone.data").unlink(missing_ok=True)
    with pytest.raises(ModelError, match=said):
        catalogue.resolve(path, voices_file(tmp_path / "v.bin"))


def test_missing_files_and_options_are_said(catalogue: Catalogue, tmp_path: Path, model_file: Make) -> None:
    with pytest.raises(ModelError, match=r"nix\.onnx: no such model file — check the path given with --model"):
        catalogue.resolve(tmp_path / "nix.onnx")
    with pytest.raises(ModelError, match=r"a model file needs its voices — add --voices FILE"):
        catalogue.resolve(model_file(tmp_path / "a.onnx"))
    with pytest.raises(ModelError, match=r"nix\.bin: no such voices file"):
        catalogue.resolve(model_file(tmp_path / "a.onnx"), tmp_path / "nix.bin")


def test_every_error_is_one_line(catalogue: Catalogue, tmp_path: Path, voices_file: Make) -> None:
    tmp_path.joinpath("text.onnx").write_text("hello")
    for model in ("nix", "kokoro-v1.0", tmp_path / "nix.onnx", tmp_path / "text.onnx"):
        with pytest.raises(BenchError) as caught:
            catalogue.resolve(model, voices_file(tmp_path / "v.bin"))
        assert "\n" not in str(caught.value)
        assert caught.value.remedy


def test_the_list_shows_what_is_here_and_what_could_be(catalogue: Catalogue) -> None:
    built = catalogue.resolve("replica-small")
    entries = {entry.name: entry for entry in catalogue.entries()}
    assert list(entries)[:3] == ["replica", "replica-tokens", "replica-small"]
    here, absent, remote = entries["replica-small"], entries["replica"], entries["kokoro-v1.0"]
    assert (here.present, here.sha256, here.path) == (True, built.variant.sha256, built.model_path)
    assert (absent.present, absent.sha256, absent.size) == (False, None, None)
    assert absent.note == "not built; its digest is known once it is"
    assert (remote.present, remote.size, remote.note) == (False, 325_532_387, "not fetched")
    assert remote.sha256 is not None
    assert remote.sha256.startswith("7d5df8ec")


def test_what_an_older_recipe_made_is_listed_as_that(catalogue: Catalogue, cache: Cache) -> None:
    files = catalogue.resolve("replica")
    manifest = cache.models / f"{files.model_path.stem}.json"
    older = manifest.read_text().replace(files.model_path.name, "replica-0000.onnx")
    cache.models.joinpath("replica-0000.json").write_text(older)
    notes = [entry.note for entry in catalogue.entries() if entry.name == "replica"]
    assert notes == ["", "of an older recipe"]


def test_details_of_a_model(catalogue: Catalogue) -> None:
    catalogue.resolve("replica")
    details = catalogue.show("replica")
    assert details.voices == ("af_heart", "am_puck")
    assert details.graph.operators["MatMul"] == 1
    assert set(details.made_with) == {"onnx", "onnxruntime"}
    assert details.parent_name == ""
    with pytest.raises(ModelError, match="replica-small is not here"):
        catalogue.show("replica-small")


def test_a_sound_model_passes_every_check(catalogue: Catalogue) -> None:
    files = catalogue.resolve("replica")
    verification = catalogue.verify("replica")
    assert verification.passed
    assert [check.name for check in verification.checks] == ["digest", "graph", "voices", "speech"]
    assert verification.sha256 == files.variant.sha256
    assert verification.checks[3].detail.endswith("of audio at -13.5 dBFS")


def test_a_digest_never_seen_before_is_shown_not_refused(
    catalogue: Catalogue, tmp_path: Path, model_file: Make, voices_file: Make
) -> None:
    path = model_file(tmp_path / "a.onnx", tokens="tokens")
    verification = catalogue.verify(path, voices_file(tmp_path / "v.bin"))
    assert verification.passed
    assert verification.checks[0].detail == f"SHA-256 {sha256_of(path)}, never seen before"


def test_verify_does_not_trust_what_it_remembers(catalogue: Catalogue) -> None:
    files = catalogue.resolve("replica")
    content, entry = files.model_path.read_bytes(), files.model_path.stat()
    import os

    with files.model_path.open("r+b") as file:
        file.seek(content.index(b"tone"))
        file.write(b"TONE")
    os.utime(files.model_path, ns=(entry.st_atime_ns, entry.st_mtime_ns))
    assert catalogue.resolve("replica") == files
    verification = catalogue.verify("replica")
    assert not verification.passed
    assert f"should be {files.variant.sha256}" in verification.checks[0].detail


@pytest.mark.parametrize(
    ("options", "check", "said"),
    [
        ({"gain": 0.0}, "speech", "silence: -200.0 dBFS"),
        ({"gain": float("nan")}, "speech", "samples are not finite"),
        ({"gain": 1000.0}, "speech", "far beyond full scale"),
        ({"samples": 1}, "speech", "s of audio for"),
        ({"tokens": "ids"}, "graph", "is not a Kokoro graph"),
    ],
)
def test_what_does_not_work_is_said(
    catalogue: Catalogue,
    tmp_path: Path,
    model_file: Make,
    voices_file: Make,
    options: dict[str, Any],
    check: str,
    said: str,
) -> None:
    verification = catalogue.verify(model_file(tmp_path / "a.onnx", **options), voices_file(tmp_path / "v.bin"))
    failed = [one for one in verification.checks if not one.passed]
    assert [one.name for one in failed] == [check]
    assert said in failed[0].detail


def test_a_graph_that_onnx_runtime_refuses_is_said(
    catalogue: Catalogue, tmp_path: Path, model_file: Make, voices_file: Make
) -> None:
    import onnx

    path = model_file(tmp_path / "a.onnx")
    model = onnx.load(path)
    model.graph.node[5].op_type = "Sinus"
    onnx.save(model, path)
    failed = [one for one in catalogue.verify(path, voices_file(tmp_path / "v.bin")).checks if not one.passed]
    assert [one.name for one in failed] == ["graph"]
    assert "Sinus" in failed[0].detail


def test_verify_says_what_is_wrong_with_voices(
    catalogue: Catalogue, tmp_path: Path, model_file: Make, voices_file: Make
) -> None:
    voices = voices_file(tmp_path / "v.bin", shape=(1, 256))
    failed = [one for one in catalogue.verify(model_file(tmp_path / "a.onnx"), voices).checks if not one.passed]
    assert [one.name for one in failed] == ["voices"]
    assert failed[0].detail.startswith("voice af_heart is float32 [1, 256]: without the middle axis")


def test_names_and_paths_are_told_apart() -> None:
    assert as_path("replica-u8") is None
    assert as_path("kokoro-v1.0") is None
    assert as_path("kokoro-v1.0.onnx") == Path("kokoro-v1.0.onnx")
    assert as_path("models/x") == Path("models/x")
    assert as_path(Path("replica")) == Path("replica")
    assert as_path("~/x.onnx") == Path.home() / "x.onnx"


def test_derived_names_and_what_they_mean_agree(catalogue: Catalogue) -> None:
    for base in (*BuiltReplicas().names(), *public.BY_NAME):
        for recipe in BY_SUFFIX.values():
            assert (base, recipe) in derivations(derived_name(base, recipe))
    names = catalogue.names()
    assert len(names) == len(set(names)) == (3 + 6 + 2) * (1 + len(BY_SUFFIX))


def test_our_conversion_does_not_take_a_public_files_name() -> None:
    assert derived_name("kokoro-v1.0", BY_SUFFIX["fp16"]) == "kokoro-v1.0-converted-fp16"
    assert derived_name("replica", BY_SUFFIX["fp16"]) == "replica-fp16"
    assert derivations("kokoro-v1.0-converted-fp16") == (("kokoro-v1.0", BY_SUFFIX["fp16"]),)
    assert derivations("kokoro-v1.0-fp16") == ()


def test_recipes_are_found_by_either_name() -> None:
    assert recipe_named("u8") is recipe_named("dynamic-u8")
    with pytest.raises(UsageError, match="--recipe: no recipe 'dynamic-u9' — did you mean 'dynamic-u8'"):
        recipe_named("dynamic-u9")
    assert len({recipe.digest() for recipe in BY_SUFFIX.values()}) == len(BY_SUFFIX)


def test_name_of_a_replica_is_read_as_its_recipe() -> None:
    replicas = BuiltReplicas()
    assert len(replicas.names()) == 8
    for name in (*replicas.names(), "replica-w0.25-plain-seed3"):
        recipe = replicas.recipe(name)
        assert recipe is not None
        assert recipe.name == name
    for name in ("replica-u8", "replicas", "replica-w", "replica-plain-tokens", "kokoro-v1.0"):
        assert replicas.recipe(name) is None


def test_the_room_that_a_replica_needs(tmp_path: Path) -> None:
    replicas = BuiltReplicas()
    small, full = replicas.recipe("replica-small"), replicas.recipe("replica")
    assert small is not None
    assert full is not None
    replicas.build(small, model=tmp_path / "a.onnx", voices=tmp_path / "a.npz")
    written = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert written < needed_bytes(small) < 2 * written
    assert 326e6 < needed_bytes(full) < 340e6
    assert np.load(tmp_path / "a.npz").files
