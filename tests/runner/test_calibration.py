"""The gate's own error rates: kept one by one, read back, quoted."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import Any

import click
import pytest
from click.testing import CliRunner

from harness.analysis.finished import Finished
from harness.analysis.operating_curve import UNCALIBRATED, Trial
from harness.cli.calibrate import calibrate, sizes_of
from harness.core.errors import BaselineError
from harness.runner import calibration
from harness.runner.calibration import FEWEST_DUELS
from harness.runner.run_duel import run_duel

TRIAL = Trial(scenario_id="arm/whole/chars-60/af_heart", planted=0.0, regressed=False, improved=False, seconds=30.0)


def test_trials_are_kept_in_order_and_make_a_curve(tmp_path: Path) -> None:
    for planted, regressed in ((0.0, False), (0.05, True), (0.05, False)):
        calibration.add(tmp_path, "machine", replace(TRIAL, planted=planted, regressed=regressed))
    (curve,) = calibration.curves(tmp_path, "machine").values()
    assert curve.false_alarms is not None
    assert (curve.false_alarms.count, curve.false_alarms.trials) == (0, 1)
    assert [(point.size, point.found.count, point.found.trials) for point in curve.power] == [(0.05, 1, 2)]
    assert list(tmp_path.iterdir()) == [calibration.place(tmp_path, "machine")]


def test_duels_in_slices_have_a_curve_of_their_own(tmp_path: Path) -> None:
    calibration.add(tmp_path, "machine", replace(TRIAL, regressed=True))
    calibration.add(tmp_path, "machine", replace(TRIAL, in_slices=True))
    for in_slices, alarms in ((False, 1), (True, 0), (None, 0)):
        (curve,) = calibration.curves(tmp_path, "machine", in_slices=in_slices).values()
        assert curve.false_alarms is not None
        assert (curve.false_alarms.count, curve.false_alarms.trials) == (alarms, 1)
        assert ("both arms at the same time" in curve.sentence()) is (in_slices is not False)


def test_what_launches_differ_by_is_learned_apart_for_duels_in_slices(tmp_path: Path) -> None:
    keep(tmp_path, duels(10, between=0.04))
    assert calibration.launch_effect(tmp_path, "machine", in_slices=True) is None


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


@pytest.mark.parametrize(("given", "read"), [((), (0.0, 0.01, 0.02, 0.05, 0.1)), (("0,5%", "0.1"), (0.0, 0.05, 0.1))])
def test_sizes_are_listed_with_commas_or_one_by_one(given: tuple[str, ...], read: tuple[float, ...]) -> None:
    context = click.Context(click.Command("calibrate"))
    assert sizes_of(context, click.Option(["--sizes"]), given) == read


def test_sizes_take_turns() -> None:
    assert calibration.order_of((0.0, 0.05), 2) == [0.0, 0.05, 0.0, 0.05]


def test_an_unknown_gate_says_so() -> None:
    assert "calibrate" in UNCALIBRATED


def duels(number: int, *, between: float, seed: int = 1) -> list[tuple[tuple[float, ...], ...]]:
    """Duels of three launches of eight pairs whose launches differ by a standard deviation of `between`."""
    random = Random(seed)  # noqa: S311 - noise, no secret
    return [
        tuple(tuple(launch + random.gauss(0, 0.02) for _ in range(8)) for launch in launches)
        for launches in ([random.gauss(0, between) for _ in range(3)] for _ in range(number))
    ]


def keep(directory: Path, pairs: Sequence[tuple[tuple[float, ...], ...]]) -> None:
    for each in pairs:
        calibration.add(directory, "machine", replace(TRIAL, pairs=each))


def test_what_launches_differ_by_is_learned_from_ten_duels_of_a_thing_against_itself(tmp_path: Path) -> None:
    pairs = duels(10, between=0.04)
    keep(tmp_path, pairs[:9])
    assert calibration.launch_effect(tmp_path, "machine", in_slices=False) is None
    keep(tmp_path, pairs[9:])
    effect = calibration.launch_effect(tmp_path, "machine", in_slices=False)
    assert effect is not None
    assert effect.duels == 10
    # By arithmetic 1 + 8 (0.04 / 0.02)² = 33.
    assert 15 < effect.inflation < 60
    assert "10 duels of an arm against itself" in effect.sentence()


def test_of_duels_in_slices_the_scatter_of_launches_is_learned(tmp_path: Path) -> None:
    for pairs in duels(20, between=0.04):
        calibration.add(tmp_path, "machine", replace(TRIAL, pairs=pairs, in_slices=True))
    effect = calibration.launch_effect(tmp_path, "machine", in_slices=True)
    assert effect is not None
    assert effect.inflation == 1
    assert effect.sd == pytest.approx(0.04, rel=0.3)
    assert "launches on this machine scatter by" in effect.sentence()


def test_launches_that_do_not_differ_widen_nothing(tmp_path: Path) -> None:
    keep(tmp_path, duels(30, between=0.0))
    effect = calibration.launch_effect(tmp_path, "machine", in_slices=False)
    assert effect is not None
    assert 1 <= effect.inflation < 1.5


def test_a_calibration_without_pairs_is_still_read(tmp_path: Path) -> None:
    old = {"format": 1, "machine": "machine", "trials": [vars_of(TRIAL)]}
    calibration.place(tmp_path, "machine").write_text(json.dumps(old))
    assert calibration.load(tmp_path, "machine").trials == (TRIAL,)
    assert calibration.launch_effect(tmp_path, "machine", in_slices=False) is None


def vars_of(trial: Trial) -> dict[str, object]:
    return {name: value for name, value in asdict(trial).items() if name != "pairs"}


def test_one_calibration_is_judged_by_one_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten trials would teach the next what launches differ by; they must not change the rule that they try."""
    known: list[calibration.KnownLaunches] = []

    def noted(*given: Any, launches: calibration.KnownLaunches, **named: Any) -> Finished:
        known.append(launches)
        return run_duel(*given, launches=launches, **named)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("harness.runner.run_duel.run_duel", noted)
    given = ["--engine=scripted", "--model=scripted", "--text=chars-12", "--sizes=0", "--launches=2", "--blocks=2"]
    for number in (FEWEST_DUELS + 1, 1):
        outcome = CliRunner().invoke(calibrate, [*given, f"--duels={number}"], standalone_mode=False)
        assert outcome.exception is None
    assert [each.whole for each in known[:-1]] == [None] * (FEWEST_DUELS + 1)
    assert known[-1].whole is not None
    assert known[-1].whole.duels == FEWEST_DUELS + 1
