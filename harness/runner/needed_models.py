"""Which models of the cache somebody needs, however long ago they were used."""

from pathlib import Path

from harness.core.errors import UsageError
from harness.measure.system import lock
from harness.measure.system.machine import identify
from harness.models.cache import Manifest
from harness.models.catalogue import Catalogue
from harness.models.default import default_models
from harness.models.naming import as_path, split_label
from harness.plan.config import Config
from harness.runner.default_models import QUANTISED
from harness.runner.prune_models import Needs
from harness.store.reference_file import REFERENCE_FILE, load_reference


def needed_models(config: Config, catalogue: Catalogue) -> Needs:
    """Models and voices of the accepted reference, of the configuration, and those that are measured by default.

    BaselineError for a reference that cannot be read: what it needs is not known.
    """
    digests: dict[str, str] = {}
    for arm in load_reference(config.baselines).arms:
        needed = (arm.subject.model_sha256, arm.subject.voices_sha256, arm.model_parent)
        digests |= dict.fromkeys(filter(None, needed), f"accepted in {REFERENCE_FILE}")
    names = dict.fromkeys(default_models(catalogue.cache).names(QUANTISED["nightly"]), "measured by default")
    names |= dict.fromkeys(config["model"], f"named by {config.named('model')}")
    for name, why in names.items():
        manifest = _recorded(catalogue, name)
        if manifest is not None:
            digests.setdefault(manifest.variant.sha256, why)
    return Needs(digests=digests)


def _recorded(catalogue: Catalogue, given: str) -> Manifest | None:
    """What the cache knows of a model that a user names, by its name or its file."""
    _, name = split_label(given)
    path = as_path(name)
    if path is None:
        return catalogue.recorded(name)
    return catalogue.cache.by_digest(catalogue.cache.digests.of(path)) if path.is_file() else None


def check_idle(cache: Path) -> None:
    """Raise UsageError while a measurement runs on this machine: it may need what is about to be removed."""
    found = lock.holder(lock.Place(root=cache, machine_key=identify().key))
    if found is not None:
        raise UsageError(f"{found} measures on this machine", where="--yes", remedy="wait for it to end")
