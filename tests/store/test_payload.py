import zlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import StoreError
from harness.core.records.repetition import AudioFeatures, Block, Launch, Memory, Repetition
from harness.core.records.run import RunRecord
from harness.core.records.verdict import Summary, TargetResult, Verdict
from harness.store import payload
from harness.store.payload import PAYLOAD_FORMAT, decode, encode


@pytest.mark.parametrize("kind", [Repetition, Launch, Block, Verdict, TargetResult, Summary, RunRecord])
@given(data=st.data())
def test_every_record_comes_back_equal(kind: type[Any], data: st.DataObject) -> None:
    record = data.draw(st.from_type(kind))
    assert decode(encode(record), kind, payload_format=PAYLOAD_FORMAT, where="run") == record


@pytest.mark.parametrize("level", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_figure_is_refused(make_repetition: Callable[..., Repetition], level: float) -> None:
    audio = AudioFeatures(
        sample_rate=1, frames=1, sha256="", finite=False, peak=1.0, rms_dbfs=level, clipped_share=None, onset_frame=None
    )
    with pytest.raises(StoreError, match="a Repetition cannot be stored exactly: NaN and infinities are no figures"):
        encode(make_repetition(audio=audio))


def test_broken_unicode_is_refused() -> None:
    with pytest.raises(StoreError, match=r"cannot be stored exactly: .*surrogates not allowed"):
        encode(Memory(peak_reason="\ud800"))


def test_a_repetition_takes_a_third_of_its_plain_form(make_repetition: Callable[..., Repetition]) -> None:
    repetition = make_repetition()
    assert len(encode(repetition)) * 3 < len(msgspec.json.encode(repetition))


def test_a_changed_byte_never_gives_another_record(make_repetition: Callable[..., Repetition]) -> None:
    repetition = make_repetition()
    sound = encode(repetition)
    refused = 0
    for place in range(len(sound)):
        damaged = sound[:place] + bytes([sound[place] ^ 0x10]) + sound[place + 1 :]
        try:
            # A bit here and there means nothing to zlib, such as those that fill the last byte before its checksum.
            assert decode(damaged, Repetition, payload_format=PAYLOAD_FORMAT, where="run 1") == repetition
        except StoreError as error:
            assert "a Repetition in the results database cannot be read" in error.what  # noqa: PT017
            refused += 1
    assert refused >= len(sound) * 0.95


def test_a_cut_payload_is_reported_with_its_run(make_repetition: Callable[..., Repetition]) -> None:
    with pytest.raises(StoreError, match="it ends too early") as caught:
        decode(encode(make_repetition())[:-6], Repetition, payload_format=PAYLOAD_FORMAT, where="run 1")
    assert caught.value.where == "run 1"


def test_a_newer_format_is_refused_with_the_remedy() -> None:
    with pytest.raises(StoreError, match="newer kokoro-bench") as caught:
        decode(b"", Repetition, payload_format=PAYLOAD_FORMAT + 1, where="run 1")
    assert caught.value.remedy == "pip install --upgrade kokoro-bench"


def test_the_dictionary_of_format_1_never_changes() -> None:
    assert zlib.crc32(payload._DICTIONARY) == 0x356F11C1
