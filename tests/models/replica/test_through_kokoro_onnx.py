import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from kokoro_onnx import Kokoro

from harness.models.replica.assemble import build_model
from harness.models.replica.recipe import Recipe

Small = Callable[..., Path]
TEXT = "Hello world. This is a short test, in two sentences."
SAMPLE_RATE = 24_000


@pytest.fixture(scope="session")
def kokoro(small: Small, voices: Path) -> Kokoro:
    return Kokoro(str(small()), str(voices))


def test_create_gives_finite_audio_that_trimming_hardly_shortens(kokoro: Kokoro) -> None:
    audio, rate = kokoro.create(TEXT, voice="af_heart", trim=False)
    trimmed, _ = kokoro.create(TEXT, voice="af_heart")
    assert rate == SAMPLE_RATE
    assert audio.dtype == np.float32
    assert np.isfinite(audio).all()
    assert len(trimmed) > 0.98 * len(audio)


def test_from_session_says_the_same(small: Small, voices: Path, kokoro: Kokoro) -> None:
    session = onnxruntime.InferenceSession(str(small()), providers=["CPUExecutionProvider"])
    given = Kokoro.from_session(session, str(voices))
    lengths = [len(engine.create(TEXT, voice="bf_emma", trim=False)[0]) for engine in (kokoro, given)]
    assert lengths[0] == lengths[1]
    assert kokoro.tokenizer.vocab == given.tokenizer.vocab


def test_create_timed_places_every_phoneme(kokoro: Kokoro) -> None:
    audio, rate, timings = kokoro.create_timed(TEXT, voice="af_heart")
    starts = [timing.start for timing in timings]
    assert len(timings) > 30
    assert starts == sorted(starts)
    assert timings[-1].end <= len(audio) / rate + 1e-6


def test_create_stream_yields_each_batch(kokoro: Kokoro) -> None:
    async def gather() -> list[int]:
        return [len(part) async for part, _ in kokoro.create_stream(TEXT * 15, voice="af_heart")]

    chunks = asyncio.run(gather())
    assert len(chunks) > 1
    assert min(chunks) > SAMPLE_RATE


def test_speed_is_taken_as_a_float(kokoro: Kokoro) -> None:
    slow, quick = (len(kokoro.create(TEXT, voice="af_heart", speed=speed)[0]) for speed in (0.9, 1.1))
    assert slow > quick


def test_older_face_has_no_timings(small: Small, voices: Path) -> None:
    older = Kokoro(str(small(face="tokens")), str(voices))
    audio, _, timings = older.create_timed(TEXT, voice="af_heart")
    assert np.isfinite(audio).all()
    assert timings == []


def test_full_size_is_kokoros_and_speaks(tmp_path: Path, voices: Path) -> None:
    path = tmp_path / "replica.onnx"
    build_model(Recipe(), path)
    assert path.stat().st_size == pytest.approx(325_479_362, rel=0.01)
    weights = onnx.load(str(path)).graph.initializer
    assert sum(int(np.prod(weight.dims)) for weight in weights) == 81_148_592
    del weights
    audio, rate = Kokoro(str(path), str(voices)).create("Hello world.", voice="af_heart")
    assert 0.5 < len(audio) / rate < 3.0
    assert np.isfinite(audio).all()
    assert -26 < 10 * np.log10(np.mean(audio.astype(np.float64) ** 2)) < -16
