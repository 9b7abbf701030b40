"""Trends as strings: tables that fit a page, and figures that the latest run has not."""

from dataclasses import replace

from benchmarks.synthetic_history import made_run
from benchmarks.synthetic_run import Made
from reports.history.index import RunIndex
from reports.text.naming import names_of
from reports.views.headline import headline
from reports.views.trends import Lines, lines, overview

MADE = Made(classes=("tiny", "short", "medium", "long"), launches=2, blocks=2)


def drawn_of(*nights: int, leave_out: str = "") -> Lines:
    """The lines of made runs; the last lacks the figures of the metric `leave_out`."""
    run_index = RunIndex(code="")
    runs = [made_run(MADE, night) for night in nights]
    last = runs[-1]
    runs[-1] = replace(last, summaries=tuple(each for each in last.summaries if each.metric != leave_out))
    for data in runs:
        run_index.enter(data, "", headline(data))
    return lines(run_index, last.run.machine.key, names_of(last))


def test_a_table_of_the_overview_is_never_wider_than_a_page_and_nothing_is_lost() -> None:
    drawn = drawn_of(1, 2)
    tables = [table for table in overview(drawn) if table.metric == "ttfa"]
    asked = {each.label.what for (_, metric), each in drawn.trends.items() if metric == "ttfa"}
    assert len(asked) == 8
    assert [len(table.columns) for table in tables] == [4, 4]
    assert {what for table in tables for what in table.columns} == asked
    assert [table.follows for table in tables] == [False, True]


def test_a_figure_that_the_latest_run_has_not_keeps_its_last_value_and_says_so() -> None:
    drawn = drawn_of(1, 2, leave_out="rtf")
    table = next(table for table in overview(drawn) if table.metric == "rtf")
    cells = [cell for _, row in table.rows for cell in row if cell]
    assert {cell.words.word for cell in cells} == {"not in the latest run"}
    assert all("0" <= cell.now[0] <= "9" for cell in cells)
    trend = next(each for (_, metric), each in drawn.trends.items() if metric == "rtf")
    assert trend.now.startswith("not in the latest run; before ")


def test_a_line_that_never_moved_has_no_range() -> None:
    drawn = drawn_of(1, 2)
    ranges = {each.range for (_, metric), each in drawn.trends.items() if metric == "success_rate"}
    assert "always 100.0\u202f%" in ranges


def test_a_line_of_the_last_runs_says_between_what_it_went_and_where_it_ended() -> None:
    drawn = drawn_of(1, 2, 3)
    said = {key: str(mark).partition('aria-label="')[2].partition('"')[0] for key, mark in drawn.sparks.items()}
    key = next(key for key in said if key[1] == "latency")
    shown = drawn.trends[key]
    assert said[key] == f"the last 3 runs: {shown.range}, lastly {shown.now}"
    assert "the last 3 runs: always 100.0\u202f%" in said.values()
