"""What a person sees: a bar on a terminal, lines in a log, and tables that fit the width that there is."""

import io
from dataclasses import replace

import pytest
from rich.console import Console
from rich.text import Text

from harness.analysis.finished import Finished
from harness.core.quantities import MINUS
from harness.core.records.repetition import Block, Canary, Launch, Outcome, OutcomeKind
from harness.core.records.scenario import Mode
from harness.core.records.verdict import Estimate, Verdict, VerdictKind
from harness.measure.conductor.events import BlockDone, Launched, Progress, ScenarioLost
from harness.plan.matrix import ScenarioRequest
from harness.runner.progress import LiveConsole
from reports.terminal.console import tell
from reports.terminal.output import print_duel, print_outcome
from tests.conftest import Laboratory

LONG_ID = "replica-u8-per-channel.openvino.tdefault.onnxruntime-openvino-1.24.1/whole/chars-200/af_heart"


def screen(width: int, *, terminal: bool) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=width, force_terminal=terminal, highlight=False), file


def plain(file: io.StringIO) -> list[str]:
    """What was written, without colours and cursor movements."""
    return [Text.from_ansi(line).plain.rstrip() for line in file.getvalue().replace("\r", "\n").splitlines()]


def block(number: int, *, launch: int = 0) -> BlockDone:
    canary = Canary(numpy_ns=1, graph_ns=1)
    made = Block(block=number, launch=launch, order=(), started_at=0.0, wall_ns=2_500_000_000, canary=canary)
    return BlockDone(block=made, repetitions=())


class TestProgress:
    @pytest.mark.parametrize("width", [60, 80, 120])
    def test_the_bar_and_the_remaining_time_are_on_one_line_whatever_is_being_done(self, width: int) -> None:
        console, file = screen(width, terminal=True)
        with LiveConsole(console) as live:
            live(Progress(doing=LONG_ID, share=0.4, remaining_s=83.0, budget_left_s=140.0))
        lines = [line for line in plain(file) if line]
        assert max(map(len, lines)) <= width
        shown = next(line for line in lines if "1:23 left" in line)
        assert shown.startswith("replica-u8")
        assert "40%" in shown

    @pytest.mark.parametrize(
        ("event", "said"),
        [
            (Progress(doing="x", share=0.0, remaining_s=None, budget_left_s=240.0), "4:00 of the budget left"),
            (Progress(doing="x", share=1.0, remaining_s=None, budget_left_s=0.0), "past its budget"),
            (Progress(doing="x", share=0.2, remaining_s=67.0, budget_left_s=9.0, at_most=True), "at most 1:07 left"),
        ],
    )
    def test_no_end_is_promised_before_one_is_known(self, event: Progress, said: str) -> None:
        console, file = screen(100, terminal=True)
        with LiveConsole(console) as live:
            live(event)
        assert any(line.endswith(said) for line in plain(file))

    def test_a_log_has_a_line_for_each_stage_and_each_block(self) -> None:
        console, file = screen(120, terminal=False)
        with LiveConsole(console) as live:
            for dedicated, launch in ((True, 0), (True, 1), (False, 0), (False, 0)):
                live(
                    Launched(
                        launch=Launch(arm_id="a", launch=launch, started_at=0.0, page_cache="warm", dedicated=dedicated)
                    )
                )
            live(Progress(doing="x", share=0.5, remaining_s=None, budget_left_s=100.0))
            live(block(0))
            live(Progress(doing="x", share=0.5, remaining_s=61.0, budget_left_s=90.0))
            live(block(1))
            live(Launched(launch=Launch(arm_id="a", launch=1, started_at=0.0, page_cache="warm")))
            live(ScenarioLost(scenario_id="a/whole", outcome=Outcome(kind=OutcomeKind.CRASHED, reason="exit code 7")))
        assert plain(file) == [
            "start-ups: measuring",
            "launch 1: measuring",
            "  block 1: 0 of 0 valid, 2.5 s; 1:40 of the budget left",
            "  block 2: 0 of 0 valid, 2.5 s; 1:01 left",
            "launch 2: measuring",
            "lost: a/whole: exit code 7",
        ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Two models, start-ups and two texts."""
    lab = Laboratory(tmp_path_factory.mktemp("finished"))
    requests = (ScenarioRequest(mode=Mode.LOAD_WARM), ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12", "chars-60")))
    return lab.run(requests=requests, model="scripted,scripted-8bit")


def outcome(finished: Finished, width: int) -> list[str]:
    console, file = screen(width, terminal=True)
    print_outcome(finished, notes=["report: page"], console=console)
    return plain(file)


class TestOutcome:
    def test_one_table_has_speed_size_memory_start_and_sound_of_every_combination(self, finished: Finished) -> None:
        lines = outcome(finished, 140)
        start = next(number for number, line in enumerate(lines) if line.startswith("Side by side: chars-60, whole"))
        table = lines[start:]
        head = next(line for line in table if "combination" in line)
        for column in ("size", "load", "latency", "change *", "rtf", "peak", "mcd *", "duration *"):
            assert column in head
        (smaller,) = [line for line in table if line.strip().startswith("scripted-8bit.cpu")]
        # The script lets it take four fifths of the original's time, with some noise.
        (change,) = [int(each.split(".")[0]) for each in smaller.replace(MINUS, "-").split() if each.startswith("-")]
        assert change in (-19, -20)

    @pytest.mark.parametrize("width", [80, 120])
    def test_the_tables_fit_the_terminal(self, finished: Finished, width: int) -> None:
        boxes = [
            line
            for line in outcome(finished, width)
            if line.startswith(("scripted", "scenario", "combination", "─", " ─"))
        ]
        assert boxes
        assert max(map(len, boxes)) <= width

    def test_what_else_than_one_text_is_measured_has_columns_of_its_own(self, lab: Laboratory) -> None:
        requests = [
            ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",)),
            ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",), variant=None, repeats=5),
            ScenarioRequest(mode=Mode.WARM_UP, texts=("chars-12",), variant=None),
        ]
        lines = outcome(lab.run(requests=requests), 140)
        heads = [line.split() for line in lines if line.strip().startswith("scenario ")]
        assert [head[2:-1] for head in heads] == [
            ["warm_up_cost", "latency", "rtf", "rss_peak"], ["ttfa", "latency", "rtf", "rss_peak"],
            ["latency", "rtf", "rss_peak", "rss_slope"],
        ]  # fmt: skip

    def test_the_first_run_says_once_how_to_make_a_baseline(self, finished: Finished) -> None:
        said = "\n".join(outcome(finished, 140))
        assert said.count(f"kokoro-bench baseline promote {finished.data.run.id}") == 1

    def test_with_one_combination_there_is_nothing_to_put_side_by_side(self, lab: Laboratory) -> None:
        assert not any("Side by side" in line for line in outcome(lab.run(), 140))

    def test_a_run_that_cannot_be_accepted_is_not_to_be_promoted(self, lab: Laboratory) -> None:
        failed = lab.run(model="scripted,scripted-8bit", script="fault=exit-at-load")
        assert not any("promote" in line for line in outcome(failed, 140))


class TestNarrow:
    def test_a_sentence_is_wrapped_at_words_and_a_path_stays_whole(self) -> None:
        path = "/results/" + "deep/" * 12 + "index.html"
        console, file = screen(40, terminal=True)
        tell(console, f"Nothing got worse: 3 of 3 figures are unchanged. report: {path}")
        assert plain(file) == ["Nothing got worse: 3 of 3 figures are", "unchanged. report:", path]

    def test_in_a_file_it_is_one_line(self) -> None:
        console, file = screen(40, terminal=False)
        tell(console, "word " * 30)
        assert len(file.getvalue().splitlines()) == 1

    def test_a_command_is_not_broken(self) -> None:
        console, file = screen(40, terminal=True)
        tell(console, "To accept it: `kokoro-bench baseline promote latest`; or measure again.")
        assert plain(file)[1] == "`kokoro-bench baseline promote latest`;"

    @pytest.mark.parametrize("width", [60, 79])
    def test_every_figure_and_verdict_of_a_run_is_there_and_nothing_is_cut(
        self, finished: Finished, width: int
    ) -> None:
        lines = outcome(finished, width)
        assert max(map(len, lines)) <= width
        said = " ".join(" ".join(lines).split())
        for scenario in finished.data.run.scenarios:
            assert scenario.arm.id in said
        assert said.count("· no baseline") == len(finished.data.run.scenarios)
        for name in ("rss_loaded", "rss_peak", "latency", "load_time"):
            assert name in said

    def test_a_duel_keeps_its_intervals_and_says_what_would_settle_it(self, lab: Laboratory) -> None:
        played = lab.run(
            requests=[ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",))], model="scripted,scripted-8bit"
        )
        scenario, reference = played.data.run.scenarios
        change = Estimate(point=0.05, low=-0.01, high=0.11, level=0.99, method="", n=6, launches=2)
        unclear = Verdict(
            scenario_id=scenario.id, metric="latency", kind=VerdictKind.INCONCLUSIVE, reference=reference.arm.id,
            change=change, tolerance=0.025, detectable=0.06, advice="`--budget 120s` would settle it",
        )  # fmt: skip
        data = replace(played.data, verdicts=(unclear, replace(unclear, metric="rtf")))
        console, file = screen(60, terminal=True)
        print_duel(replace(played, values=played.values.for_data(data)), candidate="a", reference="b", console=console)
        lines = plain(file)
        assert max(map(len, lines)) <= 60
        said = " ".join(" ".join(lines).split())
        assert "metric latency, change +5.1 %, interval −1.0 % … +11.6 %, verdict ? inconclusive" in said
        assert "latency, rtf: `--budget 120s` would settle it" in said
