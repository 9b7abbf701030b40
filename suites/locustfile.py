"""The loads of `kokoro-bench load` by Locust, for more listeners or higher rates than one machine's client can bear.

On the machine that gathers, and on each of the clients':

    locust -f suites/locustfile.py --headless --host http://server:8880 -u 500 -r 50 --master --expect-workers 4
    locust -f suites/locustfile.py --worker --master-host gatherer

With --rate or --ramp it is an open loop, of which each client takes its part, whatever -u says. Requests, stamps,
checks, texts and metrics are the harness's own; the run lands in the same store and report. All else of the
configuration comes from [tool.kokoro-bench] and KOKORO_BENCH_… variables. See docs/load.md.
"""

from functools import partial
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
from harness.crash_report import crash_line
from harness.desk import ListenerDesk, own_starts, settle, texts_of
from harness.distributed import Gathering, asked_scenario
from harness.engines.faults import EndpointFault
from harness.engines.protocol import EngineRefusal
from harness.equipment import Equipment, equip
from harness.errors import BenchError, ExitCode
from harness.measure.judging import Served
from harness.measure.load import next_start_ns
from harness.outputs import write_outputs
from harness.plan.config import Config, load_config
from harness.records.scenario import Arrivals, Scenario, Utterance
from harness.run_table import results_table
from harness.store.runs import RunStore, open_store

IDLE_S = 0.05
STOP_S = 30.0
"""For the clients' last reports, once no answer is waited for any more."""


class Session:
    """What one process of Locust is to the run: a client with a desk, the gatherer, or, alone, both."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.desk: ListenerDesk | None = None
        self.gathering: Gathering | None = None
        self.store: RunStore | None = None
        self.config: Config | None = None
        self.scenario: Scenario | None = None
        self.equipment: Equipment | None = None
        self.judges: ThreadPool | None = None
        self.judging: list[Any] = []
        """What the judges have been given and nobody has looked after yet: gevent's results."""
        self.beating: gevent.Greenlet | None = None
        self.over = False
        """Whether this client has handed in its last report."""
        self.ends_ns = 0
        """No request begins after this."""
        self.expected = 0
        """How many clients there are to report."""
        self.part = (0, 1)
        """Which of how many clients this one is: what it takes of an open loop."""

    @property
    def is_open(self) -> bool:
        """Whether requests begin by a schedule, and not when a listener has been served."""
        traffic = self.scenario.traffic if self.scenario else None
        return traffic is not None and traffic.arrivals is not Arrivals.CLOSED


SESSION = Session()


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """The window and the text, beside Locust's own options."""
    group = parser.add_argument_group("kokoro-bench")
    group.add_argument("--rate", default="", help="open loop: requests per second, of all clients together")
    group.add_argument("--ramp", default="", help="open loop: a rate that rises or falls evenly, FIRST:LAST")
    group.add_argument("--arrivals", choices=["poisson", "constant"], default="poisson", help="of requests at a --rate")
    group.add_argument("--seconds", default="30s", help="the window that is measured")
    group.add_argument("--warm-up", default="5s", help="load before the window")
    group.add_argument("--cool-down", default="2s", help="load after the window")
    group.add_argument("--drain", default="30s", help="how long answers are waited for after the load")
    group.add_argument("--text-class", default="chars-200", help="class of the texts")
    group.add_argument("--listen", action="store_true", help="listeners hear an answer out before they ask again")


class Listeners(LoadTestShape):
    """-u listeners, -r of whom come each second, until warm-up, window and cool-down are over."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """How many there are to be now; None ends the load."""
        options = self.runner.environment.parsed_options if self.runner else None
        gathering, run_time = SESSION.gathering, float(self.get_run_time())
        traffic = SESSION.scenario.traffic if SESSION.scenario else None
        if options is None or (run_time > 1 and traffic is None):
            return None
        if run_time > 1 and (gathering is None or gathering.ended >= SESSION.expected):
            return None
        # Users of Locust's that are told to stop are not waited for until their last reports are here: so all have
        # stopped asking by themselves, and handed in, before they are told.
        if traffic is not None and run_time > traffic.longest_s + STOP_S:
            return None
        if traffic is not None and traffic.arrivals is not Arrivals.CLOSED:
            # Users ask for nothing here, but a client without one is not told that the load begins.
            return max(1, SESSION.expected), max(1, SESSION.expected)
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
        if SESSION.is_open or max(self.next_ns, SESSION.clock.now_ns()) >= SESSION.ends_ns:
            gevent.sleep(IDLE_S)
            return
        gevent.sleep(max(0.0, (self.next_ns - SESSION.clock.now_ns()) / 1e9))
        served, utterance = desk.ask(self.line, self.stages, listener=id(self), intended_ns=self.next_ns)
        listen = options is not None and bool(options.listen)
        self.next_ns = next_start_ns(served, listen=listen, sample_rate=desk.sample_rate)
        pass_on(self.environment, desk, served, utterance)


def pass_on(environment: Environment, desk: ListenerDesk, served: Served, utterance: Utterance) -> None:
    """To the judges, and to Locust's own statistics."""
    assert SESSION.judges is not None
    SESSION.judging.append(SESSION.judges.spawn(desk.judge, served, utterance))
    environment.events.request.fire(
        request_type="POST", name=utterance.text_class, response_time=(served.end_ns - served.intended_ns) / 1e6,
        response_length=2 * served.frames, context={},
        exception=None if served.outcome.valid else RuntimeError(served.outcome.reason),
    )  # fmt: skip


@events.init.add_listener
def prepare(environment: Environment, **_: object) -> None:
    """What takes long, before anybody waits for it."""
    if isinstance(environment.runner, WorkerRunner):
        environment.runner.register_message("kokoro-part", take_part)
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
        SESSION.config, SESSION.scenario = config, scenario
        # The gatherer tries it too: it is the one that a person is looking at.
        target = settle(scenario.arm, clock=SESSION.clock)
        if SESSION.store is not None and SESSION.equipment is not None:
            SESSION.gathering = Gathering(config, scenario, SESSION.store, SESSION.equipment)
            print_line(f"kokoro-bench: run {SESSION.gathering.run_id}")
            SESSION.expected = len(getattr(environment.runner, "clients", ("this process",)))
        if not isinstance(environment.runner, MasterRunner):
            client, clients = SESSION.part
            texts = texts_of(scenario.text_class, client=client)
            SESSION.desk = ListenerDesk(target, scenario, texts, clock=SESSION.clock)
            SESSION.judges, SESSION.over = ThreadPool(1), False
            SESSION.beating = gevent.spawn(SESSION.desk.keep_time, gevent.sleep)
            traffic = scenario.traffic
            assert traffic is not None
            SESSION.ends_ns = SESSION.clock.now_ns() + round(traffic.total_s * 1e9)
            starts = own_starts(traffic, seed=config["seed"], client=client, clients=clients)
            served = partial(pass_on, environment, SESSION.desk)
            playing = gevent.spawn(SESSION.desk.play, starts, sleep=gevent.sleep, spawn=gevent.spawn, served=served)
            gevent.spawn(hand_in, environment, SESSION.desk, playing)
        elif SESSION.gathering is not None:
            for number, client_id in enumerate(environment.runner.clients):
                part = {"client": number, "clients": SESSION.expected}
                environment.runner.send_message("kokoro-part", part, client_id)
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


def take_part(environment: Environment, msg: Message, **_: object) -> None:
    """A client learns which one it is, before the load begins."""
    del environment
    SESSION.part = (int(msg.data["client"]), int(msg.data["clients"]))


def take_last(environment: Environment, msg: Message, **_: object) -> None:
    """The gatherer stores a client's last report."""
    del environment
    take(str(msg.node_id), {"kokoro": msg.data})


def hand_in(environment: Environment, desk: ListenerDesk, playing: gevent.Greenlet) -> None:
    """When the load is over: wait for the answers under way, judge what is left, and report for the last time."""
    gevent.sleep((SESSION.ends_ns - SESSION.clock.now_ns()) / 1e9)
    playing.join()
    traffic = SESSION.scenario.traffic if SESSION.scenario else None
    while desk.asking:
        if traffic is not None and SESSION.clock.now_ns() >= SESSION.ends_ns + round(traffic.drain_s * 1e9):
            desk.give_up()
        gevent.sleep(IDLE_S)
    desk.close()
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
    config = load_config({"url": environment.host or ""})
    given = vars(environment.parsed_options) if environment.parsed_options else {}
    return config, asked_scenario(config, given, listeners=int(given.get("num_users") or 1))


def give_up(environment: Environment, error: Exception) -> None:
    """One line, and the end of the load with the exit code that the command has for it."""
    if isinstance(error, BenchError):
        said, code = str(error), error.exit_code
    elif isinstance(error, EngineRefusal | EndpointFault):
        said, code = str(error), ExitCode.MEASUREMENT
    else:
        said, code = crash_line(error), ExitCode.INTERNAL
    print_line(f"kokoro-bench: {said}")
    environment.process_exit_code = int(code)
    if environment.runner is not None:
        gevent.spawn(environment.runner.quit)


def print_line(message: str) -> None:
    """To the terminal that Locust shares with us."""
    make_console().print(message, markup=False, soft_wrap=True)
