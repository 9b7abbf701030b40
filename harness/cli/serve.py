"""`kokoro-bench serve`: the project's own speech server."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from harness.cli.options import FiniteRange, configured
from harness.core.errors import ModelError, UsageError
from harness.engines.pooled.engine_settings import AUTO
from harness.engines.pooled.splitter import FIRST, FIRST_OF_WINDOWS, WINDOW_S, Plan
from harness.plan.config import Config

if TYPE_CHECKING:
    from harness.engines.pooled.engine import Fallback
    from harness.engines.pooled.planned_rtf import PlannedRtf
    from harness.engines.protocol import EngineOrder
    from harness.models.files import ModelFiles
    from harness.server.reference.service import Service

DEFAULT = ParameterSource.DEFAULT
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class NumberOrAuto(FiniteRange):
    """A number of a range, or `auto`, which is None."""

    name = "number or auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's own
        """The number; a usage error for what is neither."""
        return None if value == AUTO else super().convert(value, param, ctx)


@click.command()
@configured("model", "voices", "provider", "provider-options", "session-options", "threads", "voice", "seed")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="address to listen on")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8880, show_default=True, metavar="PORT", help="0: a free port"
)
@click.option(
    "--sessions",
    default="1",
    show_default=True,
    metavar="COUNT|PROVIDER:THREADS+…",
    help="sessions, for example 2 or cpu:1+cpu:1",
)
@click.option(
    "--cache",
    type=FiniteRange(0, 1e6),
    default=64.0,
    show_default=True,
    metavar="MIB",
    help="audio to keep; 0 is off",
)
@click.option(
    "--cache-ttl",
    type=FiniteRange(0, 1e8),
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="how long audio is kept",
)
@click.option(
    "--first",
    type=click.IntRange(16, 180),
    default=None,
    show_default=f"{FIRST}, or {FIRST_OF_WINDOWS} with windows",
    metavar="COUNT",
    help="the most phonemes of the first segment of an answer; about 16 are a second of speech",
)
@click.option(
    "--window",
    type=NumberOrAuto(0, 5),
    default=AUTO,
    show_default=True,
    metavar="SECONDS|auto",
    help="how much of the first segment is decoded and sent before the rest of it: 0.5 to 5 s, or 0 for all of it. "
    f"auto: {WINDOW_S:g} if the model can be decoded so",
)
@click.option(
    "--planned-rtf",
    type=NumberOrAuto(0.2, 1),
    default=AUTO,
    show_default=True,
    metavar="RATIO|auto",
    help="real-time factor up to which no segment is late; the lower, the faster segments grow. "
    f"auto: measured at the warm-up; without one, {Plan().rtf:g}",
)
@click.option(
    "--concurrency", type=click.IntRange(1), default=32, show_default=True, metavar="COUNT", help="concurrent requests"
)
@click.option(
    "--per-client",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="COUNT",
    help="concurrent requests per client address; 0: no limit",
)
@click.option(
    "--max-characters",
    type=click.IntRange(1, 4_500),
    default=4_500,
    show_default=True,
    metavar="COUNT",
    help="longest text that is accepted",
)
@click.option(
    "--warm-up/--no-warm-up",
    default=True,
    show_default=True,
    help="synthesise two segments on each session before it is ready",
)
@click.option(
    "--drain",
    type=FiniteRange(0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="time to finish answers when it stops",
)
def serve(
    config: Config,
    *,
    host: str,
    port: int,
    sessions: str,
    first: int | None,
    window: float | None,
    planned_rtf: float | None,
    warm_up: bool,
    **given: float,
) -> None:
    """Serve POST /v1/audio/speech, sentence by sentence, in the dialects of OpenAI and Raycast. Ctrl-C stops it.

    /health reports when it is warm, /status and /metrics what it has done. There is no authentication: it listens on
    loopback unless --host says otherwise.
    """
    from harness.core.native_imports import REMEDY, ImportCheck
    from harness.plan.arm_options import check_engine_options

    where = config.named("session-options")
    check_engine_options("kokoro-sentences", dict(config["session-options"]), where=where)
    # An import may crash the process. A child process tries it while this process prepares the rest.
    importable = ImportCheck("onnxruntime", "kokoro_onnx")
    _check_installed()
    from harness.server.reference.process import bind
    from harness.server.reference.process import serve as run

    files, config = _files(config)
    if broken := importable.failure():
        raise UsageError(f"cannot serve: {broken}", where="serve", remedy=REMEDY)
    options = _engine_options(
        config,
        sessions=sessions,
        warm_up="on" if warm_up else "off",
        window=AUTO if window is None else f"{window:g}",
        first=None if first is None else f"{first}",
        planned_rtf=None if planned_rtf is None else f"{planned_rtf:g}",
        **{name: f"{given.pop(name):g}" for name in ("cache", "cache_ttl")},
    )
    service = _service(config, files, options, given)
    listening = bind(host, port)
    if host not in LOOPBACK:
        click.echo(
            f"kokoro-bench: warning: {host} can be reached from other machines, and there is no authentication",
            err=True,
        )
    bound = listening.getsockname()[1]
    click.echo(f"{files.variant.name} at http://{f'[{host}]' if ':' in host else host}:{bound}")
    try:
        run(service, listening)
    except Exception as error:
        from harness.engines.speech import EngineRefusal

        if isinstance(error, EngineRefusal):
            raise ModelError(
                f"cannot serve: {error}", where=files.variant.name, remedy="kokoro-bench doctor"
            ) from error
        raise


def _engine_options(config: Config, **own: str | None) -> dict[str, str]:
    """The session options, and over them the server's own: the given ones, and the defaults of the others."""
    source = click.get_current_context().get_parameter_source
    options = dict(config["session-options"])
    options |= {name: each for name, each in own.items() if name not in options or source(name) is not DEFAULT}
    return {name: each for name, each in options.items() if each is not None}


def _check_installed() -> None:
    try:
        import fastapi  # noqa: F401 - whether it is there
        import soundfile  # noqa: F401 - likewise
        import uvicorn  # noqa: F401 - likewise
    except ImportError as error:
        remedy = "pip install 'kokoro-bench[server]'"
        raise UsageError(
            f"the server needs {error.name}, which is not installed", where="serve", remedy=remedy
        ) from error


def _files(config: Config) -> "tuple[ModelFiles, Config]":
    """The one model that is served, and the configuration with a voice that its voices file has."""
    from harness.models.default import default_models
    from harness.models.naming import split_label
    from harness.models.voices import check_voice, voice_or_first
    from harness.plan.config import with_values
    from harness.plan.model_catalogue import model_catalogue
    from harness.runner.default_models import obtain_models

    for name in ("model", "provider", "threads"):
        if len(config[name]) > 1:
            raise UsageError(f"a server has one {name}", where=f"--{name}", remedy="give one; --sessions takes several")
    catalogue = model_catalogue()
    if not config["model"]:
        obtain_models(config, report=lambda message: click.echo(message, err=True))
    name = config["model"][0] if config["model"] else default_models(catalogue.cache).original
    _, wanted = split_label(name)
    voices = Path(config["voices"]) if config["voices"] else None
    files = catalogue.resolve(wanted, voices=voices, report=lambda message: click.echo(message, err=True))
    voice = config.one_voice("a server")
    if config.origins["voice"] == "default":
        config = with_values(config, {"voice": voice_or_first(files.voices_path, voice)})
    check_voice(files.voices_path, config["voice"])
    return files, config


def _service(config: Config, files: "ModelFiles", options: dict[str, str], limits: dict[str, float]) -> "Service":
    from harness.core.clock import SystemClock
    from harness.engines.pooled.engine import Opened, open_synthesizer
    from harness.engines.pooled.engine_settings import read_settings
    from harness.engines.pooled.planned_rtf import RtfSource
    from harness.engines.pooled.synthesizer import NoStages
    from harness.engines.speech import EngineRefusal
    from harness.server.reference.service import Announce, Service
    from harness.server.reference.settings import Settings

    clock = SystemClock()
    try:
        settings, order = read_settings(_order(config, files, options))
    except EngineRefusal as refusal:
        raise UsageError(str(refusal), where="serve", remedy="kokoro-bench serve --help") from refusal

    def open_it(announce: Announce) -> Opened:
        return open_synthesizer(
            order,
            settings,
            clock=clock,
            stages=NoStages(clock),
            model_digest=files.variant.sha256,
            announce=announce,
        )

    limited = Settings(
        voice=config["voice"],
        warm_up=settings.warm_up,
        rtf_source=RtfSource.GIVEN if "planned_rtf" in options else RtfSource.MEASURED,
        concurrency=int(limits["concurrency"]),
        per_client=int(limits["per_client"]),
        max_characters=int(limits["max_characters"]),
        drain_s=limits["drain"],
    )
    return Service(limited, open_synthesizer=open_it, clock=clock, announce=_announce, announce_rtf=_announce_rtf)


def _order(config: Config, files: "ModelFiles", options: dict[str, str]) -> "EngineOrder":
    from harness.engines.protocol import EngineOrder

    return EngineOrder(
        engine="kokoro-sentences",
        model=files.variant.name,
        model_path=str(files.model_path),
        voices_path=str(files.voices_path),
        voice=config["voice"],
        provider=config["provider"][0],
        threads=config["threads"][0],
        provider_options=dict(config["provider-options"]),
        session_options=options,
        seed=config["seed"],
    )


def _announce_rtf(planned: "PlannedRtf") -> None:
    click.echo(planned.sentence())


def _announce(fallback: "Fallback") -> None:
    click.echo(f"kokoro-bench: warning: {fallback.reason}; {fallback.got} is used instead", err=True)
