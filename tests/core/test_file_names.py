"""The name of a file without its folder."""

import pytest

from harness.core.file_names import without_folder


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("replica", "replica"),
        ("models/kokoro.onnx", "kokoro.onnx"),
        ("C:\\models\\kokoro.onnx", "kokoro.onnx"),
        ("/srv/models/", "…"),
        ("on", "on"),
    ],
)
def test_a_path_is_named_by_its_file_and_a_folder_is_not_named(text: str, name: str) -> None:
    assert without_folder(text) == name
