"""The models that a command measures where the user names none."""

from collections.abc import Callable, Collection, Sequence

from harness.core.records.run import REPLICA_NOTE
from harness.engines.declarations import declaration_of
from harness.plan.config import Config

QUANTISED = {"quick": ("u8",), "full": ("u8",), "nightly": ("u8", "fp16")}
"""Selection → the quantised variants that it measures besides the original, unless the user names models or the suite
names recipes. `suites/test_quantised.py` names the other recipes."""


def default_names(engine: str, selection: str, recipes: Sequence[str] | None) -> list[str]:
    """The original and its quantised variants; `recipes` None means the selection's, () only the original."""
    chosen = recipes is not None
    recipes = QUANTISED[selection] if recipes is None else recipes
    if declaration_of(engine).is_scripted:
        return ["scripted", "scripted-8bit"] if recipes else ["scripted"]
    from harness.models.cache import Cache
    from harness.models.default import default_models

    return default_models(Cache()).names(recipes, chosen=chosen)


def obtain_models(
    config: Config, *, report: Callable[[str], None], progress: Callable[[int, int], None] | None = None
) -> None:
    """Download the models that are measured by default, unless a model is named or they are here.

    If no source has them, `report` receives one line with the reason, and the replica is measured.
    """
    engine = declaration_of(config["engine"])
    if config["model"] or config["url"] or engine.is_scripted or not engine.takes_models:
        return
    from harness.models.default import obtain_default
    from harness.models.download import unwatched
    from harness.plan.model_catalogue import model_catalogue

    if reason := obtain_default(model_catalogue(), report=report, progress=progress or unwatched).reason:
        report(REPLICA_NOTE + reason)


def replica_note(config: Config, resolved: Collection[str]) -> tuple[str, ...]:
    """The note that the replica was measured although no model was named; `resolved` are the models of the run."""
    from harness.models import default

    if config["model"] or default.REPLICA not in resolved:
        return ()
    from harness.models.cache import Cache

    return (REPLICA_NOTE + default.default_models(Cache()).reason,)
