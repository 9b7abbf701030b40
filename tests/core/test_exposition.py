"""Metrics for Prometheus and OpenMetrics: names, labels, values."""

from math import inf

from harness.core.exposition import OPENMETRICS, counter, exposed, gauge, histogram


def test_a_gauge_has_its_help_its_type_and_its_samples() -> None:
    found = exposed([gauge("streak", "runs in a row", [({}, 2), ({"job": "a"}, 0.5)])])
    assert found.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert found.content.decode().splitlines() == [
        "# HELP streak runs in a row",
        "# TYPE streak gauge",
        "streak 2.0",
        'streak{job="a"} 0.5',
    ]


def test_a_counter_is_named_as_each_format_wants_it() -> None:
    runs = counter("runs", "runs that ended", [({}, 2)])
    assert exposed([runs]).content.decode().splitlines()[1:] == ["# TYPE runs_total counter", "runs_total 2.0"]
    found = exposed([runs], accept=OPENMETRICS)
    assert found.content_type.startswith("application/openmetrics-text")
    assert found.content.decode().splitlines()[1:] == ["# TYPE runs counter", "runs_total 2.0", "# EOF"]


def test_labels_with_quotes_backslashes_and_line_feeds_are_escaped() -> None:
    found = exposed([gauge("up", "up", [({"name": 'a"\\\n'}, 1)])])
    assert found.content.decode().splitlines()[-1] == r'up{name="a\"\\\n"} 1.0'


def test_a_histogram_ends_with_the_infinite_bucket_the_sum_and_the_count() -> None:
    found = exposed([histogram("rtf", "speed", "cached", {"no": ({0.5: 1, inf: 3}, 4.25)})])
    assert found.content.decode().splitlines()[2:] == [
        'rtf_bucket{cached="no",le="0.5"} 1.0',
        'rtf_bucket{cached="no",le="+Inf"} 3.0',
        'rtf_count{cached="no"} 3.0',
        'rtf_sum{cached="no"} 4.25',
    ]
