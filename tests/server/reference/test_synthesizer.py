"""The synthesizer: pieces on several sessions, joined in order."""

import contextlib
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from kokoro_onnx.chunker import pause_after
from numpy.typing import NDArray

from harness.engines.pooled.cache import Source
from harness.engines.pooled.splitter import split_phonemes
from harness.engines.pooled.synthesizer import Synthesizer
from harness.engines.speech import SpeechFailure, SpeechRequest
from tests.server.conftest import MakeSynthesizer, Tones, tone

TEXT = "one two three four five six seven. eight nine ten, eleven twelve thirteen. " * 6


def request(text: str, *, voice: str = "af_heart", speed: float = 1.0, language: str = "en-us") -> SpeechRequest:
    return SpeechRequest(text=text, voice=voice, speed=speed, language=language)


def heard(synthesizer: Synthesizer, wanted: SpeechRequest) -> tuple[NDArray[np.float32], tuple[Source, ...]]:
    with contextlib.closing(synthesizer.synthesise(wanted)) as answer:
        audio = [part.joined(part.audio.result(20)) for part in answer]
        return np.concatenate(audio), answer.sources


def expected(text: str) -> NDArray[np.float32]:
    """Each piece's tone, with the silence that kokoro-onnx puts between batches."""
    pieces = split_phonemes(text)
    sounds = []
    for number, piece in enumerate(pieces):
        pause = pause_after(piece, 0.25, 0.1) if number < len(pieces) - 1 else 0.0
        sounds += [tone(piece), np.zeros(int(pause * 24_000), dtype=np.float32)]
    return np.concatenate(sounds)


def test_one_session_and_three_give_the_same_audio_in_the_same_order(synthesizer_of: MakeSynthesizer) -> None:
    alone, _ = heard(synthesizer_of(Tones()), request(TEXT))
    # Unequal sessions, so that later pieces are done before earlier ones.
    together, _ = heard(synthesizer_of(Tones(pace=0.0005), Tones(), Tones(pace=0.0002)), request(TEXT))
    np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal(alone, expected(TEXT))


def test_every_session_gets_its_share(synthesizer_of: MakeSynthesizer) -> None:
    sessions = [Tones(pace=0.0002), Tones(pace=0.0002)]
    synthesizer = synthesizer_of(*sessions)
    heard(synthesizer, request(TEXT))
    assert min(state.jobs for state in synthesizer.pool.states()) >= 2
    assert sum(state.jobs for state in synthesizer.pool.states()) == len(split_phonemes(TEXT))


def test_answers_at_the_same_time_are_not_mixed_up(synthesizer_of: MakeSynthesizer) -> None:
    synthesizer = synthesizer_of(Tones(pace=0.0001), Tones(), cache_bytes=1 << 22)
    texts = [f"number {number} speaks. {TEXT[number:]}" for number in range(12)]
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda text: heard(synthesizer, request(text))[0], texts))
    for text, audio in zip(texts, answers, strict=True):
        np.testing.assert_array_equal(audio, expected(text))


def test_a_short_text_is_not_kept_waiting_by_a_long_one(synthesizer_of: MakeSynthesizer) -> None:
    tones = Tones()
    synthesizer = synthesizer_of(tones)
    heard(synthesizer, request("the length of speech has been learnt by now."))
    tones.go_on.clear()
    with (
        contextlib.closing(synthesizer.synthesise(request(TEXT))) as long,
        contextlib.closing(synthesizer.synthesise(request("short."))) as short,
    ):
        next(iter(long))
        first_of_short = next(iter(short))
        tones.go_on.set()
        first_of_short.audio.result(20)
        # The long text's first piece was in the session already; its second is due only when the first has been heard.
        assert tones.spoken[1:3] == [split_phonemes(TEXT)[0], "short."]


def test_a_hit_is_equal_to_a_miss_and_nobody_can_spoil_it(synthesizer_of: MakeSynthesizer) -> None:
    tones = Tones()
    synthesizer = synthesizer_of(tones, cache_bytes=1 << 24)
    missed, how = heard(synthesizer, request(TEXT))
    repeated = Counter(split_phonemes(TEXT))
    assert set(how) <= {Source.MISS, Source.HIT, Source.JOINED}
    assert len(tones.spoken) == len(repeated)
    hit, how = heard(synthesizer, request(TEXT))
    assert set(how) == {Source.HIT}
    np.testing.assert_array_equal(hit, missed)
    part = next(iter(synthesizer.synthesise(request("short."))))
    with pytest.raises(ValueError, match="read-only"):
        part.audio.result(20)[0] = 1.0


@pytest.mark.parametrize(
    "changed",
    [{"voice": "am_puck"}, {"voice": "af_heart+am_puck"}, {"speed": 1.25}, {"text": "Another text."}],
    ids=lambda each: next(iter(each)),
)
def test_what_changes_the_audio_is_another_entry(synthesizer_of: MakeSynthesizer, changed: dict[str, object]) -> None:
    synthesizer = synthesizer_of(Tones(), cache_bytes=1 << 24)
    base = {"text": "A text."}
    first, _ = heard(synthesizer, request(**base))  # type: ignore[arg-type]
    second, how = heard(synthesizer, request(**{**base, **changed}))  # type: ignore[arg-type]
    assert how == (Source.MISS,)
    assert first.shape != second.shape or not np.array_equal(first, second)


def test_a_blend_is_the_mean_of_its_voices(synthesizer_of: MakeSynthesizer) -> None:
    audio, _ = heard(synthesizer_of(Tones()), request("a text.", voice="af_heart+am_puck"))
    np.testing.assert_allclose(audio, tone("a text.", level=0.25), atol=1e-6)


def test_the_cache_counts_all_that_it_keeps_alive(synthesizer_of: MakeSynthesizer) -> None:
    """An entry holds no larger array than its own."""
    limit = 1 << 19
    synthesizer = synthesizer_of(Tones(), cache_bytes=limit)
    for number in range(40):
        heard(synthesizer, request(f"number {number} of many."))
    assert limit / 2 < synthesizer.cache_state.size <= limit
    part = next(iter(synthesizer.synthesise(request("number 39 of many."))))
    assert (part.source, part.audio.result(0).base) == (Source.HIT, None)


def test_closing_an_answer_drops_what_it_still_wanted(synthesizer_of: MakeSynthesizer) -> None:
    tones = Tones()
    tones.go_on.clear()
    synthesizer = synthesizer_of(tones)
    answer = synthesizer.synthesise(request(TEXT))
    next(iter(answer))
    answer.close()
    tones.go_on.set()
    heard(synthesizer, request("short."))
    assert [piece for piece in tones.spoken if piece != "short."] in ([], [split_phonemes(TEXT)[0]])


def test_a_warm_up_that_may_not_go_on_ends_after_the_piece_that_it_has_begun(synthesizer_of: MakeSynthesizer) -> None:
    tones, stopped = Tones(), threading.Event()
    tones.go_on.clear()
    synthesizer = synthesizer_of(tones)
    warming = threading.Thread(target=lambda: synthesizer.warm_up("af_heart", go_on=lambda: not stopped.is_set()))
    warming.start()
    while not tones.spoken:
        pass
    stopped.set()
    tones.go_on.set()
    warming.join()
    assert len(tones.spoken) == 1


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [
        (request("A text.", voice="nobody"), "voice"),
        (request("A text.", voice="af_heart+"), "voice"),
        (request("A text.", speed=3.0), "speed"),
        (request("A text.", language="tlh"), "language"),
        (request("?!"), "no-phonemes"),
        (request(" \n"), "no-phonemes"),
    ],
)
def test_what_cannot_be_spoken_says_why(synthesizer_of: MakeSynthesizer, wanted: SpeechRequest, fault: str) -> None:
    with pytest.raises(SpeechFailure) as failure:
        synthesizer_of(Tones()).synthesise(wanted)
    assert failure.value.fault == fault
