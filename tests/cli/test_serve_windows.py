"""`serve --window`: what a client hears of a served replica, and when."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree

import httpx
import numpy as np
import onnx
import pytest

from harness.core.cache_root import ROOT_VARIABLE
from harness.core.errors import ExitCode
from harness.engines.pooled.windows.halves import halves_of
from harness.models.files import ModelFiles
from tests import forking
from tests.conftest import Command

TEXT = "The council met in the old hall, and after two hours of talk it agreed to build the bridge before the winter."
Served = Callable[..., tuple[str, forking.Started]]


@pytest.fixture
def serve(tmp_path: Path, user_environment: dict[str, str]) -> Iterator[Served]:
    processes = []

    def start(*options: str, model: str = "replica-small") -> tuple[str, forking.Started]:
        process = forking.Started(
            *("serve", "--model", model, "--port", "0", "--threads", "1", "--cache", "0", "--no-warm-up", *options),
            cwd=tmp_path, env=user_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout is not None
        address = process.stdout.readline().split(" at ")[1].strip()
        assert process.stdout.readline().startswith("segments are planned for")
        return address, process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def heard(address: str, *, speed: float = 1.0) -> np.ndarray:
    """The audio of an answer, int16."""
    body = {"input": TEXT, "voice": "af_heart", "response_format": "pcm", "stream": True, "speed": speed}
    answer = httpx.post(f"{address}/v1/audio/speech", json=body, timeout=120)
    assert answer.status_code == 200
    return np.frombuffer(answer.content, dtype="<i2")


def jobs(address: str) -> int:
    """How many segments or windows the one session has made."""
    (session,) = httpx.get(f"{address}/status").json()["sessions"]
    count: int = session["jobs"]
    return count


@pytest.mark.parametrize("speed", [1.0, 1.5])
def test_a_segment_in_windows_is_the_same_speech(serve: Served, speed: float) -> None:
    # A text of one segment, so that both have the same prosody.
    windows, _ = serve("--window", "0.7", "--first", "180", "--planned-rtf", "0.4")
    whole, _ = serve("--window", "0", "--first", "180")
    one, other = heard(windows, speed=speed), heard(whole, speed=speed)
    assert (jobs(windows) > 2, jobs(whole)) == (True, 1)
    assert len(one) / len(other) == pytest.approx(1, abs=0.08), "all but what stands before the first phoneme"
    part = one[10_000:40_000].astype(float)
    size = len(other) + len(part)
    place = int(np.fft.irfft(np.fft.rfft(other.astype(float), size) * np.conj(np.fft.rfft(part, size))).argmax())
    # The source's noise is drawn anew for each answer.
    assert np.corrcoef(part, other[place : place + len(part)])[0, 1] > 0.8


def test_auto_is_the_default_and_whole_segments_are_an_option(serve: Served) -> None:
    options = [httpx.get(f"{serve(*given)[0]}/status").json()["options"] for given in ((), ("--window", "0"))]
    assert [each["window"] for each in options] == ["0.7", "0"]
    assert [each["first"] for each in options] == ["110", "48"]


def test_session_options_for_the_engine_hold_unless_the_server_has_its_own(serve: Served) -> None:
    given = ("--session-options", "sessions=2,window=0.9,planned_rtf=0.4,warm_up=off")
    addresses = [serve(*given)[0], serve(*given, "--window", "0", "--sessions", "1", "--planned-rtf", "0.3")[0]]
    options = [httpx.get(f"{each}/status").json()["options"] for each in addresses]
    assert [each["sessions"] for each in options] == ["cpu:1+cpu:1", "cpu:1"]
    assert [(each["window"], each["planned_rtf"]) for each in options] == [("0.9", "0.4"), ("0", "0.3")]


@pytest.fixture(scope="module")
def made_before(small_replica: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the halves of the replica, which `serve` finds by the digest of the model."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ROOT_VARIABLE, str(root))
        halves_of(small_replica.model_path, small_replica.variant.sha256)
    return root / "windows"


@pytest.fixture
def kept(made_before: Path, user_environment: dict[str, str], tmp_path: Path) -> Path:
    """The folder of those halves in a cache of its own, which `serve` uses."""
    user_environment[ROOT_VARIABLE] = str(tmp_path / "cache")
    copytree(made_before, tmp_path / "cache" / "windows")
    (folder,) = (tmp_path / "cache" / "windows").iterdir()
    return folder


@pytest.mark.parametrize(("half", "left"), [("features.onnx", None), ("features.onnx", 5_000), ("sound.onnx", 0)])
def test_a_half_that_was_removed_or_cut_short_is_made_again(
    serve: Served, small_replica: ModelFiles, kept: Path, half: str, left: int | None
) -> None:
    damaged = kept / half
    size = damaged.stat().st_size
    if left is None:
        damaged.unlink()
    else:
        os.truncate(damaged, left)
    address, _ = serve("--voices", str(small_replica.voices_path), model=str(small_replica.model_path))
    assert len(heard(address))
    assert httpx.get(f"{address}/status").json()["options"]["window"] == "0.7"
    assert damaged.stat().st_size == size


def test_halves_in_a_folder_that_cannot_be_written_are_used(
    serve: Served, small_replica: ModelFiles, kept: Path
) -> None:
    (kept / "lock").unlink()
    (kept / "lock").mkdir()
    address, _ = serve("--voices", str(small_replica.voices_path), model=str(small_replica.model_path))
    status = httpx.get(f"{address}/status").json()
    assert (status["options"]["window"], status["fallbacks"]) == ("0.7", [])
    assert [each.name for each in kept.parent.iterdir()] == [kept.name]


@pytest.fixture
def other_model(small_replica: ModelFiles, tmp_path: Path) -> str:
    """The replica with another harmonic source, which no cut is known for."""
    model = onnx.load(small_replica.model_path)
    for node in model.graph.node:
        if node.op_type == "Atan":
            node.op_type = "Sin"
    onnx.save(model, tmp_path / "other.onnx")
    return str(tmp_path / "other.onnx")


def test_a_model_that_cannot_be_cut_is_decoded_whole_and_the_server_says_so(
    serve: Served, other_model: str, small_replica: ModelFiles
) -> None:
    address, process = serve("--voices", str(small_replica.voices_path), model=other_model)
    assert process.stderr is not None
    assert process.stderr.readline() == (
        "kokoro-bench: warning: this model cannot be decoded in windows: it has no harmonic source of a known form; "
        "the decoding of whole segments is used instead\n"
    )
    status = httpx.get(f"{address}/status").json()
    assert (status["options"]["window"], status["options"]["first"]) == ("0", "48")
    assert [each["asked"] for each in status["fallbacks"]] == ["window 0.7"]
    assert len(heard(address))


def test_a_window_that_was_asked_for_and_cannot_be_is_refused(
    here: Command, other_model: str, small_replica: ModelFiles
) -> None:
    model = ("--model", other_model, "--voices", str(small_replica.voices_path), "--port", "0")
    found = here("serve", *model, "--window", "1")
    assert found.returncode == ExitCode.USAGE
    assert (
        "cannot serve: this model cannot be decoded in windows: it has no harmonic source of a known form"
        in found.stderr
    )


@pytest.mark.parametrize("window", ["0.3", "6", "soon", "-1"])
def test_a_window_out_of_range_is_refused_before_anything_is_loaded(here: Command, window: str) -> None:
    found = here("serve", "--model", "replica-small", "--window", window, "--port", "0")
    assert found.returncode == ExitCode.USAGE
    assert "window" in found.stderr
