"""One run from start to end: plan → measure → store → derive → analyse.

The commands, the pytest plugin and the schedule all use it.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from textwrap import shorten

from harness.analysis.conclude import Conclusions, conclude, policy_of
from harness.analysis.early_stop import precision_reached
from harness.analysis.engine_notes import start_notes
from harness.analysis.finished import Finished
from harness.analysis.stats.precision import Precision
from harness.analysis.waivers import with_waivers
from harness.core.cache_root import default_root
from harness.core.clock import ScriptedClock
from harness.core.errors import BenchError, UsageError
from harness.core.records.reference import Reference
from harness.core.records.scenario import Mode, Scenario, Utterance
from harness.measure.conductor.event_file import event_handlers_from
from harness.measure.conductor.events import EventHandler
from harness.measure.conductor.shutdown import UNTIL_VARIABLE, GracefulShutdown
from harness.measure.system.lock import Place, exclusive_measurement
from harness.metrics.derive import RunValues
from harness.plan.config import Config
from harness.plan.corpus import Corpus, shortest_s, speech_s
from harness.plan.gate_policy import check_overlap
from harness.plan.matrix import LaunchPolicy, Plan, RunLimits, ScenarioRequest, make_plan
from harness.runner.measurement import Session, conduct_plan
from harness.runner.profiles import ARMS_SHARE
from harness.runner.replay import Replays
from harness.runner.replay_preparation import clock_time
from harness.runner.resources import Reporter, Resources, prepare_resources, resolve_all
from harness.runner.run_analysis import Conduct, RunAnalysis, in_blocks, undecided
from harness.runner.selection import BUDGETS_S, own_texts, wanted_scenarios
from harness.runner.side_tasks import SideTasks, unexplained
from harness.runner.source_changes import with_commits
from harness.runner.voices import VoiceChoice, choose_voices
from harness.store.baselines import load_baselines
from harness.store.reference_file import load_reference
from harness.store.runs import open_store


def against_baseline(config: Config) -> RunAnalysis:
    """Analysis against the baseline values. All launches run, each until its precision is reached."""
    precision = Precision(half_width=config["precision"], launches=config["launches"])
    return RunAnalysis(
        conclude=lambda values: conclude(values.data, config=config, derived=values),
        enough=undecided,
        settled=lambda data: precision_reached(data, precision, gates=config.gates),
        explain=with_commits(unexplained, config.directory),
        policy=policy_of(config),
        launch_policy=LaunchPolicy(by_cost=True),
    )


def check(config: Config, selection: str) -> None:
    """Raise UsageError if the configuration names an unknown engine, provider or text class."""
    wanted_scenarios(config, [ScenarioRequest(mode=Mode.WHOLE), ScenarioRequest(mode=Mode.ENDPOINT)], selection)


def measure(
    config: Config,
    scenarios: Sequence[Scenario],
    *,
    selection: str,
    handlers: Sequence[EventHandler],
    report: Reporter,
    analysis: RunAnalysis | None = None,
    conduct: Conduct = in_blocks,
) -> Finished:
    """Measure `scenarios`, analyse and store the run. It holds the machine's lock, so no other run measures.

    A run that Ctrl-C or a shutdown request ended is stored as far as it came; its exit code says so.
    """
    resources = prepare_resources(config, report=report)
    compared = analysis is None
    reference = Reference()
    if analysis is None:
        # The analysis reads the baselines again. Reading them now reports an unusable file before the measurement.
        load_baselines(config.baselines, resources.machine.key)
        reference = load_reference(config.baselines)
        analysis = against_baseline(config)
    with open_session(config, resources, selection, handlers=handlers, report=report) as session:
        voices, refusals = _speakable(config, resources, scenarios)
        check_overlap(config.waivers, [scenario.id for scenario in voices.scenarios])
        plan = plan_of(config, resources, voices.scenarios, selection, analysis.launch_policy)
        for line in _legend(own_texts(config)):
            report(line)
        for line in _too_long(own_texts(config), plan.run_limits):
            report(line)
        plan = replace(plan, untried=analysis.untried)
        if config["profile"] == "on" and not analysis.divides_budget:
            plan = _with_time_for_profiles(plan, report)
        if refusals and analysis.needs_every_arm:
            raise BenchError(next(iter(refusals.values())))
        if analysis.announcement:
            report(analysis.announcement)
        replays = None
        if compared:
            replays = Replays(session, reference, plan, refusals=refusals)
            plan, analysis = replays.plan, replace(analysis, conclude=replays.conclude)
        finished = measure_plan(
            session, plan, analysis, notes=voices.notes, refusals=refusals, conduct=conduct, replays=replays
        )
    return replace(finished, replaced=voices.replaced, left_out=voices.left_out)


def _legend(texts: Sequence[Utterance]) -> Iterator[str]:
    """What the names of several texts of the user's own stand for."""
    if len(texts) > 1:
        width = max(len(each.text_class) for each in texts)
        yield from (f"{each.text_class:{width}}  {shorten(each.text, 90, placeholder=' …')}" for each in texts)


def _too_long(texts: Sequence[Utterance], limits: RunLimits) -> Iterator[str]:
    """That the budget has no time for a text of the user's own. The run does not outlast it, and says so again."""
    for each in texts:
        if shortest_s(each.characters) > limits.budget_s:
            yield (
                f"a text of {each.characters} characters is at least {speech_s(each.characters) / 60:.0f} minutes of "
                f"speech, for which the budget of {limits.budget_s:g} s is too short: shorten it, or raise --budget"
            )


def _with_time_for_profiles(plan: Plan, report: Reporter) -> Plan:
    """Keep a share of the budget to profile each arm after measuring, and say so. Servers cannot be profiled."""
    if all(arm.url for arm in plan.arms):
        return plan
    whole_s = plan.run_limits.budget_s
    kept_s = ARMS_SHARE * whole_s
    report(f"{clock_time(kept_s)} of the budget of {clock_time(whole_s)} are kept to profile each arm after measuring")
    return replace(plan, run_limits=replace(plan.run_limits, budget_s=whole_s - kept_s, whole_s=whole_s))


@contextmanager
def open_session(
    config: Config, resources: Resources, selection: str, *, handlers: Sequence[EventHandler], report: Reporter
) -> Iterator[Session]:
    """Take the machine's lock and open the store for the phases of one command."""
    with (
        graceful_shutdown() as ending,
        alone(config, resources, selection, report),
        open_store(config.results) as store,
    ):
        store.mark_abandoned(machine_key=resources.machine.key, boot=resources.boot)
        yield Session(
            config=config,
            resources=resources,
            store=store,
            ending=ending,
            handlers=[*handlers, *event_handlers_from()],
            report=report,
        )


def measure_plan(
    session: Session,
    plan: Plan,
    analysis: RunAnalysis,
    *,
    notes: Sequence[str],
    refusals: Mapping[str, str],
    conduct: Conduct = in_blocks,
    replays: Replays | None = None,
) -> Finished:
    """Measure the plan and then its replays, derive the values, analyse them, and store the conclusions.

    An interrupted run is stored as far as it came; its exit code says so.
    """
    resources = session.resources
    recorder = session.begin(plan)
    side_tasks = SideTasks(
        plan,
        resources,
        config=session.config,
        refusals=refusals,
        report=session.report,
        stop=lambda: session.ending.requested,
    )

    def concluded(values: RunValues) -> Conclusions:
        found = with_waivers(analysis.conclude(values), analysis.policy.waivers, values.data.run)
        found = side_tasks.complete(found, values.data, analysis.explain)
        return replace(
            found,
            notes=(*notes, *start_notes(values.data), *resources.notes(), *found.notes, *recorder.notes),
        )

    with session.end_stored(recorder, parts=replays.waiting if replays is not None else tuple), side_tasks:
        ended = conduct_plan(
            session, plan, side_tasks.worker_factory, recorder=recorder, analysis=analysis, conduct=conduct
        )
        if replays is not None and not ended.requested:
            ended = replays.measure(recorder, ended)
        with session.ending.held():
            finished = session.finish(recorder, ended, concluded, analysis.policy)
            if replays is not None:
                replays.finish(finished.data.verdicts)
    return finished


def graceful_shutdown() -> GracefulShutdown:
    """Handles Ctrl-C, SIGTERM and the time limit, which ends the run as partial. Raises UsageError."""
    until = os.environ.get(UNTIL_VARIABLE, "").strip()
    try:
        return GracefulShutdown(until=float(until) if until else None)
    except ValueError as error:
        raise UsageError(
            f"{until!r} is not a time in seconds since the epoch",
            where=UNTIL_VARIABLE,
            remedy=f"unset {UNTIL_VARIABLE}",
        ) from error


def alone(config: Config, resources: Resources, selection: str, report: Reporter) -> AbstractContextManager[None]:
    """The machine's lock. A scripted run takes none, because it does not disturb measurements."""
    if isinstance(resources.clock, ScriptedClock):
        return nullcontext()
    return exclusive_measurement(
        Place(root=default_root(), machine_key=resources.machine.key),
        what=f"kokoro-bench, {selection}",
        wait_s=config["wait"],
        clock=resources.clock,
        report=report,
    )


def _speakable(
    config: Config, resources: Resources, scenarios: Sequence[Scenario]
) -> tuple[VoiceChoice, Mapping[str, str]]:
    """The resolved scenarios with voices that exist, and arm id → reason for the arms that cannot be started."""
    arms, refusals = resolve_all(resources, [scenario.arm for scenario in scenarios])
    default = config["voice"] if config.origins["voice"] == "default" else ""
    resolved = [replace(scenario, arm=arms[scenario.arm]) for scenario in scenarios]
    return choose_voices(resolved, resources.voices, default=default), refusals


def plan_of(
    config: Config, resources: Resources, scenarios: Sequence[Scenario], selection: str, launch_policy: LaunchPolicy
) -> Plan:
    """The plan of a run. Without a budget it has the selection's, without a memory limit that of the machine."""
    run_limits = RunLimits(
        # The selection's name is followed by the options that narrowed it.
        budget_s=config["budget"] or BUDGETS_S[selection.partition(" ")[0]],
        launches=config["launches"],
        blocks=config["blocks"],
        warmups=config["warmups"],
        timeout_s=config["answer-timeout"],
        seed=config["seed"],
        launch_policy=launch_policy,
        memory=config["workers-memory"] or resources.memory_for_workers(),
    )
    return make_plan(
        scenarios,
        corpus=Corpus(),
        run_limits=run_limits,
        own=own_texts(config),
        selection=selection,
        script=dict(config["script"]),
    )
