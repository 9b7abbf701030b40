"""The figures of the engine `sherpa-onnx` through the command, against a stand-in for the package in a runtime.

The stand-in speaks a known number of frames for a phoneme, and writes down when it began and ended each sentence, on
the clock by which the worker stamps. No figure is held against a time limit: what the engine reports must contain what
its runtime did.
"""

import csv
import io
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

import pytest
from kokoro_onnx.tokenizer import Tokenizer

from harness.metrics.registry import METRICS
from tests import forking
from tests.engine_packages import add_wheel, environment_in, write_index

FRAMES = 900
"""Of a phoneme."""
RATE = 24_000
FIRST, SECOND = "The bell rings twice.", "Nobody hears it before the morning comes."
MODULE = f"""
import json
import math
import os
import time

__version__ = "2.0.1"

class _Given:
    def __init__(self, **given):
        vars(self).update(given)

OfflineTtsConfig = OfflineTtsModelConfig = OfflineTtsKokoroModelConfig = _Given

class GenerationConfig:
    pass

class OfflineTts:
    def __init__(self, configuration):
        time.sleep(0.05)

    def generate(self, text, given):
        began = time.monotonic_ns()
        phonemes = sum(map(len, given.phoneme_codepoints))
        tone = [0.2 * math.sin(0.1 * each) for each in range({FRAMES} * phonemes)]
        time.sleep(0.02)
        with open(os.environ["SHERPA_LOG"], "a") as log:
            counts = {{"sentences": len(given.phoneme_codepoints), "phonemes": phonemes}}
            log.write(json.dumps({{"began": began, "ended": time.monotonic_ns(), **counts}}) + "\\n")
        return _Given(samples=tone)
"""


Entry = Mapping[str, int]


@dataclass(frozen=True)
class Spoken:
    """What a run stored and printed. `requests`: each repetition with what the stand-in did for it."""

    requests: tuple[tuple[Mapping[str, str], tuple[Entry, ...]], ...]
    printed: str
    packages: Mapping[str, str]

    def of(self, mode: str) -> list[tuple[Mapping[str, str], tuple[Entry, ...]]]:
        """The requests of a mode, warm-ups included: they are stamped as the others are."""
        return [each for each in self.requests if f"/{mode}/" in each[0]["scenario"]]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Spoken:
    """A run of the stand-in, whole and streamed."""
    root = tmp_path_factory.mktemp("sherpa")
    write_index(root, "kokoro-onnx", "onnxruntime")
    add_wheel(root, name="sherpa-onnx", released="2.0.1", module=MODULE)
    shutil.copytree(model_cache, root / "cache", ignore=shutil.ignore_patterns("locks"))
    environment = {**environment_in(root), "SHERPA_LOG": str(root / "log")}

    def command(*arguments: str) -> str:
        ran = forking.run(*arguments, cwd=root, env=environment)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    printed = command(
        "run", "--full", "-k", "test_text_lengths and (test_whole or test_streamed)", "--engine", "sherpa-onnx",
        "--runtime", "sherpa-onnx==2.0.1", "--model", "replica-small", "--say", f"{FIRST} {SECOND}",
        "--launches", "1", "--blocks", "2", "--precision", "0",
    )  # fmt: skip
    rows = csv.DictReader(io.StringIO(command("runs", "export", "latest", "--format", "csv")))
    exported = map(json.loads, command("runs", "export", "latest", "--format", "jsonl").splitlines())
    (launch,) = [line["record"] for line in exported if line["kind"] == "launch"]
    ordered = sorted(rows, key=lambda row: float(row["started_at"]))
    log = [json.loads(line) for line in (root / "log").read_text(encoding="utf-8").splitlines()]
    # The first inference of a start is no repetition.
    assert len(log) == 1 + sum(int(row["chunks"]) for row in ordered)
    entries = iter(log[1:])
    requests = tuple((row, tuple(islice(entries, int(row["chunks"])))) for row in ordered)
    return Spoken(requests=requests, printed=printed, packages=dict(launch["facts"]["packages"]))


@pytest.fixture(scope="module")
def phonemes() -> tuple[int, ...]:
    """How many phonemes each of the two sentences has."""
    return tuple(len(Tokenizer().phonemize(each, "en-us")) for each in (FIRST, SECOND))


def seconds(entry: Entry) -> float:
    return (entry["ended"] - entry["began"]) / 1e9


@pytest.mark.parametrize("mode", ["whole", "stream"])
def test_audio_is_as_long_as_the_phonemes_and_rtf_is_per_second_of_it(
    spoken: Spoken, phonemes: tuple[int, ...], mode: str
) -> None:
    assert len(spoken.of(mode)) == 3
    for row, entries in spoken.of(mode):
        assert int(row["frames"]) == FRAMES * sum(phonemes)
        assert sum(entry["phonemes"] for entry in entries) == sum(phonemes)
        long_s = FRAMES * sum(phonemes) / RATE
        assert float(row["rtf"]) == pytest.approx(float(row["latency"]) / long_s)
        inference = float(row["stage_share_inference"]) * float(row["latency"])
        assert float(row["rtf_model"]) == pytest.approx(inference / long_s)


@pytest.mark.parametrize("mode", ["whole", "stream"])
def test_inference_and_latency_contain_what_the_runtime_did(spoken: Spoken, mode: str) -> None:
    for row, entries in spoken.of(mode):
        inference = float(row["stage_share_inference"]) * float(row["latency"])
        assert sum(map(seconds, entries)) <= inference <= float(row["latency"])


def test_a_whole_text_is_one_chunk_of_both_sentences(spoken: Spoken) -> None:
    for row, entries in spoken.of("whole"):
        assert row["chunks"] == "1"
        assert [entry["sentences"] for entry in entries] == [2]


def test_of_a_stream_the_first_chunk_comes_before_the_second_sentence(spoken: Spoken) -> None:
    for row, (first, second) in spoken.of("stream"):
        assert (first["sentences"], second["sentences"]) == (1, 1)
        first_chunk = float(row["ttfc"])
        assert seconds(first) <= first_chunk <= float(row["latency"]) - seconds(second)


@pytest.mark.parametrize("metric", ["latency", "rtf"])
def test_the_table_shows_the_median_of_the_measured_repetitions(spoken: Spoken, metric: str) -> None:
    measured = [float(row[metric]) for row, _ in spoken.of("whole") if row["phase"] == "measured"]
    (line,) = [line for line in spoken.printed.splitlines() if "/whole/custom-" in line]
    assert METRICS[metric].format(median(measured)) in re.split(r"  +", line.strip())
    assert line.split()[0].startswith("replica-small.sherpa-onnx.cpu.tdefault.sherpa-onnx==2.0.1/")


def test_what_was_measured_is_named_with_its_version(spoken: Spoken) -> None:
    assert spoken.packages["sherpa-onnx"] == "2.0.1"
