"""What a run was narrowed to, as its headline says it."""

import pytest

from reports.text.choices import chosen


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ("", ""),
        ("quick", "quick"),
        ("quick --model first.onnx,second.onnx --threads 1 --text chars-12",
         "quick · first, second · 1 thread · chars-12"),
        ("full --model mine=k.onnx,replica --threads 1,2", "full · mine, replica · 1 and 2 threads"),
        ("quick --model a.onnx,b.onnx,c.onnx,d.ort,e", "quick · a, b, c and 2 more"),
        ("quick --provider cpu,openvino --voice bf_emma --language en-gb", "quick · cpu, openvino · bf_emma · en-gb"),
        ("quick --say Hello there, and more of it than fits into a line of a page",
         "quick · “Hello there, and more of it than fits in…”"),
        ("quick --url http://127.0.0.1:8880 -k long", "quick · http://127.0.0.1:8880 · -k long"),
        ("quick --session-options arena=off --runtime other", "quick · arena=off · runtime other"),
        ("duel: model=a.onnx,threads=2 against current", "duel: model=a.onnx,threads=2 against current"),
        ("nightly -k long -m full test_mine.py", "nightly · -k long · -m full test_mine.py"),
    ],
)  # fmt: skip
def test_it_names_models_and_choices_without_their_options(selection: str, said: str) -> None:
    assert chosen(selection) == said
