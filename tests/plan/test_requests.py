"""What suites wish for, as far as the user has not said otherwise."""

import pytest

from harness.core.records.scenario import Mode, Scenario
from harness.engines.installed import InstalledRuntime
from harness.plan.arm_spec import settings_of
from harness.plan.config import load_config
from harness.plan.matrix import ScenarioRequest
from harness.plan.requests import resolved_request, without_every_provider
from harness.runner.selection import wanted_scenarios

CHANGES = ("current", "threads=1", "arena=off", "provider=openvino,onnxruntime-openvino==1.24.1", "model=replica-plain")


def here(changes: tuple[str, ...], **options: str) -> tuple[str, ...]:
    config = load_config(options, environment={})
    return resolved_request(ScenarioRequest(mode=Mode.WHOLE, changes=changes), config).changes


def arms(request: ScenarioRequest, **options: str) -> list[str]:
    config = load_config({"model": "replica-small", **options}, environment={})
    found: tuple[Scenario, ...] = wanted_scenarios(config, [request], "full")
    return [scenario.arm.id for scenario in found]


@pytest.mark.parametrize(
    ("change", "settings"),
    [
        ("current", set()),
        ("threads=1", {"threads"}),
        ("execution_mode=parallel,inter_threads=2", {"session-options"}),
        ("onnxruntime-openvino==1.24.1, provider=openvino", {"runtime", "provider"}),
        ("model=replica-plain", {"model"}),
    ],
)
def test_a_change_is_about_keys_of_the_configuration(change: str, settings: set[str]) -> None:
    assert settings_of(change) == settings


def test_where_nothing_is_given_every_change_is_measured() -> None:
    assert here(CHANGES) == CHANGES
    assert here(()) == ("current",)


def test_what_the_user_settles_replaces_the_suites_own() -> None:
    assert here(CHANGES, threads="2") == tuple(each for each in CHANGES if "threads" not in each)
    assert here(CHANGES, provider="cpu") == tuple(each for each in CHANGES if "provider" not in each)
    assert here(("threads=1",), threads="2") == ("current",)


def test_an_engine_without_models_gets_no_change_of_model_provider_or_packages() -> None:
    assert here(CHANGES, engine="scripted") == ("current", "threads=1", "arena=off")


def test_an_engine_that_is_settled_keeps_what_a_suite_varies_of_it_and_no_other_engine() -> None:
    pools = ("current", "engine=kokoro-sentences", "engine=kokoro-sentences,sessions=2", "engine=kokoro-server")
    assert here(pools, engine="kokoro-sentences") == pools[:3]
    assert here(pools, engine="kokoro-server") == ("current", "engine=kokoro-server")
    assert here(pools[1:3], **{"engine": "kokoro-sentences", "session-options": "sessions=4"}) == pools[1:2]
    assert arms(
        ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",), recipes=(), changes=pools), engine="kokoro-sentences"
    ) == [
        "replica-small.kokoro-sentences.cpu.tdefault",
        "replica-small.kokoro-sentences.cpu.tdefault",
        "replica-small.kokoro-sentences.cpu.tdefault.sessions=2",
    ]


def test_every_provider_is_each_that_this_build_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = ("CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider")
    runtime = InstalledRuntime(version="1.32.0", providers=offered)
    monkeypatch.setattr("harness.plan.requests.installed_runtime", lambda: runtime)
    assert here(("current", "provider=*")) == ("current", "provider=cuda", "provider=tensorrt")


def test_nobody_asks_the_build_for_what_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.plan.requests.installed_runtime", lambda: pytest.fail("it was asked"))
    for given, left in ((("current", "provider=*"), ("current",)), (("provider=*",), ("current",))):
        request = ScenarioRequest(mode=Mode.WHOLE, changes=given)
        assert resolved_request(without_every_provider(request), load_config({}, environment={})).changes == left


def test_a_change_makes_an_arm_of_each_arm() -> None:
    request = ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",), changes=("current", "threads=1", "arena=off"))
    assert arms(request) == [
        "replica-small.cpu.tdefault",
        "replica-small.cpu.t1",
        "replica-small.cpu.tdefault.arena=off",
    ]


def test_recipes_are_measured_where_no_model_is_named() -> None:
    config = load_config({}, environment={})
    request = ScenarioRequest(mode=Mode.LOAD_WARM, recipes=("u8", "int4"))
    names = [each.arm.model.name for each in wanted_scenarios(config, [request], "quick") if each.arm.model]
    original = names[0]
    assert names == [original, f"{original}-u8", f"{original}-int4"]
    assert arms(request) == ["replica-small.cpu.tdefault"]
