"""What may have caused a change of a value."""

from enum import StrEnum
from typing import NamedTuple


class SuspectKind(StrEnum):
    """What a suspect is about."""

    UNKNOWN = "unknown"
    """An earlier version stored the sentence alone."""
    DIFFERENCE = "difference"
    """Something that is not the same on both sides; what, an earlier version did not store."""
    PACKAGE = "package"
    """Another version of a package, or other content of one."""
    INTERPRETER = "interpreter"
    OPTION = "option"
    """Another provider, number of threads, or option of the provider or the engine."""
    ENGINE = "engine"
    """Another engine, or another version of it."""
    SOURCE = "source"
    """Another revision of the source, the commits between two, uncommitted changes."""
    MODEL = "model"
    """Another model file."""
    OPERATOR = "operator"
    NODE = "node"
    STAGE = "stage"
    PHASE = "phase"
    """A part of the start-up."""
    MEMORY = "memory"
    ALLOCATION = "allocation"
    """A line of code that holds more memory."""
    MACHINE = "machine"
    """Other work on the machine."""
    NOTHING = "nothing"
    """The sentence names nothing: no part stands out, something is left unexplained, or there is no profile."""


class Suspect(NamedTuple):
    """One suspect. `sentence` has no full stop.

    `revisions` are those before and after if it names them, "" for the work tree; otherwise it is empty.
    """

    kind: SuspectKind
    sentence: str
    revisions: tuple[str, ...] = ()
