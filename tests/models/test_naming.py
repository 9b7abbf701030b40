"""What files of the user's own are called: alike never, always the same, and never by their folders."""

import re
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import UsageError
from harness.core.names import slug
from harness.models.naming import as_path, label_of, labels_of, split_label


def digest_of(path: Path) -> str:
    """A content of its own for each path."""
    return sha256(path.as_posix().encode()).hexdigest()


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("replica-u8", "replica-u8"),
        ("k.onnx", "k"),
        ("/somewhere/else/k.onnx", "k"),
        ("~/models/my_model-v1.2.onnx", "my_model-v1.2"),
        ("K.ONNX", "K"),
        ("folder/model", "model"),
        ("a b#c.onnx", "a-b-c"),
        ("x, y/m,n.onnx", "m-n"),
        ("modèle.onnx", "mod-le"),
        ("模型v1.onnx", "v1"),
    ],
)
def test_a_file_is_called_by_what_a_slug_keeps_of_its_stem(written: str, label: str) -> None:
    assert label_of(written) == label


def test_a_stem_that_a_slug_cannot_keep_has_a_name_of_its_own() -> None:
    assert label_of("é.onnx") == label_of("elsewhere/é.onnx") == "e-4a9955"
    labels = [label_of(f"{stem}.onnx") for stem in ("模型", "модель", "é", "è", "🎤", "-", "#", " ")]
    assert len(set(labels)) == len(labels)
    assert all(re.fullmatch(r"(model|e)-[0-9a-f]{6}", label) for label in labels)


def test_files_of_one_stem_are_told_apart_by_their_content() -> None:
    written = ["a/k.onnx", "b/k.onnx", "b/other.onnx", "replica", "c/replica.onnx"]
    labels = labels_of(written, digest_of)
    assert labels["b/other.onnx"] == "other"
    assert labels["replica"] == "replica"
    for each in ("a/k.onnx", "b/k.onnx", "c/replica.onnx"):
        assert labels[each] == f"{Path(each).stem}-{digest_of(Path(each))[:8]}"
    assert labels_of(written[::-1], digest_of) == labels


def test_files_that_are_alike_have_one_label_and_a_name_that_somebody_chose_stays() -> None:
    written = ["a/k.onnx", "b/k.onnx", "k=c/other.onnx", "mine=d/k.onnx", "e/K.ONNX"]
    labels = labels_of(written, lambda _path: "ab" * 32)
    assert labels == dict(zip(written, ["k-abababab", "k-abababab", "k", "mine", "K-abababab"], strict=True))


@pytest.mark.parametrize(
    ("given", "label", "file"),
    [
        ("mine=k.onnx", "mine", "k.onnx"),
        ("v1.2_b+c-d=folder/k", "v1.2_b+c-d", "folder/k"),
        ("a=b=c.onnx", "a", "b=c.onnx"),
        ("./a=b.onnx", "", "./a=b.onnx"),
        ("/where/a=b.onnx", "", "/where/a=b.onnx"),
        ("k.onnx", "", "k.onnx"),
        ("replica", "", "replica"),
        ("mine=replica", "", "mine=replica"),
        ("=k.onnx", "", "=k.onnx"),
    ],
)
def test_a_name_may_stand_before_a_file(given: str, label: str, file: str) -> None:
    assert split_label(given) == (label, file)
    assert not label or label_of(given) == label


@pytest.mark.parametrize("written", ["my model=k.onnx", "é=k.onnx", "-x=k.onnx"])
def test_a_name_that_ids_cannot_have_is_refused(written: str) -> None:
    with pytest.raises(UsageError, match="cannot be a model's name"):
        split_label(written)


file_names = st.text(st.characters(exclude_characters="=/\0", exclude_categories=["Cs"]), min_size=1, max_size=6).map(
    lambda stem: f"{stem}.onnx"
)


@given(st.lists(st.tuples(st.sampled_from(["", "a/", "b, c/"]), file_names).map("".join), max_size=6, unique=True))
def test_whatever_files_are_called_their_labels_are_slugs_that_differ(written: list[str]) -> None:
    labels = labels_of(written, digest_of)
    assert len({label.casefold() for label in labels.values()}) == len(written)
    assert all(slug(label) == label for label in labels.values())


@pytest.mark.parametrize("written", ["K.ONNX", "k.Onnx", "k.ORT", "é.onnx", "x, y.onnx", "./k"])
def test_what_is_a_path(written: str) -> None:
    assert as_path(written) == Path(written)
