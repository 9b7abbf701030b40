"""What splitting a text, or decoding it in windows, costs its speech beside the whole text; and planted faults.

    python -m benchmarks.joined_speech [--texts 20] [--first 24,28,32,40,48,180] [--window 0.5,0.7,1] [--folder PLACE]

Five of six texts are of chars-60, the others of chars-200. Audio is kept in the folder segment by segment, so a
later call continues there; the judging tools and their cache are those of a run. Nothing is timed. Two voices speak in
turn. On one core, 20 texts take about 20 minutes.
"""

import argparse
import hashlib
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchmarks.orders import one_thread_kokoro
from harness.analysis.speech_rule import judge_audio
from harness.core.cache_root import default_root
from harness.core.clock import SystemClock
from harness.core.comma_lists import split_list
from harness.core.errors import BenchError
from harness.core.records.speech import SpeechKind, SpeechReading
from harness.engines.pooled.engine import SentencesEngine, start
from harness.engines.pooled.splitter import Plan, split_phonemes
from harness.engines.pooled.synthesizer import NoStages, Synthesizer
from harness.engines.protocol import EngineOrder
from harness.engines.speech import SpeechRequest
from harness.measure.speech.analyser import KeptAudio, SpeechAnalyser
from harness.measure.speech.runtime import prepare
from harness.metrics.audio.similarity import compare
from harness.plan.corpus import Corpus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Audio = NDArray[np.float32]

RATE = 24_000
CLOCK = SystemClock()
VOICES: Mapping[str, str] = {"af_heart": "af_bella", "am_michael": "am_fenrir"}
"""Voice → another one of the same sex, which speaks a segment in its place."""
WHOLE = "whole"
DROPPED, OTHER_VOICE, OTHER_SEX = "a segment dropped", "a segment in another voice", "a segment by the other sex"
WINDOW = "window "
"""Begins a kind: a first segment in windows, the first of so many seconds, by the engine as a server starts it."""
PLANTED_FIRST = 28
"""The split of the speech with planted faults, of which every text has at least two segments."""


class Remembered:
    """A Kokoro whose syntheses are kept in a folder, by the model, the phonemes and the style."""

    def __init__(self, model: Path, voices: Path, folder: Path) -> None:
        self._kokoro = one_thread_kokoro(model, voices)
        self._folder = folder
        self._paths = model, voices
        self._model = model.name

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - kokoro-onnx has no useful types
        return getattr(self._kokoro, name)

    def engine(self, window: str) -> SentencesEngine:
        """The engine that decodes a first segment in windows, on one thread."""
        options = {"window": window, "planned_rtf": "0.6"}
        order = EngineOrder(
            engine="kokoro-sentences", model_path=str(self._paths[0]), voices_path=str(self._paths[1]),
            voice=next(iter(VOICES)), threads=1, session_options=options,
        )  # fmt: skip
        return start(order, clock=CLOCK, stages=NoStages(CLOCK))

    def create(self, text: str, voice: "Audio", speed: float = 1.0, **others: Any) -> "tuple[Audio, int]":  # noqa: ANN401
        """As kokoro-onnx."""
        import numpy as np

        speed = float(speed)
        key = f"{self._model}\n{text}\n{hashlib.sha256(voice.tobytes()).hexdigest()}\n{speed}\n{sorted(others.items())}"
        path = self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"
        if not path.exists():
            audio, _ = self._kokoro.create(text, voice, speed, **others)
            part = path.with_suffix(f".{os.getpid()}.npy")
            np.save(part, np.asarray(audio, dtype=np.float32))
            part.replace(path)  # another call may fill the same folder
        return np.load(path), RATE


@dataclass(slots=True)
class Row:
    """What the audios of a kind were called and found to have, beside the whole text's."""

    calls: Counter[SpeechKind] = field(default_factory=Counter)
    words: int = 0
    errors: int = 0
    beyond: int = 0
    texts_beyond: int = 0
    below: list[float] = field(default_factory=list)
    spreads: list[float] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


class Texts:
    """The texts, and what speaks them: text and voice by number."""

    def __init__(self, kokoro: Remembered, count: int) -> None:
        corpus = Corpus()
        long = count // 6
        found = (*corpus.at_most("chars-60", count - long), *corpus.at_most("chars-200", long))
        self.asked = [(each.text, tuple(VOICES)[place % len(VOICES)]) for place, each in enumerate(found)]
        self._kokoro = kokoro
        self._engines: dict[str, SentencesEngine] = {}

    def segments(self, number: int, first: int) -> list["Audio"]:
        """The segments of a text with their pauses, as the engine joins them."""
        text, voice = self.asked[number]
        synthesizer = Synthesizer(
            [("cpu", self._kokoro)], clock=CLOCK, stages=NoStages(CLOCK), plan=Plan(first=first),
        )  # fmt: skip
        try:
            answer = synthesizer.synthesise(SpeechRequest(text=text, voice=voice))
            return [each.joined(each.audio.result()) for each in answer]
        finally:
            synthesizer.close()

    def audio(self, kind: str, number: int) -> "Audio | None":
        """The audio of a kind: a split, the whole, or a planted fault; None where nothing is left of the text."""
        import numpy as np

        text, own = self.asked[number]
        phonemes = self._kokoro.tokenizer.phonemize(text, "en-us")
        if kind == WHOLE:
            return self._spoken(phonemes, own)
        if kind.startswith(WINDOW):
            engine = self._engines.get(kind) or self._engines.setdefault(kind, self._kokoro.engine(kind.split()[1]))
            return np.concatenate(list(engine.synthesise(SpeechRequest(text=text, voice=own, stream=True))))
        if kind.isdecimal():
            return np.concatenate(self.segments(number, int(kind)))
        segments = self.segments(number, PLANTED_FIRST)
        place = number // len(VOICES) % len(segments)
        if kind == DROPPED:
            segments.pop(place)
        else:
            other = VOICES[own] if kind == OTHER_VOICE else next(each for each in VOICES if each != own)
            segments[place] = self._spoken(split_phonemes(phonemes, Plan(first=PLANTED_FIRST))[place], other)
        return np.concatenate(segments) if segments else None

    def _spoken(self, phonemes: str, voice: str) -> "Audio":
        import numpy as np

        style = np.asarray(self._kokoro.get_voice_style(voice), dtype=np.float32)
        audio, _ = self._kokoro.create(phonemes, style, 1.0, is_phonemes=True, sentence_pause=0.0, clause_pause=0.0)
        return audio


def judged(audios: Mapping[tuple[str, int], "Audio"], texts: Texts) -> Mapping[tuple[str, int], SpeechReading]:
    """A reading of each audio by the tools of a run."""
    import numpy as np

    analyser = SpeechAnalyser(
        root=default_root(), report=print, runtime=prepare(default_root(), report=print), order_timeout_s=600
    )
    with tempfile.TemporaryDirectory() as scratch:
        kept: list[KeptAudio] = []
        for (kind, number), audio in audios.items():
            path = Path(scratch) / f"{len(kept)}.npy"
            np.save(path, audio)
            kept.append(
                KeptAudio(
                    scenario_id=kind, launch=number, path=str(path), sample_rate=RATE, text=texts.asked[number][0],
                    language="en-us",
                )
            )  # fmt: skip
        return {(each.scenario_id, each.launch): each for each in analyser.analyse(kept)}


def call_all(
    audios: Mapping[tuple[str, int], "Audio"], readings: Mapping[tuple[str, int], SpeechReading]
) -> dict[str, Row]:
    """Kind → what its audios were called against the whole texts."""
    rows: dict[str, Row] = {}
    for (kind, number), audio in audios.items():
        if kind == WHOLE:
            continue
        row = rows.setdefault(kind, Row())
        figures = compare(audio, audios[WHOLE, number], RATE, perception=False, joined=True)
        ours, theirs = readings.get((kind, number)), readings.get((WHOLE, number))
        answer = judge_audio(figures, ours, theirs, joined=True)
        row.calls[answer.kind] += 1
        if answer.reason:
            row.reasons.append(f"{kind} {number} {answer.kind}: {answer.reason}")
        if ours is not None and theirs is not None and ours.words is not None and theirs.words is not None:
            more = max(0, ours.words.errors - theirs.words.errors)
            row.words += ours.words.reference
            row.errors += ours.words.errors
            row.beyond += more
            row.texts_beyond += more > 0
            mos = [each.readings["dnsmos_overall"].value for each in (ours, theirs)]
            if mos[0] is not None and mos[1] is not None:
                row.below.append(mos[1] - mos[0])
        spread = figures["pitch_spread"].value
        if spread is not None:
            row.spreads.append(spread)
    return rows


def table(rows: Mapping[str, Row]) -> Iterator[str]:
    """Lines of Markdown."""
    heads = (
        "first", "audios", *SpeechKind, "words in error", "beyond the whole's", "audios with such",
        "DNSMOS below, mean and most", "pitch spread, mean",
    )  # fmt: skip
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for kind, row in rows.items():
        mos = f"{fmean(row.below):.2f}, {max(row.below):.2f}" if row.below else "–"
        spread = f"{fmean(row.spreads):.0%}" if row.spreads else "–"
        counts = [row.calls.total(), *(row.calls[each] for each in SpeechKind)]
        words = [f"{row.errors} of {row.words}", row.beyond, row.texts_beyond]
        yield f"| {' | '.join(map(str, [kind, *counts, *words, mos, spread]))} |"


def _audios(texts: Texts, kinds: Sequence[str], *, count: int) -> Iterator[tuple[tuple[str, int], "Audio"]]:
    for number in range(min(count, len(texts.asked))):
        for kind in (WHOLE, *kinds):
            audio = texts.audio(kind, number)
            if audio is not None:
                yield (kind, number), audio
        print(f"{number + 1} of {len(texts.asked)}", file=sys.stderr)


def main() -> int:
    """Synthesise, judge and print the table. Return 3 if there is no model."""
    from harness.plan.model_catalogue import model_catalogue

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--texts", type=int, default=2, help="texts, by two voices in turn")
    parser.add_argument("--first", default="24,28,32,40,48,180", help="the splits to compare with whole texts")
    parser.add_argument("--window", default="0.5,0.7,1", help="the seconds of the windows to compare with whole texts")
    parser.add_argument("--model", default="kokoro-v1.0-dq-s7", help="the model's name")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "kokoro-bench-joined")
    parser.add_argument("--reasons", action="store_true", help="print why each audio was called what it was")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    try:
        files = model_catalogue().resolve(given.model, report=print)
    except BenchError as error:
        print(f"joined_speech: {error}", file=sys.stderr)
        return 3
    texts = Texts(Remembered(files.model_path, files.voices_path, given.folder), given.texts)
    kinds = (
        *split_list(given.first),
        *(f"{WINDOW}{each} s" for each in split_list(given.window)),
        DROPPED,
        OTHER_VOICE,
        OTHER_SEX,
    )
    audios = dict(_audios(texts, kinds, count=given.texts))
    rows = call_all(audios, judged(audios, texts))
    for row in rows.values() if given.reasons else ():
        print("\n".join(row.reasons), file=sys.stderr)
    for line in table(rows):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
