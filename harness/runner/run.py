"""One run from start to end: plan → measure → store → derive → analyse.

The commands, the pytest plugin and the schedule all use it.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

from harness.analysis.conclude import Conclusions, conclude, policy_of
from harness.analysis.early_stop import precision_reached
from harness.analysis.finished import Finished
from harness.analysis.gate import exit_code
from harness.analysis.stats.comparison import Policy
from harness.analysis.stats.precision import Precision
from harness.core.clock import Clock, ScriptedClock
from harness.core.errors import BenchError, ExitCode, UsageError
from harness.core.records.run import RunData, RunRecord, RunStatus, Setting
from harness.core.records.scenario import Mode, Scenario, Utterance
from harness.measure.conductor.conductor import Conductor
from harness.measure.conductor.event_file import event_handlers_from
from harness.measure.conductor.events import Begun, Event, EventHandler
from harness.measure.conductor.shutdown import UNTIL_VARIABLE, GracefulShutdown, ShutdownRequested
from harness.measure.conductor.watch import Watch
from harness.measure.conductor.worker_factory import WorkerFactory
from harness.measure.system.lock import Place, exclusive_measurement
from harness.measure.worker.protocol import PROTOCOL
from harness.metrics.derive import RunValues
from harness.models.cache import default_root
from harness.plan.config import Config
from harness.plan.corpus import Corpus, user_text
from harness.plan.matrix import ALL_LAUNCHES, LaunchPolicy, Plan, RunLimits, ScenarioRequest, expand, make_plan
from harness.plan.requests import is_for, resolved_request
from harness.runner.recorder import RunRecorder
from harness.runner.resources import BUDGETS_S, Reporter, Resources, prepare_resources, resolve_all, wanted_arms
from harness.runner.side_tasks import Explain, SideTasks, unexplained
from harness.runner.voices import VoiceChoice, choose_voices
from harness.store.baselines import load_baselines
from harness.store.runs import open_store


class Interrupted(Exception):  # noqa: N818 - an outcome, not an error
    """The run ended by Ctrl-C or a shutdown request. `finished` is the run as stored until then."""

    def __init__(self, finished: Finished) -> None:
        self.finished = finished
        super().__init__("interrupted")


def wanted_scenarios(config: Config, requests: Sequence[ScenarioRequest], selection: str) -> tuple[Scenario, ...]:
    """Every scenario of `requests`. Models are not resolved, so listing scenarios builds nothing."""
    return tuple(
        scenario
        for request in requests
        if is_for(request, config)
        for scenario in expand(
            resolved_request(request, config),
            arms=wanted_arms(config, selection, recipes=request.recipes),
            voice=config.voices[0],
            language=config["language"],
            texts=config["text"],
            own=_own_text(config),
        )
    )


def undecided(data: RunData) -> str:
    """A rule that never ends a run early."""
    del data
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnalysis:
    """How a run is analysed: `conclude` at its end, `enough` after each block with everything observed so far.

    `enough` returns the reason to stop the run, or "" to go on. `settled` does the same for the current launch only.
    `explain` may profile scenarios after the measurement, to name the causes of verdicts.
    """

    conclude: Callable[[RunValues], Conclusions]
    enough: Callable[[RunData], str]
    policy: Policy
    explain: Explain = unexplained
    settled: Callable[[RunData], str] = undecided
    needs_every_arm: bool = False
    """Whether an arm that cannot be prepared is an error, so that nothing is measured."""
    launch_policy: LaunchPolicy = ALL_LAUNCHES
    """How time is divided between launches, blocks and arms."""


Conduct = Callable[[Plan, WorkerFactory, Clock, EventHandler, Watch], Conductor]
"""Makes the conductor of a plan from a worker factory, a clock, an event handler and a rule for early stopping."""


def in_blocks(plan: Plan, worker_factory: WorkerFactory, clock: Clock, emit: EventHandler, watch: Watch) -> Conductor:
    """A conductor that runs the plan in randomised blocks."""
    return Conductor(plan, worker_factory=worker_factory, clock=clock, emit=emit, watch=watch)


def against_baseline(config: Config) -> RunAnalysis:
    """Analysis against the baseline values. All launches run, each until its precision is reached."""
    precision = Precision(half_width=config["precision"], launches=config["launches"])
    return RunAnalysis(
        conclude=lambda values: conclude(values.data, config=config, derived=values),
        enough=undecided,
        settled=lambda data: precision_reached(data, precision),
        policy=policy_of(config),
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
    """Measure `scenarios`, analyse and store the run. It holds the machine's lock, so no other run measures."""
    resources = prepare_resources(config, report=report)
    if analysis is None:
        # The analysis reads the baselines again. Reading them now reports an unusable file before the measurement.
        load_baselines(config.baselines, resources.machine.key)
        analysis = against_baseline(config)
    with _ending() as ending, _alone(config, resources, selection, report), open_store(config.results) as store:
        voices, refusals = _speakable(config, resources, scenarios)
        plan = _plan(config, resources, voices.scenarios, selection, analysis)
        if refusals and analysis.needs_every_arm:
            raise BenchError(next(iter(refusals.values())))
        store.mark_abandoned(machine_key=resources.machine.key, boot=resources.boot)
        head = head_of(resources, plan)
        recorder = RunRecorder(
            store=store, head=replace(head, id=store.begin(head)), clock=resources.clock, report=report
        )
        handlers = [*handlers, *event_handlers_from()]
        for listener in handlers:
            listener(Begun(run_id=recorder.run_id))
        side_tasks = SideTasks(
            plan,
            resources,
            audio=config.audio,
            refusals=refusals,
            report=report,
            quality=config["quality"] == "on",
            stop=lambda: ending.requested,
        )
        with side_tasks:
            status, reason = _conduct(
                plan,
                resources,
                side_tasks,
                recorder=recorder,
                analysis=analysis,
                handlers=handlers,
                ending=ending,
                conduct=conduct,
            )
            with ending.held():
                notes = (*voices.notes, *resources.notes())
                values = _conclude(recorder, notes, resources, analysis, side_tasks, status=status, reason=reason)
    data = values.data
    code = exit_code(data.verdicts, data.targets, analysis.policy)
    finished = Finished(values=values, code=code, replaced=voices.replaced, left_out=voices.left_out)
    if data.run.status is RunStatus.INTERRUPTED:
        raise Interrupted(replace(finished, code=ExitCode.INTERRUPTED))
    return finished


def _conclude(
    recorder: RunRecorder,
    notes: Sequence[str],
    resources: Resources,
    analysis: RunAnalysis,
    side_tasks: SideTasks,
    *,
    status: RunStatus,
    reason: str,
) -> RunValues:
    """Derive the values of the observed run, analyse them, and store the conclusions with the end of the run."""
    values = RunValues(recorder.observed(status, reason))
    conclusions = side_tasks.complete(analysis.conclude(values), values.data, analysis.explain)
    conclusions = replace(conclusions, notes=(*notes, *conclusions.notes, *recorder.notes))
    data = recorder.finish(conclusions, status=status, reason=reason, conditions=resources.observe())
    return values.for_data(data)


def _ending() -> GracefulShutdown:
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


def _alone(config: Config, resources: Resources, selection: str, report: Reporter) -> AbstractContextManager[None]:
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


def _own_text(config: Config) -> Utterance | None:
    return user_text(config["say"]) if config["say"] else None


def _speakable(
    config: Config, resources: Resources, scenarios: Sequence[Scenario]
) -> tuple[VoiceChoice, Mapping[str, str]]:
    """The resolved scenarios with voices that exist, and arm id → reason for the arms that cannot be started."""
    arms, refusals = resolve_all(resources, [scenario.arm for scenario in scenarios])
    default = config["voice"] if config.origins["voice"] == "default" else ""
    resolved = [replace(scenario, arm=arms[scenario.arm]) for scenario in scenarios]
    return choose_voices(resolved, resources.voices, default=default), refusals


def _plan(
    config: Config, resources: Resources, scenarios: Sequence[Scenario], selection: str, analysis: RunAnalysis
) -> Plan:
    """Make the plan from scenarios, texts and run limits."""
    run_limits = RunLimits(
        # The selection's name is followed by the options that narrowed it.
        budget_s=config["budget"] or BUDGETS_S[selection.partition(" ")[0]],
        launches=config["launches"],
        blocks=config["blocks"],
        warmups=config["warmups"],
        timeout_s=config["answer-timeout"],
        seed=config["seed"],
        launch_policy=analysis.launch_policy,
        memory=config["workers-memory"] or resources.memory_for_workers(),
    )
    return make_plan(
        scenarios,
        corpus=Corpus(),
        run_limits=run_limits,
        own=_own_text(config),
        selection=selection,
        script=dict(config["script"]),
    )


def head_of(resources: Resources, plan: Plan) -> RunRecord:
    """The record of a run that starts now."""
    started_at = resources.clock.wall()
    when = datetime.fromtimestamp(started_at, tz=UTC).strftime("%Y%m%d-%H%M%S")
    what = sha256(
        "\n".join([*(scenario.id for scenario in plan.scenarios), str(plan.run_limits.seed)]).encode()
    ).hexdigest()
    return RunRecord(
        id=f"{when}-{what[:6]}",
        started_at=started_at,
        seed=plan.run_limits.seed,
        selection=plan.selection,
        machine=resources.machine,
        conditions=resources.observe(),
        subject=resources.subject(plan.arms),
        setting=Setting(corpus=plan.corpus_digest, protocol=PROTOCOL, corpora=plan.corpora),
        scenarios=plan.scenarios,
        budget_s=plan.run_limits.budget_s,
        pid=resources.pid,
        boot=resources.boot,
    )


def _conduct(
    plan: Plan,
    resources: Resources,
    side_tasks: SideTasks,
    *,
    recorder: RunRecorder,
    analysis: RunAnalysis,
    handlers: Sequence[EventHandler],
    ending: GracefulShutdown,
    conduct: Conduct,
) -> tuple[RunStatus, str]:
    """Measure, and store each block as it ends. A shutdown request keeps the finished part of the current block.

    Return the status and the reason.
    """

    def emit(event: Event) -> None:
        with ending.held():
            recorder(event)
        for listener in handlers:
            listener(event)

    try:
        watch = Watch(
            ends_run=lambda: analysis.enough(recorder.so_far), ends_group=lambda: analysis.settled(recorder.so_far)
        )
        conductor = conduct(plan, side_tasks.worker_factory(), resources.clock, emit, watch)
        conductor.run()
    except ShutdownRequested as ended:
        return (RunStatus.PARTIAL if ended.in_order else RunStatus.INTERRUPTED), ended.reason
    except KeyboardInterrupt:
        return RunStatus.INTERRUPTED, "ended by Ctrl-C"
    except BenchError:
        raise
    except Exception as error:
        recorder.store.finish(
            recorder.run_id,
            status=RunStatus.FAILED,
            ended_at=resources.clock.wall(),
            reason=f"{type(error).__name__}: {error}",
        )
        raise
    return (RunStatus.COMPLETE if conductor.complete else RunStatus.PARTIAL), conductor.reason
