"""The text exposition format: names, labels, values."""

from math import inf

from harness.core.exposition import histogram_lines, metric_lines


def test_metric_lines_with_a_meaning_begin_with_help_and_type() -> None:
    assert metric_lines("runs_total", "counter", [({}, 2), ({"job": "a"}, 0.5)], meaning="runs that ended") == [
        "# HELP runs_total runs that ended",
        "# TYPE runs_total counter",
        "runs_total 2",
        'runs_total{job="a"} 0.5',
    ]


def test_metric_lines_escape_quotes_backslashes_and_line_feeds_in_labels() -> None:
    assert metric_lines("up", "gauge", [({"name": 'a"\\\n'}, 1)])[-1] == r'up{name="a\"\\\n"} 1'


def test_histogram_lines_end_with_the_infinite_bucket_the_sum_and_the_count() -> None:
    assert histogram_lines("rtf", {"cached": "no"}, {0.5: 1, inf: 3}, total=4.25) == [
        'rtf_bucket{cached="no",le="0.5"} 1',
        'rtf_bucket{cached="no",le="+Inf"} 3',
        'rtf_sum{cached="no"} 4.25',
        'rtf_count{cached="no"} 3',
    ]
