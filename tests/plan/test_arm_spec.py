"""What a person writes for a side of a duel."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.core.records.scenario import Arm, ModelVariant
from harness.plan.arm_spec import arm_spec_of, parse_arm_spec, with_label, without_paths

MODELS = ("replica", "replica-u8")
BASE = Arm(engine="kokoro", model=ModelVariant(name="replica", sha256="", size=0, origin="unresolved"))


def side(text: str) -> Arm:
    return parse_arm_spec(text, base=BASE, models=MODELS)


@pytest.mark.parametrize("text", ["current", "."])
def test_current_is_the_arm_as_configured(text: str) -> None:
    assert side(text) == BASE


@pytest.mark.parametrize(
    ("text", "requirements"),
    [
        ("onnxruntime==1.22.1", ("onnxruntime==1.22.1",)),
        ("kokoro-onnx==0.5.0,onnxruntime == 1.20.1", ("kokoro-onnx==0.5.0", "onnxruntime==1.20.1")),
        ("onnxruntime>=1.20", ("onnxruntime>=1.20",)),
        ("kokoro-onnx[gpu]==0.5.0", ("kokoro-onnx[gpu]==0.5.0",)),
    ],
)
def test_requirements_make_a_runtime(text: str, requirements: tuple[str, ...]) -> None:
    assert side(text).runtime.requirements == requirements


def test_a_source_of_packages_makes_a_runtime_without_folders_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "my engine, new"
    folder.mkdir()
    escaped = f"{folder}".replace(",", "\\,")
    arm = side(f"path:{escaped},threads=2,numpy==2.0")
    assert arm.runtime.requirements == ("numpy==2.0", f"path:{folder}")
    assert (arm.runtime.name, arm.threads) == ("my-engine-new_numpy==2.0", 2)
    assert without_paths(f"path:{escaped},threads=2") == "my-engine-new,threads=2"
    assert without_paths("runtime=path:/home/somebody/x,rev=a/b") == "runtime=x,rev=a/b"


def test_a_known_name_is_a_model_and_any_other_word_a_revision() -> None:
    assert side("replica-u8").model == ModelVariant(name="replica-u8", sha256="", size=0, origin="unresolved")
    assert side("v0.1.0").revision == "v0.1.0"
    assert side("rev=replica-u8").revision == "replica-u8"


def test_changes_add_up() -> None:
    changed = side("model=replica-u8,threads=2,arena=off,provider=openvino,onnxruntime-openvino==1.24.1")
    assert changed.model is not None
    assert changed.model.name == "replica-u8"
    assert (changed.threads, changed.provider) == (2, "openvino")
    assert changed.session_options == (("arena", "off"),)
    assert changed.runtime.requirements == ("onnxruntime-openvino==1.24.1",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty side"),
        ("thread=2", "did you mean 'threads'?"),
        ("threads=two", "whole number"),
        ("provider=opnvino", "did you mean 'openvino'?"),
        ("cuda:cudnn_conv_algo_search=DEFAULT", "put provider=cuda before it"),
        ("provider=cuda,cdua:device_id=1", "unknown change 'cdua:device_id'"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        side(text)
    assert said in str(caught.value)


def test_an_engine_of_another_package_takes_options_that_only_it_knows() -> None:
    bells = Arm(engine="bells")
    arm = parse_arm_spec("bell=tenor,threads=2", base=bells, models=())
    assert (arm.session_options, arm.threads) == ((("bell", "tenor"),), 2)
    with pytest.raises(UsageError, match="did you mean 'threads'"):
        parse_arm_spec("thread=2", base=bells, models=())


def test_options_of_a_provider_go_with_the_provider() -> None:
    cuda = side("provider=cuda,cuda:device_id=1,cuda:cudnn_conv_algo_search=HEURISTIC")
    assert cuda.provider_options == (("cudnn_conv_algo_search", "HEURISTIC"), ("device_id", "1"))
    assert parse_arm_spec("provider=cuda", base=cuda, models=()) == cuda
    assert parse_arm_spec("provider=cpu", base=cuda, models=()).provider_options == ()


def test_another_engine_brings_its_options_and_its_name() -> None:
    arm = parse_arm_spec("engine=kokoro-sentences,sessions=2,arena=off", base=BASE, models=())
    assert arm == replace(BASE, engine="kokoro-sentences", session_options=(("arena", "off"), ("sessions", "2")))
    assert arm.id == "replica.kokoro-sentences.cpu.tdefault.arena=off.sessions=2"
    assert BASE.id == "replica.cpu.tdefault"
    for side in ("sessions=2", "engine=endpoint", "engine=nobody"):
        with pytest.raises(UsageError):
            parse_arm_spec(side, base=BASE, models=())


@pytest.mark.parametrize(
    "text",
    [
        "model=replica",
        "model=replica-u8,threads=2,arena=off,spinning=off",
        "model=replica,provider=cuda,cuda:cudnn_conv_algo_search=HEURISTIC,cuda:device_id=1",
        "model=replica-plain,provider=openvino,onnxruntime-openvino==1.24.1",
        "model=replica,engine=kokoro-sentences,cache=64,sessions=2",
        "model=replica,kokoro-onnx==0.5.0,onnxruntime==1.20.1,rev=v0.1.0",
    ],
)
def test_an_arm_is_written_as_the_side_that_makes_it(text: str) -> None:
    assert arm_spec_of(side(text)) == text


def test_what_no_side_can_say_is_not_written() -> None:
    assert arm_spec_of(replace(BASE, model=None)) == ""
    assert arm_spec_of(replace(side("onnxruntime>=1.20"), slowdown=0.1)) == ""
    assert BASE.model is not None
    assert arm_spec_of(replace(BASE, model=replace(BASE.model, name="k", origin="user"))) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model=folder/k.onnx,threads=1", "model=k-12345678,threads=1"),
        (r"x\, y/K.ONNX , arena=off", "k-12345678,arena=off"),
        ("model=mine=folder/k.onnx", "model=k-12345678"),
        ("onnxruntime==1.22.1,rev=feature/x", "onnxruntime==1.22.1,rev=feature/x"),
        ("current", "current"),
    ],
)
def test_a_side_is_published_with_its_models_label_in_place_of_the_file(text: str, said: str) -> None:
    assert with_label(text, "k-12345678") == said
