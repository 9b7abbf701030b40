"""Lists with commas."""

from hypothesis import given
from hypothesis import strategies as st

from harness.core.comma_lists import join_list, split_list
from harness.plan.parsing import as_pairs, as_texts
from harness.schedule.jobs import as_text

items = st.text(min_size=1).map(str.strip).filter(lambda text: text and not text.endswith("\\") and "\\," not in text)


def test_a_comma_within_an_item_has_a_backslash_before_it() -> None:
    assert as_texts(r"x\, y/m.onnx, b") == ("x, y/m.onnx", "b")
    assert as_texts(["x, y/m.onnx", "b"]) == ("x, y/m.onnx", "b")
    assert as_texts("C:\\models\\k.onnx,b") == ("C:\\models\\k.onnx", "b")
    assert as_pairs(r"a=1\,2,b=3") == (("a", "1,2"), ("b", "3"))
    assert as_text(["x, y/m.onnx", "b"]) == r"x\, y/m.onnx,b"


@given(st.lists(items, max_size=5))
def test_a_list_comes_back_as_it_was_written(written: list[str]) -> None:
    assert split_list(join_list(written)) == (written or [""])
