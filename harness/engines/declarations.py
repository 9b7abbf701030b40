"""The declaration of each built-in engine: all that the harness knows of an engine before it starts it.

No other module tells engines apart by name. Every command and every worker reads this one, so it imports no engine:
what stands in one is named by its module.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.engines.builds import BUILDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What the harness may ask of an engine. The defaults are those of an engine of another package."""

    name: str
    starter: str = ""
    """The function that starts it, as "module:function"."""
    options: str = ""
    """The options that an arm may set beside the session options, as "module:mapping"."""
    session_options: str = ""
    """The session options of ONNX Runtime that an arm may set, as "module:mapping"."""
    checks: str = ""
    """The function that refuses options of an arm before the engine is started, as "module:function"."""
    packages: tuple[str, ...] = ()
    """The distributions that it uses. Those that they need count as well; the first one is what it wraps."""
    server: str = ""
    """The package with the modules of the server that it starts."""
    takes_models: bool = False
    """Whether it uses a model of the catalogue: by default the original and its variants."""
    has_axes: bool = True
    """Whether its arms have a model, a provider and a thread count."""
    reads_phonemes: bool = True
    """Whether it accepts Kokoro's phonemes as well as text."""
    is_shared: bool = False
    """Whether it accepts concurrent requests."""
    is_plain_session: bool = False
    """Whether it is one session that the harness creates. Suites vary its model, provider and packages, and a node that
    ran on another provider than the arm's shows in its profile."""
    is_scripted: bool = False
    """Whether it runs on a scripted clock with models of its own: no process, no file, no machine is involved."""
    profiles: bool = False
    """Whether it can write a profile. An engine of another package says so in its `EngineFacts`."""
    voice: str = ""
    """The default voice, if that is none of Kokoro's."""

    @property
    def module(self) -> str:
        """The module that starts it; "" for an engine of another package."""
        return self.starter.partition(":")[0]


_SESSION_OPTIONS = "harness.engines.kokoro.session:SESSION_OPTIONS"
_SESSION = ("kokoro-onnx", *BUILDS, "numpy")

KOKORO = Declaration(
    name="kokoro",
    starter="harness.engines.kokoro.engine:start",
    session_options=_SESSION_OPTIONS,
    checks="harness.engines.kokoro.session:check_options",
    packages=_SESSION,
    takes_models=True,
    is_plain_session=True,
    profiles=True,
)
"""The default engine."""
ENDPOINT = Declaration(
    name="endpoint",
    starter="harness.engines.http.engine:start",
    options="harness.engines.http.target:ENDPOINT_OPTIONS",
    checks="harness.engines.http.target:check_options",
    has_axes=False,
    reads_phonemes=False,
)
"""A server at an address, which is chosen by `--url`."""
STARTED = Declaration(name="started-server", starter="harness.engines.started.engine:start")
"""What the worker of an `ENDPOINT` arm starts if its server is started for each launch. No arm names it."""

BUILT_IN: Mapping[str, Declaration] = {
    each.name: each
    for each in (
        KOKORO,
        Declaration(
            name="kokoro-sentences",
            starter="harness.engines.pooled.engine:start",
            options="harness.engines.pooled.options:SENTENCES_OPTIONS",
            session_options=_SESSION_OPTIONS,
            checks="harness.engines.pooled.engine_settings:check_options",
            packages=_SESSION,
            takes_models=True,
            is_shared=True,
            profiles=True,
        ),
        Declaration(
            name="kokoro-server",
            starter="harness.engines.pooled.over_http:start",
            options="harness.engines.pooled.options:SERVED_OPTIONS",
            session_options=_SESSION_OPTIONS,
            checks="harness.engines.pooled.engine_settings:check_served_options",
            packages=(*_SESSION, "fastapi", "uvicorn", "soundfile"),
            server="harness.server.reference",
            takes_models=True,
            is_shared=True,
        ),
        Declaration(
            name="fastkokoro",
            starter="harness.engines.fastkokoro.engine:start",
            options="harness.engines.fastkokoro.options:OPTIONS",
            session_options="harness.engines.fastkokoro.options:SESSION_OPTIONS",
            checks="harness.engines.fastkokoro.options:check_options",
            packages=("fastkokoro", *BUILDS, "numpy"),
            takes_models=True,
            reads_phonemes=False,
        ),
        Declaration(
            name="sherpa-onnx",
            starter="harness.engines.sherpa.engine:start",
            options="harness.engines.sherpa.options:OPTIONS",
            checks="harness.engines.sherpa.options:check_options",
            packages=("sherpa-onnx", "sherpa-onnx-core", "kokoro-onnx", "numpy"),
            takes_models=True,
        ),
        ENDPOINT,
        Declaration(
            name="espeak",
            starter="harness.engines.espeak:start",
            packages=("espeakng-loader", "numpy"),
            has_axes=False,
            reads_phonemes=False,
            voice="en-us",
        ),
        Declaration(
            name="scripted",
            starter="harness.engines.scripted:start",
            options="harness.engines.scripted:OPTIONS",
            session_options=_SESSION_OPTIONS,
            checks="harness.engines.scripted:check_options",
            takes_models=True,
            is_scripted=True,
            profiles=True,
        ),
    )
}


def declaration_of(engine: str) -> Declaration:
    """The declaration of an engine by its name; that of an engine of another package says no more than the name."""
    return BUILT_IN.get(engine) or Declaration(name=engine)
