"""What differs between two subjects, in the words of a user."""

from dataclasses import replace
from typing import Any

import pytest

from harness.core.records.reference import LoadedSubject, Reference, ReferenceArm, accepting

SUBJECT = LoadedSubject(
    engine="kokoro",
    engine_version="0.6.1",
    engine_source="a" * 64,
    interpreter="CPython 3.11.7",
    packages=(("kokoro-onnx", "0.6.1"), ("numpy", "2.4.5"), ("onnxruntime", "1.31.0")),
    model_sha256="b" * 64,
    voices_sha256="c" * 64,
    provider="cpu",
    threads=0,
)


def arm(*scenarios: str, **changes: Any) -> ReferenceArm:
    plain = ReferenceArm(
        arm_id="kokoro-v1.0.cpu.tdefault", subject=SUBJECT, run="20260101-030405-abcdef", date="2026-01-02",
        scenarios=scenarios,
    )  # fmt: skip
    return replace(plain, **changes)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"packages": (*SUBJECT.packages[:2], ("onnxruntime", "1.32.0"))}, ["onnxruntime 1.31.0 → 1.32.0"]),
        ({"packages": SUBJECT.packages[:2]}, ["onnxruntime 1.31.0 → none"]),
        ({"model_sha256": "d" * 64}, ["model bbbbbbbb → dddddddd"]),
        ({"engine_source": "d" * 64}, ["source of engine kokoro aaaaaaaa → dddddddd"]),
        ({"interpreter": "CPython 3.12.1"}, ["interpreter CPython 3.11.7 → CPython 3.12.1"]),
        ({"threads": 2}, ["threads default → 2"]),
        ({"session_options": (("warm_up", "on"),)}, ["option warm_up default → on"]),
        ({"provider_options": (("arena", "off"),)}, ["provider option arena default → off"]),
        ({"local_packages": (("numpy", "d" * 64),)}, ["content of numpy as published → dddddddd"]),
        ({"engine_version": "0.7"}, ["version of engine kokoro 0.6.1 → 0.7"]),
        (
            {"engine_version": "0.7", "packages": (("kokoro-onnx", "0.7"), *SUBJECT.packages[1:])},
            ["kokoro-onnx 0.6.1 → 0.7"],
        ),
        ({"model_sha256": "b" * 63 + "d"}, [f"model_sha256 {'b' * 64} → {'b' * 63}d"]),
    ],
)
def test_difference_of_subjects_is_named_as_a_user_names_it(change: dict[str, Any], told: list[str]) -> None:
    assert [str(each) for each in SUBJECT.differences(replace(SUBJECT, **change))] == told


def test_each_difference_of_subjects_has_the_kind_of_what_differs() -> None:
    other = replace(
        SUBJECT, engine="espeak", engine_version="2", engine_source="d" * 64, interpreter="CPython 3.12.1",
        packages=SUBJECT.packages[:2], local_packages=(("numpy", "d" * 64),), model_sha256="d" * 64,
        voices_sha256="e" * 64, provider="cuda", threads=7, session_options=(("new", "on"),),
        provider_options=(("new", "on"),),
    )  # fmt: skip
    found = {each.name: each.kind.value for each in SUBJECT.differences(other)}
    expected = {
        "onnxruntime": "package",
        "content of numpy": "package",
        "engine": "engine",
        "model": "model",
        "voices": "model",
        "source of engine espeak": "source",
        "interpreter": "interpreter",
        "provider": "option",
        "threads": "option",
        "version of engine espeak": "engine",
        "provider option new": "option",
        "option new": "option",
    }
    assert {name: found[name] for name in expected} == expected
    alike = replace(SUBJECT, engine_source="a" * 63 + "d")
    assert [each.kind.value for each in SUBJECT.differences(alike)] == ["source"]


def test_equal_subjects_do_not_differ() -> None:
    assert SUBJECT.differences(replace(SUBJECT)) == []


def test_scenario_finds_the_arm_it_was_accepted_with() -> None:
    one, two = arm("a/x", "a/y"), arm("a/z", subject=replace(SUBJECT, threads=2))
    reference = Reference(arms=(one, two))
    assert reference.for_scenario("a/y") is one
    assert reference.for_scenario("a/z") is two
    assert reference.for_scenario("b/x") is None
    assert reference.of_arm(one.arm_id) == (one, two)


class TestAccepting:
    ONE = arm("a/x", "a/y", reason="first")

    def test_same_subject_keeps_its_acceptance_and_takes_more_scenarios(self) -> None:
        again = arm("a/y", "a/z", run="later", date="2026-02-03", reason="again")
        found, change = accepting(Reference(arms=(self.ONE,)), again)
        assert found.arms == (replace(self.ONE, scenarios=("a/x", "a/y", "a/z")),)
        assert change is not None
        assert (change.added, change.differences) == (("a/z",), ())

    def test_same_acceptance_changes_nothing(self) -> None:
        reference = Reference(arms=(self.ONE,))
        assert accepting(reference, replace(self.ONE, run="later", reason="again")) == (reference, None)
        assert accepting(reference, self.ONE, renew=True) == (reference, None)

    def test_new_reason_renews_the_acceptance(self) -> None:
        later = replace(self.ONE, run="later", reason="again")
        found, change = accepting(Reference(arms=(self.ONE,)), later, renew=True)
        assert found.arms == (later,)
        assert change is not None
        assert change.added == ()

    def test_source_that_is_committed_now_replaces_uncommitted_one(self) -> None:
        dirty = replace(self.ONE, dirty=True, revision="1")
        found, _ = accepting(Reference(arms=(dirty,)), replace(self.ONE, revision="2", run="later", reason=""))
        assert found.arms == (replace(self.ONE, revision="2"),)

    def test_another_subject_takes_its_scenarios_over(self) -> None:
        changed = arm("a/y", "a/z", subject=replace(SUBJECT, threads=2))
        found, change = accepting(Reference(arms=(self.ONE,)), changed)
        assert found.arms == (replace(self.ONE, scenarios=("a/x",)), changed)
        assert change is not None
        assert [str(each) for each in change.differences] == ["threads default → 2"]
        whole, _ = accepting(found, replace(changed, scenarios=("a/x",)))
        assert whole.arms == (replace(changed, scenarios=("a/x", "a/y", "a/z")),)
