"""Which test proves which label or figure: `test_labels` fails where one that a user is shown has no test."""

from collections.abc import Callable
from typing import TypeVar

from harness.metrics.definitions.speech import SPEECH, WORDS

Test = TypeVar("Test", bound=Callable[..., None])

PROVEN: dict[str, set[str]] = {}
"""Label or figure, as in "arrivals:closed" or "metric:ttfb" → names of the tests that prove it."""


def proves(*labels: str) -> Callable[[Test], Test]:
    """Mark a test as holding these labels and figures against what the server saw."""

    def mark(test: Test) -> Test:
        for label in labels:
            PROVEN.setdefault(label, set()).add(test.__name__)
        return test

    return mark


WITHOUT_A_SERVER = {
    "rtf_model": "an engine in process marks its inference, a server does not",
    "stage_share_phonemise": "likewise",
    "stage_share_inference": "likewise",
    "stage_share_postprocess": "likewise",
    "stage_share_rest": "likewise",
    "model_size": "a server has no model file that is known",
    "cache_hit_rate": "of engines that count, not of servers",
    **dict.fromkeys(
        ("lsd", "mcd", "duration_ratio", "pesq", "stoi", "lsd_itself", "mcd_itself"),
        "of a model's audio against another's or its own; a server's is not compared",
    ),
    **dict.fromkeys(
        (each.name for each in (*SPEECH, *WORDS)),
        "of the kept audio, whoever synthesised it: tests/measure/speech/test_judge.py",
    ),
}
"""Metrics that never have a value for a server, and why."""
