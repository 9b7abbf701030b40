"""The user's policy: `[tool.kokoro-bench.gate]` and `[[tool.kokoro-bench.waiver]]`, with the errors of both."""

from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import ConfigError, ExitCode, UsageError
from harness.core.records.verdict import Waiver
from harness.plan.config import Config, load_config
from harness.plan.gate_policy import check_overlap, waiver_of
from harness.plan.patterns import as_pattern

WHOLE = "arm/whole/chars-12/af_heart"
LAST_DAY = 1_798_675_200.0
"""2026-12-31T00:00:00Z."""
WAIVER = {"scenarios": '"*/chars-12/*"', "metric": '"latency"', "reason": '"why"', "until": "2026-12-31"}


def load(root: Path, content: str, options: dict[str, Any] | None = None, **environment: str) -> Config:
    (root / "pyproject.toml").write_text(content, encoding="utf-8")
    return load_config(options, start=root, environment=environment)


def waiver(**changes: str | None) -> str:
    lines = [f"{name} = {value}" for name, value in (WAIVER | changes).items() if value is not None]
    return "\n".join(["[[tool.kokoro-bench.waiver]]", *lines, ""])


class TestGate:
    TABLE = """
    [tool.kokoro-bench.gate]
    metrics = ["latency", "rss_peak"]
    require = "answer"
    [tool.kokoro-bench.gate.tolerance]
    latency = 0.03
    "*/chars-12/*" = { latency = "10%", rss_peak = 0.02 }
    "*/whole/chars-12/*" = { latency = 0.2 }
    """

    def test_gate_table_sets_keys_and_names_itself_as_origin(self, tmp_path: Path) -> None:
        config = load(tmp_path, self.TABLE)
        origin = f"{tmp_path / 'pyproject.toml'} [tool.kokoro-bench.gate]"
        assert {config.origins[name] for name in ("tolerance", "gate-metrics", "require")} == {origin}
        assert (config["require"], config["gate-metrics"]) == ("answer", ("latency", "rss_peak"))
        assert config.gates("latency")
        assert not config.gates("ttfa")

    def test_last_matching_pattern_sets_tolerance(self, tmp_path: Path) -> None:
        config = load(tmp_path, self.TABLE)
        assert config.tolerance(WHOLE, "latency") == 0.2
        assert config.tolerance("arm/stream/chars-12/af_heart", "latency") == pytest.approx(0.1)
        assert config.tolerance("arm/whole/chars-60/af_heart", "latency") == 0.03
        assert config.tolerance(WHOLE, "rss_peak") == 0.02
        assert config.tolerance(WHOLE, "rtf") == 0.05, "the registry's"

    def test_variables_and_options_overrule_table(self, tmp_path: Path) -> None:
        config = load(
            tmp_path,
            self.TABLE,
            {"gate-metrics": "ttfa"},
            KOKORO_BENCH_GATE_METRICS="rtf",
            KOKORO_BENCH_TOLERANCE="latency=7%",
        )
        assert config["gate-metrics"] == ("ttfa",)
        assert config.tolerance(WHOLE, "latency") == pytest.approx(0.07)

    def test_keys_outside_table_work_as_before(self, tmp_path: Path) -> None:
        config = load(tmp_path, '[tool.kokoro-bench]\nrequire = "baseline"\ntolerance = { latency = 0.5 }\n')
        assert (config["require"], config.tolerance(WHOLE, "latency")) == ("baseline", 0.5)
        assert config.gates("rtf")

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ("gate = 3", "must be a table"),
            ("[tool.kokoro-bench.gate]\ntolerances = {}", "did you mean 'tolerance'?"),
            ('[tool.kokoro-bench.gate]\nmetrics = ["latenzy"]', "did you mean 'latency'?"),
            ('[tool.kokoro-bench.gate]\nmetrics = ["wer"]', "names wer, which is shown and not compared"),
            ("[tool.kokoro-bench.gate.tolerance]\nlatency = 0", "tolerance of latency must be positive"),
            ("[tool.kokoro-bench.gate.tolerance]\nlatency = 5", "must be between 0 and 100%"),
            ("[tool.kokoro-bench.gate.tolerance]\nwer = 0.1", "names wer, which is shown and not compared"),
            ('[tool.kokoro-bench.gate.tolerance]\n"*/[ab/*" = { rtf = 0.1 }', "has a [ without its ]"),
            ('[tool.kokoro-bench.targets]\n"" = { rtf = 0.1 }', "must be a pattern of scenario ids, not empty"),
            ('require = "answer"\n[tool.kokoro-bench.gate]\nrequire = "answer"', "require is set twice"),
        ],
    )
    def test_bad_value_is_error_with_place(self, tmp_path: Path, content: str, told: str) -> None:
        with pytest.raises(ConfigError) as error:
            load(tmp_path, f"[tool.kokoro-bench]\n{content}\n")
        assert told in str(error.value)
        assert str(tmp_path / "pyproject.toml") in error.value.where
        assert error.value.exit_code is ExitCode.USAGE


class TestWaivers:
    def test_date_and_text_of_date_are_same(self, tmp_path: Path) -> None:
        wanted = Waiver(scenarios="*/chars-12/*", metric="latency", reason="why", until="2026-12-31")
        assert load(tmp_path, waiver()).waivers == (wanted,)
        assert load(tmp_path, waiver(until='"2026-12-31"')).waivers == (wanted,)

    def test_waiver_holds_to_end_of_last_day(self) -> None:
        given = [Waiver(scenarios="*/chars-12/*", metric="latency", reason="why", until="2026-12-31")]
        for seconds, expired in ((-1e9, False), (0, False), (86_399, False), (86_400, True)):
            found = waiver_of(given, scenario_id=WHOLE, metric="latency", at=LAST_DAY + seconds)
            assert found is not None
            assert found.expired is expired, seconds
        assert waiver_of(given, scenario_id=WHOLE, metric="rtf", at=LAST_DAY) is None
        assert waiver_of(given, scenario_id="arm/whole/chars-60/af_heart", metric="latency", at=LAST_DAY) is None

    @pytest.mark.parametrize(
        ("second", "told"),
        [
            (waiver(reason=None), "reason is missing"),
            (waiver(until=None), "until is missing — until = 2026-12-31"),
            (waiver(scenarios=None), "scenarios is missing"),
            (waiver(metric=None), "metric is missing"),
            (waiver(reason='"  "'), "reason is empty"),
            (waiver(metric='"latenzy"'), "metric names no metric: 'latenzy' — did you mean 'latency'?"),
            (waiver(metric='"wer"'), "metric names wer, which is shown and not compared"),
            (waiver(scenarios='"*/[ab/*"'), "scenarios has a [ without its ]"),
            (waiver(scenarios="3"), "scenarios must be a pattern of scenario ids, not 3"),
            (waiver(until='"soon"'), "until must be a day such as 2026-12-31, not 'soon'"),
            (waiver(until="2026-12-31T12:00:00"), "until must be a day such as 2026-12-31, not 2026-12-31T12:00:00"),
            (waiver(until="20261231"), "until must be a day such as 2026-12-31, not 20261231"),
            (waiver(note='"x"'), "unknown key 'note'"),
        ],
    )
    def test_bad_waiver_is_error_with_number_of_table(self, tmp_path: Path, second: str, told: str) -> None:
        with pytest.raises(ConfigError) as error:
            load(tmp_path, waiver(metric='"rtf"') + second)
        assert told in str(error.value)
        assert error.value.where == f"{tmp_path / 'pyproject.toml'} [[tool.kokoro-bench.waiver]] number 2"

    @pytest.mark.parametrize("content", ["waiver = 3", "waiver = [3]", 'waiver = "x"'])
    def test_waiver_that_is_no_table_is_error(self, tmp_path: Path, content: str) -> None:
        with pytest.raises(ConfigError, match="must be"):
            load(tmp_path, f"[tool.kokoro-bench]\n{content}\n")

    @pytest.mark.parametrize("other", ["*/chars-12/*", "*", "*/whole/chars-12/*"])
    def test_pattern_within_another_is_usage_error_that_names_both(self, tmp_path: Path, other: str) -> None:
        with pytest.raises(UsageError) as error:
            load(tmp_path, waiver() + waiver(scenarios=f'"{other}"', reason='"because"', until="2027-01-31"))
        told = str(error.value)
        assert "two waivers of latency overlap" in told
        assert "'*/chars-12/*' until 2026-12-31 (why)" in told
        assert f"'{other}' until 2027-01-31 (because)" in told

    def test_patterns_that_share_scenario_are_usage_error_for_run_with_it(self, tmp_path: Path) -> None:
        waivers = load(tmp_path, waiver() + waiver(scenarios='"arm/*"') + waiver(scenarios='"*/chars-60/*"')).waivers
        check_overlap(waivers, ["other/whole/chars-12/af_heart", "other/whole/chars-60/af_heart"])
        with pytest.raises(UsageError) as error:
            check_overlap(waivers, ["other/whole/chars-12/af_heart", WHOLE])
        assert error.value.where == WHOLE
        assert "'*/chars-12/*'" in str(error.value)
        assert "'arm/*'" in str(error.value)

    def test_waivers_of_two_metrics_do_not_overlap(self, tmp_path: Path) -> None:
        assert len(load(tmp_path, waiver() + waiver(metric='"rtf"')).waivers) == 2


@pytest.mark.parametrize("pattern", ["*", "a[bc]*", "a[!b]", "a[]]b", "arm/*/x[0-9]*"])
def test_patterns_of_fnmatch_are_read(pattern: str) -> None:
    assert as_pattern(pattern) == pattern
