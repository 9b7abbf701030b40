"""What differs between two things, name by name."""

from harness.core.records.differences import Difference, differences


def test_equal_values_are_no_difference() -> None:
    assert differences({"numpy": "2.4"}, [("numpy", "2.4")]) == []


def test_differences_come_in_the_later_order_and_then_what_only_the_earlier_has() -> None:
    before, after = {"kokoro": "1", "numpy": "1", "gone": "1"}, {"numpy": "2", "new": "1", "kokoro": "1"}
    found = [each[:3] for each in differences(before, after)]
    assert found == [("numpy", "1", "2"), ("new", "absent", "1"), ("gone", "1", "absent")]


def test_a_difference_reads_as_before_and_after() -> None:
    (found,) = differences({}, {"arena": "off"}, absent="default")
    assert (found, str(found)) == (Difference("arena", "default", "off"), "arena default → off")
