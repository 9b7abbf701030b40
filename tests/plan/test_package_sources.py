"""The sources of packages that an arm names: which texts are sources, and what they become."""

from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.plan.package_sources import (
    is_source,
    local_path,
    read_git,
    read_source,
    runtime_name,
    split_requirements,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with packages whose names have spaces and commas."""
    for name in ("my engine, new", "plain", "an@sign"):
        (tmp_path / name).mkdir()
    (tmp_path / "bells 1.whl").touch()
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "path:../engine",
        "dist/bells-1.0-py3-none-any.whl",
        "bells-1.0.tar.gz",
        "requirements.txt",
        "../requirements-dev.txt",
        "project/uv.lock",
        "bells @ git+file:///repository@main",
        "bells[all] @ https://example.org/bells-1.0.tar.gz",
        "bells@git+https://example.org/bells",
    ],
)
def test_a_text_names_a_source(text: str) -> None:
    assert is_source(text)


@pytest.mark.parametrize(
    "text",
    [
        "main",
        "HEAD@{1}",
        "main@{upstream}",
        "onnxruntime==1.22.1",
        "runtime=requirements.txt",
        "model=a/b.zip",
        "k.onnx",
    ],
)
def test_another_text_names_none(text: str) -> None:
    assert not is_source(text)


def test_relative_paths_begin_at_the_given_folder(folder: Path) -> None:
    assert read_source("path:my engine, new", base=folder, where="duel") == f"path:{folder}/my engine, new"
    assert read_source("bells 1.whl", base=folder, where="duel") == f"path:{folder}/bells 1.whl"
    with pytest.raises(UsageError, match=r"path:nowhere: there is no such file or folder"):
        read_source("path:nowhere", base=folder, where="duel")


def test_an_address_of_this_machine_has_no_spaces() -> None:
    read = read_source("bells @ git+file:///my engine, new@main", base=Path(), where="duel")
    assert read == "bells @ git+file:///my%20engine,%20new@main"
    assert local_path(read) == "/my engine, new"


def test_a_path_that_exists_keeps_its_spaces_and_other_requirements_end_at_one(folder: Path) -> None:
    text = f"path:my engine, new onnxruntime==1.22.1 bells @ git+file://{folder}/my engine, new@main numpy<2"
    assert split_requirements(text, base=folder) == [
        "path:my engine, new",
        "onnxruntime==1.22.1",
        f"bells @ git+file://{folder}/my engine, new@main",
        "numpy<2",
    ]
    assert split_requirements("bells @ git+https://example.org/b@v1 numpy", base=folder) == [
        "bells @ git+https://example.org/b@v1",
        "numpy",
    ]


@pytest.mark.parametrize(
    ("address", "repository", "revision"),
    [
        ("git+file:///r@main", "file:///r", "main"),
        ("git+file:///r@feature/x", "file:///r", "feature/x"),
        ("git+https://example.org/a/r", "https://example.org/a/r", ""),
        ("git+ssh://git@example.org/a/r@v1#subdirectory=x", "ssh://git@example.org/a/r", "v1"),
    ],
)
def test_the_parts_of_a_git_address(address: str, repository: str, revision: str) -> None:
    found = read_git(address)
    assert found is not None
    assert (found.repository, found.revision) == (repository, revision)


def test_a_folder_may_have_an_at_sign(folder: Path) -> None:
    found = read_git(f"git+file://{folder}/an@sign")
    assert found is not None
    assert (found.repository, found.revision) == (f"file://{folder}/an@sign", "")


@pytest.mark.parametrize(
    ("requirements", "name"),
    [
        (["path:/home/somebody/my engine"], "my-engine"),
        (["path:/home/somebody/bells-1.0-py3-none-any.whl"], "bells-1.0"),
        (["path:/home/somebody/project/uv.lock"], "project-uv.lock"),
        (["bells @ git+file:///home/somebody/bells@feature/x", "numpy<2"], "bells-feature-x_numpy-2"),
        ([f"bells @ git+https://example.org/r@{'a' * 40}"], "bells-aaaaaaa"),
    ],
)
def test_a_name_has_no_folder_of_the_user(requirements: list[str], name: str) -> None:
    assert runtime_name(requirements) == name
