"""The load of `kokoro-bench load --listeners` by Locust, for more listeners than one machine's client can be.

On the machine that gathers, and on each of the clients':

    locust -f suites/locustfile.py --headless --host http://server:8880 -u 500 -r 50 --master --expect-workers 4
    locust -f suites/locustfile.py --worker --master-host gatherer

Requests, stamps, checks, texts and metrics are the harness's own; the run lands in the same store and report. All else
of the configuration comes from [tool.kokoro-bench] and KOKORO_BENCH_… variables. See docs/load.md.
"""

from typing import Any

import gevent
from gevent.threadpool import ThreadPool
from locust import LoadTestShape, User, constant, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerRunner

from harness.clock import SystemClock
from harness.console import failures, make_console
from harness.distributed import Gathering, ListenerDesk, scenario_of, settle, texts_of
from harness.engines.faults import EndpointFault
from harness.engines.protocol import EngineRefusal
from harness.equipment import Equipment, equip
from harness.errors import BenchError, ExitCode, UsageError
from harness.measure.load import FAILURE_PAUSE_S, heard_out_ns
from harness.outputs import write_outputs
from harness.plan.arms import endpoint_arm
from harness.plan.config import Config, load_config
from harness.records.scenario import Arrivals, Scenario, Traffic
from harness.run_table import results_table
from harness.store.runs import RunStore, open_store

BEAT_S = 0.005
IDLE_S = 0.05
STOP_S = 60.0
"""For the answers under way when the load ends."""


class Session:
    """What one process of Locust is to the run: a client with a desk, the gatherer, or, alone, both."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.desk: ListenerDesk | None = None
        self.gathering: Gathering | None = None
        self.store: RunStore | None = None
        self.config: Config | None = None
        self.equipment: Equipment | None = None
        self.judges: ThreadPool | None = None
        self.judging: list[Any] = []
        """What the judges have been given and nobody has looked after yet: gevent's results."""
        self.beating: gevent.Greenlet | None = None
        self.over = False
        """Whether this client has handed in its last report."""
        self.asking = 0
        """Requests under way."""
        self.ends_ns = 0
        """No request begins after this."""
        self.expected = 0
        """How many clients there are to report."""


SESSION = Session()


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """The window and the text, beside Locust's own options."""
    group = parser.add_argument_group("kokoro-bench")
    group.add_argument("--seconds", type=float, default=30.0, help="the window that is measured")
    group.add_argument("--warm-up", type=float, default=5.0, help="seconds of load before the window")
    group.add_argument("--cool-down", type=float, default=2.0, help="seconds of load after the window")
    group.add_argument("--text-class", default="chars-200", help="class of the texts")
    group.add_argument("--listen", action="store_true", help="listeners hear an answer out before they ask again")


class Listeners(LoadTestShape):
    """-u listeners, -r of whom come each second, until warm-up, window and cool-down are over."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """How many there are to be now; None ends the load."""
        options = self.runner.environment.parsed_options if self.runner else None
        gathering, run_time = SESSION.gathering, float(self.get_run_time())
        if options is None:
            return None
        if run_time > 1 and (gathering is None or gathering.ended >= SESSION.expected):
            return None
        # Users of Locust's that are told to stop are not waited for until their last reports are here: so all have
        # stopped asking by themselves, and handed in, before they are told.
        if run_time > options.warm_up + options.seconds + options.cool_down + STOP_S:
            return None
        return options.num_users or 1, options.spawn_rate or 1


class Listener(User):
    """Asks, hears, asks again."""

    wait_time = constant(0)

    def on_start(self) -> None:
        """A connection of its own."""
        assert SESSION.desk is not None
        self.line, self.stages = SESSION.desk.line()
        self.next_ns = SESSION.clock.now_ns()

    def on_stop(self) -> None:
        """Give it back."""
        self.line.close()

    @task
    def ask(self) -> None:
        """One request; its end is the next one's intended start."""
        desk, options = SESSION.desk, self.environment.parsed_options
        assert desk is not None
        assert SESSION.judges is not None
        if max(self.next_ns, SESSION.clock.now_ns()) >= SESSION.ends_ns:
            gevent.sleep(IDLE_S)
            return
        gevent.sleep(max(0.0, (self.next_ns - SESSION.clock.now_ns()) / 1e9))
        SESSION.asking += 1
        try:
            served, utterance = desk.ask(self.line, self.stages, listener=id(self), intended_ns=self.next_ns)
        finally:
            SESSION.asking -= 1
        self.next_ns = served.end_ns
        if not served.outcome.valid:
            self.next_ns += round(FAILURE_PAUSE_S * 1e9)
        elif options is not None and options.listen:
            self.next_ns = max(self.next_ns, heard_out_ns(served, desk.sample_rate))
        SESSION.judging.append(SESSION.judges.spawn(desk.judge, served, utterance))
        self.environment.events.request.fire(
            request_type="POST", name=utterance.text_class, response_time=(served.end_ns - served.intended_ns) / 1e6,
            response_length=2 * served.frames, context={},
            exception=None if served.outcome.valid else RuntimeError(served.outcome.reason),
        )  # fmt: skip


@events.init.add_listener
def prepare(environment: Environment, **_: object) -> None:
    """What takes long, before anybody waits for it."""
    if isinstance(environment.runner, WorkerRunner):
        return
    if isinstance(environment.runner, MasterRunner):
        environment.runner.register_message("kokoro", take_last)
    try:
        config = load_config({})
        SESSION.store = open_store(config.results)
        SESSION.equipment = equip(config, report=print_line)
        SESSION.equipment.subject(())
        SESSION.equipment.observe()
    except BenchError as error:
        give_up(environment, error)


@events.test_start.add_listener
def start(environment: Environment, **_: object) -> None:
    """A client reaches the server; the gatherer begins the run."""
    try:
        config, scenario = configured(environment)
        SESSION.config = config
        # The gatherer tries it too: it is the one that a person is looking at.
        target = settle(scenario.arm, clock=SESSION.clock)
        if SESSION.store is not None and SESSION.equipment is not None:
            SESSION.gathering = Gathering(config, scenario, SESSION.store, SESSION.equipment)
            print_line(f"kokoro-bench: run {SESSION.gathering.run_id}")
            SESSION.expected = len(getattr(environment.runner, "clients", ("this process",)))
        if not isinstance(environment.runner, MasterRunner):
            index = getattr(environment.runner, "worker_index", 0)
            texts = texts_of(scenario.text_class, client=index)
            SESSION.desk = ListenerDesk(target, scenario, texts, clock=SESSION.clock)
            SESSION.judges, SESSION.over = ThreadPool(1), False
            SESSION.beating = gevent.spawn(beat, SESSION.desk)
            SESSION.ends_ns = SESSION.clock.now_ns() + round(scenario.traffic.total_s * 1e9) if scenario.traffic else 0
            gevent.spawn(hand_in, environment, SESSION.desk)
    except (BenchError, EngineRefusal, EndpointFault) as error:
        give_up(environment, error)


@events.report_to_master.add_listener
def report(client_id: str, data: dict[str, Any]) -> None:
    """A client's part since its last report goes with Locust's own."""
    del client_id
    if SESSION.desk is not None and not SESSION.over:
        look_after(wait=False)
        data["kokoro"] = SESSION.desk.drain()


@events.worker_report.add_listener
def take(client_id: str, data: dict[str, Any]) -> None:
    """The gatherer stores it."""
    if SESSION.gathering is not None and "kokoro" in data:
        SESSION.gathering.add(client_id, data["kokoro"])


def take_last(environment: Environment, msg: Message, **_: object) -> None:
    """The gatherer stores a client's last report."""
    del environment
    take(str(msg.node_id), {"kokoro": msg.data})


def hand_in(environment: Environment, desk: ListenerDesk) -> None:
    """When the load is over: wait for the answers under way, judge what is left, and report for the last time."""
    gevent.sleep((SESSION.ends_ns - SESSION.clock.now_ns()) / 1e9)
    while SESSION.asking:
        gevent.sleep(IDLE_S)
    if SESSION.beating is not None:
        SESSION.beating.kill()
    look_after(wait=True)
    SESSION.over = True
    last = desk.drain() | {"last": True}
    if isinstance(environment.runner, WorkerRunner):
        environment.runner.send_message("kokoro", last)
    elif SESSION.gathering is not None:
        SESSION.gathering.add("this process", last)


@events.test_stop.add_listener
def stop(environment: Environment, **_: object) -> None:
    """The gatherer judges all."""
    if SESSION.gathering is not None:
        SESSION.gathering.expect(SESSION.expected)
        conclude(environment)


@events.quitting.add_listener
def end(environment: Environment, **_: object) -> None:
    """Nothing more is to be stored."""
    del environment
    if SESSION.gathering is None and SESSION.store is not None:
        SESSION.store.close()


def look_after(*, wait: bool) -> None:
    """Raise what a judge has raised; with `wait`, once all have judged."""
    given, SESSION.judging = SESSION.judging, []
    for each in given:
        if wait or each.ready():
            each.get()
        else:
            SESSION.judging.append(each)


def conclude(environment: Environment) -> None:
    """Judge, show and report; Locust ends with our exit code."""
    gathering, config = SESSION.gathering, SESSION.config
    if gathering is None or config is None:
        return
    SESSION.gathering = None
    finished = gathering.finish()
    console = make_console()
    console.print(results_table(finished.data))
    for line in (*failures(finished.data), *finished.data.run.notes, *write_outputs(finished.data, config)):
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"exit code {int(finished.code)}", style="dim")
    environment.process_exit_code = int(finished.code)


def configured(environment: Environment) -> tuple[Config, Scenario]:
    """The harness's configuration with Locust's host, and the scenario of this load. BenchError."""
    options = environment.parsed_options
    config = load_config({"url": environment.host or ""})
    traffic = Traffic(
        arrivals=Arrivals.CLOSED,
        level=float(getattr(options, "num_users", 0) or 1),
        seconds=float(getattr(options, "seconds", 30.0)),
        warm_up_s=float(getattr(options, "warm_up", 5.0)),
        cool_down_s=float(getattr(options, "cool_down", 2.0)),
        listen=bool(getattr(options, "listen", False)),
    )
    if traffic.seconds <= 0 or traffic.warm_up_s < 0 or traffic.cool_down_s < 0:
        raise UsageError("a window needs some length", where="--seconds, --warm-up, --cool-down", remedy="--seconds 30")
    text_class = str(getattr(options, "text_class", "chars-200"))
    return config, scenario_of(config, endpoint_arm(config), text_class, traffic)


def beat(desk: ListenerDesk) -> None:
    """A timer of our own: as late as it comes, so late may every stamp be."""
    clock = SESSION.clock
    due_ns = clock.now_ns()
    while True:
        due_ns += round(BEAT_S * 1e9)
        gevent.sleep(max(0.0, (due_ns - clock.now_ns()) / 1e9))
        now_ns = clock.now_ns()
        desk.beat(max(0, now_ns - due_ns))
        due_ns = max(due_ns, now_ns - round(BEAT_S * 1e9))


def give_up(environment: Environment, error: Exception) -> None:
    """One line, and the end of the load with the exit code that the command has for it."""
    print_line(f"kokoro-bench: {error}")
    code = error.exit_code if isinstance(error, BenchError) else ExitCode.MEASUREMENT
    environment.process_exit_code = int(code)
    if environment.runner is not None:
        gevent.spawn(environment.runner.quit)


def print_line(message: str) -> None:
    """To the terminal that Locust shares with us."""
    make_console().print(message, markup=False, soft_wrap=True)
