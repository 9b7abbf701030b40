"""What an arm may set of sherpa-onnx. Commands read it without loading the engine."""

from collections.abc import Mapping

SILENCE_SCALE = "silence_scale"
OPTIONS: Mapping[str, str] = {SILENCE_SCALE: "the part of each pause that is kept, above 0 to 1 (its default: 0.2)"}
