"""The benchmark that measures the priors of the registry, on stored runs whose memory is known."""

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.run_spread import collect, main, table
from harness.metrics.derive import RunValues
from tests.conftest import Laboratory

LOAD = "scripted.cpu.tdefault/load-warm"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[float]]:
    """A store of three runs of one script, and the logarithms of their loaded memory."""
    lab = Laboratory(tmp_path_factory.mktemp("stored"))
    logs = []
    for seed in range(3):
        data = lab.run(seed=str(seed), blocks="1", script="memory_noise=0.01").data
        (scenario,) = [each for each in data.run.scenarios if each.id == LOAD]
        logs.append(math.log(float(np.median(RunValues(data).of(scenario)["rss_loaded"].flat))))
    return str(lab.config().results), logs


def test_the_spread_is_that_of_the_runs_medians(stored: tuple[str, list[float]]) -> None:
    store, logs = stored
    found = {name: each for (name, _, scenario), each in collect([store, store]).items() if scenario == LOAD}
    assert sorted(found["rss_loaded"].medians) == pytest.approx(sorted(logs)), "a run of two stores counts once"
    assert np.std(logs) > 0.001
    (line,) = [line for line in table(collect([store])).splitlines() if line.startswith("rss_loaded")]
    assert line.split()[1:6] == ["1", "1", "3", "2", f"{np.std(logs, ddof=1):.2%}"]
    assert line.split()[8] == "0.50%", "what the registry presumes"


def test_a_store_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stores", str(tmp_path / "none.sqlite")]) == 2
    assert "none.sqlite" in capsys.readouterr().out
