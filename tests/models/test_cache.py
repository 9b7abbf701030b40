import contextlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path

import pytest

from harness.core.cache_root import default_root
from harness.core.errors import ModelError
from harness.core.records.scenario import ModelVariant
from harness.models.cache import Cache, Plan, tool_versions
from harness.models.files import silent

ROOT = Path(__file__).parents[2]
KEY = "tone-0123"

BUILDER = """
    import sys, time
    from pathlib import Path
    from harness.models.cache import Cache, Plan
    from harness.core.records.scenario import ModelVariant

    root, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])

    def build(work):
        with log.open("a") as file:
            file.write("built\\n")
        (work / "model.onnx").write_bytes(b"model" * 1000)
        print("half", flush=True)
        time.sleep(seconds)
        (work / "voices.npz").write_bytes(b"voices")

    variant = ModelVariant(name="tone", sha256="", size=0, origin="replica")
    files = Cache(root).make(Plan(key="tone-0123", variant=variant, needed=10), build, print)
    print(files.variant.sha256)
"""


def plan(**changes: object) -> Plan:
    values = {
        "key": KEY,
        "variant": ModelVariant(name="tone", sha256="", size=0, origin="replica"),
        "needed": 10,
    }
    return Plan(**(values | changes))


def write(work: Path) -> None:
    (work / "model.onnx").write_bytes(b"model" * 1000)
    (work / "voices.npz").write_bytes(b"voices")


def never(work: Path) -> None:
    pytest.fail("it was built again")


def builder(cache: Cache, log: Path, *, seconds: float) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(BUILDER), str(cache.root), str(log), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def names(cache: Cache) -> list[str]:
    return sorted(path.name for path in cache.models.iterdir())


def test_a_model_is_made_once(cache: Cache) -> None:
    made = cache.make(plan(), write, silent)
    assert cache.make(plan(), never, silent) == made
    assert (made.variant.size, made.model_path.read_bytes()) == (5000, b"model" * 1000)
    assert names(cache) == [f"{KEY}.json", f"{KEY}.onnx", f"{KEY}.voices.npz"]
    assert [one.variant for one in cache.manifests()] == [made.variant]


def test_the_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOKORO_BENCH_CACHE", str(tmp_path))
    assert default_root() == tmp_path
    monkeypatch.delenv("KOKORO_BENCH_CACHE")
    assert default_root().name == "kokoro-bench"


def test_two_processes_share_one_build(cache: Cache, tmp_path: Path) -> None:
    log = tmp_path / "log"
    processes = [builder(cache, log, seconds=1.0) for _ in range(2)]
    said = [process.communicate(timeout=240)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert log.read_text() == "built\n"
    assert said[0][-1] == said[1][-1] == cache.make(plan(), never, silent).variant.sha256
    assert any(f"waiting for another process that is making {KEY}" in lines for lines in said)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_build_is_no_model_and_blocks_nobody(cache: Cache, tmp_path: Path) -> None:
    process = builder(cache, tmp_path / "log", seconds=60)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=240)
    assert (cache.find(KEY), cache.manifests()) == (None, ())
    assert names(cache) == [f".building-{KEY}"]
    made = cache.make(plan(), write, silent)
    assert made.voices_path.read_bytes() == b"voices"
    assert names(cache) == [f"{KEY}.json", f"{KEY}.onnx", f"{KEY}.voices.npz"]


def test_another_builders_leftover_is_swept_but_not_its_work(cache: Cache) -> None:
    (cache.models / ".building-dead").mkdir(parents=True)
    (cache.models / ".building-dead" / "model.onnx").write_bytes(b"half")
    with cache.locked("alive", silent), cache.working_folder("alive") as work:
        (work / "model.onnx").write_bytes(b"half")
        # Another process's view: its own lock objects.
        script = "import sys, pathlib; from harness.models.cache import Cache; Cache(pathlib.Path(sys.argv[1])).sweep()"
        command = [sys.executable, "-c", script, str(cache.root)]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
        assert names(cache) == [".building-alive"]
        assert work.joinpath("model.onnx").is_file()


def test_files_that_never_got_their_manifest_are_swept(cache: Cache) -> None:
    cache.models.mkdir(parents=True)
    for name in ("older-77.onnx", "older-77.voices.npz", "voices-0123.bin"):
        (cache.models / name).write_bytes(b"from a build that was killed between two names")
    cache.make(plan(), write, silent)
    assert names(cache) == [f"{KEY}.json", f"{KEY}.onnx", f"{KEY}.voices.npz", "voices-0123.bin"]


def test_a_failed_build_leaves_nothing(cache: Cache) -> None:
    def fail(work: Path) -> None:
        (work / "model.onnx").write_bytes(b"half")
        raise ModelError("the tools failed")

    with pytest.raises(ModelError, match="the tools failed"):
        cache.make(plan(), fail, silent)
    assert names(cache) == []
    assert cache.make(plan(), write, silent).variant.size == 5000


def test_room_is_looked_for_before_building(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage("/")._replace(free=3_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: free)
    with pytest.raises(ModelError) as caught:
        cache.make(plan(needed=330_000_000), never, silent)
    assert "tone needs 330.0 MB of disk and 3.0 MB are free" in str(caught.value)
    assert "KOKORO_BENCH_CACHE" in caught.value.remedy


def test_a_disk_that_fills_up_meanwhile_is_said(cache: Cache) -> None:
    def fill(work: Path) -> None:
        raise OSError(28, os.strerror(28), str(work / "model.onnx"))

    with pytest.raises(ModelError, match="No space left on device — free some space"):
        cache.make(plan(), fill, silent)
    assert names(cache) == []


def test_a_cache_that_is_no_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")
    with pytest.raises(ModelError, match=r"cannot write: .* — set KOKORO_BENCH_CACHE"):
        Cache(tmp_path / "cache").make(plan(), never, silent)


@pytest.mark.parametrize("file", ["model_path", "voices_path"])
@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_damage_is_found_and_mended(cache: Cache, file: str, damage: str) -> None:
    made = cache.make(plan(), write, silent)
    path = getattr(made, file)
    content = path.read_bytes()
    path.unlink()
    if damage == "changed":
        path.write_bytes(content[::-1])
    manifest = cache.find(KEY)
    assert manifest is not None
    said = cache.damage(manifest)
    assert said.startswith(f"{path.name} is gone" if damage == "gone" else f"{path.name} has the SHA-256 ")
    assert cache.make(plan(), write, silent) == made
    assert path.read_bytes() == content


def test_a_truncated_model_is_told_by_its_size(cache: Cache) -> None:
    made = cache.make(plan(), write, silent)
    with made.model_path.open("r+b") as file:
        file.truncate(1234)
    manifest = cache.find(KEY)
    assert manifest is not None
    assert cache.damage(manifest) == f"{KEY}.onnx has 1,234 bytes and should have 5,000"


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": 2', b"\xff"])
def test_a_manifest_that_cannot_be_read_is_an_absent_model(cache: Cache, content: bytes) -> None:
    cache.make(plan(), write, silent)
    (cache.models / f"{KEY}.json").write_bytes(content)
    assert cache.find(KEY) is None
    assert cache.make(plan(), write, silent).variant.size == 5000


def test_a_manifest_of_a_later_format_is_an_absent_model(cache: Cache) -> None:
    cache.make(plan(), write, silent)
    path = cache.models / f"{KEY}.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    assert cache.find(KEY) is None


def test_a_model_may_speak_with_voices_of_elsewhere(cache: Cache, tmp_path: Path) -> None:
    voices = tmp_path / "mine.npz"
    voices.write_bytes(b"mine")
    made = cache.make(plan(voices=voices), write, silent)
    assert (made.voices_path, names(cache)) == (voices, [f"{KEY}.json", f"{KEY}.onnx"])
    voices.write_bytes(b"changed by their owner")
    cache.make(plan(voices=voices), never, silent)


def test_the_runtimes_version_is_known_from_any_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without importing it: that may end the process."""
    known = metadata.version

    def version(name: str) -> str:
        if name == "onnxruntime":
            raise metadata.PackageNotFoundError(name)
        return "1.33.0.dev1" if name == "ort-nightly" else known(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    monkeypatch.setattr("harness.core.native_imports._distributions", lambda: {"onnxruntime": ["ort-nightly"]})
    assert tool_versions() == {"onnx": known("onnx"), "onnxruntime": "1.33.0.dev1"}


def test_the_lock_is_free_again_after_an_error(cache: Cache) -> None:
    for _ in range(2):
        with contextlib.suppress(ZeroDivisionError), cache.locked(KEY, pytest.fail):
            raise ZeroDivisionError
