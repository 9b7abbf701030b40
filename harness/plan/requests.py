"""What a suite's wishes come to here: without what the user has settled, and with what this build offers."""

from dataclasses import replace

from harness.core.comma_lists import split_list
from harness.core.records.scenario import Mode
from harness.engines.installed import installed_runtime
from harness.engines.providers import offers
from harness.plan.arm_spec import settings_of
from harness.plan.arms import ENDPOINT, has_axes, takes_models
from harness.plan.config import Config
from harness.plan.corpus import TEXT_CLASSES, Source
from harness.plan.matrix import ScenarioRequest

EVERY_PROVIDER = "provider=*"
"""The change that stands for each provider of the installed ONNX Runtime but the CPU."""


def is_for(request: ScenarioRequest, config: Config) -> bool:
    """Whether a wish is about what is configured: some are about a server, all others about an engine in process.

    A cold start is one from a model file that was evicted, so an engine without one has none.
    """
    if request.mode is Mode.LOAD_COLD and not (config["model"] or takes_models(config["engine"])):
        return False
    about_a_server: bool = config["engine"] == ENDPOINT
    return (request.mode is Mode.ENDPOINT) is about_a_server


def resolved_request(request: ScenarioRequest, config: Config) -> ScenarioRequest:
    """The wish without changes of what the user has settled, and with one for each provider that this build offers.

    Engines that read text alone get none of the phoneme texts.
    """
    settled = {name for name, origin in config.origins.items() if origin != "default"}
    settled |= {name for name, _ in config["endpoint-options"]}
    if config["engine"] != "kokoro":
        settled |= {"model", "provider", "runtime"}
    if not takes_models(config["engine"]):
        settled |= {"session-options"}
    if not has_axes(config["engine"]):
        settled |= {"threads"}
        request = replace(request, texts=tuple(name for name in request.texts if not _is_phonemes(name)))
    # Whoever has settled the engine that a change names gets it: what else it says is of that engine.
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
    """The wish as if ONNX Runtime had the CPU alone: for what is not measured, so that nobody has to ask it."""
    return replace(request, changes=tuple(each for each in request.changes if each != EVERY_PROVIDER) or ("current",))


def _is_phonemes(text_class: str) -> bool:
    known = TEXT_CLASSES.get(text_class)
    return known is not None and known.source is Source.PHONEMES


def _offered(change: str) -> list[str]:
    """A change as it is; every other provider of the installed ONNX Runtime in place of `provider=*`.

    None if ONNX Runtime cannot be asked; the run then has a note (`unknown_providers`).
    """
    if change != EVERY_PROVIDER:
        return [change]
    runtime = installed_runtime()
    found = offers(runtime.providers, version=runtime.version)
    return [f"provider={each.provider.name}" for each in found if each.here and each.provider.name != "cpu"]
