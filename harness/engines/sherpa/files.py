"""The files that sherpa-onnx reads, made of a Kokoro model and its voices: the same weights in its own layout.

Needs the standard library and NumPy alone, as an engine of a foreign environment does. The files are kept in the cache
under a name made of the source's path, size and time, because a digest of the model would count as load time.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

from harness.core.cache_root import default_root
from harness.core.files import replacing
from harness.engines.speech import EngineRefusal

FOLDER = "sherpa-onnx"
METADATA = b"\x72"
"""Tag of `ModelProto.metadata_props`: field 14, length-delimited. Fields that are appended to a message are merged."""
KEY, VALUE = b"\x0a", b"\x12"
"""Tags of the fields 1 and 2 of `StringStringEntryProto`."""
STYLE = (510, 1, 256)
"""Shape of a voice: a style for each number of phonemes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SherpaFiles:
    """Paths of the files, and the voices' names in the order of sherpa-onnx's speaker numbers."""

    model: Path
    voices: Path
    tokens: Path
    names: tuple[str, ...]


def prepare(model: Path, voices: Path, vocabulary: Mapping[str, int]) -> SherpaFiles:
    """Make the files that are missing or cut short. EngineRefusal if the model or the voices have another layout."""
    import numpy as np

    if model.suffix != ".onnx":
        raise EngineRefusal(f"sherpa-onnx takes .onnx files, not {model.suffix or 'a file without suffix'}")
    folder = default_root() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with np.load(voices) as styles:
        names = tuple(sorted(styles.files))
        odd = [name for name in names if styles[name].shape != STYLE]
        if odd:
            raise EngineRefusal(f"sherpa-onnx needs voices of shape {STYLE}; {odd[0]} has {styles[odd[0]].shape}")
        together = folder / f"{_key(voices)}.voices.bin"
        size = len(names) * 4 * prod(STYLE)
        _make(together, size, lambda file: file.writelines(styles[name].astype("<f4").tobytes() for name in names))
    described = folder / f"{_key(model, voices)}.onnx"
    metadata = _metadata(names)
    _make(described, model.stat().st_size + len(metadata), lambda file: _with_metadata(model, metadata, file))
    symbols = "".join(f"{symbol} {number}\n" for symbol, number in vocabulary.items()).encode()
    tokens = folder / f"{hashlib.sha256(symbols).hexdigest()[:16]}.tokens.txt"
    _make(tokens, len(symbols), lambda file: file.write(symbols))
    return SherpaFiles(model=described, voices=together, tokens=tokens, names=names)


def _with_metadata(model: Path, metadata: bytes, file: IO[bytes]) -> None:
    with model.open("rb") as source:
        shutil.copyfileobj(source, file)
    file.write(metadata)


def _metadata(names: tuple[str, ...]) -> bytes:
    """The metadata by which sherpa-onnx knows a Kokoro model, to be appended to it."""
    entries = {
        "model_type": "kokoro",
        "language": "English",
        "has_espeak": "1",
        "sample_rate": "24000",
        "version": "1",
        "voice": "en-us",
        "style_dim": ",".join(map(str, STYLE)),
        "n_speakers": str(len(names)),
        "speaker_names": ",".join(names),
    }
    fields = (_field(KEY, key.encode()) + _field(VALUE, value.encode()) for key, value in entries.items())
    return b"".join(_field(METADATA, each) for each in fields)


def _field(tag: bytes, content: bytes) -> bytes:
    """A length-delimited field of a protocol buffer; its length is a varint."""
    length, size = bytearray(), len(content)
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return tag + bytes(length) + content


def _make(path: Path, size: int, write: Callable[[IO[bytes]], object]) -> None:
    """Make a file of `size` bytes, also in the place of one that was cut short."""
    if path.exists() and path.stat().st_size == size:
        with suppress(OSError):
            os.utime(path)  # `models prune` removes what nobody uses
    else:
        with replacing(path, durable=False) as file:
            write(file)


def _key(*paths: Path) -> str:
    known = [(str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(repr(known).encode()).hexdigest()[:16]
