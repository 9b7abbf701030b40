"""A run with a public 8-bit model and the original dequantised from it, as a user sees it.

`scripted-dq` stands for that original: the file that it was made from, `scripted-int8`, is what it is the original of.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.engines.scripted import ScriptedEngine
from harness.engines.speech import SpeechRequest
from tests.conftest import Command
from tests.known_answers.test_other_side import figures, rows

INT8, DQ = "scripted-int8.cpu.tdefault", "scripted-dq.cpu.tdefault"
RUN = ("run", "--engine", "scripted", "-k", "text_lengths", "--text", "chars-12", "--launches", "2", "--blocks", "3")


@pytest.fixture
def noise(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    """Standard deviation of the noise that the 8-bit model adds to its audio."""
    whole = ScriptedEngine.synthesise
    level = {"level": 0.0001}

    def synthesise(self: ScriptedEngine, request: SpeechRequest) -> Iterator[NDArray[np.float32]]:
        for chunk in whole(self, request):
            if self._factor == 0.8:
                noise = np.random.default_rng(3).standard_normal(len(chunk))
                yield (chunk + level["level"] * noise).astype(np.float32)
            else:
                yield chunk

    monkeypatch.setattr(ScriptedEngine, "synthesise", synthesise)
    return level


@pytest.mark.parametrize("models", ["scripted-dq,scripted-int8", "scripted-int8,scripted-dq"])
def test_the_8_bit_model_is_compared_with_its_dequantised_original(
    here: Command, noise: dict[str, float], models: str
) -> None:
    found = here(*RUN, "--model", models)
    assert found.returncode == 0, found.stdout + found.stderr
    head = next(line for line in found.stdout.splitlines() if line.startswith("Side by side"))
    assert f"* against {DQ}" in head
    table = rows(found.stdout[found.stdout.index(head) :])
    assert "0.00 dB (itself)" in " ".join(table[DQ])
    assert "(against" not in " ".join(table[INT8])
    assert "no known original" not in found.stdout
    told = figures(here)
    assert told[INT8]["mcd"]["median"] > 0
    assert told[INT8]["mcd"]["n"] == 2
    assert told[INT8]["mcd_itself"]["n"] == 0
    assert (told[DQ]["mcd"]["n"], told[DQ]["mcd_itself"]["median"]) == (0, 0.0)
    recommended = here("recommend", "--engine", "scripted", "--for", "throughput")
    assert recommended.returncode == 0, recommended.stderr
    assert f"{INT8}; the second best, {DQ}, is" in recommended.stdout


def test_an_8_bit_model_that_sounds_wrong_is_a_failure_with_its_original_in_the_run(
    here: Command, noise: dict[str, float]
) -> None:
    noise["level"] = 0.1
    found = here(*RUN, "--model", "scripted-int8,scripted-dq")
    assert found.returncode == 3, found.stdout + found.stderr
    table = rows(found.stdout[found.stdout.index("Side by side") :])
    assert "wrong: " in " ".join(table[INT8])
    assert "wrong: " not in " ".join(table[DQ])


def test_alone_the_8_bit_model_is_compared_with_nothing(here: Command) -> None:
    here(*RUN, "--model", "scripted-int8")
    assert figures(here)[INT8]["mcd"]["reason"] == "the run has nothing else with this text to compare it with"


def test_the_pages_name_the_original_and_where_it_comes_from(here: Command, tmp_path: Path) -> None:
    here(*RUN, "--model", "scripted-int8,scripted-dq", "--report", "pages")
    pages = "".join(page.read_text(encoding="utf-8") for page in (tmp_path / "pages").rglob("*.html"))
    assert "dequantised" in pages
