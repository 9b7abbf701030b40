"""What many tests need: the small replica, built once a session, and the command as a user runs it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.models.cache import ROOT_VARIABLE, Cache
from harness.models.catalogue import Catalogue
from harness.models.files import ModelFiles

SMALL = "replica-small"

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of models of the session's own, with the small replica in it."""
    root = tmp_path_factory.mktemp("models")
    Catalogue(cache=Cache(root)).resolve(SMALL)
    return root


@pytest.fixture(scope="session")
def small_replica(model_cache: Path) -> ModelFiles:
    return Catalogue(cache=Cache(model_cache)).resolve(SMALL, build=False)


@pytest.fixture
def user_environment(model_cache: Path) -> dict[str, str]:
    """The environment of a user who has set nothing but where the models are."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("KOKORO_BENCH_", "PYTEST_"))}
    ours.pop("GITHUB_STEP_SUMMARY", None)
    return {**ours, ROOT_VARIABLE: str(model_cache), "PYTHONUTF8": "1"}


@pytest.fixture
def kokoro_bench(tmp_path: Path, user_environment: dict[str, str]) -> Command:
    """Run `kokoro-bench ARGUMENTS` in an empty directory, as a process of its own."""

    def run(*arguments: str, directory: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "harness.cli", *arguments],
            cwd=directory,
            env={**user_environment, **environment},
            capture_output=True,
            encoding="utf-8",
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return run
