import os
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import ConfigError, ExitCode
from harness.plan.arms import endpoint_arm
from harness.plan.config import DEFAULT_TARGETS, Config, find_root, joined, load_config
from harness.plan.keys import KEYS


def write(root: Path, section: str) -> Path:
    file = root / "pyproject.toml"
    file.write_text(section, encoding="utf-8")
    return file


def load(root: Path, options: dict[str, Any] | None = None, **environment: str) -> Config:
    return load_config(options, start=root, environment=environment)


class TestLayers:
    def test_without_any_source_every_value_is_the_default_and_says_so(self, tmp_path: Path) -> None:
        config = load(tmp_path)
        assert {key.name: config[key.name] for key in KEYS} == {key.name: key.default for key in KEYS}
        assert set(config.origins.values()) == {"default"}
        assert config.given == {}

    def test_each_source_overrules_the_one_before_and_is_named_as_the_origin(self, tmp_path: Path) -> None:
        file = write(tmp_path, "[tool.kokoro-bench]\nlaunches = 4\nblocks = 5\nseed = 6\n")
        config = load(
            tmp_path, {"seed": "8", "voice": None}, KOKORO_BENCH_SEED="7", KOKORO_BENCH_BLOCKS="9", PATH="/bin"
        )
        assert {name: (config[name], config.origins[name]) for name in ("launches", "blocks", "seed", "voice")} == {
            "launches": (4, f"{file} [tool.kokoro-bench]"),
            "blocks": (9, "environment variable KOKORO_BENCH_BLOCKS"),
            "seed": (8, "option --seed"),
            "voice": ("af_heart", "default"),
        }
        assert config.given == {"seed": "8"}

    def test_an_underscore_in_a_variable_is_a_hyphen_in_the_key(self, tmp_path: Path) -> None:
        assert load(tmp_path, KOKORO_BENCH_ANSWER_TIMEOUT="5s")["answer-timeout"] == 5.0

    def test_variables_that_other_parts_read_are_no_keys(self, tmp_path: Path) -> None:
        config = load(tmp_path, KOKORO_BENCH_CACHE="/cache", KOKORO_BENCH_TEST_POSTGRES="postgresql://localhost/x")
        assert set(config.origins.values()) == {"default"}

    def test_tables_with_readers_of_their_own_are_kept_as_they_are(self, tmp_path: Path) -> None:
        write(tmp_path, '[tool.kokoro-bench]\nseed = 1\n[tool.kokoro-bench.runtimes]\nold = ["onnxruntime==1.22.1"]\n')
        config = load(tmp_path)
        assert config["seed"] == 1
        assert config.tables == {"runtimes": {"old": ["onnxruntime==1.22.1"]}}

    def test_the_process_environment_is_read_where_none_is_given(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KOKORO_BENCH_SEED", "42")
        assert load_config(start=tmp_path)["seed"] == 42


class TestRoot:
    def test_it_is_the_nearest_directory_upwards_with_our_section(self, tmp_path: Path) -> None:
        write(tmp_path, "[tool.kokoro-bench.schedule]\nevery = 1\n")
        inner = tmp_path / "a" / "b"
        inner.mkdir(parents=True)
        write(inner.parent, "[tool.ruff]\n")
        assert find_root(inner) == tmp_path

    def test_without_one_it_is_where_we_are(self, tmp_path: Path) -> None:
        write(tmp_path, "[tool.ruff]\n")
        inner = tmp_path / "a"
        inner.mkdir()
        assert find_root(inner) == inner

    def test_places_stand_below_it_unless_they_are_absolute_or_a_url(self, tmp_path: Path) -> None:
        config = load(tmp_path)
        assert config.results == str(tmp_path / ".kokoro-bench/results.sqlite")
        assert config.baselines == tmp_path / "baselines"
        assert config.report == tmp_path / "reports/site"
        elsewhere = tmp_path / "elsewhere"
        config = load(tmp_path, {"results": "runs.db", "baselines": str(elsewhere), "report": "out"})
        assert config.results == str(tmp_path / "runs.db")
        assert (config.baselines, config.report) == (elsewhere, tmp_path / "out")
        assert load(tmp_path, {"results": "postgresql://db/bench"}).results == "postgresql://db/bench"


class TestValues:
    @pytest.mark.parametrize(
        ("name", "given", "read"),
        [
            ("model", "replica, /mine.onnx ,", ("replica", "/mine.onnx")),
            ("model", ["replica"], ("replica",)),
            ("threads", "1,2", (1, 2)),
            ("threads", 4, (4,)),
            ("threads", [0, 2], (0, 2)),
            ("budget", "90s", 90.0),
            ("slice", "25ms", 0.025),
            ("slice", "0", 0.0),
            ("workers-memory", "4GB", 4_000_000_000),
            ("workers-memory", "1.5 GiB", 1_610_612_736),
            ("workers-memory", "512mb", 512_000_000),
            ("workers-memory", 1_000, 1_000),
            ("workers-memory", "0", 0),
            ("budget", "4m", 240.0),
            ("budget", " 1.5H ", 5_400.0),
            ("budget", "12", 12.0),
            ("budget", 2.5, 2.5),
            ("session-options", "spinning=off, arena=on", (("arena", "on"), ("spinning", "off"))),
            ("session-options", {"spinning": False, "inter_threads": 2}, (("inter_threads", "2"), ("spinning", "off"))),
            ("provider-options", "a=b=c", (("a", "b=c"),)),
            ("say", "  How now?\n", ("How now?",)),
            ("say", ["Well, well.", "How now?", " Well, well."], ("Well, well.", "How now?")),
            ("require", "answer", "answer"),
            ("seed", 9007199254740991, 9007199254740991),
            ("seed", "9007199254740991", 9007199254740991),
        ],
    )
    def test_every_form_is_read(self, tmp_path: Path, name: str, given: Any, read: Any) -> None:
        assert load(tmp_path, {name: given})[name] == read

    @pytest.mark.parametrize(
        ("name", "given", "told"),
        [
            ("seed", "x", "seed must be a whole number, not 'x'"),
            ("seed", "-1", "seed must be at least 0, not -1"),
            ("seed", "1.5", "seed must be a whole number, not '1.5'"),
            ("launches", 0, "launches must be at least 1, not 0"),
            ("launches", True, "launches must be a whole number, not True"),
            ("launches", float("inf"), "launches must be a whole number, not inf"),
            ("launches", 2.5, "launches must be a whole number, not 2.5"),
            ("launches", [1], "launches must be a whole number, not [1]"),
            ("threads", "1,two", "threads must be a whole number, not 'two'"),
            ("threads", {"a": 1}, "threads must be a whole number, not {'a': 1}"),
            ("budget", "soon", "budget must be a duration such as 90s, 5m or 1h30m, not 'soon'"),
            ("budget", "fours", "budget must be a duration such as 90s, 5m or 1h30m, not 'fours'"),
            ("budget", "0", "budget must be positive, not '0'"),
            ("budget", "-3m", "budget must be positive, not '-3m'"),
            ("budget", "nan", "budget must be a duration such as 90s, 5m or 1h30m, not 'nan'"),
            ("budget", "inf", "budget must be a duration such as 90s, 5m or 1h30m, not 'inf'"),
            ("budget", True, "budget must be a duration such as 90s, 5m or 1h30m, not True"),
            ("budget", [1], "budget must be a duration such as 90s, 5m or 1h30m, not [1]"),
            ("voice", 3, "voice must be text, not 3"),
            ("model", 3, "model must be a list of texts, not 3"),
            ("model", ["a", 3], "model must be a list of texts, not ['a', 3]"),
            ("session-options", "arena", "session-options must be name=value, not 'arena'"),
            ("session-options", "=on", "session-options must be name=value, not '=on'"),
            ("require", "everything", "require must be one of nothing, baseline, answer, not 'everything'"),
            ("require", ["answer"], "require must be one of nothing, baseline, answer, not ['answer']"),
            ("say", " \n", "say is empty: it must hold at least one word"),
            ("targets", "rtf", "targets must be name=value, not 'rtf'"),
            ("targets", "rtf=fast", "targets of rtf must be a number, not 'fast'"),
            (
                "targets",
                "success_rate=1",
                "targets of success_rate must be below 1, not '1': a value must be able to exceed it",
            ),
            (
                "targets",
                {"stoi": 1.5},
                "targets of stoi must be below 1, not 1.5: a value must be able to exceed it",
            ),
            ("targets", "rtff=1", "targets names no metric: 'rtff' — did you mean 'rtf'?"),
            ("targets", {"*/whole/*": 0.5}, "targets names no metric: '*/whole/*' — known: "),
        ],
    )
    def test_what_makes_no_sense_says_what_and_where(self, tmp_path: Path, name: str, given: Any, told: str) -> None:
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, {name: given})
        meaning = next(key.meaning for key in KEYS if key.name == name)
        assert str(caught.value).startswith(f"option --{name}: {told}")
        assert str(caught.value).endswith(f" — {name}: {meaning}")
        assert caught.value.exit_code is ExitCode.USAGE

    def test_an_error_names_the_source_that_it_came_from(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, KOKORO_BENCH_LAUNCHES="many")
        assert caught.value.where == "environment variable KOKORO_BENCH_LAUNCHES"
        file = write(tmp_path, '[tool.kokoro-bench]\nlaunches = "many"\n')
        with pytest.raises(ConfigError) as caught:
            load(tmp_path)
        assert caught.value.where == f"{file} [tool.kokoro-bench]"

    def test_every_default_passes_through_its_own_parser(self) -> None:
        unset = {"budget"}
        for key in KEYS:
            if key.name not in unset:
                assert key.parse(key.default) == key.default, key.name


class TestKeys:
    @pytest.mark.parametrize(
        ("misspelt", "nearest"), [("lauches", "launches"), ("provder", "provider"), ("runtime-s", "runtimes")]
    )
    def test_a_misspelt_one_names_the_nearest(self, tmp_path: Path, misspelt: str, nearest: str) -> None:
        file = write(tmp_path, f"[tool.kokoro-bench]\n{misspelt} = 1\n")
        with pytest.raises(ConfigError) as caught:
            load(tmp_path)
        assert str(caught.value) == (
            f"{file} [tool.kokoro-bench]: unknown key {misspelt!r} — did you mean {nearest!r}?"
        )

    def test_one_that_is_near_none_lists_some(self, tmp_path: Path) -> None:
        write(tmp_path, "[tool.kokoro-bench]\nzzzz = 1\n")
        with pytest.raises(ConfigError, match="unknown key 'zzzz' — known: "):
            load(tmp_path)

    def test_a_misspelt_variable_names_the_nearest(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, KOKORO_BENCH_BUGDET="4m")
        assert str(caught.value) == (
            "environment variable KOKORO_BENCH_BUGDET: unknown key 'bugdet' — did you mean 'budget'?"
        )


class TestFile:
    def test_one_that_is_not_toml_says_where(self, tmp_path: Path) -> None:
        file = write(tmp_path, "[tool.kokoro-bench]\nseed = \n")
        with pytest.raises(ConfigError, match=r"not TOML: .*line 2") as caught:
            load(tmp_path)
        assert caught.value.where == str(file)

    def test_one_that_is_not_utf_8_says_where(self, tmp_path: Path) -> None:
        file = tmp_path / "pyproject.toml"
        file.write_bytes(b'[tool.kokoro-bench]\nvoice = "\xff"\n')
        with pytest.raises(ConfigError, match=r"not UTF-8 \(byte 29\)"):
            load(tmp_path)

    @pytest.mark.parametrize("content", ["tool = 3\n[kokoro]\n# [tool.kokoro-bench]\n", "[tool]\nkokoro-bench = 3\n"])
    def test_a_section_that_is_no_table_is_refused(self, tmp_path: Path, content: str) -> None:
        write(tmp_path, content)
        with pytest.raises(ConfigError, match=r"\[tool.kokoro-bench\] is not a table"):
            load(tmp_path)

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
    def test_one_that_may_not_be_read_is_no_missing_one(self, tmp_path: Path) -> None:
        write(tmp_path, "[tool.kokoro-bench]\n").chmod(0)
        with pytest.raises(ConfigError, match="cannot be read"):
            load(tmp_path)


class TestTargets:
    def test_the_defaults_come_first_so_that_the_users_win(self, tmp_path: Path) -> None:
        assert load(tmp_path).targets == DEFAULT_TARGETS
        assert load(tmp_path, {"targets": "rtf=0.5,latency=2"}).targets == (
            *DEFAULT_TARGETS,
            ("*", "latency", 2.0),
            ("*", "rtf", 0.5),
        )

    def test_a_table_may_hold_limits_for_all_and_limits_by_pattern(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            '[tool.kokoro-bench.targets]\nrtf = 0.9\n"*/whole/chars-12/*" = {ttfa = 0.5, rtf = 0.4}\n',
        )
        assert load(tmp_path)["targets"] == (
            ("*", "rtf", 0.9),
            ("*/whole/chars-12/*", "ttfa", 0.5),
            ("*/whole/chars-12/*", "rtf", 0.4),
        )


def test_the_process_of_a_server_is_one_of_its_options_and_no_part_of_its_name(tmp_path: Path) -> None:
    config = load_config(
        {"url": "http://127.0.0.1:1", "pid": "7", "endpoint-options": "format=wav"}, start=tmp_path, environment={}
    )
    arm = endpoint_arm(config)
    assert dict(arm.session_options) == {"format": "wav", "pid": "7"}
    assert arm.id == "endpoint.format=wav.http-127.0.0.1-1"


def test_a_process_of_no_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only a server has a process id"):
        load_config({"pid": "7"}, start=tmp_path, environment={})


class TestGivenAgain:
    def test_what_holds_a_list_is_one_list_of_all_that_was_given(self) -> None:
        assert joined(["replica,mine.onnx", "other"]) == "replica,mine.onnx,other"
        assert joined([""]) == ""
        assert joined(()) is joined(None) is None
        assert {key.name for key in KEYS if key.many} == {
            "endpoint-options", "model", "provider", "provider-options", "session-options", "threads", "runtime",
            "text", "say", "targets", "tolerance", "gate-metrics", "script", "leave-out",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("name", "given", "twice"),
        [
            ("session-options", "arena=on,arena=off", "arena"),
            ("provider-options", "device_type=CPU,a=b, device_type =GPU", "device_type"),
            ("targets", "rtf=0.5,rtf=0.5", "rtf"),
        ],
    )
    def test_a_pair_that_is_set_twice_is_refused(self, tmp_path: Path, name: str, given: str, twice: str) -> None:
        with pytest.raises(ConfigError, match=f"option --{name}: {name} sets '{twice}' twice"):
            load(tmp_path, {name: given})
