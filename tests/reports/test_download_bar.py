"""The bar of a download."""

import io

import pytest
from rich.console import Console

from reports.terminal.download_bar import download_bar


@pytest.mark.parametrize("bytes_here", [None, 50])
def test_download_bar_in_file_writes_nothing(bytes_here: int | None) -> None:
    file = io.StringIO()
    with download_bar("model", Console(file=file)) as progress:
        if bytes_here is not None:
            progress(bytes_here, 100)
    assert file.getvalue() == ""


def test_download_bar_on_terminal_shows_the_bytes() -> None:
    file = io.StringIO()
    with download_bar("model", Console(file=file, force_terminal=True, width=100)) as progress:
        progress(50_000_000, 100_000_000)
    assert "model" in file.getvalue()
    assert "50.0/100.0 MB" in file.getvalue()
