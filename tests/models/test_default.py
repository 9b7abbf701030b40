"""Which models are measured where none is named."""

from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import ModelError
from harness.models import default
from harness.models.cache import Cache
from harness.models.default import DefaultModels, default_models, obtain_default

INT8, DQ = "kokoro-v1.0-int8", "kokoro-v1.0-dq"


class Shelf:
    """A catalogue whose cache holds the models of `here`, and whose downloads fail for the reason `failure`."""

    def __init__(self, root: Path, *here: str, failure: str = "") -> None:
        self.cache: Any = Cache(root)
        self.here = set(here)
        self.cache.find = lambda name: name if name in self.here else None
        self.failure = failure
        self.calls: list[str] = []

    def obtain(self, name: str, **_: object) -> None:
        self.calls.append(f"obtain {name}")
        if self.failure:
            raise ModelError(self.failure)
        self.here.add(name)

    def resolve(self, name: str, **_: object) -> None:
        self.calls.append(f"resolve {name}")


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(default.OFFLINE_VARIABLE, raising=False)
    monkeypatch.setattr(default, "_refused", {})


def test_default_models_with_published_original_prefer_it(tmp_path: Path) -> None:
    assert default_models(Shelf(tmp_path, "kokoro-v1.0", INT8).cache) == DefaultModels(original="kokoro-v1.0")
    shelf = Shelf(tmp_path, "kokoro-v1.1")
    assert obtain_default(shelf).original == "kokoro-v1.1"  # type: ignore[arg-type]
    assert shelf.calls == []


def test_obtain_default_downloads_once_and_dequantises(tmp_path: Path) -> None:
    shelf: Any = Shelf(tmp_path)
    assert default_models(shelf.cache).original == "replica"
    assert obtain_default(shelf) == DefaultModels(original=DQ, quantised=INT8)
    assert obtain_default(shelf) == default_models(shelf.cache)
    assert shelf.calls == [f"obtain {INT8}", f"resolve {DQ}", f"resolve {DQ}"]


def test_obtain_default_without_source_gives_replica_and_reason_and_tries_once(tmp_path: Path) -> None:
    shelf: Any = Shelf(tmp_path, failure="no source answers")
    assert obtain_default(shelf) == DefaultModels(original="replica", reason="no source answers")
    assert obtain_default(shelf) == default_models(shelf.cache)
    assert shelf.calls == [f"obtain {INT8}"]


def test_obtain_default_offline_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(default.OFFLINE_VARIABLE, "1")
    shelf: Any = Shelf(tmp_path)
    assert obtain_default(shelf).reason == f"{INT8} is not here, and KOKORO_BENCH_OFFLINE is set"
    assert shelf.calls == []


def test_default_models_in_untouched_cache_name_the_command_that_downloads(tmp_path: Path) -> None:
    assert f"`kokoro-bench models fetch {INT8}`" in default_models(Shelf(tmp_path).cache).reason


@pytest.mark.parametrize(
    ("models", "recipes", "chosen", "names"),
    [
        (DefaultModels(original=DQ, quantised=INT8), ("u8",), False, [DQ, INT8]),
        (DefaultModels(original=DQ, quantised=INT8), ("u8", "fp16"), False, [DQ, INT8, f"{DQ}-fp16"]),
        (DefaultModels(original=DQ, quantised=INT8), ("u8", "s8"), True, [DQ, INT8, f"{DQ}-u8", f"{DQ}-s8"]),
        (DefaultModels(original=DQ, quantised=INT8), (), True, [DQ]),
        (DefaultModels(original="replica", reason="…"), ("u8",), False, ["replica", "replica-u8"]),
        (DefaultModels(original="kokoro-v1.0"), ("u8",), True, ["kokoro-v1.0", "kokoro-v1.0-u8"]),
    ],
)
def test_names_of_default_models(
    models: DefaultModels, recipes: tuple[str, ...], *, chosen: bool, names: list[str]
) -> None:
    assert models.names(recipes, chosen=chosen) == names
