"""What an arm may set of sherpa-onnx. Commands read it without loading the engine."""

from collections.abc import Mapping

from harness.engines.option_values import read_share
from harness.engines.speech import EngineRefusal

SILENCE_SCALE = "silence_scale"
OPTIONS: Mapping[str, str] = {SILENCE_SCALE: "the part of each pause that is kept, above 0 to 1 (its default: 0.2)"}


def check_options(options: Mapping[str, str]) -> None:
    """EngineRefusal for an option that it does not have, or a value that the option does not take."""
    for name, value in options.items():
        if name not in OPTIONS:
            raise EngineRefusal(f"sherpa-onnx has no option {name}; it takes {', '.join(OPTIONS)}")
        read_share(f"sherpa-onnx option {name}", value)
