"""A model in two halves: the small replica, cut and decoded whole and in windows."""

import errno
import os
import subprocess
import time
from pathlib import Path
from shutil import copytree
from unittest.mock import Mock

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from harness.core.cache_root import ROOT_VARIABLE
from harness.core.saved_graphs import STAMP, stamp
from harness.engines.pooled.windows.cut import VERSION, NotCut, cut
from harness.engines.pooled.windows.halves import FOLDER, SIZES, UNUSED_S, Priors, halves_of
from harness.engines.pooled.windows.plan import CONTEXT, FRAME, Pace
from harness.engines.pooled.windows.session import HalvesSession, Speech
from harness.engines.speech import EngineRefusal
from harness.models.files import ModelFiles

TOKENS = [0, *range(20, 80), 0]
STYLE = np.full((1, 256), 0.1, dtype=np.float32)


def opened(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def session(small_replica: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> HalvesSession:
    folder = tmp_path_factory.mktemp("halves")
    cut(small_replica.model_path, folder / "features.onnx", folder / "sound.onnx")
    return HalvesSession(opened(folder / "features.onnx"), opened(folder / "sound.onnx"))


@pytest.fixture(scope="module")
def speech(session: HalvesSession) -> Speech:
    return session.begin(session.feeds(TOKENS, STYLE, 1.0))


class TestWhole:
    def test_it_looks_like_the_models_own_session(self, session: HalvesSession, small_replica: ModelFiles) -> None:
        model = opened(small_replica.model_path)
        assert [each.name for each in session.get_inputs()] == [each.name for each in model.get_inputs()]
        assert [each.name for each in session.get_outputs()] == [each.name for each in model.get_outputs()][:1]
        assert session.get_providers() == model.get_providers()

    def test_it_sounds_like_the_model(self, session: HalvesSession, small_replica: ModelFiles) -> None:
        feeds = session.feeds(TOKENS, STYLE, 1.0)
        ours, theirs = session.run(None, feeds)[0], opened(small_replica.model_path).run(None, feeds)[0]
        assert ours.shape == theirs.shape
        # The source's noise is drawn anew for each.
        assert np.corrcoef(ours, theirs)[0, 1] > 0.8


class TestStatistics:
    def test_with_those_of_the_whole_speech_a_window_is_a_part_of_the_whole(
        self, session: HalvesSession, speech: Speech
    ) -> None:
        whole, statistics = session._decode(speech, 0, speech.frames, None, 0.0)
        start, end = 30, 60
        window, _ = session._decode(speech, start - 3 * CONTEXT, end + 3 * CONTEXT, statistics, 1.0)
        inside = window[3 * CONTEXT * FRAME :][: (end - start) * FRAME]
        np.testing.assert_allclose(inside, whole[start * FRAME : end * FRAME], atol=1e-4)

    def test_two_parts_are_combined_by_their_weights(self, session: HalvesSession, speech: Speech) -> None:
        one, two = (session._decode(speech, *part, None, 0.0)[1] for part in ((0, 40), (40, 80)))
        _, both = session._decode(speech, 40, 80, one, 0.25)
        # The first norm sees the features themselves, so that what it has of a window does not depend on its context.
        mean = 0.25 * one[0] + 0.75 * two[0]
        variance = 0.25 * (one[1] + (one[0] - mean) ** 2) + 0.75 * (two[1] + (two[0] - mean) ** 2)
        np.testing.assert_allclose(both[0], mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(both[1], variance, rtol=1e-4, atol=1e-5)


class TestWindows:
    def test_they_are_as_long_as_the_whole_and_sound_like_it(self, session: HalvesSession, speech: Speech) -> None:
        whole, statistics = session._decode(speech, 0, speech.frames, None, 0.0)
        at = session.plan(speech, Pace(first=28, rtf=0.4), lambda: statistics)
        assert len(at.ends) > 2
        parts = []
        part, left = session.window(at)
        parts.append(part)
        while left is not None:
            part, left = session.window(left)
            parts.append(part)
        assert len(parts) == len(at.ends)
        sound = np.concatenate(parts)
        assert len(sound) == len(whole) - at.start * FRAME
        assert np.corrcoef(sound, whole[at.start * FRAME :])[0, 1] > 0.95

    def test_speech_of_one_window_is_the_models_own(self, session: HalvesSession) -> None:
        short = session.begin(session.feeds([0, 50, 60, 0], STYLE, 1.0))
        at = session.plan(short, Pace(first=200, rtf=0.4), lambda: pytest.fail("no statistics are needed"))
        audio, rest = session.window(at)
        assert rest is None
        np.testing.assert_array_equal(audio, session._decode(short, 0, short.frames, None, 0.0)[0])


@pytest.fixture(scope="module")
def made_before(small_replica: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of halves that were made once: a cut takes seconds."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ROOT_VARIABLE, str(root))
        return halves_of(small_replica.model_path, "digest")[0].parent


class TestKeeping:
    @pytest.fixture(autouse=True)
    def root(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "cache"))
        return tmp_path / "cache"

    @pytest.fixture
    def halves(self, root: Path, made_before: Path) -> tuple[Path, Path]:
        folder = copytree(made_before, root / FOLDER / made_before.name)
        return folder / "features.onnx", folder / "sound.onnx"

    def test_a_model_is_cut_once(self, small_replica: ModelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
        first = halves_of(small_replica.model_path, "digest")
        monkeypatch.setattr(subprocess, "run", lambda *_a, **_k: pytest.fail("it is cut already"))
        assert halves_of(small_replica.model_path, "digest") == first
        assert [path.exists() for path in first] == [True, True]
        assert not list(first[0].parent.glob("*.part"))

    def test_a_cut_that_was_interrupted_is_made_again(
        self, small_replica: ModelFiles, halves: tuple[Path, Path]
    ) -> None:
        features, sound = halves
        sound.unlink()
        features.write_bytes(b"of another try")
        assert halves_of(small_replica.model_path, "digest") == (features, sound)
        assert onnx.load(features).graph.input[0].name == "input_ids"

    def test_one_that_was_cut_short_is_made_again(self, small_replica: ModelFiles, halves: tuple[Path, Path]) -> None:
        features, sound = halves
        size = sound.stat().st_size
        os.truncate(sound, size - 1)
        assert halves_of(small_replica.model_path, "digest") == (features, sound)
        assert sound.stat().st_size == size

    def test_one_that_was_cut_short_and_cannot_be_made_again_is_named(
        self, small_replica: ModelFiles, halves: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        features, _ = halves
        os.truncate(features, 10)
        read_only = PermissionError(errno.EACCES, "Permission denied")
        monkeypatch.setattr("filelock.FileLock.acquire", Mock(side_effect=read_only))
        with pytest.raises(EngineRefusal) as refused:
            halves_of(small_replica.model_path, "digest")
        told = f"the model's halves in {features.parent} are damaged, and cannot be made again there: "
        assert str(refused.value) == f"{told}Permission denied; remove the folder"

    def test_those_of_an_earlier_version_are_used_where_none_can_be_made(
        self, small_replica: ModelFiles, halves: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (halves[0].parent / SIZES).unlink()
        monkeypatch.setattr("filelock.FileLock.acquire", Mock(side_effect=PermissionError(errno.EACCES, "no")))
        assert halves_of(small_replica.model_path, "digest") == halves

    def test_halves_that_nobody_loads_any_more_are_removed_when_others_are_made(
        self, root: Path, small_replica: ModelFiles, made_before: Path
    ) -> None:
        unused, used = (copytree(made_before, root / FOLDER / f"{name}-{VERSION}") for name in ("unused", "used"))
        for folder in (unused, used):
            os.utime(folder, times=(0, time.time() - UNUSED_S - 60))
        halves_of(small_replica.model_path, "used")
        made = halves_of(small_replica.model_path, "made")
        assert (unused.exists(), used.exists(), made[1].exists()) == (False, True, True)

    def test_a_folder_that_cannot_be_written_is_named(self, root: Path, small_replica: ModelFiles) -> None:
        root.write_text("a file in its place")
        with pytest.raises(EngineRefusal, match="halves cannot be kept in"):
            halves_of(small_replica.model_path, "digest")

    def test_another_graph_is_refused_with_the_reason(self, tmp_path: Path) -> None:
        path = tmp_path / "sum.onnx"
        ends = [helper.make_tensor_value_info(name, 1, ["n"]) for name in ("tokens", "audio")]
        node = helper.make_node("Add", ["tokens", "tokens"], ["audio"])
        onnx.save(helper.make_model(helper.make_graph([node], "sum", ends[:1], ends[1:])), path)
        with pytest.raises(NotCut, match="no harmonic source"):
            cut(path, tmp_path / "a", tmp_path / "b")
        with pytest.raises(
            EngineRefusal, match="cannot be decoded in windows: it has no harmonic source of a known form"
        ):
            halves_of(path, "another")

    def test_the_halves_keep_the_metadata(self, small_replica: ModelFiles, tmp_path: Path) -> None:
        """Among it are the vocabulary of newer exports, and the stamp of a graph that may not run everywhere."""
        model = onnx.load(small_replica.model_path)
        helper.set_model_props(model, {STAMP: stamp(version="1.0", provider="cpu", features="x86_64"), "more": "kept"})
        onnx.save(model, tmp_path / "saved.onnx")
        for half in halves_of(tmp_path / "saved.onnx", "stamped"):
            assert opened(half).get_modelmeta().custom_metadata_map == {
                each.key: each.value for each in model.metadata_props
            }

    def test_nodes_in_another_order_are_put_in_order(self, small_replica: ModelFiles, tmp_path: Path) -> None:
        model = onnx.load(small_replica.model_path)
        nodes = list(model.graph.node)
        loop = next(place for place, node in enumerate(nodes) if node.op_type == "Loop")
        moved = nodes.pop(loop)
        del model.graph.node[:]
        model.graph.node.extend([moved, *nodes])
        onnx.save(model, tmp_path / "unordered.onnx")
        assert halves_of(tmp_path / "unordered.onnx", "unordered")[1].exists()

    def test_a_file_that_is_no_model_is_refused_in_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "broken.onnx").write_bytes(b"\x08")
        with pytest.raises(EngineRefusal, match=r"cannot be decoded in windows: cutting it failed: \w+: .+"):
            halves_of(tmp_path / "broken.onnx", "broken")

    def test_a_graph_in_16_bits_is_refused(self, small_replica: ModelFiles, tmp_path: Path) -> None:
        model = onnx.load(small_replica.model_path)
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(1, dtype=np.float16), "half"))
        onnx.save(model, tmp_path / "fp16.onnx")
        with pytest.raises(EngineRefusal, match="cannot be decoded in windows: it computes in 16-bit floats"):
            halves_of(tmp_path / "fp16.onnx", "16 bits")

    def test_halves_that_do_not_run_are_refused(self, small_replica: ModelFiles, tmp_path: Path) -> None:
        model = onnx.load(small_replica.model_path)
        for node in model.graph.node:
            if node.op_type == "Atan":
                node.domain = "nowhere"
        onnx.save(model, tmp_path / "unknown.onnx")
        with pytest.raises(EngineRefusal, match="cannot be decoded in windows: its halves do not run"):
            halves_of(tmp_path / "unknown.onnx", "unknown")

    def test_the_statistics_of_a_voice_outlast_the_process(self, tmp_path: Path) -> None:
        folder = tmp_path / "voices"
        folder.mkdir()
        style = np.zeros((510, 1, 256), dtype=np.float32)
        made = (np.ones((1, 3, 1), dtype=np.float32), np.full((1, 3, 1), 2, dtype=np.float32))
        assert Priors(folder).get(style, lambda: made) is made
        kept = Priors(folder).get(style, lambda: pytest.fail("it was computed before"))
        for ours, theirs in zip(kept, made, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        (file,) = folder.iterdir()
        file.write_bytes(file.read_bytes()[:20])
        assert Priors(folder).get(style, lambda: made) is made, "a file that was cut is computed again"
        other = tuple(2 * each for each in made)
        assert Priors(folder).get(style + 1, lambda: other) is other, "another voice"

    def test_a_full_disk_costs_only_the_next_start(self, tmp_path: Path) -> None:
        made = (np.ones((1, 3, 1), dtype=np.float32),) * 2
        priors = Priors(tmp_path / "missing")
        assert priors.get(STYLE, lambda: made) is made
        assert priors.get(STYLE, lambda: pytest.fail("it is in memory")) is made
