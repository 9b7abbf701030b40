from pathlib import Path

from harness.plan.config import load_config
from harness.plan.narrowing import KEYS, label


def test_a_selection_as_it_stands_is_its_own_label(tmp_path: Path) -> None:
    config = load_config({"seed": "1", "budget": "4m"}, start=tmp_path, environment={})
    assert label("quick", config) == "quick"


def test_whatever_decides_what_is_measured_stands_behind_it(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.kokoro-bench]\nvoice = "am_puck"\n')
    options = {
        "threads": "1,2",
        "model": "replica",
        "session-options": "arena=off,spinning=on",
        "say": ["How now?", "Well, well."],
    }
    config = load_config(options, start=tmp_path, environment={"KOKORO_BENCH_TEXT": "chars-12"})
    assert label("full", config, chosen=["-k whole"]) == (
        "full --model replica --session-options arena=off,spinning=on --threads 1,2 --text chars-12 --say How now?"
        " --say Well, well. --voice am_puck -k whole"
    )


def test_every_key_is_one_of_the_configuration(tmp_path: Path) -> None:
    config = load_config({}, start=tmp_path, environment={})
    assert set(KEYS) <= set(config.values)


def test_models_stand_there_by_name_without_their_folders(tmp_path: Path) -> None:
    config = load_config({"model": r"some/m\, n.onnx,mine=some/k.onnx,replica"}, start=tmp_path, environment={})
    assert label("quick", config) == r"quick --model m\, n.onnx,mine=k.onnx,replica"
