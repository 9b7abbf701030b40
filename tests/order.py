"""The order of the files of tests: a plugin of pytest, which `conftest.py` in the folder above names."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
LONGEST_FIRST = (
    "cli/test_waiting_duel.py",
    "reports/test_browser.py",
    "docs/test_task_pages.py",
    "schedule/test_survival.py",
    "cli/test_endpoint.py",
    "cli/test_bisect.py",
    "known_answers/test_wire.py",
    "measure/load/test_loops.py",
    "cli/test_load.py",
    "cli/test_reference.py",
    "cli/test_replay.py",
    "known_answers/test_other_side.py",
    "cli/test_languages.py",
    "cli/test_bad_input.py",
    "cli/test_exit_codes.py",
    "runner/test_pytest_plugin.py",
    "cli/test_run_intervals.py",
    "schedule/test_thousand_nights.py",
    "schedule/test_endings.py",
    "cli/test_confirm.py",
    "cli/test_dead_packages.py",
    "engines/http/test_engine.py",
    "known_answers/test_validate_figures.py",
    "known_answers/test_open_loops.py",
    "models/test_quantise.py",
    "cli/test_gate_policy.py",
    "known_answers/test_distributed_closed.py",
    "cli/test_default_models.py",
    "cli/test_model_files.py",
    "known_answers/test_distributed_open.py",
    "known_answers/test_closed_loop.py",
)
"""Files of ten seconds and more, the longest first."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that none is still running when all others are done."""
    order = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.as_posix().removeprefix(f"{HERE.as_posix()}/"), len(order)))
