from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.core.record_files import read_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    name: str
    size: int = 0


def test_reads_a_record_with_its_defaults(tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text('{"name": "a", "of_a_later_version": 1}')
    assert read_record(tmp_path / "kept.json", Kept) == Kept(name="a")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"size": 1}', b'{"name": "a", "size": "1"}', b'{"name": "\xff"}']
)
def test_takes_what_it_cannot_read_for_missing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "kept.json").write_bytes(content)
    assert read_record(tmp_path / "kept.json", Kept) is None


def test_a_missing_file_and_a_folder_hold_no_record(tmp_path: Path) -> None:
    assert read_record(tmp_path / "none.json", Kept) is None
    assert read_record(tmp_path, Kept) is None
