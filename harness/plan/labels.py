"""Labels of a run's models."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.core.comma_lists import join_list
from harness.core.errors import UsageError
from harness.core.records.scenario import Arm
from harness.models.naming import as_path, labels_of, split_label
from harness.plan.config import Config, with_values
from harness.plan.places import placed_models


def configured_labels(config: Config) -> dict[str, str]:
    """Configured model → its label. UsageError if two models get the same label; otherwise as `labels`."""
    _check_commas(config)
    given = config["model"]
    found = labels(given)
    called = Counter(found[each].casefold() for each in given)
    for each, label in found.items():
        if called[label.casefold()] > 1:
            raise _called_alike(label, each, where="--model")
    return found


def label_models(config: Config, arms: Sequence[Arm]) -> tuple[Config, list[Arm]]:
    """Replace the models of `arms` (names or files, as the user wrote them) with distinct labels.

    The returned configuration resolves these labels to the files.
    """
    given = [placed_models((arm.model.name,), Path.cwd(), "--model")[0] if arm.model else "" for arm in arms]
    found = labels([name for name in dict.fromkeys(given) if name])
    called = Counter(label.casefold() for label in found.values())
    for each, label in found.items():
        # Identical files share one label. A label that the user chose must belong to one model.
        if called[label.casefold()] > 1 and (split_label(each)[0] or as_path(each) is None):
            raise _called_alike(label, each, where="duel")
    labelled = [
        replace(arm, model=replace(arm.model, name=found[name])) if arm.model else arm
        for arm, name in zip(arms, given, strict=True)
    ]
    return with_values(config, {"model": tuple(found)}), labelled


def labels(given: Sequence[str]) -> dict[str, str]:
    """Model (a name or a file) → its label in ids and tables (`labels_of`).

    ModelError if files can only be distinguished by their contents and one of them is missing.
    """

    def digest_of(path: Path) -> str:
        from harness.plan.model_catalogue import model_catalogue

        return model_catalogue().content_digest(path)

    return labels_of(given, digest_of)


def _called_alike(label: str, given: str, *, where: str) -> UsageError:
    path = as_path(split_label(given)[1])
    remedy = "leave one of them out" + (f", or give it a name of its own: NAME={path.name}" if path else "")
    return UsageError(f"two models are called {label!r}", where=where, remedy=remedy)


def _check_commas(config: Config) -> None:
    """UsageError with a remedy if the path of a single file was split at its commas."""
    text = config.given.get("model")
    if isinstance(text, str) and len(config["model"]) > 1 and Path(text).expanduser().is_file():
        raise UsageError(
            f"{text} is a file, but the commas in its path were read as separators of a list",
            where="--model",
            remedy=f"write {join_list([text])}",
        )
