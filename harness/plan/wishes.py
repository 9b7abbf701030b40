"""What a suite's wishes come to here: without what the user has settled, and with what this build offers."""

from dataclasses import replace

from harness.engines.providers import offers
from harness.plan.config import Config
from harness.plan.matrix import Wish
from harness.plan.sides import settings_of

EVERY_PROVIDER = "provider=*"
"""The change that stands for each provider of the installed ONNX Runtime but the CPU."""


def wish_here(wish: Wish, config: Config) -> Wish:
    """The wish without changes of what the user has settled, and with one for each provider that this build offers."""
    settled = {name for name, origin in config.origins.items() if origin != "default"}
    if config["engine"] != "kokoro":
        settled |= {"model", "provider", "runtime"}
    kept = [change for change in wish.changes if not settings_of(change) & settled]
    if not wish.changes or not kept:
        return replace(wish, changes=("current",))
    return replace(wish, changes=tuple(each for change in kept for each in _offered(change)))


def _offered(change: str) -> list[str]:
    """A change as it is; every other provider of the installed ONNX Runtime in place of `provider=*`."""
    if change != EVERY_PROVIDER:
        return [change]
    import onnxruntime

    found = offers(onnxruntime.get_available_providers(), version=onnxruntime.__version__)
    return [f"provider={each.provider.name}" for each in found if each.here and each.provider.name != "cpu"]
