"""What becomes of arms that cannot be made: they cost their scenarios, and the rest is measured."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.core.cache_root import ROOT_VARIABLE
from harness.core.errors import BenchError, ExitCode, ModelError, PackageError, RuntimeBuildError, UsageError
from harness.core.records.repetition import OutcomeKind
from harness.core.records.scenario import Arm, Mode, ModelVariant, Runtime
from harness.core.records.verdict import VerdictKind
from harness.models.cache import Cache
from harness.plan.config import load_config
from harness.plan.matrix import ScenarioRequest
from harness.runner import run
from harness.runner.resources import Resources, prepare_resources, resolve_all
from harness.runner.selection import wanted_scenarios


def arm(name: str, runtime: str = "") -> Arm:
    packages = Runtime(name=runtime, requirements=(runtime,)) if runtime else Runtime()
    return Arm(
        engine="kokoro",
        model=ModelVariant(name=name, sha256="", size=0, origin="unresolved"),
        runtime=packages,
    )


ORIGINAL, U8, ELSEWHERE = arm("replica"), arm("replica-u8"), arm("replica", "onnxruntime==0.0.1")
PLAIN = arm("replica-plain")


def failing(wrong: dict[Arm, BenchError]) -> Resources:
    """Equipment that resolves every arm but these."""
    whole = prepare_resources(load_config({"engine": "scripted"}, environment={}), report=lambda _message: None)

    def resolve(wanted: Arm) -> Arm:
        if wanted in wrong:
            raise wrong[wanted]
        assert wanted.model is not None
        return replace(wanted, model=replace(wanted.model, sha256="a" * 64))

    return replace(whole, resolve=resolve)


def test_a_recipe_that_fails_and_packages_that_cannot_be_installed_cost_their_arms_alone() -> None:
    wrong = {
        U8: ModelError("the tools fail", where="replica-u8", remedy="another recipe"),
        ELSEWHERE: RuntimeBuildError("no such version"),
        PLAIN: PackageError("importing onnx ends the process"),
    }
    resolved, refusals = resolve_all(failing(wrong), [ORIGINAL, U8, ELSEWHERE, U8, PLAIN])
    assert refusals == {
        U8.id: "replica-u8: the tools fail — another recipe",
        ELSEWHERE.id: "no such version",
        PLAIN.id: "importing onnx ends the process",
    }
    assert list(resolved) == [ORIGINAL, U8, ELSEWHERE, PLAIN]
    assert resolved[U8] == U8
    found = resolved[ORIGINAL].model
    assert found is not None
    assert found.sha256 == "a" * 64


@pytest.mark.parametrize(
    ("wrong", "arms"),
    [
        ({ORIGINAL: ModelError("no model 'replica'")}, [ORIGINAL, U8]),
        ({U8: UsageError("no such voice")}, [ORIGINAL, U8]),
        ({U8: ModelError("the tools fail")}, [U8]),
    ],
)
def test_what_a_word_can_mend_and_a_run_of_which_nothing_is_left_are_told_at_once(
    wrong: dict[Arm, BenchError], arms: list[Arm]
) -> None:
    with pytest.raises(BenchError) as caught:
        resolve_all(failing(wrong), arms)
    assert caught.value is next(iter(wrong.values()))


def test_no_space_for_a_variant_is_a_reason_in_the_table_and_the_original_is_measured(
    tmp_path: Path, model_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(model_cache))
    room = shutil.disk_usage
    models = Cache(model_cache).models
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000) if Path(path) == models else room(path)
    )
    config = load_config(
        {"model": "replica-small,replica-small-s8-matmul", "launches": "1", "blocks": "1"},
        start=tmp_path,
        environment={},
    )
    scenarios = wanted_scenarios(config, [ScenarioRequest(mode=Mode.WHOLE, texts=("one-word",))], "quick")
    finished = run.measure(config, scenarios, selection="quick", handlers=[], report=lambda _message: None)
    verdicts = {each.scenario_id.split(".")[0]: each for each in finished.data.verdicts if each.metric == "latency"}
    assert verdicts["replica-small"].kind is VerdictKind.NO_BASELINE
    failed = verdicts["replica-small-s8-matmul"]
    assert failed.kind is VerdictKind.FAILED
    assert "MB of disk and 0.0 MB are free" in failed.reason
    (refused,) = [each for each in finished.data.launches if not each.outcome.valid]
    assert refused.outcome.kind is OutcomeKind.REFUSED
    assert finished.code is ExitCode.MEASUREMENT


def test_a_model_is_cut_for_windows_before_the_first_launch(model_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(model_cache))
    shutil.rmtree(model_cache / "windows", ignore_errors=True)
    config = load_config({"engine": "kokoro-sentences", "model": ("replica-small",)}, environment={})
    resources = prepare_resources(config, report=lambda _message: None)
    plain = replace(arm("replica-small"), engine="kokoro-sentences")
    resources.resolve(plain)
    resources.resolve(replace(plain, session_options=(("window", "0.1"),)))  # which the launch refuses
    assert not (model_cache / "windows").exists()
    resolved = resources.resolve(replace(plain, session_options=(("window", "0.7"),)))
    assert resolved.model is not None
    (folder,) = (model_cache / "windows").iterdir()
    assert folder.name.startswith(resolved.model.sha256[:32])
    assert {each.name for each in folder.iterdir()} >= {"features.onnx", "sound.onnx"}
