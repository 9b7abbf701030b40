"""The order of the files of tests: a plugin of pytest, which `conftest.py` in the folder above names."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
LONGEST_FIRST = (
    "docs/test_task_pages.py",
    "cli/test_replay_of_commits.py",
    "cli/test_quantised_models.py",
    "models/test_quantise.py",
    "cli/test_waiting_duel.py",
    "schedule/test_survival.py",
    "known_answers/test_speech_facts.py",
    "schedule/test_nights.py",
    "known_answers/test_joined_speech.py",
    "reports/test_browser.py",
    "runner/test_pytest_plugin.py",
    "cli/test_reference.py",
    "schedule/test_thousand_nights.py",
    "models/test_graphs.py",
    "engines/pooled/test_over_http.py",
    "cli/test_replay.py",
    "cli/test_bisect.py",
    "cli/test_bad_input.py",
    "cli/test_gate_policy.py",
    "cli/test_dead_packages.py",
    "known_answers/test_wire.py",
    "test_forking.py",
    "cli/test_cli.py",
    "cli/test_exit_codes.py",
    "cli/test_model_files.py",
    "schedule/test_endings.py",
    "cli/test_confirm.py",
    "cli/test_endpoint.py",
    "cli/test_engines_of_runtimes.py",
    "engines/kokoro/test_engine.py",
    "known_answers/test_optimise.py",
    "cli/test_duel.py",
    "schedule/test_accepting.py",
    "known_answers/test_private_folder.py",
    "schedule/test_killed_anywhere.py",
    "known_answers/test_suspects.py",
    "known_answers/test_allocations.py",
    "runner/test_run.py",
    "models/replica/test_through_kokoro_onnx.py",
    "runner/test_replay.py",
    "cli/test_started_servers.py",
    "store/test_processes.py",
    "known_answers/test_distributed_closed.py",
    "known_answers/test_distributed_open.py",
    "engines/http/test_engine.py",
    "cli/test_run_intervals.py",
    "cli/test_run.py",
    "models/test_obtain.py",
    "cli/test_streams.py",
    "measure/runtimes/test_builds.py",
    "measure/load/test_loops.py",
    "cli/test_load.py",
    "known_answers/test_other_side.py",
    "cli/test_languages.py",
    "known_answers/test_validate_figures.py",
    "known_answers/test_open_loops.py",
    "cli/test_default_models.py",
    "known_answers/test_closed_loop.py",
)
"""Files of nine seconds of CPU time and more, the longest first; then those that wait for ten seconds and more."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that none is still running when all others are done."""
    order = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.as_posix().removeprefix(f"{HERE.as_posix()}/"), len(order)))
