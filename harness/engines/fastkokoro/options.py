"""What an arm may set of fastkokoro. Commands read it without loading the engine."""

from collections.abc import Mapping

from harness.engines.kokoro.session import LEVELS
from harness.engines.kokoro.session import SESSION_OPTIONS as OF_SESSIONS
from harness.engines.option_values import read_choice
from harness.engines.speech import EngineRefusal

STRATEGIES = ("adaptive", "chunk", "kokoro", "phrase", "sentence")
OPTIONS: Mapping[str, str] = {"stream_strategy": f"{', '.join(STRATEGIES)}: where a stream is cut"}
SESSION_OPTIONS: Mapping[str, str] = {"graph_optimization": OF_SESSIONS["graph_optimization"]}
CHOICES = {
    "graph_optimization": ("onnx_graph_optimization_level", tuple(LEVELS)),
    "stream_strategy": ("stream_strategy", STRATEGIES),
}
"""Option of an arm → the field of fastkokoro's settings, and its values."""


def chosen_fields(options: Mapping[str, str]) -> dict[str, str]:
    """The fields of fastkokoro's settings that options set. EngineRefusal for what it does not take."""
    chosen = {}
    for name, value in options.items():
        if name not in CHOICES:
            raise EngineRefusal(f"fastkokoro has no option {name}; it takes {' and '.join(CHOICES)}")
        field, allowed = CHOICES[name]
        chosen[field] = read_choice(f"fastkokoro option {name}", value, allowed)
    return chosen


def check_options(options: Mapping[str, str]) -> None:
    """EngineRefusal for an option that it does not have, or a value that the option does not take."""
    chosen_fields(options)
