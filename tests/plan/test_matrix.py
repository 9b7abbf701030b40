from dataclasses import replace

import pytest

from harness.core.errors import UsageError
from harness.core.records.scenario import Arm, Arrivals, Mode, ModelVariant, Scenario, Traffic
from harness.plan.corpus import Corpus, user_text
from harness.plan.matrix import RunLimits, ScenarioRequest, expand, make_plan

FP32 = Arm(engine="kokoro", model=ModelVariant(name="replica", sha256="a" * 64, size=1, origin="replica"))
U8 = replace(FP32, model=ModelVariant(name="replica-u8", sha256="b" * 64, size=1, origin="quantised", parent="a" * 64))
PACE = RunLimits(budget_s=60.0, launches=3, blocks=4, warmups=1, timeout_s=30.0, seed=0)


def ids(scenarios: tuple[Scenario, ...]) -> list[str]:
    return [each.id for each in scenarios]


def test_a_wish_becomes_arms_by_texts_by_speeds_in_that_order() -> None:
    request = ScenarioRequest(mode=Mode.STREAM, texts=("chars-12", "chars-60"), speeds=(1.0, 1.25))
    assert ids(expand(request, arms=[FP32, U8], voice="am_puck")) == [
        "replica.cpu.tdefault/stream/chars-12/am_puck",
        "replica.cpu.tdefault/stream/chars-12/am_puck/speed-1.25",
        "replica.cpu.tdefault/stream/chars-60/am_puck",
        "replica.cpu.tdefault/stream/chars-60/am_puck/speed-1.25",
        "replica-u8.cpu.tdefault/stream/chars-12/am_puck",
        "replica-u8.cpu.tdefault/stream/chars-12/am_puck/speed-1.25",
        "replica-u8.cpu.tdefault/stream/chars-60/am_puck",
        "replica-u8.cpu.tdefault/stream/chars-60/am_puck/speed-1.25",
    ]


@pytest.mark.parametrize("mode", [Mode.LOAD_WARM, Mode.LOAD_COLD])
def test_a_start_up_is_one_scenario_an_arm_whatever_the_texts(mode: Mode) -> None:
    request = ScenarioRequest(mode=mode, texts=("-",), speeds=(0.8, 1.25))
    found = expand(request, arms=[FP32, U8], voice="af_heart", texts=("chars-12", "chars-60"))
    assert ids(found) == [f"replica.cpu.tdefault/{mode}", f"replica-u8.cpu.tdefault/{mode}"]


def test_texts_of_the_user_replace_those_of_the_wish() -> None:
    found = expand(
        ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",)),
        arms=[FP32],
        voice="af_heart",
        texts=("chars-900", "one-word"),
    )
    assert [each.text_class for each in found] == ["chars-900", "one-word"]


def test_a_text_of_the_users_own_replaces_those_of_the_wish_and_stands_beside_the_users_classes() -> None:
    own = user_text("How now, brown cow?")
    request = ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",))
    alone = expand(request, arms=[FP32], voice="af_heart", own=[own])
    assert [each.text_class for each in alone] == [own.text_class]
    beside = expand(request, arms=[FP32], voice="af_heart", own=[own], texts=("chars-60",))
    assert [each.text_class for each in beside] == ["chars-60", own.text_class]


POOL = replace(FP32, engine="kokoro-sentences", session_options=(("sessions", "2"),))


def test_only_an_engine_that_several_may_ask_has_crowds_in_process() -> None:
    request = ScenarioRequest(mode=Mode.STREAM, texts=("chars-12",), variant=None, concurrencies=(1, 4))
    assert ids(expand(request, arms=[FP32, POOL], voice="af_heart")) == [
        "replica.cpu.tdefault/stream/chars-12/af_heart/rotating",
        "replica.kokoro-sentences.cpu.tdefault.sessions=2/stream/chars-12/af_heart/rotating",
        "replica.kokoro-sentences.cpu.tdefault.sessions=2/stream/chars-12/af_heart/rotating/x4",
    ]


def test_a_stampede_asks_for_one_text_that_is_another_in_each_block_and_in_no_other_crowd() -> None:
    stampede = ScenarioRequest(mode=Mode.STREAM, texts=("chars-60",), concurrencies=(32,), stampede=True)
    crowd = ScenarioRequest(mode=Mode.STREAM, texts=("chars-60",), concurrencies=(4,))
    (equal, different) = (expand(request, arms=[POOL], voice="af_heart")[0] for request in (stampede, crowd))
    assert equal.id.endswith("/stream/chars-60/af_heart/rotating/stampede-32")
    plan = make_plan([equal, different], corpus=Corpus(), run_limits=PACE)
    asked = [{each.text for each in plan.concurrent_texts(equal, block)} for block in range(-3, 12)]
    assert all(len(texts) == 1 for texts in asked)
    assert len(plan.concurrent_texts(equal, 0)) == 32
    asked += [{each.text} for block in range(-3, 12) for each in plan.concurrent_texts(different, block)]
    assert len(set.union(*asked)) == len(asked), "an engine with a cache would have it already"


def test_processes_of_their_own_are_asked_for_the_same_texts() -> None:
    other = replace(POOL, session_options=())
    request = ScenarioRequest(mode=Mode.STREAM, texts=("chars-12",), concurrencies=(4,))
    plan = make_plan(expand(request, arms=[POOL, other], voice="af_heart"), corpus=Corpus(), run_limits=PACE)
    first, second = plan.scenarios
    assert plan.concurrent_texts(first, 3) == plan.concurrent_texts(second, 3) != plan.concurrent_texts(first, 2)


def test_two_texts_of_the_users_own_are_two_scenarios() -> None:
    first, second = (user_text(text) for text in ("How now?", "Brown cow!"))
    assert first.text_class != second.text_class
    assert first.text_class.startswith("custom-")


def test_a_class_that_there_is_not_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        expand(ScenarioRequest(mode=Mode.WHOLE), arms=[FP32], voice="af_heart", texts=("char-60",))
    assert str(caught.value) == "--text: unknown text class 'char-60' — did you mean 'chars-60'?"


def test_custom_is_no_class_without_a_text() -> None:
    with pytest.raises(UsageError, match="unknown text class 'custom'"):
        expand(ScenarioRequest(mode=Mode.WHOLE), arms=[FP32], voice="af_heart", texts=("custom",))


def test_a_plan_has_each_scenario_once_in_the_order_of_its_first_wish() -> None:
    short = expand(ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",)), arms=[U8, FP32], voice="af_heart")
    both = expand(ScenarioRequest(mode=Mode.WHOLE, texts=("chars-60", "chars-12")), arms=[U8, FP32], voice="af_heart")
    plan = make_plan([*short, *both], corpus=Corpus(), run_limits=PACE, selection="quick", script={"pace": "2"})
    assert ids(plan.scenarios) == [
        "replica-u8.cpu.tdefault/whole/chars-12/af_heart",
        "replica.cpu.tdefault/whole/chars-12/af_heart",
        "replica-u8.cpu.tdefault/whole/chars-60/af_heart",
        "replica.cpu.tdefault/whole/chars-60/af_heart",
    ]
    assert plan.arms == (U8, FP32)
    assert (plan.selection, dict(plan.script), plan.corpus_digest) == ("quick", {"pace": "2"}, Corpus().digest)


def test_a_plan_knows_the_texts_that_are_spoken_and_no_others() -> None:
    own = user_text("How now, brown cow?")
    scenarios = [
        *expand(ScenarioRequest(mode=Mode.WHOLE), arms=[FP32], voice="af_heart", texts=("chars-60",), own=[own]),
        *expand(ScenarioRequest(mode=Mode.LOAD_WARM), arms=[FP32], voice="af_heart"),
    ]
    plan = make_plan(scenarios, corpus=Corpus(), run_limits=PACE, own=[own])
    assert set(plan.utterances) == {"chars-60", own.text_class}
    assert plan.utterances[own.text_class] == (own,)
    assert plan.utterances["chars-60"] == Corpus().variants("chars-60")


def test_a_scenario_speaks_its_variant_or_goes_through_all_of_them() -> None:
    corpus = Corpus(variants=3)
    (fixed,) = expand(ScenarioRequest(mode=Mode.WHOLE, texts=("chars-60",), variant=2), arms=[FP32], voice="v")
    (turning,) = expand(ScenarioRequest(mode=Mode.WHOLE, texts=("chars-60",), variant=None), arms=[FP32], voice="v")
    plan = make_plan([fixed, turning], corpus=corpus, run_limits=PACE)
    assert [plan.utterance(fixed, block).variant for block in range(4)] == [2, 2, 2, 2]
    assert [plan.utterance(turning, block).variant for block in range(4)] == [0, 1, 2, 0]


def test_a_plan_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to measure"):
        make_plan([], corpus=Corpus(), run_limits=PACE, selection="quick")


def test_a_longer_text_is_given_more_time() -> None:
    assert [PACE.timeout_for(characters) for characters in (0, 12, 4_400)] == [30.0, 33.0, 1_130.0]


SERVER = Arm(engine="endpoint", provider="", url="http://127.0.0.1:1")
TRAFFIC = tuple(Traffic(arrivals=Arrivals.POISSON, level=level) for level in (1.0, 2.0))


def test_texts_at_once_and_loads_are_scenarios_of_their_own() -> None:
    at_once = ScenarioRequest(mode=Mode.ENDPOINT, texts=("chars-12",), variant=None, concurrencies=(1, 8))
    loaded = ScenarioRequest(mode=Mode.ENDPOINT, texts=("chars-12",), variant=None, traffic=TRAFFIC)
    soaked = ScenarioRequest(mode=Mode.ENDPOINT, texts=("chars-12",), variant=None, repeats=50)
    found = [each for request in (at_once, loaded, soaked) for each in expand(request, arms=[SERVER], voice="v")]
    begin = "endpoint.http-127.0.0.1-1/endpoint/chars-12/v/rotating"
    assert [each.id.removeprefix(begin) for each in found] == ["", "/x8", "/poisson-1", "/poisson-2", "/soak-50"]
    assert [each.is_concurrent for each in found] == [False, True, True, True, False]


def test_no_two_of_those_who_ask_at_once_ask_for_the_same_and_no_block_for_what_another_had() -> None:
    request = ScenarioRequest(mode=Mode.ENDPOINT, texts=("chars-60",), variant=None, concurrencies=(2, 4, 8))
    found = expand(request, arms=[SERVER], voice="v")
    plan = make_plan(found, corpus=Corpus(), run_limits=PACE)
    asked = [text.variant for block in range(-3, 4) for each in found for text in plan.concurrent_texts(each, block)]
    assert len(asked) == len(set(asked)) == 7 * 14


def test_loads_begin_at_different_texts_and_go_through_all() -> None:
    request = ScenarioRequest(mode=Mode.ENDPOINT, texts=("chars-60",), variant=None, traffic=TRAFFIC)
    found = expand(request, arms=[SERVER], voice="v")
    plan = make_plan(found, corpus=Corpus(), run_limits=PACE)
    first = [plan.concurrent_texts(each, block)[0].variant for block in range(4) for each in found]
    assert first == [number * 125 for number in range(8)]
    assert {text.variant for text in plan.concurrent_texts(found[0], 1)} == set(range(1_000))


def test_a_soak_goes_on_with_the_next_text_and_the_next_block_where_it_ended() -> None:
    (found,) = expand(
        ScenarioRequest(mode=Mode.WHOLE, texts=("chars-60",), variant=None, repeats=3), arms=[FP32], voice="v"
    )
    plan = make_plan([found], corpus=Corpus(), run_limits=PACE)
    spoken = [plan.utterance(found, block, turn=turn).variant for block in range(2) for turn in range(3)]
    assert spoken == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("urls", "alike"),
    [
        (("http://127.0.0.1:1", "http://127.0.0.1:1"), False),
        (("http://127.0.0.1:1", "http://127.0.0.1:2"), True),
        (("server:own", "server:own"), True),
    ],
)
def test_only_arms_of_one_server_are_kept_from_texts_in_its_cache(urls: tuple[str, str], *, alike: bool) -> None:
    arms = [
        Arm(engine="endpoint", provider="", url=url, session_options=(("keep_alive", kept),))
        for url, kept in zip(urls, ("on", "off"), strict=True)
    ]
    request = ScenarioRequest(mode=Mode.ENDPOINT, texts=("chars-12",), variant=None)
    plan = make_plan(expand(request, arms=arms, voice="af_heart"), corpus=Corpus(), run_limits=PACE)
    texts = [plan.utterance(each, 3).text for each in plan.scenarios]
    assert (texts[0] == texts[1]) is alike
