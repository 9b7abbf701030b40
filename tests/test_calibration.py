"""The gate's own error rates: kept one by one, read back, quoted."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness import calibration
from harness.errors import BaselineError
from harness.judge.calibration import UNCALIBRATED, Trial

TRIAL = Trial(scenario_id="arm/whole/chars-60/af_heart", planted=0.0, regressed=False, improved=False, seconds=30.0)


def test_trials_are_kept_in_order_and_make_a_curve(tmp_path: Path) -> None:
    for planted, regressed in ((0.0, False), (0.05, True), (0.05, False)):
        calibration.add(tmp_path, "machine", replace(TRIAL, planted=planted, regressed=regressed))
    (curve,) = calibration.curves(tmp_path, "machine").values()
    assert curve.false_alarms is not None
    assert (curve.false_alarms.count, curve.false_alarms.trials) == (0, 1)
    assert [(point.size, point.found.count, point.found.trials) for point in curve.power] == [(0.05, 1, 2)]
    assert list(tmp_path.iterdir()) == [calibration.place(tmp_path, "machine")]


def test_a_machine_without_trials_has_no_curve(tmp_path: Path) -> None:
    assert calibration.curves(tmp_path, "machine") == {}


@pytest.mark.parametrize("content", [b"", b"{", b'{"machine": "other", "trials": []}', b'{"machine": 3}'])
def test_a_file_that_cannot_be_used_says_so_and_stays(tmp_path: Path, content: bytes) -> None:
    file = calibration.place(tmp_path, "machine")
    file.write_bytes(content)
    with pytest.raises(BaselineError) as caught:
        calibration.add(tmp_path, "machine", TRIAL)
    assert str(file) in str(caught.value)
    assert file.read_bytes() == content


def test_sizes_take_turns() -> None:
    assert calibration.order_of((0.0, 0.05), 2) == [0.0, 0.05, 0.0, 0.05]


def test_an_unknown_gate_says_so() -> None:
    assert "calibrate" in UNCALIBRATED
