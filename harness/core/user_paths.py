"""Paths as users write them: `~` is their home, and a relative one begins where it was written."""

from pathlib import Path

from harness.core.errors import UsageError


def user_path(text: str | Path, *, base: Path | None = None, where: str) -> Path:
    """The path that `text` names. A relative one begins at `base`, or at the current directory without one.

    UsageError where its `~name` is no user of this machine. A `$` is an ordinary character.
    """
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"no home directory is known for {str(text)!r}", where=where, remedy="write the folder itself"
        ) from error
    return base / path if base is not None else path
