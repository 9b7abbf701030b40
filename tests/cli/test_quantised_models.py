"""Quantised models through the commands: each takes their names, and each file is sound."""

import re
import shutil
from pathlib import Path

import pytest

from harness.core.cache_root import ROOT_VARIABLE
from tests.conftest import Command
from tests.model_jobs import do_jobs_here

NAME = "replica-small-s7"


def served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `serve` end where it would serve."""
    monkeypatch.setattr("harness.server.reference.process.serve", lambda _service, listening: listening.close())


def test_every_command_finds_a_calibrated_model(
    here: Command, model_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(model_cache, tmp_path / "cache", ignore=shutil.ignore_patterns("locks"))
    cache = {ROOT_VARIABLE: str(tmp_path / "cache")}
    built = here("models", "build", NAME, **cache)
    assert built.returncode == 0, built.stderr
    (file,) = re.findall(rf"^{NAME}: (\S+\.onnx) ", built.stdout, re.MULTILINE)
    before = Path(file).stat()

    served(monkeypatch)
    for command in (
        ("models", "build", NAME),
        ("models", "verify", NAME),
        ("models", "show", NAME),
        ("serve", "--model", NAME, "--port", "0"),
        ("run", "--model", NAME, "-k", "test_whole and chars-12", "--budget", "5s", "--blocks", "1", "--launches", "1"),
    ):
        found = here(*command, **cache)
        assert found.returncode == 0, (command, found.stdout + found.stderr)
    assert [str(each) for each in (tmp_path / "cache").rglob(f"{NAME}-*.onnx")] == [file]
    assert Path(file).stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("recipe", ["u8", "fp16", "int4"])
def test_every_quantised_variant_is_sound(
    recipe: str, here: Command, model_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_jobs_here(monkeypatch)
    shutil.copytree(model_cache, tmp_path / "cache", ignore=shutil.ignore_patterns("locks"))
    cache = {ROOT_VARIABLE: str(tmp_path / "cache")}
    built = here("models", "build", f"replica-small-{recipe}", **cache)
    assert built.returncode == 0, built.stderr
    found = here("models", "verify", f"replica-small-{recipe}", **cache)
    assert found.returncode == 0, found.stdout + found.stderr
    assert re.search(r"ok   weights: \d{3} tensors are those of replica-small, but for rounding", found.stdout)
