"""The audio of a run: what is kept, what it is held against, and that what sounds wrong is called wrong."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.analysis.audio_comparison import IS_THE_REFERENCE, NO_OTHER_SIDE, ONE_LAUNCH
from harness.analysis.audio_limits import counterpart_of, is_yardstick, split_of
from harness.core.errors import ExitCode
from harness.core.records.run import RunData, RunStatus
from harness.core.records.scenario import Arm, Mode, ModelVariant, Runtime, Scenario, original_of
from harness.core.records.verdict import Summary, VerdictKind
from harness.engines.pooled.splitter import FIRST_OF_WINDOWS, WINDOW_S, Plan
from harness.engines.scripted import ScriptedEngine
from harness.engines.speech import SpeechRequest
from harness.plan.matrix import ScenarioRequest
from harness.store.audio import audio_path
from tests.conftest import Laboratory

REQUESTS = (
    ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",)),
    ScenarioRequest(mode=Mode.STREAM, texts=("chars-12",)),
)
ORIGINAL = "scripted.cpu.tdefault/whole/chars-12/af_heart"
DERIVED = "scripted-8bit.cpu.tdefault/whole/chars-12/af_heart"
BOTH = "scripted,scripted-8bit"
REPLICA = ModelVariant(name="replica", sha256="a" * 64, size=1, origin="replica")
U8 = ModelVariant(name="replica-u8", sha256="b" * 64, size=1, origin="quantised", parent="a" * 64)


def summary(data: RunData, scenario_id: str, metric: str) -> Summary:
    return next(each for each in data.summaries if (each.scenario_id, each.metric) == (scenario_id, metric))


def scenario(model: ModelVariant, **arm: object) -> Scenario:
    return Scenario(arm=Arm(engine="kokoro", model=model, **arm), mode=Mode.WHOLE, text_class="chars-60", voice="v")  # type: ignore[arg-type]


def speaking(monkeypatch: pytest.MonkeyPatch, distort: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
    """Let the derived scripted model speak otherwise than the original."""
    whole = ScriptedEngine.synthesise

    def synthesise(self: ScriptedEngine, request: SpeechRequest) -> object:
        for chunk in whole(self, request):
            yield distort(chunk) if self._factor != 1.0 else chunk

    monkeypatch.setattr(ScriptedEngine, "synthesise", synthesise)


def test_a_variant_is_held_against_its_original_which_has_its_own_noise_by_another_name(lab: Laboratory) -> None:
    finished = lab.run(requests=REQUESTS, model=BOTH)
    ratio = summary(finished.data, DERIVED, "duration_ratio")
    assert (ratio.n, ratio.median) == (2, 1.0)
    # The scripted tone has no noise: it is the same in every launch and by every model.
    assert summary(finished.data, DERIVED, "mcd").median == 0.0
    for metric in ("lsd", "mcd", "duration_ratio"):
        own = summary(finished.data, ORIGINAL, metric)
        assert (own.n, own.median, own.reason) == (0, None, IS_THE_REFERENCE), "nothing is held against itself"
    itself = summary(finished.data, ORIGINAL, "mcd_itself")
    assert (itself.n, itself.median) == (1, 0.0)
    assert summary(finished.data, DERIVED, "mcd_itself").n == 0
    assert not [note for note in finished.data.run.notes if note.startswith("sound:")], "its original is known"
    assert finished.code is ExitCode.OK


def test_the_audio_lies_where_it_is_said_to_lie(lab: Laboratory) -> None:
    finished = lab.run(requests=REQUESTS, model=BOTH)
    folder = lab.config().audio
    assert folder == lab.root / ".kokoro-bench" / "audio"
    wanted = {
        audio_path(folder, finished.data.run.id, scenario_id=scenario_id, launch=launch)
        for scenario_id in (ORIGINAL, DERIVED)
        for launch in (0, 1)
    }
    streamed = {
        audio_path(folder, finished.data.run.id, scenario_id=each.replace("/whole/", "/stream/"), launch=0)
        for each in (ORIGINAL, DERIVED)
    }
    assert set(folder.rglob("*.flac")) == wanted | streamed


def test_long_texts_are_not_kept_and_say_so(lab: Laboratory) -> None:
    data = lab.run(requests=[ScenarioRequest(mode=Mode.WHOLE, texts=("chars-500",))], model=BOTH).data
    assert not list(lab.config().audio.rglob("*.flac"))
    assert {each.reason for each in data.summaries if each.metric == "mcd"} == {
        "its audio was not compared with the original's"
    }


def test_a_variant_that_speaks_noise_is_called_wrong_and_the_rest_is_measured(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    speaking(monkeypatch, lambda chunk: (0.1 * generator.standard_normal(len(chunk))).astype(np.float32))
    finished = lab.run(requests=REQUESTS, model=BOTH)
    failed = [each for each in finished.data.verdicts if each.kind is VerdictKind.FAILED]
    assert [(each.scenario_id, each.metric, each.reference) for each in failed] == [(DERIVED, "mcd", ORIGINAL)]
    assert failed[0].reason.startswith("It sounds wrong: ")
    assert finished.code is ExitCode.MEASUREMENT
    assert finished.data.run.status is RunStatus.FAILED
    assert summary(finished.data, ORIGINAL, "latency").n == 12


def test_a_variant_that_speaks_too_long_is_called_wrong(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    speaking(monkeypatch, lambda chunk: np.concatenate([chunk, chunk[: len(chunk) // 2]]))
    finished = lab.run(requests=REQUESTS[:1], model=BOTH)
    (failed,) = [each for each in finished.data.verdicts if each.kind is VerdictKind.FAILED]
    assert (failed.scenario_id, failed.metric) == (DERIVED, "duration_ratio")
    assert failed.reason.startswith("Its audio is 150% as long as the original's")


def test_a_variant_without_its_original_says_so(lab: Laboratory) -> None:
    data = lab.run(requests=REQUESTS[:1], model="scripted-8bit").data
    assert summary(data, DERIVED, "lsd").reason == NO_OTHER_SIDE


def test_one_launch_has_no_other_seed(lab: Laboratory) -> None:
    data = lab.run(requests=REQUESTS[:1], model="scripted", launches="1").data
    assert summary(data, ORIGINAL, "lsd_itself").reason == ONE_LAUNCH


def test_a_folder_that_cannot_be_written_costs_a_sentence_and_not_the_run(lab: Laboratory, tmp_path: Path) -> None:
    lab.config().audio.parent.mkdir(parents=True, exist_ok=True)
    lab.config().audio.write_text("a file")
    finished = lab.run(requests=REQUESTS[:1], model=BOTH)
    assert finished.code is ExitCode.OK
    assert finished.data.run.notes[-1].startswith("audio: not kept: ")
    assert summary(finished.data, DERIVED, "mcd").median == 0.0


FILE = ModelVariant(name="mine", sha256="d" * 64, size=1, origin="user")
OTHER = ModelVariant(name="other", sha256="e" * 64, size=1, origin="user")
OF_MINE = ModelVariant(name="mine-int4", sha256="f" * 64, size=1, origin="quantised", parent="d" * 64)


class TestTheOtherSide:
    """What a scenario's audio is held against."""

    def test_of_files_of_unknown_origin_the_first_is_what_the_others_are_held_against(self) -> None:
        one, two, made = scenario(FILE), scenario(OTHER), scenario(OF_MINE)
        every = [one, two, made]
        assert [counterpart_of(each, every) for each in every] == [None, one, one]
        assert [is_yardstick(each, every) for each in every] == [True, False, False]

    def test_one_file_alone_has_none(self) -> None:
        alone = scenario(FILE)
        assert counterpart_of(alone, [alone]) is None
        assert not is_yardstick(alone, [alone])

    def test_a_known_original_comes_before_the_arm_that_the_table_stands_beside(self) -> None:
        mine, original, variant = scenario(FILE), scenario(REPLICA), scenario(U8)
        assert counterpart_of(variant, [mine, original, variant]) == original

    def test_a_variant_whose_original_is_not_there_is_held_against_the_plainest(self) -> None:
        mine, variant = scenario(FILE), scenario(U8)
        assert counterpart_of(variant, [variant, mine]) == mine

    def test_a_known_original_is_held_against_no_other(self) -> None:
        mine, original = scenario(FILE), scenario(REPLICA)
        assert counterpart_of(original, [mine, original]) is None
        assert is_yardstick(original, [original]), "its noise is worth knowing by itself"

    def test_the_reference_of_a_duel_is_the_other_side(self) -> None:
        one, two = scenario(FILE), scenario(OTHER)
        assert counterpart_of(one, [one, two], references=[two.arm.id]) == two
        assert counterpart_of(two, [one, two], references=[two.arm.id]) is None

    def test_another_text_is_no_other_side(self) -> None:
        one = scenario(FILE)
        assert counterpart_of(replace(one, text_class="chars-12"), [one]) is None

    @pytest.mark.parametrize(("recipe", "known"), [("fp32, tokens", True), ("16-bit floats, tokens", False)])
    def test_of_published_files_only_the_full_ones_are_known_originals(self, recipe: str, *, known: bool) -> None:
        published = scenario(replace(FILE, origin="public", recipe=recipe))
        assert is_yardstick(published, [published]) is known


class TestSplit:
    """Arms of one model that split a text differently."""

    def test_an_engine_splits_by_its_options_and_one_without_them_takes_the_text_whole(self) -> None:
        assert split_of(Arm(engine="kokoro")) == split_of(Arm(engine="endpoint")) == (math.inf, 0.0, 0.0)
        default = Plan()
        assert split_of(Arm(engine="kokoro-sentences")) == (default.first, default.rtf, 0)
        short = Arm(engine="kokoro-server", session_options=(("first", "24"),))
        assert split_of(short) == (24, default.rtf, 0)
        assert split_of(short, [("first", "32"), ("planned_rtf", "0.5")]) == (32, 0.5, 0), (
            "what the engine reports counts"
        )

    def test_a_window_is_a_split_with_longer_first_segments(self) -> None:
        windows = Arm(engine="kokoro-sentences", session_options=(("window", "auto"),))
        assert split_of(windows) == (FIRST_OF_WINDOWS, Plan().rtf, WINDOW_S)
        short, long = (Arm(engine="kokoro-sentences", session_options=(("first", each),)) for each in ("48", "180"))
        model = FILE
        alike = [
            Scenario(arm=replace(each, model=model), mode=Mode.WHOLE, text_class="chars-60", voice="v")
            for each in (short, windows, long)
        ]
        found = [counterpart_of(each, alike) for each in alike]
        assert found == [alike[2], alike[2], None], "whole segments of 180 are the least split"
        assert counterpart_of(alike[0], alike[:2]) == alike[1], "windows of 110 phonemes are split less than 48"
        refused = [("first", "48"), ("planned_rtf", "0.5"), ("window", "0")]
        assert split_of(windows, refused) == (48, 0.5, 0), "the model could not be decoded in windows"

    @pytest.mark.parametrize("model", [REPLICA, U8, FILE])
    def test_what_splits_more_is_held_against_what_splits_least_in_any_order(self, model: ModelVariant) -> None:
        short, long = (self.splitting(model, first=first) for first in ("24", "180"))
        for every in ([short, long], [long, short]):
            for references in ((), (short.arm.id,), (long.arm.id,)):
                found = [counterpart_of(each, every, references=references) for each in (short, long)]
                assert found == [long, None]
        whole = scenario(model)
        assert [counterpart_of(each, [short, long, whole]) for each in (short, long, whole)] == [whole, whole, None]

    def test_a_lower_planned_rtf_splits_less(self) -> None:
        fast, slow = (self.splitting(REPLICA, planned_rtf=rtf) for rtf in ("0.3", "0.9"))
        assert [counterpart_of(each, [slow, fast]) for each in (slow, fast)] == [fast, None]

    def test_a_variant_is_held_against_its_original_with_the_same_split(self) -> None:
        short, long, variant = (
            self.splitting(REPLICA, first="24"), self.splitting(REPLICA, first="180"), self.splitting(U8, first="180"),
        )  # fmt: skip
        assert counterpart_of(variant, [short, long, variant]) == long

    def test_of_originals_with_other_splits_the_least_split_counts_and_none_that_begins_shorter(self) -> None:
        short, long, windows = (
            self.splitting(REPLICA, first="48"), self.splitting(REPLICA, first="180"), self.splitting(U8, window="0.7"),
        )  # fmt: skip
        assert counterpart_of(windows, [short, long, windows]) == long
        assert counterpart_of(windows, [windows, long, short]) == long
        assert counterpart_of(windows, [short, windows]) is None, "its own first segment has 110 phonemes"

    @staticmethod
    def splitting(model: ModelVariant, **options: str) -> Scenario:
        arm = Arm(engine="kokoro-sentences", model=model, session_options=tuple(options.items()))
        return Scenario(arm=arm, mode=Mode.WHOLE, text_class="chars-60", voice="v")


class TestOriginal:
    def test_a_variants_original_is_its_parent_on_the_cpu(self) -> None:
        elsewhere, here, variant = scenario(REPLICA, provider="openvino"), scenario(REPLICA), scenario(U8)
        assert original_of(variant, [elsewhere, variant, here]) == here
        assert original_of(elsewhere, [elsewhere, here]) == here
        assert original_of(here, [elsewhere, here]) == here
        assert original_of(variant, [variant, elsewhere]) is None

    def test_one_of_the_same_packages_is_preferred(self) -> None:
        runtime = Runtime(name="other", requirements=("onnxruntime==1.22.1",))
        plain, other = scenario(REPLICA), scenario(REPLICA, runtime=runtime)
        assert original_of(scenario(U8, runtime=runtime), [plain, other]) == other
        assert original_of(scenario(U8, runtime=runtime), [plain]) == plain

    def test_another_text_or_speed_or_voice_is_none(self) -> None:
        variant = scenario(U8)
        for other in (
            replace(variant, speed=0.8),
            replace(variant, text_class="chars-12"),
            replace(variant, voice="w"),
        ):
            assert original_of(variant, [replace(other, arm=scenario(REPLICA).arm)]) is None

    def test_a_model_that_could_not_be_made_has_none(self) -> None:
        unresolved = ModelVariant(name="replica-int4", sha256="", size=0, origin="unresolved")
        assert original_of(scenario(unresolved), [scenario(unresolved), scenario(REPLICA)]) is None
