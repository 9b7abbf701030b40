"""The table of contents: plan → measure → store → derive → judge.

The command, the pytest plugin and the schedule all come through here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

from harness.equipment import BUDGETS_S, Equipment, Reporter, equip, wanted_arms
from harness.errors import BenchError, ExitCode
from harness.judge.gate import exit_code
from harness.measure.conductor import Conductor
from harness.measure.events import BlockDone, Event, Launched, Listener, ScenarioLost, WarmedUp
from harness.measure.messages import PROTOCOL
from harness.plan.config import Config
from harness.plan.corpus import Corpus
from harness.plan.matrix import Pace, Plan, Wish, expand, make_plan
from harness.records.run import RunData, RunRecord, RunStatus, Setting
from harness.records.scenario import Scenario
from harness.store.runs import RunStore, open_store
from harness.verdicts import conclude, policy_of


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
    arms = wanted_arms(config, selection)
    return tuple(
        scenario for wish in wishes for scenario in expand(wish, arms=arms, voice=config["voice"], texts=config["text"])
    )


def measure(
    config: Config, scenarios: Sequence[Scenario], *, selection: str, listeners: Sequence[Listener], report: Reporter
) -> Finished:
    """Do one run of `scenarios` and everything that follows from it."""
    equipment = equip(config, report=report)
    plan = _plan(config, equipment, scenarios, selection)
    with open_store(config.results) as store:
        store.mark_abandoned(machine_key=equipment.machine.key, boot=equipment.boot)
        run_id = store.begin(_head(equipment, plan))
        status, reason = _conduct(plan, equipment, store=store, run_id=run_id, listeners=listeners)
        observed = store.load(run_id)
        summaries, verdicts, targets = conclude(observed, config=config)
        store.conclude(run_id, summaries, verdicts, targets)
        if status is RunStatus.COMPLETE and any(not launch.outcome.valid for launch in observed.launches):
            status = RunStatus.FAILED
        store.finish(
            run_id,
            status=status,
            ended_at=equipment.clock.wall(),
            conditions_at_end=equipment.observe(),
            reason=reason,
            notes=(),
        )
        data = store.load(run_id)
    code = exit_code(data.verdicts, data.targets, policy_of(config))
    if status is RunStatus.INTERRUPTED:
        raise Interrupted(Finished(data=data, code=ExitCode.INTERRUPTED))
    return Finished(data=data, code=code)


def _plan(config: Config, equipment: Equipment, scenarios: Sequence[Scenario], selection: str) -> Plan:
    """Resolve every model once, and join scenarios, texts and pace."""
    arms = {arm: equipment.resolve(arm) for arm in dict.fromkeys(scenario.arm for scenario in scenarios)}
    pace = Pace(
        budget_s=config["budget"] or BUDGETS_S[selection],
        launches=config["launches"],
        blocks=config["blocks"],
        warmups=config["warmups"],
        timeout_s=config["answer-timeout"],
        seed=config["seed"],
    )
    return make_plan(
        [replace(scenario, arm=arms[scenario.arm]) for scenario in scenarios],
        corpus=Corpus(),
        pace=pace,
        selection=selection,
        script=dict(config["script"]),
    )


def _head(equipment: Equipment, plan: Plan) -> RunRecord:
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
    plan: Plan, equipment: Equipment, *, store: RunStore, run_id: str, listeners: Sequence[Listener]
) -> tuple[RunStatus, str]:
    """Measure, keeping every block as it ends."""

    def emit(event: Event) -> None:
        _keep(store, run_id, event)
        for listener in listeners:
            listener(event)

    conductor = Conductor(plan, staff=equipment.staff, clock=equipment.clock, emit=emit)
    try:
        conductor.play()
    except KeyboardInterrupt:
        return RunStatus.INTERRUPTED, "ended by Ctrl-C"
    except BenchError:
        raise
    except Exception as error:
        store.finish(
            run_id,
            status=RunStatus.FAILED,
            ended_at=equipment.clock.wall(),
            conditions_at_end=None,
            reason=f"{type(error).__name__}: {error}",
            notes=(),
        )
        raise
    return (RunStatus.COMPLETE if conductor.complete else RunStatus.PARTIAL), conductor.reason


def _keep(store: RunStore, run_id: str, event: Event) -> None:
    if isinstance(event, BlockDone):
        store.add_block(run_id, event.block, event.repetitions)
    elif isinstance(event, Launched):
        store.add_launch(run_id, event.launch)
    elif isinstance(event, WarmedUp):
        store.add_repetitions(run_id, [event.repetition])
    elif isinstance(event, ScenarioLost):
        # Its failed repetition or launch is a record of its own.
        return
