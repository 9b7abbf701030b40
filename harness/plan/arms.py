"""The arms of engines that take no model of ours: a server, which is its address, and engines that bring their voices.

An axis that such an engine has not is not in its arms: a provider or a thread count of the configuration is for others.
"""

from harness.core.errors import UsageError
from harness.core.records.scenario import Arm
from harness.plan.config import Config

ENDPOINT = "endpoint"
NO_PROVIDER = ""
"""The provider of an arm that has neither provider nor threads."""

SERVED = "kokoro-server"
"""The engine behind a server of its own process."""

MODELLED = ("kokoro", "kokoro-sentences", SERVED, "scripted")
"""Engines that speak with a model of the catalogue: the original and its variants where none is named."""
SHARED = ("kokoro-sentences", SERVED)
"""Engines with a model that several listeners may ask at once."""
TEXT_ALONE = (ENDPOINT, "espeak")
"""Engines that read text, and no phonemes of Kokoro's."""

_ONNX = ("model", "voices", "provider", "provider-options", "session-options", "threads", "runtime")
"""Keys that say something of an ONNX Runtime session of ours."""
_INSTEAD = {
    "model": "what the server is to call its model is --endpoint-options model=NAME",
    "session-options": "options of an endpoint are --endpoint-options",
}


def endpoint_arm(config: Config) -> Arm:
    """The server at the configured address. UsageError where the address or the combination makes no sense."""
    from harness.engines.http.target import read_address
    from harness.engines.speech import EngineRefusal

    url = str(config["url"]).strip().rstrip("/")
    if not url:
        raise UsageError("the engine endpoint needs an address", where="--engine", remedy="--url http://127.0.0.1:8880")
    _refuse_given(config, "a server", _INSTEAD)
    try:
        read_address(url)
    except EngineRefusal as refusal:
        raise UsageError(str(refusal), where="--url", remedy="--url http://127.0.0.1:8880") from refusal
    return Arm(engine=ENDPOINT, provider=NO_PROVIDER, session_options=config["endpoint-options"], url=url)


def plain_arm(config: Config) -> Arm:
    """The arm of an engine without model, provider and threads."""
    _refuse_given(
        config, f"the engine {config['engine']}", {"language": "its voices are languages: --voice"}, "language"
    )
    return Arm(engine=config["engine"], provider=NO_PROVIDER)


def has_axes(engine: str) -> bool:
    """Whether an engine's arms have providers and thread counts."""
    return engine not in TEXT_ALONE


def takes_models(engine: str) -> bool:
    """Whether an engine speaks with a model of the catalogue where none is named."""
    return engine in MODELLED


def _refuse_given(config: Config, what: str, instead: dict[str, str], *more: str) -> None:
    """Refuse an option that was given for this command and would be without effect. A file's keys are for all."""
    for name in (each for each in (*_ONNX, *more) if each in config.given):
        raise UsageError(
            f"{what} has no such thing", where=f"--{name}", remedy=instead.get(name, f"leave --{name} out")
        )
