"""Units, signs and sentences."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.comma_lists import listed
from harness.core.records.scenario import Arm, Mode, Scenario
from harness.core.records.verdict import Estimate, Leniency, VerdictKind
from reports.charts.svg import Range, axis, forest, spark
from reports.text.format import (
    VERDICT_WORDS,
    change_words,
    finer,
    level,
    metric_of,
    number,
    percent,
    scale,
    span,
    typeset,
    value_change,
)
from reports.text.naming import names
from reports.views.headline import verdict_sentence

N = "\u202f"


@pytest.mark.parametrize(
    ("metric", "values", "value", "text"),
    [
        ("latency", [0.74, 9.1], 0.74, f"0.74{N}s"),
        ("latency", [0.031, 0.2], 0.0312, f"31{N}ms"),
        ("latency", [1.0, 75.0], 75.04, f"75.0{N}s"),
        ("rss_peak", [6.1e8, 7.0e8], 701_400_000, f"701{N}MB"),
        ("rss_peak", [6.1e8, 2.0e9], 701_400_000, f"0.70{N}GB"),
        ("rtf", [0.51], 0.5123, "0.512"),
        ("rtf", [0.51, 0.00021], 0.000213, "0.00021"),
        ("rtf", [0.51, 0.00021], 1e-17, "0.000"),
        ("rtf", [0.0021], 0.00213, "0.00213"),
        ("success_rate", [0.5, 1.0], 0.99, f"99.0{N}%"),
        ("stage_share_phonemise", [0.0003, 0.0004], 0.00032, f"0.032{N}%"),
        ("latency", [None, 2.0], None, "–"),
        ("stall", [0.0, 0.0], 0.0, f"0.00{N}s"),
    ],
)
def test_one_scale_serves_a_whole_column(
    metric: str, values: list[float | None], value: float | None, text: str
) -> None:
    assert scale(metric, values).full(value) == text


def test_signs_are_true_minus_signs_and_zero_has_none() -> None:
    assert percent(0.083) == f"+8.3{N}%"
    assert percent(-0.083) == f"\u22128.3{N}%"
    assert number(-0.0001, 2) == "0.00"
    assert number(1234567.0, 0) == f"1{N}234{N}567"


def test_a_level_has_as_many_digits_as_tell_it_from_certainty() -> None:
    said = {0.95: "95", 0.9: "90", 0.999: "99.9", 0.996715: "99.67", 0.999343: "99.934", 0.99989: "99.989", 1.0: "100"}
    assert {each: level(each) for each in said} == {each: f"{text}{N}%" for each, text in said.items()}


def test_recorded_sentences_get_true_signs_and_keep_names_as_they_are() -> None:
    assert (
        typeset("inference: -6.3% of the whole, -1 % there")
        == f"inference: \u22126.3{N}% of the whole, \u22121{N}% there"
    )
    assert typeset("model-8bit of 2026-01-02, `--take -1`, 5%x") == "model-8bit of 2026-01-02, `--take \u22121`, 5%x"


def test_two_figures_that_would_read_alike_get_more_places() -> None:
    on = scale("rss_peak", [7.201e8, 7.209e8])
    assert on.full(7.201e8) == f"720{N}MB"
    assert finer(on, 4e5).full(7.201e8) == f"720.1{N}MB"
    assert finer(on, 0.0) == on


def test_a_change_is_in_the_direction_of_the_value() -> None:
    worse = Estimate(point=0.1, low=0.05, high=0.15, level=0.999, method="m", n=12, launches=3)
    assert change_words("latency", worse).point == f"+10.5{N}%"
    assert change_words("success_rate", worse).point == f"\u22129.5{N}%"
    assert change_words("success_rate", worse).interval == f"\u221213.9 to \u22124.9{N}%"


@given(st.floats(-1, 1), st.sampled_from(["latency", "success_rate"]))
def test_worse_is_more_of_what_should_be_low_and_less_of_what_should_be_high(log_ratio: float, metric: str) -> None:
    rises = value_change(metric, log_ratio) > 0
    assert rises == ((log_ratio > 0) if metric_of(metric).lower_is_better else (log_ratio < 0))


@pytest.mark.parametrize("log_ratio", [1e4, -1e4])
@pytest.mark.parametrize("metric", ["latency", "success_rate"])
def test_interval_without_any_precision_does_not_overflow(log_ratio: float, metric: str) -> None:
    change = value_change(metric, log_ratio)
    assert change >= 1e40 or change == -1.0
    nothing_known = Estimate(point=0.1, low=-1e4, high=1e4, level=0.999, method="m", n=2, launches=2)
    assert change_words(metric, nothing_known).interval


def test_a_metric_that_the_registry_has_forgotten_keeps_its_name() -> None:
    assert metric_of("of_old").title == "of_old"
    assert scale("of_old", [3.0]).full(3.0) == "3.00"


@pytest.mark.parametrize(
    ("kinds", "missed", "text"),
    [
        ({VerdictKind.UNCHANGED: 80}, 0, "Nothing got worse: all 80 figures are shown to be unchanged."),
        (
            {VerdictKind.UNCHANGED: 79, VerdictKind.INCONCLUSIVE: 1},
            1,
            "No change is shown: 79 of 80 figures are unchanged, 1 is unclear; 1 target is missed.",
        ),
        ({VerdictKind.REGRESSED: 1, VerdictKind.UNCHANGED: 9}, 0, "1 of 10 figures got worse."),
        (
            {VerdictKind.REGRESSED: 2, VerdictKind.IMPROVED: 3, VerdictKind.FAILED: 1, VerdictKind.UNCHANGED: 5},
            2,
            "2 of 10 figures got worse and 3 got better; 1 could not be measured; 2 targets are missed.",
        ),
        ({VerdictKind.IMPROVED: 1, VerdictKind.UNCHANGED: 1}, 0, "1 of 2 figures got better, nothing got worse."),
        ({VerdictKind.IMPROVED: 2, VerdictKind.INCONCLUSIVE: 3}, 0, "2 of 5 figures got better, 3 are unclear."),
        ({VerdictKind.INCONCLUSIVE: 24}, 0, "No change is shown, nor its absence: all 24 figures are unclear."),
        ({VerdictKind.INCONCLUSIVE: 1}, 0, "No change is shown, nor its absence: the one figure is unclear."),
        ({VerdictKind.NO_BASELINE: 4}, 0, "Nothing to compare with: no baseline exists yet for any of 4 figures."),
        (
            {VerdictKind.NO_BASELINE: 4, VerdictKind.FAILED: 2},
            0,
            "Nothing to compare with: no baseline exists yet for 4 of 6 figures, 2 could not be measured.",
        ),
        (
            {VerdictKind.INCOMPARABLE: 1},
            0,
            "Nothing to compare with: the reference is not comparable for any of 1 figure.",
        ),
        ({VerdictKind.FAILED: 2}, 0, "Nothing could be measured validly: 2 figures failed."),
        ({}, 0, "Nothing was judged."),
    ],
)
def test_a_run_is_one_sentence(kinds: dict[VerdictKind, int], missed: int, text: str) -> None:
    assert verdict_sentence(kinds, missed=missed) == text


@given(st.dictionaries(st.sampled_from(list(VerdictKind)), st.integers(1, 9)), st.integers(0, 3))
def test_no_sentence_hides_a_regression_or_claims_one(kinds: dict[VerdictKind, int], missed: int) -> None:
    text = verdict_sentence(kinds, missed=missed)
    assert ("figures got worse" in text or "figure got worse" in text) == (Counter(kinds)[VerdictKind.REGRESSED] > 0)
    assert text.endswith(".")


def test_every_kind_of_verdict_has_a_word_and_a_glyph_of_its_own() -> None:
    assert set(VERDICT_WORDS) == {*VerdictKind, *Leniency}
    assert len({VERDICT_WORDS[kind].glyph for kind in VerdictKind}) == len(VerdictKind)
    assert len({word.word for word in VERDICT_WORDS.values()}) == len(VERDICT_WORDS)


def test_a_regression_that_fails_nothing_has_the_glyph_of_a_regression() -> None:
    assert {VERDICT_WORDS[each].glyph for each in Leniency} == {VERDICT_WORDS[VerdictKind.REGRESSED].glyph}


def test_names_leave_out_what_all_scenarios_share() -> None:
    one = Scenario(arm=Arm(engine="scripted"), mode=Mode.WHOLE, text_class="short", voice="af_heart")
    two = Scenario(
        arm=Arm(engine="scripted", provider="openvino"), mode=Mode.STREAM, text_class="short", voice="af_heart"
    )
    named = names((one, two))
    assert named.of(one.id).full == "short, whole on scripted · cpu"
    assert named.of(two.id).full == "short, stream on scripted · openvino"
    assert named.common == "default threads, voice af_heart"
    assert names((one,)).of(one.id).full == "short, whole, voice af_heart on scripted · cpu · default threads"
    assert named.of("gone/whole").full == "gone/whole"


@given(st.floats(-50, 50), st.floats(0.001, 100))
def test_an_axis_has_a_few_round_ticks_within_its_ends(low: float, width: float) -> None:
    on = axis(low, low + width, str)
    assert 3 <= len(on.ticks) <= 7
    assert all(-1e-6 <= tick.at <= 100 + 1e-6 for tick in on.ticks)


def test_what_lies_beyond_an_axis_is_drawn_at_its_end() -> None:
    on = axis(-0.1, 0.1, str)
    assert on.at(5.0) == 100.0
    assert not on.holds(5.0)
    mark = forest(Range(point=0.05, low=0.0, high=0.3), on=on, tolerance=0.05, css="worse", finding="a <b>")
    assert 'x1="50%" x2="100%"' in mark
    assert "a &lt;b&gt;" in mark


def test_a_sparkline_leaves_gaps_where_runs_have_no_figure() -> None:
    drawn = spark([1.0, None, 2.0, 3.0], finding="four runs")
    assert drawn.count("M") == 2
    assert "no figures" in spark([None, None], finding="two runs")
    assert spark([1.0], finding="one run") == ""


def test_lists_and_durations_are_written_in_words() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert span(284) == f"4{N}min 44{N}s"
    assert span(1.25) == f"1.2{N}s"
