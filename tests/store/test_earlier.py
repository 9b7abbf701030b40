"""What earlier versions said in sentences alone, as fields."""

from dataclasses import replace

from harness.core.records.verdict import REPLAYED, Verdict, VerdictKind
from harness.store.earlier import as_of_now

SAME = Verdict(
    scenario_id="s",
    metric="latency",
    kind=VerdictKind.SAME_SUBJECT,
    reason="nothing under test changed since the acceptance of 2026-11-20 (run r1); its median lies +2 % from the "
    "accepted one, which the machine alone explains",
)
PAIRS = Verdict(
    scenario_id="s",
    metric="latency",
    kind=VerdictKind.UNCHANGED,
    reference=f"{REPLAYED}r3",
    accepted="r1",
    reason="shown to be within ±2 %; pair by pair with the reference accepted on 2026-11-20, replayed in run r3; "
    "changed: numpy 2.0 → 2.1; onnxruntime 1.31.0 → 1.32.0",
)


def test_the_acceptance_and_what_changed_are_read_of_verdicts_that_lack_the_fields() -> None:
    same, pairs = as_of_now([SAME, PAIRS])
    assert same == replace(SAME, accepted="r1", accepted_on="2026-11-20")
    assert pairs == replace(PAIRS, accepted_on="2026-11-20", changed="numpy 2.0 → 2.1; onnxruntime 1.31.0 → 1.32.0")


def test_verdicts_with_the_fields_are_left_as_they_are() -> None:
    stored = replace(SAME, accepted="r2", accepted_on="2026-11-21")
    assert as_of_now([stored]) == (stored,)
