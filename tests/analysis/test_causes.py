"""Why two arms differ: what moved of a figure of time and of one of memory, and what differs between the arms."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from harness.analysis.arena import arena_suspects
from harness.analysis.causes import ORDER, in_order, part_sentence, suspects_of
from harness.analysis.operators import operator_suspects, profiled_alone, profiled_pair
from harness.analysis.stats.comparison import Policy
from harness.analysis.stats.movement import Movement
from harness.core.records.profile import Node, Profile, Profiles
from harness.core.records.repetition import Phase, Repetition
from harness.core.records.run import RunData
from harness.core.records.scenario import Mode
from harness.core.records.suspect import Suspect, SuspectKind
from harness.core.records.verdict import Estimate, Verdict, VerdictKind
from harness.plan.matrix import ScenarioRequest
from tests.conftest import Laboratory

MB = 1_000_000
MODELS_DIFFER = "model scripted → scripted-8bit (104.9 → 83.9 MB)"
WISH = ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",))


def profile(**milliseconds: float) -> Profile:
    return Profile(operators={name: (1e3 * each,) * 4 for name, each in milliseconds.items()})


def profiles(ours: Profile, theirs: Profile) -> Profiles:
    return Profiles(candidate=(ours,) * 3, reference=(theirs,) * 3)


def verdict(metric: str, *, worse: bool) -> Verdict:
    size = 0.2 if worse else -0.2
    change = Estimate(point=size, low=size, high=size, level=0.99, method="", n=12, launches=3)
    kind = VerdictKind.REGRESSED if worse else VerdictKind.IMPROVED
    return Verdict(scenario_id="", metric=metric, kind=kind, change=change)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """The scripted model and its smaller one, which holds less and needs as much to speak."""
    lab = Laboratory(tmp_path_factory.mktemp("suspects"))
    data = lab.run(requests=[WISH], model="scripted,scripted-8bit").data
    loaded = {scenario.arm.id: held for scenario, held in zip(data.run.scenarios, (300 * MB, 200 * MB), strict=True)}
    peaks = {scenario.id: loaded[scenario.arm.id] + 100 * MB for scenario in data.run.scenarios}
    return replace(
        data,
        launches=tuple(replace(each, rss_loaded=loaded[each.arm_id]) for each in data.launches),
        repetitions=tuple(
            replace(
                each,
                memory=replace(each.memory, peak=peaks[each.scenario_id], rss_after=peaks[each.scenario_id] - 70 * MB),
            )
            for each in data.repetitions
        ),
    )


def sentences(suspects: Iterable[Suspect]) -> tuple[str, ...]:
    return tuple(each.sentence for each in suspects)


def told(metric: str, data: RunData, *, worse: bool = False, **changes: Any) -> tuple[str, ...]:
    """The suspects of the second scenario against the first, once its arm has `changes`."""
    reference, candidate = data.run.scenarios
    candidate = replace(candidate, arm=replace(candidate.arm, **changes))
    return sentences(suspects_of(verdict(metric, worse=worse), candidate, reference, data, Policy()))


def operators(ours: Profile, theirs: Profile, data: RunData, *, worse: bool, metric: str = "latency") -> list[str]:
    reference, candidate = data.run.scenarios
    found = operator_suspects(verdict(metric, worse=worse), profiles(ours, theirs), candidate, reference, data)
    return list(sentences(found))


class TestOperators:
    def test_those_that_moved_the_verdicts_way_come_the_strongest_first_and_no_other(self, both: RunData) -> None:
        ours = profile(Conv=70.0, LSTM=20.0, ConvInteger=15.0, Add=10.5)
        theirs = profile(Conv=60.0, LSTM=30.0, Add=10.0)
        assert operators(ours, theirs, both, worse=True) == [
            "operator ConvInteger: +15.0 ms (+15.0 to +15.0 at 75.00 %), 97 % of +15.5 ms (0.0 → 15.0)",
            "operator Conv: +10.0 ms (+10.0 to +10.0 at 99.73 %), 65 % of +15.5 ms (60.0 → 70.0)",
            "unexplained by operator: −9.5 ms, −61 % of +15.5 ms (others moved the other way)",
        ]

    def test_one_that_a_single_side_has_is_no_hypothesis_among_many(self, both: RunData) -> None:
        """Its time scatters as much as that of an operator which both sides have, and which may not be named for it."""
        scattered = (1e3, 12e3, 20e3, 27e3)
        same = {f"Op{number}": (9e3, 9.1e3, 9.2e3, 9.1e3) for number in range(30)}
        ours = Profile(operators={"Erf": scattered, "Tanh": tuple(each + 1e3 for each in scattered), **same})
        theirs = Profile(operators={"Tanh": (1e3,) * 4, **same})
        found = operators(ours, theirs, both, worse=True)
        assert [each.split(":")[0] for each in found] == ["operator Erf", "unexplained by operator"]

    def test_a_gain_is_not_laid_to_what_became_slower(self, both: RunData) -> None:
        """The case that was seen: everything 6 % faster, and the one name given was that of an operator 5 % slower."""
        ours, theirs = profile(Conv=80.0, ConvInteger=15.0), profile(Conv=91.0, ConvInteger=10.0)
        found = operators(ours, theirs, both, worse=False)
        assert [each.split(":")[0] for each in found] == ["operator Conv", "unexplained by operator"]

    def test_more_than_five_operators_are_summed_as_unexplained(self, both: RunData) -> None:
        names = [f"Op{number}" for number in range(9)]
        ours, theirs = profile(**dict.fromkeys(names, 2.0)), profile(**dict.fromkeys(names, 1.0))
        *named, rest = operators(ours, theirs, both, worse=True)
        assert len(named) == 5
        assert rest == "unexplained by operator: +4.0 ms, 44 % of +9.0 ms"

    def test_where_none_moved_that_is_said(self, both: RunData) -> None:
        same = profile(Conv=60.0, LSTM=30.0)
        assert operators(same, same, both, worse=True) == ["no operator stands out"]

    def test_without_a_profile_the_reason_is_said(self, both: RunData) -> None:
        found = operators(profile(Conv=1.0), Profile(reason="the engine wrote no profile"), both, worse=True)
        assert found == ["operators: not profiled (the engine wrote no profile)"]

    @pytest.mark.parametrize("metric", ["cpu_per_audio", "rss_peak"])
    def test_what_does_not_pass_with_a_clock_is_not_theirs(self, both: RunData, metric: str) -> None:
        assert operators(profile(Conv=2.0), profile(Conv=1.0), both, worse=True, metric=metric) == []

    def test_a_profile_without_repetitions_names_nothing(self, both: RunData) -> None:
        assert operators(Profile(nodes={"CPU": 1}), Profile(nodes={"CPU": 1}), both, worse=True) == []


def with_nodes(**milliseconds: float) -> Profile:
    """Nodes by name: `Conv_a` is node `a` of operator Conv, with a shape of its own name's length."""
    nodes = {}
    for name, each in milliseconds.items():
        operator, _, node = name.partition("_")
        nodes[Node(name=node, operator=operator, shape="1×8")] = (1e3 * each,) * 4
    by_operator: dict[str, tuple[float, ...]] = {}
    for node, times in nodes.items():
        before = by_operator.get(node.operator, (0.0,) * 4)
        by_operator[node.operator] = tuple(one + other for one, other in zip(before, times, strict=True))
    return Profile(operators=by_operator, by_node=nodes)


class TestNodes:
    def test_the_node_that_moved_is_named_after_its_operator(self, both: RunData) -> None:
        ours, theirs = with_nodes(Conv_a=30.0, Conv_b=45.0, Add_c=9.0), with_nodes(Conv_a=30.0, Conv_b=40.0, Add_c=9.0)
        assert operators(ours, theirs, both, worse=True) == [
            "operator Conv: +5.0 ms (+5.0 to +5.0 at 99.83 %), 100 % of +5.0 ms (70.0 → 75.0)",
            "node b (Conv 1×8): +5.0 ms (+5.0 to +5.0 at 99.91 %), 100 % of +5.0 ms (40.0 → 45.0)",
        ]

    def test_a_node_that_moved_is_not_denied_by_its_operator_which_did_not(self, both: RunData) -> None:
        ours, theirs = with_nodes(Conv_a=45.0, Conv_b=25.0, Add_c=9.1), with_nodes(Conv_a=40.0, Conv_b=30.0, Add_c=9.0)
        (node,) = operators(ours, theirs, both, worse=True)
        assert node.startswith("node a (Conv 1×8): +5.0 ms (")

    def test_a_level_that_rounds_to_certainty_has_more_decimals(self) -> None:
        change = Estimate(point=1.0, low=0.5, high=1.5, level=0.99998, method="", n=12, launches=3)
        moved = Movement(name="Conv", before=1.0, after=2.0, change=change)
        assert "(+0.5 to +1.5 at 99.998 %)" in part_sentence(moved, what="operator", scale=1.0, unit="ms", whole=1.0)

    def test_a_renamed_node_and_a_fused_one_are_what_they_were(self, both: RunData) -> None:
        """Names of a newer ONNX Runtime: only the LSTM moved, whatever the others are called now."""
        theirs = with_nodes(Conv_a=30.0, Conv_b=40.0, LSTM_c=20.0)
        ours = with_nodes(FusedConv_x=30.0, Conv_y=40.0, DynamicQuantizeLSTM_z=29.0)
        (operator,) = operators(ours, theirs, both, worse=True)
        assert operator.startswith("operator LSTM → DynamicQuantizeLSTM: +9.0 ms (")

    def test_few_repetitions_are_not_compared(self, both: RunData) -> None:
        one = Profiles(candidate=(profile(Conv=2.0),), reference=(profile(Conv=1.0),))
        reference, candidate = both.run.scenarios
        found = operator_suspects(verdict("latency", worse=True), one, candidate, reference, both)
        assert found == [
            (SuspectKind.NOTHING, "operators: not profiled (4 repetitions of each side, and 6 are needed)", ())
        ]

    def test_the_table_has_both_sides_with_the_interval_of_what_moved(self) -> None:
        ours, theirs = with_nodes(Conv_a=30.0, Conv_b=45.0), with_nodes(Conv_a=30.0, Conv_b=40.0)
        found = profiled_pair(profiles(ours, theirs), candidate="c", reference="r")
        (conv,) = found.operators
        assert (conv.before, conv.after) == (pytest.approx(0.07), pytest.approx(0.075))
        assert [(each.node, each.after) for each in found.nodes] == [("b", 0.045), ("a", 0.03)]
        assert found.nodes[0].change is not None
        assert found.nodes[0].change.low == pytest.approx(0.005)
        assert (found.launches, found.repetitions) == (3, 12)

    def test_the_table_of_one_arm_has_one_side(self) -> None:
        found = profiled_alone(with_nodes(Conv_a=30.0), scenario="s")
        assert [(each.operator, each.before, each.after) for each in found.operators] == [("Conv", None, 0.03)]


def test_what_names_a_cause_comes_before_where_it_acts_and_before_what_names_nothing() -> None:
    assert sorted(kind for kinds in ORDER for kind in kinds) == sorted(SuspectKind)
    kinds = (
        SuspectKind.DIFFERENCE, SuspectKind.OPERATOR, SuspectKind.NODE, SuspectKind.STAGE, SuspectKind.MODEL,
        SuspectKind.NOTHING,
    )  # fmt: skip
    given = [Suspect(kind, "a sentence whose words say nothing of its kind") for kind in kinds]
    for turned in range(len(given)):
        found = [each.kind for each in in_order([*given[turned:], *given[:turned]])]
        assert (found[0], {*found[1:3]}, found[3:]) == (kinds[0], {*kinds[1:3]}, [*kinds[3:]])


def test_those_of_one_kind_keep_their_order_as_do_those_that_were_stored_without_a_kind() -> None:
    told = b'"suspects":["stage inference: +1 ms","threads 1 \xe2\x86\x92 2","b","a"]'
    stored = msgspec.json.decode(b'{"scenario_id":"s","metric":"latency","kind":"regressed",%b}' % told, type=Verdict)
    assert {each.kind for each in stored.suspected} == {SuspectKind.UNKNOWN}
    assert sentences(in_order(stored.suspected)) == stored.suspects
    again = stored.with_suspects(in_order(stored.suspected))
    assert again.suspects == stored.suspects


def test_each_difference_of_the_arms_has_a_kind_and_revisions_are_named_apart(both: RunData) -> None:
    reference, candidate = both.run.scenarios
    candidate = replace(candidate, arm=replace(candidate.arm, threads=2, revision="0123456789ab"))
    found = suspects_of(verdict("latency", worse=False), candidate, reference, both, Policy())
    assert [(each.kind, each.sentence.split()[0]) for each in found] == [
        (SuspectKind.OPTION, "threads"),
        (SuspectKind.SOURCE, "revision"),
        (SuspectKind.MODEL, "model"),
    ]
    told = verdict("latency", worse=False).with_suspects(found)
    assert (told.suspected, told.revisions) == (tuple((*each[:2], ()) for each in found), ("", "0123456789ab"))


def longer(data: RunData, *, ratio: float) -> RunData:
    """The second arm's audio of another length: so many frames more in its one chunk."""

    def stretched(each: Repetition) -> Repetition:
        if "8bit" not in each.scenario_id:
            return each
        chunks = tuple(replace(chunk, frames=round(chunk.frames * ratio)) for chunk in each.chunks)
        return replace(each, chunks=chunks)

    return replace(data, repetitions=tuple(map(stretched, data.repetitions)))


class TestStages:
    @pytest.mark.parametrize("metric", ["latency", "rtf", "ttfa"])
    def test_a_figure_of_time_is_explained_by_its_stages(self, both: RunData, metric: str) -> None:
        first, *others = told(metric, both)
        assert first.startswith("stage inference: −")
        assert "ms (−" in first, "with its interval"
        assert others == [MODELS_DIFFER]

    def test_one_sentence_serves_all_figures_that_moved_alike(self, both: RunData) -> None:
        assert len({told(metric, both) for metric in ("latency", "rtf", "ttfa")}) == 1

    def test_a_stage_that_moved_the_other_way_is_not_named(self, both: RunData) -> None:
        assert told("latency", both, worse=True) == (MODELS_DIFFER, "no stage stands out")

    def test_of_cpu_time_no_stage_is_known(self, both: RunData) -> None:
        assert told("cpu_per_audio", both) == (MODELS_DIFFER,)

    def test_where_the_audio_differs_in_length_a_factor_is_explained_per_second_of_speech(self, both: RunData) -> None:
        """Twice as much speech in 0.8 of the time: the factor fell by more than half, in ms per second of speech."""
        first, *_ = told("rtf", longer(both, ratio=2.0))
        assert "ms per second of speech" in first
        assert told("latency", longer(both, ratio=2.0)) == told("latency", both)

    def test_an_answer_without_stages_accuses_none(self, both: RunData) -> None:
        unmarked = replace(both, repetitions=tuple(replace(each, stages=()) for each in both.repetitions))
        assert told("latency", unmarked) == (MODELS_DIFFER,)


class TestMemory:
    def test_what_is_held_and_what_speaking_takes(self, both: RunData) -> None:
        assert told("rss_peak", both) == (
            "memory once loaded: −100.0 MB (−105.5 to −94.5 at 99.82 %), 100 % of −100.0 MB (300.0 → 200.0)",
            MODELS_DIFFER,
        )

    def test_only_what_moved_the_verdicts_way(self, both: RunData) -> None:
        needy = tuple(
            replace(each, memory=replace(each.memory, peak=each.memory.peak + 160 * MB))
            if each.phase is not Phase.MEASURED and "8bit" in each.scenario_id and each.memory.peak
            else each
            for each in both.repetitions
        )
        assert told("rss_peak", replace(both, repetitions=needy), worse=True) == (
            "memory per request: +160.0 MB (+154.9 to +165.1 at 99.64 %), 267 % of +60.0 MB (70.0 → 230.0)",
            MODELS_DIFFER,
            "unexplained by memory: −100.0 MB, −167 % of +60.0 MB (others moved the other way)",
        )

    def test_what_the_arena_keeps_is_told_from_what_a_request_takes(self, both: RunData) -> None:
        kept = tuple(
            replace(
                each,
                memory=replace(
                    each.memory,
                    peak=(each.memory.peak or 0) + 160 * MB,
                    rss_after=(each.memory.rss_after or 0) + 160 * MB,
                ),
            )
            if each.phase is not Phase.MEASURED and "8bit" in each.scenario_id
            else each
            for each in both.repetitions
        )
        first, *_ = told("rss_peak", replace(both, repetitions=kept), worse=True)
        assert first.startswith("memory kept after speaking (arena): +160.0 MB (")
        assert first.endswith(" (30.0 → 190.0)")

    def test_the_arena_is_named_by_its_own_count(self, both: RunData) -> None:
        reference, candidate = both.run.scenarios
        held = [tuple(Profile(arena=size) for _ in range(3)) for size in (20 * MB, 70 * MB)]
        given = verdict("rss_peak", worse=False), Profiles(candidate=held[0], reference=held[1])
        (found,) = arena_suspects(*given, candidate, reference, both)
        assert found.kind is SuspectKind.MEMORY
        assert (
            found.sentence
            == "memory in ONNX Runtime's arena: −50.0 MB (−50.0 to −50.0 at 99.00 %), 50 % of −100.0 MB (70.0 → 20.0)"
        )
        swapped = Profiles(candidate=held[1], reference=held[0])
        assert arena_suspects(given[0], swapped, candidate, reference, both) == [], "it moved the other way"
        uncounted = Profiles(candidate=(Profile(),) * 3, reference=held[1])
        assert arena_suspects(given[0], uncounted, candidate, reference, both) == []

    def test_what_was_not_read_accuses_no_part_of_it(self, both: RunData) -> None:
        unread = tuple(replace(each, rss_loaded=None) for each in both.launches)
        assert told("rss_peak", replace(both, launches=unread)) == (MODELS_DIFFER,)

    def test_what_is_held_once_loaded_is_not_explained_by_itself(self, both: RunData) -> None:
        assert told("rss_loaded", both) == (MODELS_DIFFER,)


class TestStartUp:
    def slow(self, data: RunData, part: str) -> RunData:
        """The second arm's launches with half a second more in one phase."""
        launches = tuple(
            replace(
                each,
                parts=tuple(replace(one, ns=one.ns + 500_000_000 * (one.name == part)) for one in each.parts),
            )
            if "8bit" in each.arm_id
            else each
            for each in data.launches
        )
        return replace(data, launches=launches)

    def test_the_phase_that_moved_is_named(self, both: RunData) -> None:
        first, *_ = told("load_time", self.slow(both, "session"), worse=True)
        assert first.startswith("phase session: +500.0 ms (+500.0 to +500.0 at ")

    def test_where_none_moved_that_way_it_is_said(self, both: RunData) -> None:
        assert told("load_time", both, worse=True) == (MODELS_DIFFER, "no phase stands out")


@pytest.mark.parametrize("metric", ["latency", "rss_peak"])
def test_what_differs_between_the_arms_is_told_setting_by_setting(both: RunData, metric: str) -> None:
    options = (("arena", "off"), ("spinning", "off"))
    found = told(metric, both, session_options=options, threads=2, revision="0123456789ab")
    settings = ("threads default → 2", "revision work tree → 0123456789ab", "arena default → off")
    assert found[:4] == (*settings, "spinning default → off")
