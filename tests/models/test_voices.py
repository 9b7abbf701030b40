"""What a voices file holds, and what of it the installed kokoro-onnx speaks with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.core.errors import ModelError
from harness.models.files import ModelFiles
from harness.models.voices import check_voice, describe_voices, read_voices

Make = Callable[..., Path]


def test_the_voices_of_a_file(tmp_path: Path, voices_file: Make) -> None:
    assert read_voices(voices_file(tmp_path / "v.bin", "bf_emma", "af_heart")) == ("af_heart", "bf_emma")


NO_STYLE = "a row of it is no style of the model, which is [1, 256]"
SHAPES: dict[str, tuple[tuple[int, ...], str, str, str]] = {
    "usual": ((510, 1, 256), "float32", "", ""),
    "a-row-more": ((511, 1, 256), "float32", "", "uses its first 510 rows"),
    "few-rows": ((100, 1, 256), "float32", "", "uses its last row for all texts of more than 100 phonemes"),
    "double": ((511, 1, 256), "float64", "", "casts it to the model's type and uses its first 510 rows"),
    "half": ((510, 1, 256), "float16", "", "casts it to the model's type"),
    "whole-numbers": ((510, 1, 256), "int8", "", "casts it to the model's type"),
    "big-endian": ((510, 1, 256), ">f4", "", "casts it to the model's type"),
    "no-middle-axis": ((510, 256), "float32", "without the middle axis a row is no style of the model", ""),
    "an-axis-more": ((510, 1, 1, 256), "float32", NO_STYLE, ""),
    "two-styles-a-row": ((510, 2, 256), "float32", NO_STYLE, ""),
    "half-a-style": ((510, 1, 128), "float32", NO_STYLE, ""),
    "no-row": ((0, 1, 256), "float32", "it has no row", ""),
    "one-number": ((), "float32", NO_STYLE, ""),
    "text": ((510, 1, 256), "U3", "its values are no real numbers", ""),
}
"""What is in the file, why it cannot be spoken with, and what is unusual about it."""


def saved(path: Path, **arrays: Any) -> Path:
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return path


@pytest.fixture(scope="module")
def session(small_replica: ModelFiles) -> Any:
    """The small replica in ONNX Runtime."""
    import onnxruntime

    return onnxruntime.InferenceSession(small_replica.model_path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("case", SHAPES)
def test_what_kokoro_onnx_speaks_with_is_taken_and_nothing_else(tmp_path: Path, session: Any, case: str) -> None:
    from kokoro_onnx import Kokoro

    shape, dtype, refused, unusual = SHAPES[case]
    path = saved(tmp_path / "v.npz", af_heart=np.zeros(shape, dtype=dtype))
    kokoro = Kokoro.from_session(session, str(path))
    try:
        audio, _ = kokoro.create("halo.", "af_heart", is_phonemes=True)
        speaks = len(audio) > 0
    except Exception:  # noqa: BLE001 - of ONNX Runtime's own kind
        speaks = False
    finally:
        kokoro.voices.close()
    assert speaks is not bool(refused)
    if speaks:
        notes = check_voice(path, "af_heart")
        assert len(notes) == bool(unusual)
        assert all(note.startswith("v.npz: voice af_heart is ") and unusual in note for note in notes)
        assert describe_voices(path).startswith("1 voices")
        return
    for look in (lambda: check_voice(path, "af_heart"), lambda: read_voices(path)):
        with pytest.raises(ModelError) as caught:
            look()
        assert caught.value.what.startswith("voice af_heart is ")
        assert refused in caught.value.what


def test_a_shape_without_its_middle_axis_has_a_remedy(tmp_path: Path) -> None:
    path = saved(tmp_path / "v.npz", af_heart=np.zeros((510, 256), dtype=np.float32))
    with pytest.raises(ModelError, match=r"float32 \[510, 256\]: .* — .*; save voice\[:, None, :\]"):
        check_voice(path, "af_heart")


def test_a_voice_that_nobody_asks_for_costs_nothing(tmp_path: Path) -> None:
    good, bad = np.zeros((510, 1, 256), dtype=np.float32), np.zeros((510, 256), dtype=np.float32)
    path = saved(tmp_path / "v.npz", af_heart=good, am_adam=bad, version=np.array(["1.0"]))
    assert read_voices(path) == ("af_heart",)
    assert check_voice(path, "af_heart") == ()
    said = describe_voices(path)
    assert said.startswith("1 voices; not am_adam (float32 [510, 256]): without the middle axis")
    with pytest.raises(ModelError, match="voice am_adam is float32"):
        check_voice(path, "af_heart+am_adam")


def test_each_voice_of_a_blend_is_there(tmp_path: Path, voices_file: Make) -> None:
    path = voices_file(tmp_path / "v.bin", "af_heart", "bf_emma")
    assert check_voice(path, "bf_emma+af_heart") == ()
    with pytest.raises(ModelError, match="no voice 'af_hart' — did you mean 'af_heart'"):
        check_voice(path, "bf_emma+af_hart")


@pytest.mark.parametrize("cut", [None, 0, 1000])
def test_what_is_no_archive_holds_no_voices(tmp_path: Path, voices_file: Make, cut: int | None) -> None:
    path = tmp_path / "v.bin"
    if cut is None:
        np.save(tmp_path / "v.npy", np.zeros((510, 1, 256), dtype=np.float32))
        path = tmp_path / "v.npy"
    else:
        path.write_bytes(voices_file(path).read_bytes()[:cut])
    with pytest.raises(ModelError, match=r"is not a voices file: .* — a voices file is an npz archive"):
        read_voices(path)


def test_an_archive_of_something_else_holds_no_voices(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "v.bin", "w") as archive:
        archive.writestr("readme.txt", "no arrays here")
    with pytest.raises(ModelError, match="is not a voices file"):
        read_voices(tmp_path / "v.bin")


def test_an_empty_archive_holds_no_voice(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz")
    with pytest.raises(ModelError, match="holds no voice"):
        read_voices(tmp_path / "v.npz")


def test_a_missing_voices_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such voices file — give the file's path with --voices FILE"):
        read_voices(tmp_path / "v.bin")


def test_an_unknown_voice_has_a_nearest(tmp_path: Path, voices_file: Make) -> None:
    path = voices_file(tmp_path / "v.bin", "af_heart", "bm_george")
    check_voice(path, "af_heart")
    with pytest.raises(ModelError, match="no voice 'af_hart' — did you mean 'af_heart'"):
        check_voice(path, "af_hart")
