"""Resolve a suite's scenario requests: drop changes to settings that the user fixed, and add available providers."""

from dataclasses import replace

from harness.core.comma_lists import split_list
from harness.core.names import SERVER
from harness.core.records.scenario import Mode
from harness.engines.declarations import ENDPOINT, declaration_of
from harness.engines.installed import installed_runtime
from harness.engines.providers import offers
from harness.plan.arm_spec import settings_of
from harness.plan.config import Config
from harness.plan.corpus import TEXT_CLASSES, Source
from harness.plan.matrix import ScenarioRequest

EVERY_PROVIDER = "provider=*"
"""The change that stands for each provider of the installed ONNX Runtime but the CPU."""


def is_for(request: ScenarioRequest, config: Config) -> bool:
    """Whether a request applies to the configured engine: to a server, or else to an in-process engine.

    A cold start loads an evicted model file, so an engine without a model file has no cold start.
    """
    if request.mode is Mode.LOAD_COLD and not (config["model"] or declaration_of(config["engine"]).takes_models):
        return False
    about_a_server: bool = config["engine"] == ENDPOINT.name
    if request.mode is Mode.LOAD_WARM and about_a_server:
        return str(config["url"]).startswith(SERVER)  # only a server that we start has a start-up
    return (request.mode is Mode.ENDPOINT) is about_a_server


def resolved_request(request: ScenarioRequest, config: Config) -> ScenarioRequest:
    """The request without changes to settings that the user fixed, and with one change per available provider.

    The user's voices replace the request's own. Engines that accept only text get no phoneme texts.
    """
    settled = {name for name, origin in config.origins.items() if origin != "default"}
    settled |= {name for name, _ in config["endpoint-options"]}
    engine = declaration_of(config["engine"])
    if not engine.is_plain_session:
        settled |= {"model", "provider", "runtime"}
    if not engine.takes_models:
        settled |= {"session-options"}
    if not engine.has_axes:
        settled |= {"threads"}
    if not engine.reads_phonemes:
        request = replace(request, texts=tuple(name for name in request.texts if not _is_phonemes(name)))
    if "voice" in settled:
        request = replace(request, voices=config.voices)
    # If the user fixed the engine that a change names, keep the change: its other settings belong to that engine.
    same = f"engine={config['engine']}"
    kept = [
        change
        for change in request.changes
        if not (settings_of(change) - ({"engine"} if same in split_list(change) else set())) & settled
    ]
    if not request.changes or not kept:
        return replace(request, changes=("current",))
    return replace(request, changes=tuple(each for change in kept for each in _offered(change)))


def without_every_provider(request: ScenarioRequest) -> ScenarioRequest:
    """The request with the CPU provider only, for uses that measure nothing: they need not query ONNX Runtime."""
    return replace(request, changes=tuple(each for each in request.changes if each != EVERY_PROVIDER) or ("current",))


def _is_phonemes(text_class: str) -> bool:
    known = TEXT_CLASSES.get(text_class)
    return known is not None and known.source is Source.PHONEMES


def _offered(change: str) -> list[str]:
    """The change itself, or for `provider=*` one change for every other provider of the installed ONNX Runtime.

    Empty if ONNX Runtime cannot be queried; the run then has a note (`unknown_providers`).
    """
    if change != EVERY_PROVIDER:
        return [change]
    runtime = installed_runtime()
    found = offers(runtime.providers, version=runtime.version)
    return [f"provider={each.provider.name}" for each in found if each.here and each.provider.name != "cpu"]
