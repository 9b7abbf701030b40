"""Values of the configuration that name files."""

from pathlib import Path

from harness.core.user_paths import user_path


def placed(value: str, base: Path, origin: str) -> str:
    """A path from `base` on; an SQLAlchemy URL and an empty value as they are. UsageError for an unknown `~name`."""
    return value if not value or "://" in value else str(user_path(value, base=base, where=origin))


def placed_models(value: tuple[str, ...], base: Path, origin: str) -> tuple[str, ...]:
    """The files among models from `base` on, labels and names as they are."""
    return tuple(_placed_model(each, base, origin) for each in value)


def placed_runtimes(value: tuple[str, ...], base: Path, origin: str) -> tuple[str, ...]:
    """Runtimes with paths of packages from `base` on. UsageError for a path that does not exist."""
    return tuple(_placed_runtime(each, base, origin) for each in value)


def _placed_runtime(given: str, base: Path, origin: str) -> str:
    from harness.plan.package_sources import is_source, read_source, split_requirements

    items = split_requirements(given, base=base)
    if not any(map(is_source, items)):
        return given
    return " ".join(read_source(each, base=base, where=origin) if is_source(each) else each for each in items)


def _placed_model(given: str, base: Path, origin: str) -> str:
    from harness.models.naming import as_path, split_label

    if as_path(given) is not None and user_path(given, base=base, where=origin).is_file():
        return placed(given, base, origin)
    label, file = split_label(given)
    if as_path(file) is None:
        return given
    return f"{label}={placed(file, base, origin)}" if label else placed(file, base, origin)
