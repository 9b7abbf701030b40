"""The contents of a voices file, and which of its voices kokoro-onnx can use.

For n phonemes kokoro-onnx uses row min(n, rows) - 1 of a voice as the style. It casts the row to the type of the
model's input, whose shape is [1, 256]. Any number of rows and any real type work, but no other shape of a row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import ModelError, nearest

if TYPE_CHECKING:
    from zipfile import ZipFile

ROWS = 510
"""Kokoro's own voices have a row for each number of phonemes that the model processes at once."""
STYLE = (1, 256)
_REAL = "fiu"
"""NumPy's kinds of real numbers."""
_EXPECTED = f"Kokoro's voices are float32 {[ROWS, *STYLE]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """One array of a voices file. `kind` is NumPy's letter for the kind of its type."""

    name: str
    dtype: str
    kind: str
    shape: tuple[int, ...]

    @property
    def text(self) -> str:
        """Type and shape in messages."""
        return f"{self.dtype} {list(self.shape)}"

    @property
    def unusable(self) -> str:
        """Why kokoro-onnx cannot use the voice, or ""."""
        if self.kind not in _REAL:
            return "its values are no real numbers"
        if self.shape[1:] == STYLE and self.shape[0]:
            return ""
        if self.shape[1:] == STYLE[1:]:
            return "without the middle axis a row is no style of the model, which is [1, 256]"
        return (
            "it has no row" if self.shape[1:] == STYLE else f"a row of it is no style of the model, which is {[*STYLE]}"
        )

    @property
    def note(self) -> str:
        """What is unusual about a usable voice, and how kokoro-onnx handles it; "" if nothing is."""
        made = []
        if self.dtype != "float32":
            made.append("casts it to the model's type")
        if self.shape[0] > ROWS:
            made.append(f"uses its first {ROWS} rows")
        elif self.shape[0] < ROWS:
            made.append(f"uses its last row for all texts of more than {self.shape[0]} phonemes")
        return f"voice {self.name} is {self.text}, and kokoro-onnx {' and '.join(made)}; {_EXPECTED}" if made else ""


def read_voices(path: Path) -> tuple[str, ...]:
    """The names of the voices in a file that can be spoken with, sorted.

    Raises ModelError where there are none. Only the arrays' headers are read.
    """
    found = _read(path)
    usable = tuple(sorted(name for name, voice in found.items() if not voice.unusable))
    if found and not usable:
        raise _unusable(path, next(iter(found.values())))
    if not usable:
        raise ModelError("holds no voice", where=str(path), remedy="give another file with --voices FILE")
    return usable


def voice_or_first(path: Path, voice: str) -> str:
    """`voice` where the file has it, each part of a blend, else the file's first usable one. As `read_voices`."""
    names = read_voices(path)
    return voice if set(voice.split("+")) <= set(names) else names[0]


def check_voice(path: Path, voice: str) -> tuple[str, ...]:
    """Raise ModelError unless the voices file has `voice`, or each of a blend "a+b"; the remedy names the nearest.

    Returns a note for each that has an unusual type or shape, the file's name before it.
    """
    found, notes = _read(path), []
    for name in voice.split("+"):
        if name not in found:
            usable = read_voices(path)
            raise ModelError(f"no voice {name!r}", where=str(path), remedy=nearest(name, usable))
        if found[name].unusable:
            raise _unusable(path, found[name])
        notes.append(found[name].note)
    return tuple(f"{path.name}: {note}" for note in notes if note)


def describe_voices(path: Path) -> str:
    """How many voices there are, what is unusual about them, and which cannot be spoken with. As `read_voices`."""
    usable, found = read_voices(path), _read(path)
    unusual = [voice.note for voice in found.values() if not voice.unusable and voice.note]
    lost = [f"not {voice.name} ({voice.text}): {voice.unusable}" for voice in found.values() if voice.unusable]
    more = f" (and {len(unusual) - 1} more so)" if len(unusual) > 1 else ""
    return "; ".join([f"{len(usable)} voices", *(f"{each}{more}" for each in unusual[:1]), *lost])


def _unusable(path: Path, voice: Voice) -> ModelError:
    remedy = f"{_EXPECTED}; save voice[:, None, :]" if voice.shape[1:] == STYLE[1:] else _EXPECTED
    return ModelError(f"voice {voice.name} is {voice.text}: {voice.unusable}", where=str(path), remedy=remedy)


def _read(path: Path) -> Mapping[str, Voice]:
    """Every array of the file, by name. ModelError where it is no archive of arrays."""
    from zipfile import BadZipFile, ZipFile

    if not path.is_file():
        raise ModelError("no such voices file", where=str(path), remedy="give the file's path with --voices FILE")
    try:
        with ZipFile(path) as archive:
            return {voice.name: voice for voice in _arrays(archive)}
    # RuntimeError: an archive that is encrypted, or packed in a way that is not known here.
    except (BadZipFile, ValueError, EOFError, OSError, RuntimeError) as error:
        raise ModelError(
            f"is not a voices file: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=str(path),
            remedy="a voices file is an npz archive, name to float32 [510, 1, 256]",
        ) from None


def _arrays(archive: "ZipFile") -> Iterator[Voice]:
    """Type and shape of each array in an npz archive (numpy.lib.format, versions 1 to 3); other files are left out."""
    from numpy.lib import format as npy

    members = archive.namelist()
    arrays = [name for name in members if name.endswith(".npy")]
    if members and not arrays:
        raise ValueError(f"the archive holds no arrays, but {members[0]!r}")
    for name in arrays:
        with archive.open(name) as member:
            major, _ = npy.read_magic(member)
            read = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
            shape, _, dtype = read(member)
        yield Voice(name=name.removesuffix(".npy"), dtype=str(dtype), kind=dtype.kind, shape=shape)
