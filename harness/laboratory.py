"""The table of contents: plan → measure → store → derive → judge.

The command, the pytest plugin and the schedule all come through here.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

from harness.beside import Beside, Explain, unexplained
from harness.clock import Clock, ScriptedClock
from harness.equipment import BUDGETS_S, Equipment, Reporter, equip, resolve_all, wanted_arms
from harness.errors import BenchError, ExitCode, UsageError
from harness.judge.comparison import Policy
from harness.judge.gate import exit_code
from harness.judge.precision import Precision
from harness.keeping import Keeper
from harness.measure.conductor import Conductor, Watch
from harness.measure.ending import UNTIL_VARIABLE, Ended, Ending
from harness.measure.event_file import listeners_from
from harness.measure.events import Begun, Event, Listener
from harness.measure.exclusive import Place, measuring_alone
from harness.measure.messages import PROTOCOL
from harness.measure.staff import Staff
from harness.models.cache import default_root
from harness.plan.config import Config
from harness.plan.corpus import Corpus, user_text
from harness.plan.matrix import ALL_LAUNCHES, Pace, Plan, Rhythm, Wish, expand, make_plan
from harness.plan.wishes import is_for, wish_here
from harness.records.run import RunData, RunRecord, RunStatus, Setting
from harness.records.scenario import Mode, Scenario, Utterance
from harness.records.verdict import Verdict, VerdictKind
from harness.settled import settled
from harness.store.baselines import load_baselines
from harness.store.runs import open_store
from harness.verdicts import Conclusions, conclude, policy_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A run with all that was concluded, and what the shell is told."""

    data: RunData
    code: ExitCode


class Interrupted(Exception):  # noqa: N818 - it is an answer, not an accident
    """Ctrl-C, or a request to end: `finished` holds what had been kept by then."""

    def __init__(self, finished: Finished) -> None:
        self.finished = finished
        super().__init__("interrupted")


def wanted_scenarios(config: Config, wishes: Sequence[Wish], selection: str) -> tuple[Scenario, ...]:
    """Every scenario of `wishes`; models are names as yet, so that nothing is built for a look at the list."""
    return tuple(
        scenario
        for wish in wishes
        if is_for(wish, config)
        for scenario in expand(
            wish_here(wish, config),
            arms=wanted_arms(config, selection, recipes=wish.recipes),
            voice=config["voice"],
            language=config["language"],
            texts=config["text"],
            own=_own_text(config),
        )
    )


def undecided(data: RunData) -> str:
    """Nothing that was observed ends anything early."""
    del data
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """How a run is judged: `conclude` once it has ended, `enough` after each block with what was observed so far.

    `enough` gives the reason to stop, or "" to go on; `settled` likewise, for the blocks under way alone. `explain` may
    have scenarios profiled, once all is measured, to say more of the verdicts.
    """

    conclude: Callable[[RunData], Conclusions]
    enough: Callable[[RunData], str]
    policy: Policy
    explain: Explain = unexplained
    settled: Callable[[RunData], str] = undecided
    needs_every_arm: bool = False
    """Whether nothing can be said without an arm: one that cannot be made is told, and nothing is measured."""
    rhythm: Rhythm = ALL_LAUNCHES
    """How time is divided between launches, blocks and arms."""


Conduct = Callable[[Plan, Staff, Clock, Listener, Watch], Conductor]
"""Makes the conductor of a plan: with these workers, on this clock, saying events, asking whether it is enough."""


def in_blocks(plan: Plan, staff: Staff, clock: Clock, emit: Listener, watch: Watch) -> Conductor:
    """The usual one."""
    return Conductor(plan, staff=staff, clock=clock, emit=emit, watch=watch)


def against_baseline(config: Config) -> Judging:
    """The judging of a run: against the accepted figures. All its launches are played, each until it has settled."""
    precision = Precision(half_width=config["precision"], launches=config["launches"])
    return Judging(
        conclude=lambda data: conclude(data, config=config),
        enough=undecided,
        settled=lambda data: settled(data, precision),
        policy=policy_of(config),
    )


def check(config: Config, selection: str) -> None:
    """Raise UsageError where the configuration names an engine, a provider or a text class that there is not."""
    wanted_scenarios(config, [Wish(mode=Mode.WHOLE), Wish(mode=Mode.ENDPOINT)], selection)


def measure(
    config: Config,
    scenarios: Sequence[Scenario],
    *,
    selection: str,
    listeners: Sequence[Listener],
    report: Reporter,
    judging: Judging | None = None,
    conduct: Conduct = in_blocks,
) -> Finished:
    """Do one run of `scenarios` and everything that follows from it, as the only run on this machine."""
    equipment = equip(config, report=report)
    if judging is None:
        # Read again when the run is judged; a file that cannot be used is told before an hour is measured.
        load_baselines(config.baselines, equipment.machine.key)
        judging = against_baseline(config)
    with _ending() as ending, _alone(config, equipment, selection, report), open_store(config.results) as store:
        plan, refusals = _plan(config, equipment, scenarios, selection, judging)
        if refusals and judging.needs_every_arm:
            raise BenchError(next(iter(refusals.values())))
        store.mark_abandoned(machine_key=equipment.machine.key, boot=equipment.boot)
        head = head_of(equipment, plan)
        keeper = Keeper(store=store, head=replace(head, id=store.begin(head)), clock=equipment.clock, report=report)
        listeners = [*listeners, *listeners_from()]
        for listener in listeners:
            listener(Begun(run_id=keeper.run_id))
        with Beside(plan, equipment, audio=config.audio, refusals=refusals, report=report) as beside:
            status, reason = _conduct(
                plan,
                equipment,
                beside,
                keeper=keeper,
                judging=judging,
                listeners=listeners,
                ending=ending,
                conduct=conduct,
            )
            with ending.held():
                data = _conclude(keeper, equipment, judging, beside, status=status, reason=reason)
    code = exit_code(data.verdicts, data.targets, judging.policy)
    if data.run.status is RunStatus.INTERRUPTED:
        raise Interrupted(Finished(data=data, code=ExitCode.INTERRUPTED))
    return Finished(data=data, code=code)


def _conclude(
    keeper: Keeper, equipment: Equipment, judging: Judging, beside: Beside, *, status: RunStatus, reason: str
) -> RunData:
    """Judge what was observed, and store it with how the run ended."""
    store, run_id = keeper.store, keeper.run_id
    observed = store.load(run_id)
    observed = replace(observed, run=replace(observed.run, status=status, reason=reason))
    conclusions = beside.complete(judging.conclude(observed), observed, judging.explain)
    conclusions = replace(conclusions, notes=(*conclusions.notes, *equipment.notes(), *keeper.notes))
    store.conclude(run_id, conclusions.summaries, conclusions.verdicts, conclusions.targets)
    if status in (RunStatus.COMPLETE, RunStatus.PARTIAL) and _any_failed(conclusions.verdicts):
        status = RunStatus.FAILED
    store.finish(
        run_id,
        status=status,
        ended_at=equipment.clock.wall(),
        conditions_at_end=equipment.observe(),
        reason=reason,
        notes=conclusions.notes,
    )
    return store.load(run_id)


def _any_failed(verdicts: Sequence[Verdict]) -> bool:
    return any(verdict.kind is VerdictKind.FAILED for verdict in verdicts)


def _ending() -> Ending:
    """Ctrl-C and SIGTERM end the run in order, which its time limit, where it was given one, makes partial."""
    until = os.environ.get(UNTIL_VARIABLE, "").strip()
    try:
        return Ending(until=float(until) if until else None)
    except ValueError as error:
        raise UsageError(
            f"{until!r} is no time in seconds since the epoch", where=UNTIL_VARIABLE, remedy=f"unset {UNTIL_VARIABLE}"
        ) from error


def _alone(config: Config, equipment: Equipment, selection: str, report: Reporter) -> AbstractContextManager[None]:
    """The machine's lock; a scripted run disturbs nobody and takes none."""
    if isinstance(equipment.clock, ScriptedClock):
        return nullcontext()
    return measuring_alone(
        Place(root=default_root(), machine_key=equipment.machine.key),
        what=f"kokoro-bench, {selection}",
        wait_s=config["wait"],
        clock=equipment.clock,
        report=report,
    )


def _own_text(config: Config) -> Utterance | None:
    return user_text(config["say"]) if config["say"] else None


def _plan(
    config: Config, equipment: Equipment, scenarios: Sequence[Scenario], selection: str, judging: Judging
) -> tuple[Plan, Mapping[str, str]]:
    """Resolve every model once, and join scenarios, texts and pace; beside it, why some arms cannot even be started."""
    arms, refusals = resolve_all(equipment, [scenario.arm for scenario in scenarios])
    pace = Pace(
        # What a selection was narrowed by stands behind its name.
        budget_s=config["budget"] or BUDGETS_S[selection.partition(" ")[0]],
        launches=config["launches"],
        blocks=config["blocks"],
        warmups=config["warmups"],
        timeout_s=config["answer-timeout"],
        seed=config["seed"],
        rhythm=judging.rhythm,
        memory=config["workers-memory"] or equipment.memory_for_workers(),
    )
    plan = make_plan(
        [replace(scenario, arm=arms[scenario.arm]) for scenario in scenarios],
        corpus=Corpus(),
        pace=pace,
        own=_own_text(config),
        selection=selection,
        script=dict(config["script"]),
    )
    return plan, refusals


def head_of(equipment: Equipment, plan: Plan) -> RunRecord:
    """The head of a run that begins now."""
    started_at = equipment.clock.wall()
    when = datetime.fromtimestamp(started_at, tz=UTC).strftime("%Y%m%d-%H%M%S")
    what = sha256("\n".join([*(scenario.id for scenario in plan.scenarios), str(plan.pace.seed)]).encode()).hexdigest()
    return RunRecord(
        id=f"{when}-{what[:6]}",
        started_at=started_at,
        seed=plan.pace.seed,
        selection=plan.selection,
        machine=equipment.machine,
        conditions=equipment.observe(),
        subject=equipment.subject(plan.arms),
        setting=Setting(corpus=plan.corpus_digest, protocol=PROTOCOL),
        scenarios=plan.scenarios,
        budget_s=plan.pace.budget_s,
        pid=equipment.pid,
        boot=equipment.boot,
    )


def _conduct(
    plan: Plan,
    equipment: Equipment,
    beside: Beside,
    *,
    keeper: Keeper,
    judging: Judging,
    listeners: Sequence[Listener],
    ending: Ending,
    conduct: Conduct,
) -> tuple[RunStatus, str]:
    """Measure, keeping every block as it ends, and of the one under way what was done when the run is asked to end."""

    def emit(event: Event) -> None:
        with ending.held():
            keeper(event)
        for listener in listeners:
            listener(event)

    try:
        watch = Watch(ends_run=lambda: judging.enough(keeper.so_far), ends_group=lambda: judging.settled(keeper.so_far))
        conductor = conduct(plan, beside.staff(), equipment.clock, emit, watch)
        conductor.play()
    except Ended as ended:
        return (RunStatus.PARTIAL if ended.in_order else RunStatus.INTERRUPTED), ended.reason
    except KeyboardInterrupt:
        return RunStatus.INTERRUPTED, "ended by Ctrl-C"
    except BenchError:
        raise
    except Exception as error:
        keeper.store.finish(
            keeper.run_id,
            status=RunStatus.FAILED,
            ended_at=equipment.clock.wall(),
            reason=f"{type(error).__name__}: {error}",
        )
        raise
    return (RunStatus.COMPLETE if conductor.complete else RunStatus.PARTIAL), conductor.reason
