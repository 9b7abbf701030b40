"""A server as a user measures it: the command as a process, the scripted server, real sockets between them."""

import re
import socket
import time
from pathlib import Path

import pytest

from harness.core.records.run import RunData
from harness.server.mock.builtin import SCRIPTS
from harness.server.mock.script import Answer, Script, Step
from harness.server.mock.server import serving
from harness.store.runs import open_store
from tests.conftest import Command

SHORT = ("--text", "chars-12", "--launches", "1", "--warmups", "1")
GOOD = (Step(wait_ms=50), Step(audio_share=0.5), Step(wait_ms=50), Step(audio_share=0.5))
REFUSED = Answer(status=503, steps=(Step(body=b'{"error": "busy"}'),), content_type="application/json")


def script(*answers: Answer) -> Script:
    return Script(name="test", meaning="a test's own", answers=answers, cycle=True)


def stored(directory: Path) -> RunData:
    with open_store(directory / ".kokoro-bench/results.sqlite") as store:
        return store.load(store.resolve("latest"))


def table(output: str) -> dict[str, str]:
    """Target → its sign, of a table of one scenario."""
    cells = [re.split(r"  +", line.strip()) for line in output.splitlines()]
    return {row[1]: row[4] for row in cells if len(row) > 4 and "/" in row[0]}


class TestRun:
    def test_a_server_is_measured_over_kept_and_over_new_connections(
        self, kokoro_bench: Command, tmp_path: Path
    ) -> None:
        with serving(script(Answer(steps=GOOD))) as (url, server):
            options = ("--launches", "2", "--blocks", "2", "--endpoint-options", "dialect=openai,format=wav")
            found = kokoro_bench("run", "--url", f"{url}/", *options)
            requests = server.tally.requests
        assert found.returncode == 0, found.stdout + found.stderr
        data = stored(tmp_path)
        place = url.replace("://", "-").replace(":", "-")
        assert [scenario.id for scenario in data.run.scenarios] == [
            f"endpoint.dialect=openai.format=wav.keep_alive={kept}.{place}/endpoint/{text}/af_heart/rotating"
            for kept in ("on", "off")
            for text in ("chars-60", "chars-200")
        ]
        # Each launch of two arms: a first inference, two warm-ups, two blocks of two texts.
        assert requests == 2 * 2 * (1 + 2 + 2 * 2)
        assert all(each.outcome.valid and len(each.chunks) >= 2 for each in data.repetitions)
        # Rotating texts; and what one connection asks for, the other does not ask for in the same block.
        spoken = {(each.block, each.scenario_id.split("/")[2], each.variant) for each in data.repetitions}
        assert len({each for each in spoken if each[0] >= 0}) == 4 * 2 * 2

    def test_a_text_that_takes_longer_than_the_budget_does_not_outlast_it(self, here: Command) -> None:
        slow = Script(name="slow", answers=(Answer(steps=(Step(wait_share=0.2), Step(audio_share=1.0))),))
        options = ("--endpoint-options", "keep_alive=on", "--launches", "1", "--answer-timeout", "1s", "--budget", "4s")
        with serving(slow) as (url, _):
            found = here("run", "--url", url, "-k", "test_delivery", "--say", "a word, " * 12_500, *options)
        assert found.returncode == 3
        (line,) = (each for each in found.stdout.splitlines() if " × timeout: " in each)
        assert line.endswith(
            "the budget of 4 s has no time for a text of 99999 characters: shorten it, or give up to --budget 14h"
        )

    def test_a_text_that_no_engine_speaks_in_time_gets_no_more_than_the_budget_and_it_is_announced(
        self, here: Command
    ) -> None:
        slow = Script(name="slow", answers=(Answer(steps=(Step(wait_share=0.2), Step(audio_share=1.0))),))
        options = ("--endpoint-options", "keep_alive=on", "--launches", "1", "--budget", "4s")
        with serving(slow) as (url, _):
            began = time.monotonic()
            found = here("run", "--url", url, "-k", "test_delivery", "--say", "a word, " * 12_500, *options)
        assert time.monotonic() - began < 20, "the time-out of a short answer is 30 s"
        assert found.returncode == 3
        announced = "a text of 99999 characters is at least 83 minutes of speech, for which the budget of 4 s is"
        assert found.stdout.index(announced) < found.stdout.index(" × timeout: ")

    def test_the_report_names_the_address_once_and_no_provider(self, kokoro_bench: Command, tmp_path: Path) -> None:
        with serving(script(Answer(steps=GOOD))) as (url, _):
            found = kokoro_bench("run", "--url", url, *SHORT, "--blocks", "1")
        assert found.returncode == 0, found.stdout + found.stderr
        page = (tmp_path / f"reports/site/runs/{stored(tmp_path).run.id}.html").read_text(encoding="utf-8")
        assert url in page
        assert "default threads" not in page

    def test_a_server_that_gives_no_audio_misses_its_success_rate(self, kokoro_bench: Command) -> None:
        with serving(SCRIPTS["two-bytes"]) as (url, _):
            found = kokoro_bench("run", "--url", url, *SHORT, "--blocks", "1")
        assert found.returncode == 1
        assert "block 1: 0 of 2 valid" in found.stdout
        assert found.stdout.count("success_rate 0.0 %, limit 99.0 %") == 2
        assert "2 figures failed; 2 targets are missed" in found.stdout

    @pytest.mark.parametrize(
        ("options", "listed"), [((), False), (("--url", "http://127.0.0.1:9"), True), (("--engine", "espeak"), False)]
    )
    def test_only_with_an_address_are_the_suites_about_servers_there_and_then_they_alone(
        self, kokoro_bench: Command, options: tuple[str, ...], *, listed: bool
    ) -> None:
        found = kokoro_bench("run", *options, "--", "--collect-only")
        lines = [line for line in found.stdout.splitlines() if "test_" in line and "[" in line]
        assert lines
        assert [("/endpoint/" in line) for line in lines] == [listed] * len(lines)
        assert "NOTSET" not in found.stdout


class TestValidate:
    def test_a_good_server_meets_every_target(self, kokoro_bench: Command) -> None:
        with serving(script(Answer(steps=GOOD))) as (url, _):
            found = kokoro_bench("validate", "--url", url, *SHORT, "--blocks", "2")
        assert found.returncode == 0, found.stdout + found.stderr
        assert table(found.stdout) == dict.fromkeys(("ttfa", "rtf", "streaming_efficiency", "success_rate"), "✓ met")

    @pytest.mark.parametrize(
        ("answers", "text", "missed"),
        [
            ([Answer(steps=(Step(wait_ms=1_000), Step(audio_share=1.0)))], "chars-60", {"ttfa"}),
            (
                [Answer(steps=(Step(audio_share=0.3), Step(wait_share=1.3), Step(audio_share=0.7)))],
                "chars-12",
                {"rtf", "streaming_efficiency"},
            ),
            # The launch's first inference and the warm-up are answered, then one of three is refused.
            ([Answer(steps=GOOD), Answer(steps=GOOD), REFUSED], "chars-12", {"success_rate"}),
        ],
        ids=["late", "stalling", "refusing"],
    )
    def test_each_bad_server_misses_its_target(
        self, kokoro_bench: Command, answers: list[Answer], text: str, missed: set[str]
    ) -> None:
        with serving(script(*answers)) as (url, _):
            found = kokoro_bench("validate", "--url", url, *SHORT, "--text", text, "--blocks", "3")
        assert found.returncode == 1, found.stdout + found.stderr
        assert {name for name, sign in table(found.stdout).items() if sign == "✗ missed"} == missed

    def test_a_limit_of_the_users_own_takes_the_place_of_the_usual_one(
        self, kokoro_bench: Command, tmp_path: Path
    ) -> None:
        (tmp_path / "pyproject.toml").write_text("[tool.kokoro-bench.targets]\nttfa = 0.01\n")
        with serving(script(Answer(steps=GOOD))) as (url, _):
            found = kokoro_bench("validate", "--url", url, *SHORT, "--blocks", "1")
        assert found.returncode == 1, found.stdout + found.stderr
        assert table(found.stdout)["ttfa"] == "✗ missed"

    def test_one_that_is_not_there_cannot_be_validated(self, kokoro_bench: Command) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        found = kokoro_bench("validate", "--url", f"http://127.0.0.1:{port}", *SHORT, "--blocks", "1")
        assert found.returncode == 3, found.stdout + found.stderr
        assert "refused" in found.stdout

    def test_an_engine_in_process_is_streamed(self, kokoro_bench: Command, tmp_path: Path) -> None:
        found = kokoro_bench("validate", "--engine", "espeak", *SHORT, "--blocks", "1")
        assert found.returncode == 0, found.stdout + found.stderr
        assert [each.id for each in stored(tmp_path).run.scenarios] == ["espeak/stream/chars-12/en-us/rotating"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--url", "http://h", "--engine", "scripted"), "needs the engine endpoint, not 'scripted'"),
        (("--url", "ftp://h"), "is no URL of an endpoint"),
        (("--url", "http://me:secret@h"), "holds credentials"),
        (("--url", "http://h", "--model", "replica"), "--endpoint-options model=NAME"),
        (("--url", "http://h", "--threads", "2"), "leave --threads out"),
        (("--url", "http://h", "--endpoint-options", "keepalive=on"), "did you mean 'keep_alive'?"),
        (("--url", "http://h", "--endpoint-options", "format=ogg"), "takes pcm, wav, mp3, opus, flac, not 'ogg'"),
        (("--engine", "endpoint"), "needs an address — --url http://127.0.0.1:8880"),
        (("--engine", "espeak", "--model", "replica"), "the engine espeak has no such thing"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_measured(
    kokoro_bench: Command, options: tuple[str, ...], said: str
) -> None:
    found = kokoro_bench("run", *options)
    assert found.returncode == 2
    assert said in found.stderr
    assert "secret" not in found.stderr
