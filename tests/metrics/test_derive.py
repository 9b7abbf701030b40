from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import theilslopes

from benchmarks.synthetic_history import made_run
from benchmarks.synthetic_run import Made
from harness.core.records.repetition import LoadPart, Outcome, OutcomeKind, Phase
from harness.core.records.scenario import Arm, Mode
from harness.metrics import start_up
from harness.metrics.derive import RunValues, scenario_values
from harness.metrics.registry import METRICS

SILENT = Outcome(kind=OutcomeKind.INVALID_AUDIO, reason="The audio is silent: every sample is 0.")
CRASHED = Outcome(kind=OutcomeKind.CRASHED, reason="killed by SIGKILL")


def test_values_keep_launches_and_blocks_whatever_the_order_of_records(made: Any) -> None:
    repetitions = [
        made.repetition(launch=launch, block=block, chunks=((ms, 1000),))
        for launch, block, ms in ((1, 3, 900), (0, 1, 600), (1, 2, 800), (0, 0, 500))
    ]
    latency = scenario_values(made.scenario(), made.data(*repetitions))["latency"]
    assert latency.grouped == ((0.5, 0.6), (0.8, 0.9))
    assert latency.blocks == ((0, 1), (2, 3))
    assert latency.launches == (0, 1)


def test_a_run_derives_each_of_its_scenarios_once_and_as_if_it_were_alone() -> None:
    data = made_run(Made(blocks=3), 20)
    values = RunValues(data)
    for scenario in data.run.scenarios:
        assert values.of(scenario) == scenario_values(scenario, data)
        assert values.of(scenario) is values.of(scenario)


def test_warm_ups_other_scenarios_and_invalid_ones_have_no_figures(made: Any) -> None:
    data = made.data(
        made.repetition(phase=Phase.FIRST, chunks=((1, 1),)),
        made.repetition(phase=Phase.WARMUP, chunks=((2, 1),)),
        made.repetition(scenario_id="another", chunks=((3, 1),)),
        made.repetition(outcome=SILENT, chunks=((4, 1),)),
        made.repetition(block=1, chunks=((500, 1000),)),
    )
    latency = scenario_values(made.scenario(), data)["latency"]
    assert latency.grouped == ((0.5,),)
    assert (latency.counts.attempted, latency.counts.valid) == (2, 1)
    assert latency.counts.invalid == ((OutcomeKind.INVALID_AUDIO, 1),)


def test_disturbed_repetitions_have_values_and_are_counted(made: Any) -> None:
    data = made.data(
        made.repetition(block=0, chunks=((500, 1000),)),
        made.repetition(block=1, chunks=((900, 1000),), marks=("steal",)),
        made.repetition(block=2, outcome=SILENT, marks=("steal",)),
    )
    latency = scenario_values(made.scenario(), data)["latency"]
    assert latency.grouped == ((0.5, 0.9),)
    assert latency.counts.disturbed == 1


def test_reasons_where_nothing_was_measured(made: Any) -> None:
    scenario = made.scenario()
    assert scenario_values(scenario, made.data())["latency"].reason == "not measured"
    warm_up = made.data(made.repetition(phase=Phase.WARMUP, outcome=CRASHED))
    assert scenario_values(scenario, warm_up)["latency"].reason == (
        "not measured: the warm-up failed (crashed: killed by SIGKILL)"
    )
    measured = made.data(made.repetition(outcome=SILENT), made.repetition(block=1, outcome=SILENT))
    found = scenario_values(scenario, measured)
    assert found["rtf"].reason == "none of 2 is valid (invalid-audio: The audio is silent: every sample is 0.)"
    assert found["success_rate"].grouped == ((0.0,),)


def test_every_metric_of_a_synthesis_has_values_or_a_reason(made: Any) -> None:
    for data in (made.data(), made.data(made.repetition())):
        found = scenario_values(made.scenario(), data)
        elsewhere = {"rss_loaded", "warm_up_cost", "longest_wait", "cache_hit_rate"}
        assert set(found) == {name for name in METRICS if not name.startswith("load_")} - elsewhere
        assert all(bool(each.grouped) != bool(each.reason) for each in found.values())
        assert all(each.metric == name for name, each in found.items())


@pytest.mark.parametrize(
    ("url", "absent"),
    [
        ("", {"load_listening", "load_ready", "load_first_audio"}),
        ("server:own", {"load_import", "load_session", "load_voices", "load_phonemiser"}),
    ],
)
def test_every_metric_of_a_start_up_has_values_or_a_reason(made: Any, url: str, absent: set[str]) -> None:
    scenario = made.scenario(Mode.LOAD_WARM)
    scenario = replace(scenario, arm=replace(scenario.arm, url=url))
    for data in (made.data(), made.data(launches=[replace(made.launch(), arm_id=scenario.arm.id)])):
        found = scenario_values(scenario, data)
        assert set(found) == {name for name in METRICS if name.startswith("load_")} - absent | {
            "rss_loaded",
            "model_size",
            "success_rate",
        }
        assert all(bool(each.grouped) != bool(each.reason) for each in found.values())
        assert all(each.metric == name for name, each in found.items())
        assert {each.counts.disturbed for each in found.values()} == {0}
        assert found["model_size"].launches == (0,), "what belongs to no launch stands in the first"


def test_gaps_of_all_repetitions_with_their_blocks(made: Any) -> None:
    data = made.data(
        made.repetition(block=0, chunks=((100, 500), (300, 500), (350, 500))),
        made.repetition(block=1, chunks=((100, 500),)),
        made.repetition(launch=1, block=2, chunks=((100, 500), (400, 500))),
    )
    gap = scenario_values(made.scenario(Mode.STREAM), replace(data, repetitions=_of(made, Mode.STREAM, data)))["gap"]
    assert gap.grouped == ((0.2, 0.05), (0.3,))
    assert gap.blocks == ((0, 0), (2,))
    assert gap.unknown == 1


def _of(made: Any, mode: Mode, data: Any) -> tuple[Any, ...]:
    return tuple(replace(each, scenario_id=made.scenario(mode).id) for each in data.repetitions)


def test_one_chunk_has_no_gaps(made: Any) -> None:
    gap = scenario_values(made.scenario(), made.data(made.repetition()))["gap"]
    assert gap.reason == "not streaming: all audio came in one chunk"


def test_success_rate_counts_attempts_with_a_wilson_interval(made: Any) -> None:
    data = made.data(
        *(made.repetition(block=block) for block in range(8)),
        made.repetition(launch=1, block=8, outcome=SILENT),
        made.repetition(launch=1, block=9, outcome=CRASHED),
    )
    rate = scenario_values(made.scenario(), data)["success_rate"]
    assert rate.grouped == ((0.8,),)
    assert rate.interval is not None
    assert (rate.interval.n, rate.interval.launches) == (10, 2)
    assert (round(rate.interval.low, 3), round(rate.interval.high, 3)) == (0.490, 0.943)
    assert rate.counts.invalid == ((OutcomeKind.INVALID_AUDIO, 1), (OutcomeKind.CRASHED, 1))


def test_peak_memory_is_the_highest_of_each_launch_s_warm_up(made: Any) -> None:
    data = made.data(
        made.repetition(launch=0, phase=Phase.WARMUP, peak=500),
        made.repetition(launch=0, phase=Phase.WARMUP, peak=520),
        made.repetition(launch=1, phase=Phase.FIRST, peak=510),
        made.repetition(launch=1, phase=Phase.WARMUP, peak=9_999, outcome=SILENT),
        made.repetition(launch=1, phase=Phase.WARMUP, peak=490),
        made.repetition(launch=0, block=0, peak=1_300),
    )
    assert scenario_values(made.scenario(), data)["rss_peak"].grouped == ((520.0,), (510.0,))


def test_peak_memory_is_that_of_equally_many_warm_up_repetitions_in_each_launch(made: Any) -> None:
    data = made.data(
        made.repetition(launch=0, phase=Phase.WARMUP, peak=500),
        made.repetition(launch=0, phase=Phase.WARMUP, peak=620),
        made.repetition(launch=1, phase=Phase.WARMUP, peak=510),
    )
    assert scenario_values(made.scenario(), data)["rss_peak"].grouped == ((500.0,), (510.0,))


def test_peak_memory_is_unknown_with_the_platform_s_reason(made: Any) -> None:
    data = made.data(made.repetition(phase=Phase.WARMUP), made.repetition())
    assert scenario_values(made.scenario(), data)["rss_peak"].reason == "no mark here"


def test_slope_is_per_repetition_of_the_worker_and_ignores_one_jump(made: Any) -> None:
    other = made.scenario(text_class="chars-60")
    repetitions = []
    for block in range(7):
        jump = 10_000_000 if block == 3 else 0
        repetitions += [
            made.repetition(block=block, position=0, rss_after=1_000_000 + 2_000 * block + jump),
            made.repetition(block=block, position=1, scenario_id=other.id, rss_after=5),
        ]
    data = made.data(*repetitions, scenarios=(made.scenario(), other))
    # 2,000 B a block of two repetitions.
    assert scenario_values(made.scenario(), data)["rss_slope"].grouped == ((1000.0,),)


@given(st.lists(st.integers(1, 10**9), min_size=5, max_size=20))
def test_slope_is_scipy_s(sizes: list[int]) -> None:
    slope = start_up._slope(list(enumerate(sizes))).value
    assert slope == pytest.approx(theilslopes(sizes).slope)


def test_slope_counts_no_repetition_of_another_arms_worker(made: Any) -> None:
    other = made.scenario(arm=Arm(engine="another"))
    repetitions = [
        made.repetition(block=block, position=position, scenario_id=scenario.id, rss_after=1_000 + 50 * block)
        for block in range(5)
        for position, scenario in enumerate((made.scenario(), other, other))
    ]
    data = made.data(*repetitions, scenarios=(made.scenario(), other))
    assert scenario_values(made.scenario(), data)["rss_slope"].grouped == ((50.0,),)


def test_of_a_long_load_every_other_size_tells_the_slope() -> None:
    sizes = [(number, 3 * number if number % 2 == 0 else 0) for number in range(1_500)]
    assert start_up._slope(sizes).value == 3.0


def test_slope_starts_anew_with_each_launch(made: Any) -> None:
    repetitions = [
        made.repetition(launch=launch, block=5 * launch + n, rss_after=1000 * (launch + 1) - 10 * launch * n)
        for launch in (0, 1)
        for n in range(5)
    ]
    assert scenario_values(made.scenario(), made.data(*repetitions))["rss_slope"].grouped == ((0.0,), (-10.0,))


def test_slope_needs_repetitions_and_readings(made: Any) -> None:
    few = made.data(*(made.repetition(block=block, rss_after=1000) for block in range(4)))
    assert scenario_values(made.scenario(), few)["rss_slope"].reason == (
        "4 repetitions in a launch are too few for a slope, which takes 5"
    )
    none = made.data(*(made.repetition(block=block) for block in range(9)))
    assert scenario_values(made.scenario(), none)["rss_slope"].reason == "the resident size was not read"


def test_model_size_is_the_file_s(made: Any) -> None:
    assert scenario_values(made.scenario(), made.data())["model_size"].grouped == ((325_479_362.0,),)
    bare = made.scenario(arm=Arm(engine="scripted"))
    assert scenario_values(bare, made.data())["model_size"].reason == "the arm has no model file"


def test_load_time_and_its_parts(made: Any) -> None:
    data = made.data(launches=[made.launch(0), made.launch(1, rss_loaded=None)])
    found = scenario_values(made.scenario(Mode.LOAD_WARM), data)
    assert {name: each.grouped for name, each in found.items() if name.startswith("load_")} == {
        "load_time": ((1.5,), (1.5,)),
        "load_import": ((0.4,), (0.4,)),
        "load_session": ((0.8,), (0.8,)),
        "load_voices": ((0.02,), (0.02,)),
        "load_phonemiser": ((0.03,), (0.03,)),
        "load_first_inference": ((0.25,), (0.25,)),
    }
    assert found["load_time"].launches == (0, 1)
    assert found["load_time"].blocks == ((-1,), (-1,))
    assert found["rss_loaded"].grouped == ((420_000_000.0,),)


def test_parts_of_one_name_are_one_part(made: Any) -> None:
    launch = made.launch(0, parts={"import": 400, "session": 100, "first_inference": 50})
    twice = replace(launch, parts=(*launch.parts, LoadPart(name="session", ns=700_000_000)))
    found = scenario_values(made.scenario(Mode.LOAD_WARM), made.data(launches=[twice]))
    assert found["load_session"].grouped == ((0.8,),)
    assert found["load_time"].grouped == ((1.25,),)


def test_cold_and_warm_starts_are_never_mixed(made: Any) -> None:
    cold = {"import": 900, "session": 2000, "first_inference": 300}
    launches = [
        made.launch(0),
        made.launch(0, page_cache="cold", parts=cold, dedicated=True),
        made.launch(0, dedicated=True, parts={"import": 100, "first_inference": 100}),
        made.launch(1, page_cache="unknown: no permission"),
        made.launch(2, arm_id="another"),
    ]
    data = made.data(launches=launches)
    warm = scenario_values(made.scenario(Mode.LOAD_WARM), data)
    assert warm["load_time"].grouped == ((1.5, 0.2),)
    assert warm["load_time"].counts.attempted == 2
    found = scenario_values(made.scenario(Mode.LOAD_COLD), data)
    assert found["load_time"].grouped == ((3.2,),)
    assert found["load_voices"].reason == "the engine marks no part 'voices'"


def test_reasons_of_a_start_up(made: Any) -> None:
    blind = made.data(launches=[made.launch(0, page_cache="unknown: no permission")])
    cold = scenario_values(made.scenario(Mode.LOAD_COLD), blind)
    assert cold["load_time"].reason == "no launch with a cold page cache (unknown: no permission)"
    assert cold["success_rate"].reason == cold["load_time"].reason
    assert cold["load_time"].reason == cold["rss_loaded"].reason
    elsewhere = made.data(
        launches=[made.launch(0, page_cache="cold"), made.launch(0, arm_id="b", page_cache="unknown: b")]
    )
    assert scenario_values(made.scenario(Mode.LOAD_WARM), elsewhere)["load_time"].reason == (
        "no launch with a warm page cache"
    )
    failed = made.data(launches=[made.launch(0, parts={}, outcome=CRASHED)])
    warm = scenario_values(made.scenario(Mode.LOAD_WARM), failed)
    assert warm["load_time"].reason == "none of 1 is valid (crashed: killed by SIGKILL)"
    assert warm["success_rate"].grouped == ((0.0,),)
    silent = made.data(launches=[made.launch(0, parts={"import": 5})])
    assert scenario_values(made.scenario(Mode.LOAD_WARM), silent)["load_time"].reason == (
        "the launch records no first inference"
    )


def test_throughput_and_goodput_of_concurrent_blocks(made: Any) -> None:
    scenario = made.scenario(concurrency=2)
    data = made.data(
        # Block 0: from 100.0 s to 102.0 s, 3 s of audio; one answer has an RTF below 1.
        made.repetition(scenario_id=scenario.id, chunks=((1000, 2000),)),
        made.repetition(scenario_id=scenario.id, chunks=((2000, 1000),)),
        # Block 1: from 110.0 s to 111.0 s, 2 s of audio; one answer is invalid.
        made.repetition(scenario_id=scenario.id, block=1, started_at=110.0, chunks=((1000, 2000),)),
        made.repetition(scenario_id=scenario.id, block=1, started_at=110.0, chunks=((500, 1000),), outcome=SILENT),
    )
    found = RunValues(data).against(scenario, {"rtf": 1.0})
    assert found["throughput"].grouped == ((1.5, 2.0),)
    assert found["throughput"].blocks == ((0, 1),)
    assert found["goodput"].grouped == ((0.5, 1.0),)
    assert scenario_values(scenario, data)["goodput"].reason == "no targets to meet"


def test_one_request_at_a_time_has_no_throughput(made: Any) -> None:
    found = RunValues(made.data(made.repetition())).against(made.scenario(), {"rtf": 1.0})
    assert found["throughput"].reason == found["goodput"].reason == "one request at a time: it takes concurrent ones"


@pytest.mark.parametrize("metric", ["lsd", "mcd", "duration_ratio", "pesq", "stoi"])
def test_likeness_is_unknown_until_audio_is_compared(made: Any, metric: str) -> None:
    found = scenario_values(made.scenario(), made.data(made.repetition()))
    assert found[metric].reason == "its audio was not compared with the original's"


class TestWarmUpCost:
    """First requests of 12 characters: what each takes beyond the same text's second time, in ms."""

    def values(self, made: Any, *spoken: tuple[Phase, int, int, int]) -> Any:
        """From (phase, launch, variant, ms)."""
        scenario = made.scenario(Mode.WARM_UP, variant=None)
        ours = [
            made.repetition(
                scenario_id=scenario.id, phase=phase, launch=launch, variant=variant, block=-1,
                chunks=((taken, 1_000),), outcome=Outcome() if taken else Outcome(kind=OutcomeKind.ERROR, reason="no"),
            )
            for phase, launch, variant, taken in spoken
        ]  # fmt: skip
        return scenario_values(scenario, made.data(*ours, scenarios=[scenario]))

    def test_it_is_of_each_launch_and_of_each_text_against_itself(self, made: Any) -> None:
        values = self.values(
            made,
            *((Phase.WARMUP, 0, 0, 900), (Phase.WARMUP, 0, 1, 400), (Phase.MEASURED, 0, 0, 100)),
            *((Phase.MEASURED, 0, 1, 350), (Phase.WARMUP, 1, 0, 100), (Phase.MEASURED, 1, 0, 101)),
        )
        assert values["warm_up_cost"].flat == pytest.approx((0.85, -0.001))
        assert values["latency"].flat == pytest.approx((0.1, 0.35, 0.101)), "the later requests' alone"
        assert values["warm_up_cost"].metric == "warm_up_cost"

    def test_a_text_that_failed_once_is_in_no_sum(self, made: Any) -> None:
        values = self.values(
            made,
            *((Phase.WARMUP, 0, 0, 0), (Phase.WARMUP, 0, 1, 400), (Phase.MEASURED, 0, 0, 100)),
            (Phase.MEASURED, 0, 1, 350),
        )
        assert values["warm_up_cost"].flat == pytest.approx((0.05,))

    def test_where_nothing_was_spoken_twice_it_is_unknown(self, made: Any) -> None:
        values = self.values(made, (Phase.WARMUP, 0, 0, 0))
        assert values["warm_up_cost"].n == 0
        assert "the warm-up failed" in values["warm_up_cost"].reason

    def test_no_other_scenario_has_it(self, made: Any) -> None:
        assert "warm_up_cost" not in scenario_values(made.scenario(), made.data(made.repetition()))
