"""The models that a search tries: graphs of the user's model and variants of its original, never the model itself."""

from harness.models.candidates import Named, candidates, original_name
from harness.models.catalogue import Catalogue


def test_the_original_is_found_through_every_derivation(catalogue: Catalogue) -> None:
    for model in ("kokoro-v1.0-int8", "kokoro-v1.0-dq", "kokoro-v1.0-dq-u8", "kokoro-v1.0-dq-u8-nolast-saved"):
        assert original_name(model, catalogue) == "kokoro-v1.0-dq"
    assert original_name("replica-u8", catalogue) == "replica"
    assert original_name("mine.onnx", catalogue) == "mine.onnx"


def test_a_search_tries_the_original_and_its_variants_but_not_the_model_itself() -> None:
    model, original = (Named(given=name, name=name) for name in ("kokoro-v1.0-int8", "kokoro-v1.0-dq"))
    names = [each.name for each in candidates(model, original)]
    assert names[:2] == ["kokoro-v1.0-dq", "kokoro-v1.0-dq-s7"]
    assert names[-1] == "kokoro-v1.0-int8-saved"
    assert len(names) == len(set(names))
    own = [each.name for each in candidates(original, original)]
    assert "kokoro-v1.0-dq" not in own
    assert own[0] == "kokoro-v1.0-dq-s7"
