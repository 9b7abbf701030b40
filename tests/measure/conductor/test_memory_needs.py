"""What an arm's worker will hold: estimated, then known."""

from dataclasses import replace

from harness.core.records.repetition import Block, Canary, Launch, Memory, Outcome, OutcomeKind, Phase, Repetition
from harness.core.records.scenario import Arm, Mode, ModelVariant, Scenario, Utterance
from harness.measure.conductor.events import BlockDone, Launched, WarmedUp
from harness.measure.conductor.memory_needs import MemoryNeeds
from harness.plan.matrix import Plan, RunLimits

MIB = 1 << 20
FULL = Arm(engine="kokoro", model=ModelVariant(name="full", sha256="a" * 64, size=310 * MIB, origin="replica"))
U8 = replace(FULL, model=ModelVariant(name="u8", sha256="b" * 64, size=87 * MIB, origin="quantised", parent="a" * 64))
SMALL = replace(FULL, model=ModelVariant(name="small", sha256="c" * 64, size=2 * MIB, origin="replica"))
TEXTS = {name: (Utterance(text_class=name, variant=0, text="x" * int(name)),) for name in ("65", "206", "489", "4400")}


def scenario(arm: Arm, text: str, mode: Mode = Mode.WHOLE) -> Scenario:
    return Scenario(arm=arm, mode=mode, text_class=text, voice="v")


def needs(*scenarios: Scenario) -> MemoryNeeds:
    run_limits = RunLimits(budget_s=1.0, launches=1, blocks=1, warmups=1, timeout_s=1.0, seed=0)
    return MemoryNeeds(Plan(scenarios=scenarios, utterances=TEXTS, run_limits=run_limits, corpus_digest=""))


def estimated(arm: Arm, text: str) -> float:
    """In MiB; the original is part of the run."""
    return needs(scenario(FULL, "65"), scenario(arm, text)).of(arm) / MIB


def repetition(arm: Arm, text: str, memory: Memory, phase: Phase = Phase.WARMUP, mode: Mode = Mode.WHOLE) -> Repetition:
    return Repetition(
        scenario_id=scenario(arm, text, mode).id, launch=0, block=-1, position=0, phase=phase, variant=0,
        characters=int(text), started_at=0.0, end_ns=1, memory=memory,
    )  # fmt: skip


def test_an_estimate_is_above_what_was_really_held_and_not_far_above() -> None:
    for arm, text, held in (
        (FULL, "65", 582), (FULL, "206", 904), (FULL, "489", 1143), (SMALL, "65", 110), (SMALL, "206", 146),
        (SMALL, "489", 166), (U8, "65", 384), (replace(FULL, provider="openvino"), "65", 1526),
    ):  # fmt: skip
        assert held < estimated(arm, text) < 1.75 * held, (arm.id, text)


def test_a_text_of_many_batches_needs_no_more_than_one_of_a_full_batch() -> None:
    assert estimated(FULL, "4400") == estimated(FULL, "489") + 2 * 21


def test_every_session_has_weights_and_an_arena_of_its_own() -> None:
    one, two, named = (
        estimated(replace(FULL, engine="kokoro-sentences", session_options=options), "206")
        for options in ((), (("sessions", "2"),), (("sessions", "cpu:1+cpu:1"),))
    )
    assert two == named
    assert two - 120 == 2 * (one - 120)


def test_a_server_of_somebody_elses_is_not_ours_to_hold_and_one_of_ours_is() -> None:
    client = Arm(engine="endpoint", provider="", url="http://127.0.0.1:1")
    assert needs(scenario(client, "65")).of(client) == 120 * MIB
    served = replace(FULL, engine="kokoro-server")
    assert estimated(served, "65") == estimated(FULL, "65") + 120


def test_what_a_launch_held_replaces_the_estimate_and_the_most_counts() -> None:
    found = needs(scenario(FULL, "65"), scenario(FULL, "206"))
    found.handle(WarmedUp(repetition=repetition(FULL, "206", Memory(peak=900 * MIB, rss_after=700 * MIB))))
    found.handle(WarmedUp(repetition=repetition(FULL, "65", Memory(peak=None, rss_after=800 * MIB))))
    assert found.of(FULL) == round(1.05 * 900 * MIB)
    block = Block(block=0, launch=0, order=(), started_at=0.0, wall_ns=1, canary=Canary(numpy_ns=None, graph_ns=None))
    measured = repetition(FULL, "206", Memory(rss_after=1_000 * MIB), Phase.MEASURED)
    found.handle(BlockDone(block=block, repetitions=(measured,)))
    assert found.of(FULL) == round(1.05 * 1_000 * MIB)


def test_what_a_start_of_its_own_has_shown_is_what_the_arm_holds_without_a_text() -> None:
    found = needs(scenario(FULL, "206"), scenario(FULL, "65", Mode.WARM_UP))
    estimate = found.of(FULL)
    start = Launch(arm_id=FULL.id, launch=0, started_at=0.0, page_cache="warm", rss_loaded=489 * MIB, dedicated=True)
    found.handle(Launched(launch=replace(start, outcome=Outcome(kind=OutcomeKind.CRASHED), rss_loaded=9_000 * MIB)))
    found.handle(WarmedUp(repetition=repetition(FULL, "65", Memory(peak=582 * MIB), mode=Mode.WARM_UP)))
    assert found.of(FULL) == estimate, "neither says what it holds after the longest text"
    found.handle(Launched(launch=start))
    assert found.of(FULL) == (489 + 2 * 206) * MIB


def test_an_engine_that_nobody_knows_is_given_room_until_it_has_shown_what_it_holds() -> None:
    espeak = Arm(engine="espeak", provider="")
    assert needs(scenario(espeak, "65")).of(espeak) == 500 * MIB
