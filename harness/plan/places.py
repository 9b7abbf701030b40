"""Values of the configuration that name files."""

from pathlib import Path

from harness.user_paths import user_path


def placed(value: str, base: Path, origin: str) -> str:
    """A path from `base` on; an SQLAlchemy URL and an empty value as they are. UsageError for an unknown `~name`."""
    return value if not value or "://" in value else str(user_path(value, base=base, where=origin))


def placed_models(value: tuple[str, ...], base: Path, origin: str) -> tuple[str, ...]:
    """The files among models from `base` on, names as they are."""
    from harness.models.naming import as_path

    return tuple(placed(each, base, origin) if as_path(each) is not None else each for each in value)
