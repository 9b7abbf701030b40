"""A run of several variants with planted speech: verdicts, transcripts, ratings and sound that are known."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.synthetic_history import SAMPLE_RATE, made_run
from benchmarks.synthetic_run import Made
from harness.core.records.run import RunData
from harness.core.records.scenario import Mode, Scenario
from harness.core.records.speech import EditCounts, SpeechKind, SpeechReading, SpeechSheet, SpeechVerdict
from harness.core.records.value import Reading, known, unknown
from harness.core.records.verdict import Summary
from harness.store.audio import audio_path, write_audio, write_speech

TEXTS = {
    "tiny": "Hello world.",
    "short": "The quick brown fox jumps over the lazy dog, and then it sleeps.",
}
ORIGINAL_RATING = 3.46


def spoken_run(variants: Mapping[str, float], *, night: int = 30) -> RunData:
    """An original and its variants: name → how much its rating lies below the original's (MOS)."""
    names = ("kokoro-v1.0-dq", *variants)
    data = made_run(
        Made(models=names, classes=tuple(TEXTS), modes=(Mode.WHOLE,), launches=2, blocks=6, troubles=False, load=False),
        night,
    )
    original = data.run.scenarios[0].arm.model
    assert original is not None
    ids: dict[str, Scenario] = {}
    for each in data.run.scenarios:
        model = each.arm.model
        assert model is not None
        parent = "" if model.name == names[0] else original.sha256
        ids[each.id] = replace(each, arm=replace(each.arm, model=replace(model, parent=parent)))
    data = replace(data, run=replace(data.run, scenarios=tuple(ids.values())))
    return replace(data, summaries=(*data.summaries, *_ratings(data, variants)))


def _ratings(data: RunData, variants: Mapping[str, float]) -> list[Summary]:
    """The summaries of DNSMOS: the second text's are 0.02 better than the first's, of variants alone."""
    like = next(each for each in data.summaries if each.metric == "latency")
    found = []
    for each in data.run.scenarios:
        name = each.arm.model.name if each.arm.model else ""
        lost = variants.get(name, 0.0) - 0.02 * (each.text_class == "short") * (name in variants)
        found.append(
            replace(
                like, scenario_id=each.id, metric="dnsmos_overall", median=ORIGINAL_RATING - lost, interval=None, n=2
            )
        )
    return found


def reading(scenario: Scenario, *, launch: int = 0, **changes: object) -> SpeechReading:
    """A reading of a scenario, every word right, unless `changes` say otherwise."""
    text = TEXTS.get(scenario.text_class, "Hello world.")
    plain: dict[str, Reading] = {
        "wer": known(0.0),
        "dnsmos_overall": known(3.46),
        "dnsmos_signal": known(3.71),
        "dnsmos_p808": known(4.32),
        "loudness": known(-23.0),
    }
    given = SpeechReading(
        scenario_id=scenario.id,
        launch=launch,
        text=text,
        language="en-us",
        audio_sha256="0" * 64,
        seconds=1.0,
        readings=plain,
        transcript=text,
        words=EditCounts(reference=len(text.split())),
    )
    return replace(given, **changes)  # type: ignore[arg-type]


def tone(level_lufs: float) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    """A second of 997 Hz, at which a sine of amplitude A has 20·log10(A) − 3.01 + 0 LUFS: BS.1770's reference."""
    amplitude = 10 ** ((level_lufs + 3.01) / 20)
    return (amplitude * np.sin(2 * np.pi * 997 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)).astype(np.float32)


def plant(
    data: RunData, folder: Path, *, levels: Mapping[str, float], readings: Sequence[SpeechReading] = (),
    verdicts: Sequence[SpeechVerdict] = (),
) -> SpeechSheet:  # fmt: skip
    """Write sound of known loudness (by model) for every scenario, and the sheet beside it."""
    given = {each.scenario_id: each for each in readings}
    found = []
    for each in data.run.scenarios:
        level = levels.get(each.arm.model.name if each.arm.model else "", -23.0)
        write_audio(audio_path(folder, data.run.id, scenario_id=each.id, launch=0), tone(level), SAMPLE_RATE)
        own = given.get(each.id) or reading(each)
        if own.readings.get("loudness", unknown("")).value is not None:
            own = replace(own, readings={**own.readings, "loudness": known(level)})
        found.append(own)
    sheet = SpeechSheet(readings=tuple(found), verdicts=tuple(verdicts))
    write_speech(folder, data.run.id, sheet)
    return sheet


def verdict(scenario: Scenario, kind: SpeechKind, reason: str = "") -> SpeechVerdict:
    """A speech verdict against the original."""
    return SpeechVerdict(scenario_id=scenario.id, reference="the original", kind=kind, reason=reason)
