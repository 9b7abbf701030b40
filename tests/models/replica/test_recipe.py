import dataclasses

import pytest

from harness.core.errors import UsageError
from harness.models.replica.catalogue import described
from harness.models.replica.dimensions import dimensions
from harness.models.replica.recipe import Recipe

OTHERS = [
    Recipe(size="small"),
    Recipe(width=0.25),
    Recipe(face="tokens"),
    Recipe(regulation="plain"),
    Recipe(seed=1),
]


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        (Recipe(), "replica"),
        (Recipe(size="small"), "replica-small"),
        (Recipe(width=0.25), "replica-w0.25"),
        (Recipe(width=0.01), "replica-w0.01"),
        (Recipe(width=2), "replica-w2"),
        (Recipe(face="tokens"), "replica-tokens"),
        (Recipe(regulation="plain"), "replica-plain"),
        (Recipe(size="small", face="tokens", regulation="plain", seed=3), "replica-small-tokens-plain-seed3"),
    ],
)
def test_names_say_what_differs_from_the_replica(recipe: Recipe, name: str) -> None:
    assert recipe.name == name


def test_digests_tell_recipes_apart_and_are_stable() -> None:
    digests = [recipe.digest() for recipe in (Recipe(), *OTHERS)]
    assert len(set(digests)) == len(digests)
    assert all(len(digest) == 64 for digest in digests)
    assert Recipe().digest() == Recipe().digest()
    assert Recipe(size="small", width=1.0).digest() == Recipe().digest()


def test_digest_changes_with_the_recipe_version_and_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    import harness.models.replica.recipe as module

    before = Recipe().digest()
    monkeypatch.setattr(module, "RECIPE_VERSION", module.RECIPE_VERSION + 1)
    raised = Recipe().digest()
    monkeypatch.setattr(module, "configuration_text", lambda: "{}")
    assert len({before, raised, Recipe().digest()}) == 3


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"size": "medium"}, "size"),
        ({"face": "ids"}, "face"),
        ({"regulation": "lop"}, "regulation"),
        ({"width": 0.0}, "width"),
        ({"width": 0.009}, "width"),
        ({"width": 5.0}, "width"),
        ({"width": float("nan")}, "width"),
        ({"seed": -1}, "seed"),
    ],
)
def test_refuses_what_cannot_be_built(fields: dict[str, object], where: str) -> None:
    with pytest.raises(UsageError) as caught:
        dataclasses.replace(Recipe(), **fields)
    assert caught.value.where == where
    assert caught.value.remedy


def test_full_width_is_the_configuration() -> None:
    full = dimensions(1.0)
    assert (full.bert_embedding, full.bert_hidden, full.bert_inner) == (128, 768, 2048)
    assert (full.hidden, full.decoder, full.decoder_residual, full.generator) == (512, 1024, 64, 512)
    assert full.samples_per_curve_point == 300


@pytest.mark.parametrize("width", [1e-6, 0.013, 0.1, 0.3, 0.77, 2.0])
def test_channels_divide_at_any_width(width: float) -> None:
    scaled = dimensions(width)
    assert scaled.bert_hidden % scaled.bert_heads == 0
    assert scaled.hidden % 2 == 0
    assert scaled.generator % 4 == 0
    assert (scaled.tokens, scaled.style, scaled.transform) == (178, 128, 20)


def test_a_recipe_is_told_in_words_without_what_is_not_set() -> None:
    assert described(Recipe(size="small")) == "size small, face input_ids, regulation loop, seed 0"
    assert described(Recipe(width=0.5, seed=3)) == "size full, width 0.5, face input_ids, regulation loop, seed 3"
