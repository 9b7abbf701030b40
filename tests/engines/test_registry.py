from importlib import metadata
from pathlib import Path

import pytest

from harness.engines import espeak, scripted
from harness.engines.http import engine as http_engine
from harness.engines.kokoro import engine as kokoro_engine
from harness.engines.registry import ENTRY_POINTS, engine_names, find_starter
from harness.engines.speech import EngineRefusal

OURS = ("kokoro", "kokoro-sentences", "kokoro-server", "fastkokoro", "sherpa-onnx", "endpoint", "espeak", "scripted")


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of somebody else's, installed, that brings an engine."""
    (tmp_path / "choir.py").write_text("def start(order, *, clock, stages):\n    return 'a choir'\n")
    info = tmp_path / "choir-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: choir\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\nchoir = choir:start\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_ours_come_first() -> None:
    assert engine_names()[: len(OURS)] == OURS


@pytest.mark.parametrize(
    ("name", "module"),
    [("endpoint", http_engine), ("espeak", espeak), ("kokoro", kokoro_engine), ("scripted", scripted)],
)
def test_each_of_ours_is_found(name: str, module: object) -> None:
    assert find_starter(name) is module.start  # type: ignore[attr-defined]


def test_an_installed_one_is_listed_and_found_by_its_entry_point(third_party: None) -> None:
    assert [entry.value for entry in metadata.entry_points(group=ENTRY_POINTS, name="choir")] == ["choir:start"]
    assert "choir" in engine_names()
    assert find_starter("choir")(None, clock=None, stages=None) == "a choir"  # type: ignore[arg-type,comparison-overlap]


def test_none_of_that_name_is_a_refusal_that_tells_what_there_is(third_party: None) -> None:
    known = ", ".join((*OURS, "choir"))
    with pytest.raises(EngineRefusal, match=f"no engine 'quire'; it has {known}"):
        find_starter("quire")
