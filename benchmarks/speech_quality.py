"""Calibrates the verdict on speech: what it calls unchanged speech and speech with planted faults.

    python -m benchmarks.speech_quality [--count 10] [--begin 0] [--folder PLACE] [--no-judge]

`--count` is the number of audios of the original, from number `--begin` on; each fault is planted in every second one.
Audio, readings and facts are kept in the folder, so a later call continues with a larger count. As in a run, phonemes
and weights that differ are facts, which need no audio; the judging tools read only what neither a fact nor the sound
decides, and with `--no-judge` nothing.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scipy.stats import binomtest

from benchmarks.speech_faults import AUDIOS, DERIVED, ORIGINAL, PHONEMES, RATE, SYNTHESISED, ZEROED, Synthesis, text_of
from harness.analysis.speech_rule import Answer, judge_audio, worst_of
from harness.core.cache_root import default_root
from harness.core.errors import BenchError
from harness.core.records.speech import EditCounts, SpeechKind, SpeechReading
from harness.core.records.value import known, unknown
from harness.measure.speech.process import JudgeProcess
from harness.measure.speech.protocol import JudgeOrder, write_line
from harness.measure.speech.runtime import JudgeRuntime, prepare
from harness.metrics.audio.similarity import compare

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TIMEOUT_S = 600.0
UNCHANGED = ("reloaded", "dither", "16 bits", "1 % faster")
VARIANT = "dequantised"
WRONG_VOICE = "wrong voice"
MUST_BREAK = (WRONG_VOICE, "phonemes dropped", "second half cut", "sentences swapped", "overflow")
BRITISH = "British phonemes"
MUST_DIFFER = ("half speed", BRITISH, ZEROED)
KINDS = (*UNCHANGED, VARIANT, *MUST_BREAK, *MUST_DIFFER)
SYNTHESISED_EVERY = {"reloaded": 10, "1 % faster": 10}
"""Kind → of every how many audios one is made; of the others, of every second. A reloaded model repeats each bit."""
WITH_FACTS = (*PHONEMES, ZEROED)
"""Kinds that a run knows something of without listening."""


@dataclass(slots=True)
class Row:
    """What the audios of a kind were called."""

    calls: Counter[SpeechKind] = field(default_factory=Counter)
    by_sound: Counter[SpeechKind] = field(default_factory=Counter)
    facts: int = 0
    judged: int = 0


class Store:
    """Audio, readings and facts on disk, by kind and number."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.readings = {_key(line): _reading(line) for line in self._lines("readings")}
        self.facts = {_key(line): _fact(line) for line in self._lines("facts")}

    def audio(self, kind: str, number: int) -> "NDArray[np.float32] | None":
        """The audio of a kind, None if it was not synthesised."""
        import numpy as np

        if kind == WRONG_VOICE:
            return self.audio(ORIGINAL, number ^ 1)
        if kind in DERIVED:
            original = self.audio(ORIGINAL, number)
            return None if original is None else DERIVED[kind](original, number)
        path = self.path(kind, number)
        return np.load(path) if path.exists() else None

    def path(self, kind: str, number: int) -> Path:
        return self.folder / "audio" / kind.replace(" ", "-").replace("%", "percent") / f"{number}.npy"

    def reading(self, kind: str, number: int) -> SpeechReading | None:
        """What the judge found. A wrong voice is the original of another number, which speaks the same text."""
        return self.readings.get((ORIGINAL, number ^ 1) if kind == WRONG_VOICE else (kind, number))

    def keep(self, line: Mapping[str, Any]) -> None:
        """Store one reading."""
        self.readings[_key(line)] = _reading(line)
        self._append("readings", line)

    def keep_fact(self, line: Mapping[str, Any]) -> None:
        """Store one fact, or that there is none."""
        self.facts[_key(line)] = _fact(line)
        self._append("facts", line)

    def _lines(self, name: str) -> list[dict[str, Any]]:
        file = self.folder / f"{name}.jsonl"
        return [*map(json.loads, file.read_text(encoding="utf-8").splitlines())] if file.exists() else []

    def _append(self, name: str, line: Mapping[str, Any]) -> None:
        with (self.folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def by_sound(self, kind: str, number: int) -> Answer | None:
        """What an audio is called by its sound alone; None without it."""
        audio, original = self.audio(kind, number), self.audio(ORIGINAL, number)
        if audio is None or original is None:
            return None
        return judge_audio(compare(audio, original, RATE, perception=False), None, None)


def numbers_of(kind: str, originals: range) -> range:
    """The audios of a kind: what needs no synthesis of its own is made of every original."""
    every = 1 if kind in (ORIGINAL, WRONG_VOICE, *DERIVED) else SYNTHESISED_EVERY.get(kind, 2)
    return originals[::every]


def plan(originals: range) -> Iterator[tuple[str, int]]:
    """Everything to synthesise: the originals, of which the most is made, and the rest of ten of them at a time.

    So a stopped calibration has some of each kind.
    """
    for number in originals:
        yield ORIGINAL, number
    for begin in originals[::10]:
        for kind in SYNTHESISED:
            if kind == ORIGINAL:
                continue
            for number in numbers_of(kind, originals):
                if begin <= number < begin + 10:
                    yield kind, number


def synthesise(store: Store, by: Synthesis, originals: range) -> None:
    """Make what the store lacks."""
    import numpy as np

    for kind, number in plan(originals):
        path = store.path(kind, number)
        if path.exists() or (kind == VARIANT and VARIANT not in by.models):
            continue
        if kind == BRITISH or (kind == ZEROED and store.facts.get((kind, number))):
            continue  # a fact decides, or both speak alike
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, by.say(kind, number))
        print(f"{kind} {number}", file=sys.stderr)


def find_facts(store: Store, by: Synthesis, originals: range) -> None:
    """Find what the store lacks of what a run knows without listening."""
    store.folder.mkdir(parents=True, exist_ok=True)
    for kind in WITH_FACTS:
        for number in numbers_of(kind, originals):
            if (kind, number) not in store.facts:
                store.keep_fact({"kind": kind, "number": number, **by.fact(kind, number)})


def judge(store: Store, runtime: JudgeRuntime, originals: range) -> None:
    """Read what the sound does not decide, and the originals of that, in a judging process."""
    import numpy as np

    with tempfile.TemporaryDirectory() as scratch:
        process = JudgeProcess(runtime.python, words=True)
        try:
            for kind, number in _undecided(store, originals):
                audio = store.audio(kind, number)
                if audio is None or (kind, number) in store.readings:
                    continue
                path = Path(scratch) / "audio.npy"
                np.save(path, audio)
                order = JudgeOrder(audio_path=str(path), sample_rate=RATE, text=text_of(number), words=True)
                found = process.judge(order, timeout_s=TIMEOUT_S)
                store.keep({"kind": kind, "number": number, "judge": runtime.judge, **json.loads(write_line(found))})
        finally:
            process.close()


def _undecided(store: Store, originals: range) -> Iterator[tuple[str, int]]:
    for kind in KINDS:
        for number in numbers_of(kind, originals):
            found = store.by_sound(kind, number)
            if found is None or found.kind in (SpeechKind.BROKEN, SpeechKind.EQUIVALENT):
                continue
            yield ORIGINAL, number
            yield (ORIGINAL, number ^ 1) if kind == WRONG_VOICE else (kind, number)


def call_all(store: Store, originals: range) -> dict[str, Row]:
    """Kind → what its audios were called, with the judge's readings and without."""
    rows: dict[str, Row] = {}
    for kind in KINDS:
        for number in numbers_of(kind, originals):
            audio, original = store.audio(kind, number), store.audio(ORIGINAL, number)
            fact = store.facts.get((kind, number))
            answers = [] if fact is None else [fact]
            row = rows.setdefault(kind, Row())
            if audio is not None and original is not None:
                figures = compare(audio, original, RATE, perception=False)
                ours, theirs = store.reading(kind, number), store.reading(ORIGINAL, number)
                answers.append(judge_audio(figures, ours, theirs))
                row.by_sound[judge_audio(figures, None, None).kind] += 1
                row.judged += ours is not None and theirs is not None
            if answers and (audio is not None or kind in MUST_DIFFER):
                row.calls[worst_of(dict(enumerate(answers))).kind] += 1
                row.facts += fact is not None
    return rows


def table(rows: Mapping[str, Row]) -> Iterator[str]:
    """Lines of Markdown."""
    heads = ("speech", "n", "facts", "compared", "judged", *SpeechKind, "demanded", "found", "broken by sound alone")
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for kind, row in rows.items():
        calls = row.calls
        cells = [str(calls[each]) for each in SpeechKind]
        demanded, caught = _demand(kind, row)
        found = f"{caught} of {calls.total()} ({interval(caught, calls.total())})"
        counts = [str(each) for each in (calls.total(), row.facts, row.by_sound.total(), row.judged)]
        yield f"| {' | '.join([kind, *counts, *cells, demanded, found, str(row.by_sound[SpeechKind.BROKEN])])} |"


def _demand(kind: str, row: Row) -> tuple[str, int]:
    """What is demanded of a kind, and how many audios were called so."""
    broken = row.calls[SpeechKind.BROKEN]
    if kind in MUST_BREAK:
        return "95 % broken", broken
    if kind in MUST_DIFFER:
        return "95 % different or broken", broken + row.calls[SpeechKind.DIFFERENT]
    return "at most 1 % broken", broken


def interval(successes: int, total: int) -> str:
    """The 95 % interval of a share by Wilson's method."""
    if not total:
        return "no interval"
    found = binomtest(successes, total).proportion_ci(method="wilson")
    return f"{found.low:.0%} to {found.high:.0%}"


def _key(line: Mapping[str, Any]) -> tuple[str, int]:
    return line["kind"], line["number"]


def _reading(line: Mapping[str, Any]) -> SpeechReading:
    readings = {
        name: known(each["value"]) if each["value"] is not None else unknown(each["reason"])
        for name, each in line["readings"].items()
    }
    return SpeechReading(
        scenario_id=line["kind"],
        launch=0,
        text=text_of(line["number"]),
        language="en-us",
        audio_sha256="",
        seconds=0.0,
        readings=readings,
        transcript=line["transcript"],
        words=EditCounts(**line["words"]) if line["words"] else None,
        judge=line["judge"],
    )


def _fact(line: Mapping[str, Any]) -> Answer | None:
    return Answer(kind=SpeechKind(line["fact"]), reason=line["reason"]) if line["fact"] else None


def _models(given: argparse.Namespace) -> tuple[dict[str, Path], Path]:
    """The files: as given, or from the cache and its sources."""
    from harness.plan.model_catalogue import model_catalogue

    if given.model and given.voices:
        models, voices = {ORIGINAL: given.model}, given.voices
    else:
        files = model_catalogue().resolve("kokoro-v1.0-int8", report=print)
        models, voices = {ORIGINAL: files.model_path}, files.voices_path
    if given.dequantised:
        models[VARIANT] = given.dequantised
    return models, voices


def head(models: Mapping[str, Path], options: str, judged: str) -> Iterator[str]:
    """What was measured, with what and when."""
    import onnxruntime

    yield f"Made on {datetime.now(UTC):%Y-%m-%d} by `python -m benchmarks.speech_quality {options}`"
    yield f"with ONNX Runtime {onnxruntime.__version__}; judge: {judged}."
    for name, path in models.items():
        yield f"{name.capitalize()}: SHA-256 `{hashlib.sha256(path.read_bytes()).hexdigest()}`."


def main() -> int:
    """Synthesise, judge and print the table. Return 3 if there is no model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=10, help="audios of the original")
    parser.add_argument("--begin", type=int, default=0, help=f"their first number, of {AUDIOS}: a multiple of 10")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "kokoro-bench-calibration")
    parser.add_argument("--no-judge", action="store_true", help="call all by their sound alone")
    parser.add_argument("--model", type=Path, help="the original's file (default: kokoro-v1.0-int8)")
    parser.add_argument("--voices", type=Path, help="its voices file")
    parser.add_argument("--dequantised", type=Path, help="a variant's file, whose speech must not be called broken")
    parser.add_argument("--table-only", action="store_true", help="synthesise and judge nothing")
    given = parser.parse_args()
    originals = range(given.begin, given.begin + given.count)
    if given.begin % 10 or not 0 <= given.begin < originals.stop <= AUDIOS:
        parser.error(f"--begin is a multiple of 10, and --begin + --count at most {AUDIOS}")
    store = Store(given.folder)
    try:
        models, voices = _models(given)
    except BenchError as error:
        print(f"speech_quality: {error}", file=sys.stderr)
        return 3
    if not given.table_only:
        with tempfile.TemporaryDirectory() as scratch:
            by = Synthesis(models, voices, Path(scratch))
            find_facts(store, by, originals)
            synthesise(store, by, originals)
        if not given.no_judge:
            judge(store, prepare(default_root(), report=print), originals)
    judged = "; ".join(sorted({each.judge for each in store.readings.values()})) or "none, by the sound alone"
    options = f"--begin {given.begin} --count {given.count}{' --table-only' if given.table_only else ''}"
    for line in (*head(models, options, judged), "", *table(call_all(store, originals))):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
