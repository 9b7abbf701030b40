import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import UsageError
from harness.metrics.registry import METRICS, Direction, Metric, Per, Scale, metric

NAMED_IN_THE_DESIGN = {
    "load_time", "ttfb", "ttfc", "ttfa", "latency", "rtf", "rtf_model", "gap", "stall", "prebuffer", "overlap",
    "streaming_efficiency", "delivery_speed", "throughput", "goodput", "success_rate", "cpu_per_audio", "rss_loaded",
    "rss_peak", "rss_slope", "model_size", "lsd", "mcd", "duration_ratio", "pesq", "stoi", "stage_share_phonemise",
    "stage_share_inference", "stage_share_postprocess", "stage_share_rest",
}  # fmt: skip


def test_holds_every_metric_under_its_name() -> None:
    assert set(METRICS) >= NAMED_IN_THE_DESIGN
    assert all(name == each.name for name, each in METRICS.items())
    assert len({each.title for each in METRICS.values()}) == len(METRICS)


def test_every_metric_is_told_in_full() -> None:
    for each in METRICS.values():
        assert each.formula, each.name
        assert each.meaning.endswith(".") or each.meaning.endswith(": the headline."), each.name
        assert each.moved_by.endswith("."), each.name
        assert each.fooled_by.endswith("."), each.name
        assert "\n" not in each.formula + each.meaning + each.moved_by + each.fooled_by
        assert each.definition >= 1
        assert each.beside == "" or each.beside in METRICS
        assert each.tolerance is None or 0 < each.tolerance < 1


def test_an_efficiency_is_never_shown_alone() -> None:
    assert METRICS["streaming_efficiency"].beside == "overlap"


def test_what_has_no_spread_is_not_gated() -> None:
    assert [each.name for each in METRICS.values() if each.gated and each.per is Per.SCENARIO] == []


def test_a_misspelt_metric_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown metric 'latencies'") as raised:
        metric("latencies")
    assert raised.value.remedy == "did you mean 'latency'?"
    assert metric("rtf") is METRICS["rtf"]


def test_higher_is_better_for_exactly_these_metrics() -> None:
    assert METRICS["ttfa"].lower_is_better
    assert METRICS["duration_ratio"].direction is Direction.ONE
    assert not METRICS["duration_ratio"].lower_is_better
    assert [each.name for each in METRICS.values() if each.direction is Direction.HIGHER] == [
        "delivery_speed", "streaming_efficiency", "overlap", "success_rate", "throughput", "goodput", "cache_hit_rate",
        "pesq", "stoi", "dnsmos_overall", "dnsmos_signal", "dnsmos_p808",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("latency", 1.2345, "1.23 s"),
        ("latency", 12.345, "12.3 s"),
        ("latency", 123.45, "123 s"),
        ("latency", 1234.5, "1234 s"),
        ("latency", 0.41234, "412 ms"),
        ("latency", 0.0041234, "4.12 ms"),
        ("latency", 0.00041234, "412 µs"),
        ("latency", 0.9997, "1.00 s"),
        ("latency", 0.0009996, "1.00 ms"),
        ("latency", 0.0, "0 µs"),
        ("rss_peak", 1_356_000_000, "1.36 GB"),
        ("rss_peak", 417_500_000, "418 MB"),
        ("rss_peak", 999_900_000, "1.00 GB"),
        ("rss_peak", 999_900, "1.00 MB"),
        ("rss_peak", 12, "12 B"),
        ("rss_slope", -5_230.0, "−5.23 kB/repetition"),
        ("rtf", 0.20712, "0.207"),
        ("rtf", 0.00021, "0.00021"),
        ("rtf", 1e-12, "0.000"),
        ("success_rate", 0.9924, "99.2 %"),
        ("stage_share_rest", 1.0, "100.0 %"),
        ("cpu_per_audio", 0.4567, "0.457 s/s"),
        ("goodput", 12.3456, "12.346 1/s"),
        ("stall_count", 3.0, "3"),
        ("lsd", 6.0206, "6.02 dB"),
        ("duration_ratio", 1.0, "1.000"),
        ("overlap", -0.00001, "0.0 %"),
    ],
)
def test_value_is_formatted_with_the_unit_of_its_metric(name: str, value: float, text: str) -> None:
    assert METRICS[name].format(value) == text


def test_one_scale_for_an_axis() -> None:
    assert METRICS["latency"].axis_unit(0.3) == Scale(factor=1e3, unit="ms")
    assert METRICS["latency"].axis_unit(3.0) == Scale(factor=1.0, unit="s")
    assert METRICS["rss_slope"].axis_unit(-2e6) == Scale(factor=1e-6, unit="MB/repetition")
    assert METRICS["overlap"].axis_unit(0.5) == Scale(factor=100.0, unit="%")
    assert METRICS["rtf"].axis_unit(0.5) == Scale(factor=1.0, unit="")
    assert METRICS["throughput"].axis_unit(5.0) == Scale(factor=1.0, unit="s/s")


@given(st.sampled_from(sorted(METRICS)), st.floats(-1e12, 1e12))
def test_every_figure_can_be_written(name: str, value: float) -> None:
    number = METRICS[name].format(value).split(" ")[0].replace("−", "-")
    scale = METRICS[name].axis_unit(value)
    assert float(number) == pytest.approx(value * scale.factor, rel=0.006, abs=0.51) or "1.00" in number


def test_the_registry_loads_no_numpy() -> None:
    code = "import sys, harness.metrics.registry; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_metric_is_a_plain_record() -> None:
    assert isinstance(METRICS["rtf"], Metric)
    with pytest.raises(TypeError):
        METRICS["rtf"] = METRICS["ttfa"]  # type: ignore[index]


@pytest.mark.parametrize("each", METRICS.values(), ids=lambda each: each.name)
def test_the_spread_between_runs_has_a_source_and_counts_for_little_where_it_is_wide(each: Metric) -> None:
    spread = each.run_spread
    assert spread.source
    assert (spread.sd == 0) == math.isinf(spread.freedom)
    assert spread.freedom <= 4 or spread.sd <= 0.005
