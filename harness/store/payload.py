"""Records as bytes, exactly: what goes in comes out equal, or is refused.

A payload is JSON with every field named, deflated. The field names are the same in each of a million repetitions, so
the compressor starts from a dictionary that holds them: a repetition of 1,000 bytes takes about 270.
"""

import zlib
from collections.abc import Hashable, Iterable, Iterator
from functools import cache
from typing import Any, Final, TypeVar, cast

import msgspec

from harness.core.errors import StoreError

PAYLOAD_FORMAT: Final = 1
"""Version of the form of payloads. History: 1, named JSON deflated with `_DICTIONARY`."""

# Part of format 1, for ever: another dictionary is another format (zlib notices: it keeps the dictionary's checksum).
# What is commonest stands last, where references to it are shortest.
_DICTIONARY: Final = (
    b'"kind":"invalid-audio"error"timeout"crashed"refused","reason":"","stderr_tail":"'
    b'{"arm_id":"","page_cache":"warm","parts":[{"name":"interpreter","ns":{"name":"import","session","voices",'
    b'"phonemiser","first_inference","rss_loaded":,"facts":{"providers":["CPUExecutionProvider"],"packages":[["'
    b'onnxruntime","kokoro-onnx","options":[["sample_rate":24000,"python":"3.1","dedicated":false,"order":["'
    b'"wall_ns":,"canary":{"numpy_ns":,"graph_ns":,"metric":"","change":{"point":0.,"low":0.,"high":0.,"level":0.9,'
    b'"method":"","n":,"launches":},"tolerance":,"detectable":,"advice":"","suspects":[]'
    b'{"scenario_id":".cpu.t2/whole/short/medium/stream/af_heart","launch":1,"block":1,"position":1,'
    b'"phase":"first"warmup"measured","variant":0,"characters":200,"started_at":17,"end_ns":1,'
    b'"chunks":[{"at_ns":1,"frames":1},{"at_ns":2,"frames":2}],"stages":[{"stage":"phonemise","start_ns":1,"end_ns":'
    b'},{"stage":"inference","start_ns":1,"end_ns":},{"stage":"postprocess","start_ns":1,"end_ns":}],'
    b'"first_byte_ns":null,"cpu_ns":2,"memory":{"rss_before":null,"rss_after":null,"peak":null,"peak_reason":""},'
    b'"disturbance":{"steal_share":0.0,"others_cpu_share":0.0,"involuntary_switches":1,"marks":[]},'
    b'"audio":{"sample_rate":24000,"frames":1,"sha256":"","finite":true,"peak":0.,"rms_dbfs":-2,"clipped_share":0.0,'
    b'"onset_frame":4,"onset_reason":"","channels":1},"outcome":{"kind":"valid","reason":"","stderr_tail":""}}'
)

_Record = TypeVar("_Record")


def encode(record: object) -> bytes:
    """The payload of `record`; StoreError where it would not come back equal (NaN, an infinity, broken Unicode)."""
    try:
        plain = msgspec.json.encode(record)
        same = _decode_plain(plain, type(record)) == record
    except (UnicodeEncodeError, OverflowError, TypeError, msgspec.MsgspecError) as error:
        raise _refused(record, str(error)) from error
    if not same:
        raise _refused(record, "NaN and infinities are no figures")
    compressor = zlib.compressobj(level=6, zdict=_DICTIONARY)
    return compressor.compress(plain) + compressor.flush()


def decode(payload: bytes, kind: type[_Record], *, payload_format: int, where: str) -> _Record:
    """The record in `payload`; StoreError where it is damaged or of a newer format. `where` is for the message."""
    return next(decode_all([payload], kind, payload_format=payload_format, where=where))


def decode_all(payloads: Iterable[bytes], kind: type[_Record], *, payload_format: int, where: str) -> Iterator[_Record]:
    """The record in each of `payloads`, as `decode` gives it."""
    if payload_format > PAYLOAD_FORMAT:
        raise StoreError(
            f"was written by a newer kokoro-bench (payload format {payload_format}, this one reads {PAYLOAD_FORMAT})",
            where=where,
            remedy="pip install --upgrade kokoro-bench",
        )
    read = _decoder(cast("Hashable", kind)).decode
    try:
        for payload in payloads:
            decompressor = zlib.decompressobj(zdict=_DICTIONARY)
            plain = decompressor.decompress(payload)  # without a limit: all of it, or it ends too early
            if not decompressor.eof:
                raise zlib.error("it ends too early")
            yield read(plain)
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreError(
            f"a {kind.__name__} in the results database cannot be read ({error})",
            where=where,
            remedy="keep a copy of the database, then remove the run with `kokoro-bench runs delete`",
        ) from error


def _decode_plain(plain: bytes, kind: type[_Record]) -> _Record:
    record: _Record = _decoder(cast("Hashable", kind)).decode(plain)
    return record


@cache
def _decoder(kind: Hashable) -> Any:  # noqa: ANN401 - a decoder of whatever kind it is
    return msgspec.json.Decoder(kind)


def _refused(record: object, reason: str) -> StoreError:
    return StoreError(
        f"a {type(record).__name__} cannot be stored exactly: {reason}",
        where=str(getattr(record, "scenario_id", "") or getattr(record, "id", "")),
        remedy="unknown figures are None with a reason; please report the part that made the record",
    )
