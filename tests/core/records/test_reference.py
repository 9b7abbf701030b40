"""What differs between two subjects, in the words of a user."""

from dataclasses import replace
from typing import Any

import pytest

from harness.core.records.reference import LoadedSubject, Reference, ReferenceArm

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


def test_equal_subjects_do_not_differ() -> None:
    assert SUBJECT.differences(replace(SUBJECT)) == []


def test_scenario_finds_the_arm_it_was_accepted_with() -> None:
    one, two = arm("a/x", "a/y"), arm("a/z", subject=replace(SUBJECT, threads=2))
    reference = Reference(arms=(one, two))
    assert reference.for_scenario("a/y") is one
    assert reference.for_scenario("a/z") is two
    assert reference.for_scenario("b/x") is None
    assert reference.of_arm(one.arm_id) == (one, two)
