"""The arms of engines without a model from the catalogue: a server (identified by its address), and espeak.

Such an arm has only the axes of its engine: the configured provider and thread count do not apply to it.
"""

from harness.core.errors import UsageError
from harness.core.names import SERVER
from harness.core.records.scenario import Arm
from harness.engines.declarations import ENDPOINT
from harness.plan.config import Config

NO_PROVIDER = ""
"""The provider of an arm without provider and threads."""

_ONNX = ("model", "voices", "provider", "provider-options", "session-options", "threads", "runtime")
"""Configuration keys of an ONNX Runtime session."""
_INSTEAD = {
    "model": "to name the server's model, use --endpoint-options model=NAME",
    "session-options": "options of an endpoint are --endpoint-options",
}


def endpoint_arm(config: Config) -> Arm:
    """The arm of the server at the configured address. UsageError for an invalid address or combination."""
    from harness.engines.http.target import read_address
    from harness.engines.speech import EngineRefusal

    url = str(config["url"]).strip().rstrip("/")
    if url.startswith(SERVER):
        _refuse_given(config, "a server", _INSTEAD)
        return server_arm(config, url.removeprefix(SERVER))
    if not url:
        raise UsageError("the engine endpoint needs an address", where="--engine", remedy="--url http://127.0.0.1:8880")
    _refuse_given(config, "a server", _INSTEAD)
    try:
        read_address(url)
    except EngineRefusal as refusal:
        raise UsageError(str(refusal), where="--url", remedy="--url http://127.0.0.1:8880") from refusal
    return Arm(engine=ENDPOINT.name, provider=NO_PROVIDER, session_options=config["endpoint-options"], url=url)


def server_arm(config: Config, name: str) -> Arm:
    """The arm of a server that is started for each launch. UsageError if none of that name is declared."""
    from harness.plan.servers import find_server

    dialect = find_server(config, name).dialect
    options = {**({"dialect": dialect} if dialect else {}), **dict(config["endpoint-options"])}
    given = tuple(sorted(options.items()))
    return Arm(engine=ENDPOINT.name, provider=NO_PROVIDER, session_options=given, url=SERVER + name)


def plain_arm(config: Config) -> Arm:
    """The arm of an engine without model, provider and threads."""
    _refuse_given(
        config, f"the engine {config['engine']}", {"language": "its voices are languages: --voice"}, "language"
    )
    return Arm(engine=config["engine"], provider=NO_PROVIDER)


def _refuse_given(config: Config, what: str, instead: dict[str, str], *more: str) -> None:
    """Refuse a command-line option that would have no effect. Keys from a file apply to every command."""
    for name in (each for each in (*_ONNX, *more) if each in config.given):
        raise UsageError(
            f"{what} has no such thing", where=f"--{name}", remedy=instead.get(name, f"leave --{name} out")
        )
