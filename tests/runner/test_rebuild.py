"""What can be restored of an accepted arm, and the reason for what cannot."""

import platform
import subprocess
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

import harness
from harness.core.errors import BenchError, UsageError
from harness.core.records.reference import LoadedSubject, ReferenceArm
from harness.core.records.scenario import Arm, ModelVariant
from harness.measure.conductor.worker_factory import ArmFiles, WorkerFactory
from harness.measure.worker.handle import ProcessHandle
from harness.measure.worker.place import HERE
from harness.models.files import ModelFiles
from harness.plan.config import load_config
from harness.runner.rebuild import RestoredArm, UnderTest, rebuild, refuse_another, why_not
from tests.measure.runtimes.test_builds import wheel

SUBJECT = LoadedSubject(
    engine="kokoro",
    engine_version="0.6.1",
    engine_source="a" * 64,
    interpreter="CPython 3.99.1",
    packages=(("numpy", version("numpy")), ("onnxruntime", version("onnxruntime"))),
    model_sha256="b" * 64,
    voices_sha256="c" * 64,
    provider="cpu",
    threads=0,
)
MODEL = ModelVariant(name="mine", sha256="b" * 64, size=1, origin="user", voices_sha256="c" * 64)
ARM = Arm(engine="kokoro", model=MODEL)
FILES = ArmFiles(model_path="m.onnx", voices_path="v.npz")
FACTORY = WorkerFactory(start=ProcessHandle, place=lambda _arm: HERE, files=lambda _arm: FILES)


def restore(root: Path, *, now: LoadedSubject = SUBJECT, **accepted: object) -> RestoredArm:
    """Restore an arm that was accepted with SUBJECT, unless something else is given, where `now` is under test."""
    fields = {"subject": SUBJECT, "run": "r", "date": "2026-11-20", "scenarios": ("s",), **accepted}
    arm = ReferenceArm(arm_id=ARM.id, **fields)  # type: ignore[arg-type]
    config = load_config({}, start=root, environment={})
    return rebuild(config, UnderTest(arm=ARM, subject=now), arm, FACTORY, report=lambda _line: None)


def reason(root: Path, **given: object) -> str:
    with pytest.raises(BenchError) as caught:
        restore(root, **given)  # type: ignore[arg-type]
    return why_not(caught.value)


def test_what_did_not_change_is_that_of_the_arm_under_test(tmp_path: Path) -> None:
    restored = restore(tmp_path)
    assert (restored.place, restored.files) == (HERE, FILES)
    assert restored.arm == replace(ARM, side="accepted")


def test_options_are_the_accepted_ones(tmp_path: Path) -> None:
    was = replace(SUBJECT, threads=3, session_options=(("arena", "off"),))
    restored = restore(tmp_path, subject=was)
    assert (restored.arm.threads, restored.arm.session_options) == (3, (("arena", "off"),))


class TestPackages:
    @pytest.fixture(autouse=True)
    def index(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A package index that is a folder with empty packages of the right names."""
        folder = tmp_path / "wheels"
        folder.mkdir()
        for name, module in (("onnxruntime", "onnxruntime"), ("numpy", "numpy"), ("psutil", "psutil")):
            wheel(folder, name, version(name), module=module)
        wheel(folder, "onnxruntime", "1.1.0", module="onnxruntime")
        for name, value in {"FIND_LINKS": str(folder), "NO_INDEX": "1", "OFFLINE": "1"}.items():
            monkeypatch.setenv(f"UV_{name}", value)
        monkeypatch.setenv("KOKORO_BENCH_CACHE", str(tmp_path / "cache"))

    HERE = replace(SUBJECT, interpreter=f"CPython {platform.python_version()}")

    def test_an_environment_has_exactly_the_accepted_versions(self, tmp_path: Path) -> None:
        was = replace(self.HERE, packages=(("numpy", version("numpy")), ("onnxruntime", "1.1.0")))
        restored = restore(tmp_path, now=self.HERE, subject=was)
        code = "from importlib.metadata import version; print(version('onnxruntime'), version('psutil'))"
        ran = subprocess.run([restored.place.python, "-c", code], capture_output=True, text=True, check=True)
        assert ran.stdout.split() == ["1.1.0", version("psutil")]
        assert restored.arm.runtime.requirements == (f"numpy=={version('numpy')}", "onnxruntime==1.1.0")
        again = restore(tmp_path, now=self.HERE, subject=was)
        assert again.place == restored.place

    def test_package_version_that_no_index_has_is_named(self, tmp_path: Path) -> None:
        was = replace(self.HERE, packages=(("onnxruntime", "0.0.1"),))
        assert "onnxruntime==0.0.1" in reason(tmp_path, now=self.HERE, subject=was)

    def test_a_patch_version_of_python_that_is_not_here_is_left_out(self, tmp_path: Path) -> None:
        minor = platform.python_version().rpartition(".")[0]
        was = replace(self.HERE, interpreter=f"CPython {minor}.999", packages=(("onnxruntime", "1.1.0"),))
        restored = restore(tmp_path, now=self.HERE, subject=was)
        assert restored.note == f"CPython {minor}.999 is not here, so both sides ran with {self.HERE.interpreter}"
        accepted = ReferenceArm(arm_id="a", subject=was, run="r", date="2026-11-20", scenarios=("s",))
        refuse_another(replace(was, interpreter=self.HERE.interpreter), accepted, note=restored.note)
        # Nothing else changed: there is nothing that pairs could show.
        alone = replace(self.HERE, interpreter=f"CPython {minor}.999")
        assert f"{minor}.999" in reason(tmp_path, now=self.HERE, subject=alone)

    def test_python_that_cannot_be_had_is_named(self, tmp_path: Path) -> None:
        assert "3.99.1" in reason(tmp_path, now=self.HERE)

    def test_package_from_a_folder_cannot_be_restored(self, tmp_path: Path) -> None:
        was = replace(self.HERE, local_packages=(("mine", "d" * 64),))
        found = reason(tmp_path, now=self.HERE, subject=was)
        assert found == "packages: mine was installed from a folder or a file, which no index has"

    def test_interpreter_other_than_cpython_cannot_be_installed(self, tmp_path: Path) -> None:
        was = replace(self.HERE, interpreter="PyPy 7.3")
        assert reason(tmp_path, now=self.HERE, subject=was) == "Python: the interpreter PyPy 7.3 cannot be installed"


class TestSource:
    NOW = replace(SUBJECT, engine_source="e" * 64)

    def test_the_accepted_commit_is_checked_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KOKORO_BENCH_CACHE", str(tmp_path / "cache"))
        clone = tmp_path / "clone"
        root = Path(harness.__file__).parents[1]
        subprocess.run(["git", "clone", "-q", "--shared", str(root), str(clone)], check=True, capture_output=True)
        commit = subprocess.run(
            ["git", "-C", str(clone), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
        ).stdout.strip()
        restored = restore(clone, now=self.NOW, revision=commit)
        assert restored.arm.revision == commit[:12]
        assert (restored.place.harness / "engines" / "kokoro").is_dir()
        assert restored.place.python == HERE.python

    def test_rewritten_commit_is_reported_as_missing(self, tmp_path: Path) -> None:
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, capture_output=True)
        found = reason(tmp_path, now=self.NOW, revision="9" * 40)
        assert found.startswith("source: commit 999999999999 is not in the repository here")

    def test_engine_accepted_with_uncommitted_changes_cannot_be_restored(self, tmp_path: Path) -> None:
        assert "uncommitted changes" in reason(tmp_path, now=self.NOW, revision="9" * 40, dirty=True)

    def test_engine_of_an_installed_package_is_refused_with_its_version(self, tmp_path: Path) -> None:
        assert "kokoro-bench 0.1.0" in reason(tmp_path, now=self.NOW, harness_version="0.1.0")


class TestModel:
    def test_a_model_of_the_cache_is_found_by_its_digest(
        self, tmp_path: Path, model_cache: Path, small_replica: ModelFiles, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KOKORO_BENCH_CACHE", str(model_cache))
        variant = small_replica.variant
        was = replace(SUBJECT, model_sha256=variant.sha256, voices_sha256=variant.voices_sha256)
        restored = restore(tmp_path, subject=was, model_name="called otherwise")
        assert restored.files.model_path == str(small_replica.model_path)
        assert restored.files.voices_path == str(small_replica.voices_path)
        assert restored.arm.model is not None
        assert (restored.arm.model.name, restored.arm.model.sha256) == ("mine", variant.sha256)

    def test_a_model_that_nobody_has(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KOKORO_BENCH_CACHE", str(tmp_path))
        was = replace(SUBJECT, model_sha256="f" * 64)
        assert (
            reason(tmp_path, subject=was, model_name="k") == f"nobody here has the model k with the SHA-256 {'f' * 12}…"
        )

    def test_a_model_that_is_made_otherwise_here(
        self, tmp_path: Path, model_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KOKORO_BENCH_CACHE", str(model_cache))
        was = replace(SUBJECT, model_sha256="f" * 64)
        found = reason(tmp_path, subject=was, model_name="replica-small")
        assert found.endswith(f"{'f' * 12}… was accepted")

    def test_voices_that_nobody_has(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KOKORO_BENCH_CACHE", str(tmp_path))
        found = reason(tmp_path, subject=replace(SUBJECT, voices_sha256="f" * 64))
        assert found.startswith("nobody here has the voices")


def test_what_was_restored_must_load_what_was_accepted() -> None:
    accepted = ReferenceArm(arm_id="a", subject=SUBJECT, run="r", date="2026-11-20", scenarios=("s",))
    refuse_another(SUBJECT, accepted)
    with pytest.raises(UsageError, match="restored, but it differs: onnxruntime"):
        refuse_another(replace(SUBJECT, packages=(("numpy", version("numpy")), ("onnxruntime", "1.1.0"))), accepted)
    with pytest.raises(UsageError, match="does not report"):
        refuse_another(None, accepted)
