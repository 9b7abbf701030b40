from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import ConfigError, UsageError
from harness.core.records.scenario import Arm, Mode, Scenario, Utterance
from harness.plan.arm_spec import parse_arm_spec
from harness.plan.config import Config, load_config
from harness.plan.matrix import Plan, RunLimits, ScenarioRequest
from harness.runner.selection import wanted_arms, wanted_scenarios

URL = "http://127.0.0.1:8880"


def configured(root: Path, /, **options: str) -> Config:
    return load_config({name.replace("_", "-"): value for name, value in options.items()}, start=root, environment={})


def test_an_address_implies_the_engine_and_says_so(tmp_path: Path) -> None:
    config = configured(tmp_path, url=URL)
    assert config["engine"] == "endpoint"
    assert config.origins["engine"] == "implied by url, option --url"


def test_an_address_beside_another_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not 'kokoro'"):
        configured(tmp_path, url=URL, engine="kokoro")


def test_a_servers_arm_is_its_address_and_options_whatever_a_file_says_of_threads(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.kokoro-bench]\nthreads = [1, 2]\n")
    (arm,) = wanted_arms(configured(tmp_path, url=f"{URL}/", endpoint_options="format=wav,pid=12"), "full")
    assert arm == Arm(engine="endpoint", provider="", url=URL, session_options=(("format", "wav"), ("pid", "12")))
    assert arm.id == "endpoint.format=wav.http-127.0.0.1-8880"


def test_what_a_session_has_is_refused_where_it_is_given_for_a_server(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such thing"):
        wanted_arms(configured(tmp_path, url=URL, provider="cpu"), "quick")


def test_espeak_has_one_arm_and_a_voice_of_its_own(tmp_path: Path) -> None:
    config = configured(tmp_path, engine="espeak")
    assert [arm.id for arm in wanted_arms(config, "nightly")] == ["espeak"]
    assert config["voice"] == "en-us"
    assert configured(tmp_path, engine="espeak", voice="de")["voice"] == "de"


def test_options_of_a_server_are_changes_of_its_arm(tmp_path: Path) -> None:
    (arm,) = wanted_arms(configured(tmp_path, url=URL), "quick")
    cold = parse_arm_spec("keep_alive=off", base=arm, models=())
    assert cold == replace(arm, session_options=(("keep_alive", "off"),))
    with pytest.raises(UsageError, match="unknown change 'arena'"):
        parse_arm_spec("arena=off", base=arm, models=())


@pytest.mark.parametrize(("given", "expected"), [("format=wav", ["on", "off"]), ("keep_alive=off", ["off"])])
def test_a_suites_connections_give_way_to_the_users_alone(tmp_path: Path, given: str, expected: list[str]) -> None:
    request = ScenarioRequest(
        mode=Mode.ENDPOINT, texts=("chars-60",), variant=None, changes=("keep_alive=on", "keep_alive=off")
    )
    found = wanted_scenarios(configured(tmp_path, url=URL, endpoint_options=given), [request], "quick")
    assert [dict(each.arm.session_options)["keep_alive"] for each in found] == expected


@pytest.mark.parametrize(
    ("options", "modes"),
    [
        ({"url": URL}, [Mode.ENDPOINT]),
        ({"engine": "espeak"}, [Mode.WHOLE, Mode.STREAM, Mode.LOAD_WARM]),
        ({"engine": "scripted", "model": "scripted"}, [Mode.WHOLE, Mode.STREAM, Mode.LOAD_WARM, Mode.LOAD_COLD]),
    ],
)
def test_what_a_wish_is_about_decides_whether_it_is_one_here(
    tmp_path: Path, options: dict[str, str], modes: list[Mode]
) -> None:
    order = (Mode.ENDPOINT, Mode.WHOLE, Mode.STREAM, Mode.LOAD_WARM, Mode.LOAD_COLD)
    requests = [ScenarioRequest(mode=mode, texts=("chars-12",)) for mode in order]
    assert [each.mode for each in wanted_scenarios(configured(tmp_path, **options), requests, "quick")] == modes


@pytest.mark.parametrize("engine", ["espeak", "fastkokoro"])
def test_engines_that_read_text_get_no_phonemes(tmp_path: Path, engine: str) -> None:
    request = ScenarioRequest(mode=Mode.WHOLE, texts=("phonemes-510", "one-word"))
    found = wanted_scenarios(configured(tmp_path, engine=engine), [request], "quick")
    assert {each.text_class for each in found} == {"one-word"}


def test_two_scenarios_over_http_never_ask_for_one_text_in_one_block() -> None:
    arm = Arm(engine="endpoint", provider="", url=URL)
    arms = [replace(arm, session_options=(("keep_alive", kept),)) for kept in ("on", "off")]
    scenarios = tuple(Scenario(arm=each, mode=Mode.ENDPOINT, text_class="c", voice="v", variant=None) for each in arms)
    texts = tuple(Utterance(text_class="c", variant=number, text=f"{number}") for number in range(5))
    run_limits = RunLimits(budget_s=1.0, launches=1, blocks=1, warmups=0, timeout_s=1.0, seed=0)
    plan = Plan(scenarios=scenarios, utterances={"c": texts}, run_limits=run_limits, corpus_digest="")
    spoken = [[plan.utterance(each, block).variant for block in range(5)] for each in scenarios]
    assert spoken == [[0, 1, 2, 3, 4], [2, 3, 4, 0, 1]]
