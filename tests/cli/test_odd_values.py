"""Values that no key can mean, and files that are no exports: one line before anything is measured, with code 2."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.cli.test_bad_input import refused
from tests.conftest import Command
from tests.engines.http.test_engine import answering, says

SECTION = '[tool.kokoro-bench]\nengine = "scripted"\n'
RUN = ("run", "--engine", "scripted", "--launches", "1", "--blocks", "2", "-k", "test_whole", "--text", "chars-12")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("threads = []", "threads is empty: it must hold at least one value"),
        ("provider = []", "provider is empty: it must hold at least one value"),
        ("threads = 99999999999999999999", "threads must be at most 2147483647, not 99999999999999999999"),
        ("launches = 2147483648", "launches must be at most 2147483647, not 2147483648"),
        ("seed = 9007199254740992", "seed must be at most 9007199254740991, not 9007199254740992"),
        (r'results = "sqlite:///\u0000"', "results must not hold the character U+0000"),
        (r'say = "one\u0000two"', "say must not hold the character U+0000"),
        (r'model = ["a\u0000b"]', "model must not hold the character U+0000"),
        (r'session-options = { arena = "\u0000" }', "session-options must not hold the character U+0000"),
    ],
)
def test_a_value_that_no_key_can_mean_is_refused(here: Command, tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "pyproject.toml").write_text(SECTION + line, encoding="utf-8")
    refused(here("run"), "pyproject.toml [tool.kokoro-bench]: ", told)


@pytest.mark.parametrize("option", ["--planned-rtf", "--cache", "--cache-ttl", "--drain"])
@pytest.mark.parametrize("number", ["nan", "inf"])
def test_a_server_takes_no_number_that_is_none(here: Command, option: str, number: str) -> None:
    """Before a model is looked for: nothing is fetched."""
    ended = here("serve", option, number)
    assert ended.returncode == 2
    assert f"Invalid value for '{option}'" in ended.stderr


def test_no_age_that_is_no_number_is_taken(here: Command) -> None:
    assert "'nan' is not a finite number" in here("runtimes", "prune", "--older-than", "nan").stderr


def test_rates_are_a_line_each_and_none_are_told_of(here: Command) -> None:
    rates = ("calibrate", *RUN[1:3], "--text", "chars-12")
    none = here(*rates, "--show")
    assert (none.returncode, none.stderr) == (0, "")
    assert re.fullmatch("no rates of scripted are stored in .*: `kokoro-bench calibrate` measures them\n", none.stdout)
    measured = here(*rates, "--duels", "2", "--sizes", "0", "--budget", "5s")
    (line,) = [line for line in measured.stdout.splitlines() if "calibrated here: " in line]
    assert line.endswith(" confidence)")
    assert here(*rates, "--show").stdout.splitlines()[0] == line


def test_a_comparison_says_how_many_values_have_no_interval(here: Command) -> None:
    assert [here(*RUN, "--script", pace).returncode for pace in ("pace=1", "pace=2")] == [0, 0]
    found = json.loads(here("compare", "latest~1", "latest", "--json").stdout)
    unknown = [each for each in found["values"] if each["apart"] == "no interval"]
    assert any(each["ratio"] and each["ratio"] > 1.5 for each in unknown)
    said = f"none lies apart beyond their intervals; {len(unknown)} have no interval."
    assert said in found["sentence"]
    assert said in here("compare", "latest~1", "latest").stdout


def test_the_newest_run_is_not_compared_with_itself_unless_asked(here: Command) -> None:
    assert here(*RUN).returncode == 0
    refused(here("compare", "latest"), "which is no duel and the newest run", "compare latest~1 latest")
    assert here("compare", "latest", "latest").returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="/dev/urandom is POSIX's")
@pytest.mark.parametrize("endless", ["/dev/urandom", "/dev/zero"])
def test_an_endless_file_is_no_export_at_its_first_line(here: Command, endless: str) -> None:
    refused(here("runs", "import", endless), f"{endless}, line 1: is no line of an exported run")


def test_a_limit_below_a_megabyte_and_a_single_arm_are_said_as_they_are(here: Command, tmp_path: Path) -> None:
    ended = here(*RUN, "--model", "scripted", "--workers-memory", "1MB")
    (note,) = [line for line in ended.stdout.splitlines() if line.startswith("memory: ")]
    assert "the workers of 1 arm need about " in note
    assert "the limit is 1 MB (--workers-memory)" in note


def test_bytes_that_are_no_http_are_quoted_in_a_few_words(here: Command) -> None:
    with answering(says(b"\0\xff" * 2_000 + b"\r\n\r\n")) as url:
        ended = here("validate", "--url", url, "--budget", "2s", "--launches", "1")
    assert ended.returncode == 3, ended.stderr
    (line,) = [line for line in ended.stdout.splitlines() if "does not answer in HTTP: " in line and "launch 1" in line]
    assert line.endswith(
        "does not answer in HTTP: illegal status line: bytes 00 ff 00 ff 00 ff 00 ff 00 ff 00 ff 00 ff 00 ff"
    )


def test_a_text_of_many_words_does_not_fill_the_list_of_runs(here: Command) -> None:
    ended = here(
        "run", "--engine", "scripted", "--launches", "1", "--blocks", "1", "-k", "whole", "--say", "word " * 900
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert here("runs", "list").stdout.count("word") < 30
