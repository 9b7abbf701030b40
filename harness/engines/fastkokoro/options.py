"""What an arm may set of fastkokoro, beside graph_optimization. Commands read it without loading the engine."""

from collections.abc import Mapping

STRATEGIES = ("adaptive", "chunk", "kokoro", "phrase", "sentence")
OPTIONS: Mapping[str, str] = {"stream_strategy": f"{', '.join(STRATEGIES)}: where a stream is cut"}
