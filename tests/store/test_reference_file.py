"""reference.toml: what is written is read back, and what does not belong there is named with its line."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import BaselineError
from harness.core.records.git_package import GitPackage
from harness.core.records.reference import AcceptedBy, LoadedSubject, Reference, ReferenceArm
from harness.store.reference_file import load_reference, parse_reference, reference_path, render, write

SUBJECT = LoadedSubject(
    engine="kokoro",
    engine_version="0.6.1",
    engine_source="a" * 64,
    interpreter="CPython 3.11.7",
    packages=(("kokoro-onnx", "0.6.1"), ("numpy", "2.4.5"), ("onnxruntime", "1.31.0")),
    model_sha256="b" * 64,
    voices_sha256="c" * 64,
    provider="cpu",
    threads=2,
    provider_options=(("arena", "off"),),
    session_options=(("say", 'a "quoted" word'),),
)
ARM = ReferenceArm(
    arm_id="kokoro-v1.0.cpu.t2",
    subject=SUBJECT,
    model_name="kokoro-v1.0",
    model_recipe="public",
    run="20260101-030405-abcdef",
    date="2026-01-02",
    reason="slower, but it no longer stutters",
    revision="c0ffee",
    scenarios=("kokoro-v1.0.cpu.t2/whole/chars-12/af_heart", "kokoro-v1.0.cpu.t2/whole/chars-60/af_heart"),
)
OTHER = replace(ARM, arm_id="espeak", subject=replace(SUBJECT, engine="espeak"), scenarios=("espeak/whole/chars-12",))
TEXT = render(Reference(arms=(ARM, OTHER))).decode()


def refused(tmp_path: Path, text: str) -> str:
    file = reference_path(tmp_path)
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BaselineError) as caught:
        load_reference(tmp_path)
    assert file.read_text(encoding="utf-8") == text
    assert caught.value.remedy
    return str(caught.value).replace(str(file), "FILE")


def line(text: str) -> int:
    return next(number for number, each in enumerate(TEXT.split("\n"), 1) if each.startswith(text))


def test_written_reference_is_read_back_sorted(tmp_path: Path) -> None:
    write(tmp_path, Reference(arms=(ARM, OTHER)))
    assert load_reference(tmp_path) == Reference(arms=(OTHER, ARM))
    assert reference_path(tmp_path).read_text(encoding="utf-8") == TEXT


def test_absent_reference_is_empty(tmp_path: Path) -> None:
    assert load_reference(tmp_path / "none") == Reference()


COMMIT = "9" * 40


@pytest.mark.parametrize(
    ("repository", "folder", "written"),
    [
        ("https://example.org/bells", "", f"https://example.org/bells@{COMMIT}"),
        ("../be@lls", "py thon", f"../be@lls@{COMMIT}#subdirectory=py thon"),
        ("", "", f"@{COMMIT}"),
    ],
)
def test_the_commit_of_a_package_is_read_back(repository: str, folder: str, written: str) -> None:
    package = GitPackage(name="bells", repository=repository, commit=COMMIT, subdirectory=folder)
    reference = Reference(arms=(replace(ARM, git_packages=(package,)),))
    text = render(reference).decode()
    assert f'[arms.git-packages]\nbells = "{written}"\n' in text
    assert parse_reference(text, Path("r.toml")) == reference


def test_each_fact_stands_on_a_line() -> None:
    changed = replace(ARM, subject=replace(SUBJECT, packages=(*SUBJECT.packages[:2], ("onnxruntime", "1.32.0"))))
    other = render(Reference(arms=(changed, OTHER))).decode().split("\n")
    changes = [(old, new) for old, new in zip(TEXT.split("\n"), other, strict=True) if old != new]
    assert changes == [('onnxruntime = "1.31.0"', 'onnxruntime = "1.32.0"')]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
tables = st.dictionaries(texts, texts, max_size=3).map(lambda found: tuple(sorted(found.items())))


@given(texts, texts, tables, st.lists(texts, min_size=1, max_size=3, unique=True), st.booleans())
def test_any_text_round_trips(reason: str, name: str, options: object, scenarios: list[str], dirty: bool) -> None:  # noqa: FBT001
    arm = replace(
        ARM, reason=reason, arm_id=name, dirty=dirty, scenarios=tuple(sorted(scenarios)), not_rebuildable=(reason,),
        subject=replace(SUBJECT, session_options=options, provider_options=options),
    )  # fmt: skip
    assert parse_reference(render(Reference(arms=(arm,))).decode(), Path("r.toml")) == Reference(arms=(arm,))


class TestBadFiles:
    def test_syntax_error_names_line_and_column(self, tmp_path: Path) -> None:
        number = line('numpy = "2.4.5"')
        told = refused(tmp_path, TEXT.replace('numpy = "2.4.5"', 'numpy = "2.4.5', 1))
        assert told.startswith(f"FILE:{number}:15: has a syntax error: ")
        assert "git checkout" in told

    def test_end_within_a_list_names_the_end(self, tmp_path: Path) -> None:
        told = refused(tmp_path, "format = 1\n[[arms]]\nscenarios = [")
        assert told.startswith("FILE:3:14: has a syntax error: ")

    def test_merge_conflict_is_named(self, tmp_path: Path) -> None:
        number = line('numpy = "2.4.5"')
        merged = TEXT.replace(
            'numpy = "2.4.5"', '<<<<<<< HEAD\nnumpy = "2.4.5"\n=======\nnumpy = "2.4.6"\n>>>>>>> b', 1
        )
        assert refused(tmp_path, merged).startswith(f"FILE:{number}:1: holds an unresolved merge conflict")

    @pytest.mark.parametrize(("found", "remedy"), [("2", "upgrade"), ("0", "git checkout"), ('"x"', "git checkout")])
    def test_other_format_is_named(self, tmp_path: Path, found: str, remedy: str) -> None:
        told = refused(tmp_path, TEXT.replace("format = 1", f"format = {found}"))
        assert told.startswith(f"FILE:{line('format')}: has the format ")
        assert remedy in told

    @pytest.mark.parametrize(
        ("old", "new", "after"),
        [
            ("dirty = false", "dirtied = false", 0),
            ("[arms.model]", '[arms.model]\nlicence = "MIT"', 1),
            ("format = 1", "format = 1\narm = 1", 1),
        ],
    )
    def test_unknown_field_is_named_with_its_line(self, tmp_path: Path, old: str, new: str, after: int) -> None:
        name = new.rsplit("\n", maxsplit=1)[-1].partition(" ")[0]
        told = refused(tmp_path, TEXT.replace(old, new, 1))
        assert told.startswith(f"FILE:{line(old) + after}: has an unknown field `{name}`")

    def test_a_package_without_its_commit_is_named_with_its_line(self, tmp_path: Path) -> None:
        told = refused(
            tmp_path, TEXT.replace("[arms.model]", '[arms.git-packages]\nbells = "../bells@main"\n\n[arms.model]', 1)
        )
        assert told.startswith(f"FILE:{line('[arms.model]') + 1}: '../bells@main' does not name the commit of bells")

    def test_wrong_type_is_named_with_its_line(self, tmp_path: Path) -> None:
        told = refused(tmp_path, TEXT.replace("threads = 2", 'threads = "2"', 1))
        assert told.startswith(f"FILE:{line('threads')}: has a value of type str where int is expected in `threads`")

    def test_missing_field_is_named_with_the_line_of_its_arm(self, tmp_path: Path) -> None:
        told = refused(tmp_path, TEXT.replace("threads = 2\n", "", 1))
        assert told.startswith(f"FILE:{line('[[arms]]')}: lacks the field `threads`")

    @pytest.mark.parametrize("version", ["latest", ">=2", "", "2.*", "1.0 beta"])
    def test_version_that_is_none_is_named_with_its_package(self, tmp_path: Path, version: str) -> None:
        told = refused(tmp_path, TEXT.replace('numpy = "2.4.5"', f'numpy = "{version}"', 1))
        assert told.startswith(f"FILE:{line('numpy')}: {version!r} is no version of the package numpy")

    def test_digest_that_is_none_is_named(self, tmp_path: Path) -> None:
        told = refused(tmp_path, TEXT.replace(f'sha256 = "{"b" * 64}"', 'sha256 = "bb"', 1))
        assert told.startswith(f"FILE:{line('sha256')}: 'bb' is no SHA-256")

    def test_two_arms_that_accept_one_scenario_are_named(self, tmp_path: Path) -> None:
        arm = TEXT[TEXT.rindex("[[arms]]") :]
        told = refused(tmp_path, f"{TEXT}\n{arm}")
        second = TEXT.count("\n", 0, TEXT.rindex("[[arms]]")) + 1
        third = TEXT.count("\n") + 2
        assert told.startswith(f"FILE:{third}: two arms 'kokoro-v1.0.cpu.t2' both accept {ARM.scenarios[0]}")
        assert f"begins in line {second}" in told

    def test_two_arms_with_one_subject_are_named(self, tmp_path: Path) -> None:
        arm = TEXT[TEXT.rindex("[[arms]]") :].replace("chars-12", "chars-1").replace("chars-60", "chars-6")
        assert "have the same subject" in refused(tmp_path, f"{TEXT}\n{arm}")

    def test_arms_that_are_no_list_are_named(self, tmp_path: Path) -> None:
        assert "no list of tables" in refused(tmp_path, "format = 1\narms = 3\n")

    def test_text_in_another_encoding_is_named(self, tmp_path: Path) -> None:
        reference_path(tmp_path).write_bytes(b"# caf\xe9\n")
        with pytest.raises(BaselineError, match="UTF-8"):
            load_reference(tmp_path)

    @pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="needs a user who may not read everything")
    def test_unreadable_file_is_named(self, tmp_path: Path) -> None:
        write(tmp_path, Reference(arms=(ARM,)))
        reference_path(tmp_path).chmod(0)
        with pytest.raises(BaselineError, match="cannot be read"):
            load_reference(tmp_path)


def test_reference_that_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    write(tmp_path, Reference(arms=(ARM,)))
    before = reference_path(tmp_path).read_bytes()
    with pytest.raises(BaselineError):
        write(tmp_path, Reference(arms=(ARM, ARM)), others={tmp_path / "other": b"x"})
    assert reference_path(tmp_path).read_bytes() == before
    assert not (tmp_path / "other").exists()


class TestWhoAccepted:
    def test_a_schedule_is_named_and_a_person_is_not(self) -> None:
        text = render(Reference(arms=(ARM,))).decode()
        assert "accepted-by" not in text
        assert (
            'accepted-by = "schedule"'
            in render(Reference(arms=(replace(ARM, accepted_by=AcceptedBy.SCHEDULE),))).decode()
        )

    @pytest.mark.parametrize(
        ("reason", "by"),
        [
            ("promoted by the schedule: nothing regressed, failed or was missing", AcceptedBy.SCHEDULE),
            ("promoted by the schedule", AcceptedBy.PERSON),
            ("", AcceptedBy.PERSON),
        ],
    )
    def test_of_an_earlier_version_its_reason_tells(self, reason: str, by: AcceptedBy) -> None:
        text = render(Reference(arms=(replace(ARM, reason=reason),))).decode()
        assert parse_reference(text, Path("reference.toml")).arms[0].accepted_by is by

    def test_nobody_else_can_accept(self) -> None:
        text = render(Reference(arms=(replace(ARM, accepted_by=AcceptedBy.SCHEDULE),))).decode()
        with pytest.raises(BaselineError, match="schedul3"):
            parse_reference(text.replace('"schedule"', '"schedul3"'), Path("reference.toml"))
