"""The loads of `kokoro-bench load` by Locust, for more listeners or higher rates than one machine's client can bear.

On the machine that gathers, and on each of the clients':

    locust -f suites/locustfile.py --headless --host http://server:8880 -u 500 -r 50 --master --expect-workers 4
    locust -f suites/locustfile.py --worker --master-host gatherer

With --rate or --ramp it is an open loop, of which each client takes its part, whatever -u says. Requests, stamps,
checks, texts and metrics are the harness's own; the run lands in the same store and report. All else of the
configuration comes from [tool.kokoro-bench] and KOKORO_BENCH_… variables. See docs/load.md.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import gevent
from locust import LoadTestShape, User, constant, events, runners, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.rpc import Message
from locust.runners import MasterRunner, Runner, WorkerRunner

from harness.cli.load import show_load
from harness.core.crash_report import crash_line
from harness.core.errors import BenchError, ExitCode
from harness.core.records.scenario import Scenario, Utterance
from harness.engines.http.errors import EndpointFault
from harness.engines.speech import EngineRefusal
from harness.measure.load.external_client import ExternalClient, own_starts, resolve_target, texts_of
from harness.measure.load.loops import next_start_ns
from harness.measure.load.records import RequestTrace
from harness.plan.config import Config, load_config
from harness.runner.distributed_load import PREPARING_S, LoadCollector, asked_scenario
from harness.runner.resources import prepare_resources
from harness.store.runs import open_store
from suites.locust_session import ALONE, SESSION, print_line

IDLE_S = 0.05
runners.HEARTBEAT_LIVENESS = 20
"""Seconds of silence after which a client is given up. Locust's own 3 are too few for a machine that is busy."""


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
        """How many there are to be now; None ends the load. All are started at once and begin when they are told to."""
        options, gathering = self.runner.environment.parsed_options if self.runner else None, SESSION.gathering
        if options is None:
            return None
        clients, waited_s = clients_of(self.runner), float(self.get_run_time())
        # Without a gathering the run is not open yet: this is asked for every second, also while that takes its time.
        # Locust does not wait for the last reports of users that it stops: all have handed in before they are stopped.
        if waited_s > PREPARING_S if gathering is None else gathering.is_over(len(clients), waited_s=waited_s):
            return None
        # Users ask for nothing in an open loop, but Locust wants one. A number that changed would start the load again.
        users = len(gathering.clients if gathering else clients) if options.rate or options.ramp else options.num_users
        return users or 1, users or 1


class Listener(User):
    """Asks, hears, asks again."""

    wait_time = constant(0)

    def on_start(self) -> None:
        """Make a connection of its own, and say that there is one listener more."""
        assert SESSION.client is not None
        self.connection, self.stages = SESSION.client.connection()
        self.next_ns: int | None = None
        self.number, SESSION.users = SESSION.users, SESSION.users + 1
        tell_ready(self.environment)

    def on_stop(self) -> None:
        """Give it back."""
        self.connection.close()

    @task
    def send(self) -> None:
        """One request; its end is the next one's intended start."""
        client, options = SESSION.client, self.environment.parsed_options
        assert client is not None
        if SESSION.is_open:
            gevent.sleep(IDLE_S)
            return
        SESSION.begun.wait()
        if self.next_ns is None:
            self.next_ns = SESSION.began_ns + SESSION.user_starts_ns[self.number]
        if max(self.next_ns, SESSION.clock.now_ns()) >= SESSION.ends_ns:
            gevent.sleep(IDLE_S)
            return
        gevent.sleep(max(0.0, (self.next_ns - SESSION.clock.now_ns()) / 1e9))
        trace, utterance = client.send(self.connection, self.stages, user=id(self), intended_ns=self.next_ns)
        listen = options is not None and bool(options.listen)
        self.next_ns = next_start_ns(trace, listen=listen, sample_rate=client.sample_rate)
        pass_on(self.environment, client, trace, utterance)


def pass_on(environment: Environment, client: ExternalClient, trace: RequestTrace, utterance: Utterance) -> None:
    """To the judges, and to Locust's own statistics."""
    SESSION.judging.append(SESSION.judges.spawn(client.record, trace, utterance))
    environment.events.request.fire(
        request_type="POST", name=utterance.text_class, response_time=(trace.end_ns - trace.intended_ns) / 1e6,
        response_length=2 * trace.frames, context={},
        exception=None if trace.outcome.valid else RuntimeError(trace.outcome.reason),
    )  # fmt: skip


@events.init.add_listener
def prepare(environment: Environment, **_: object) -> None:
    """What takes long, before anybody waits for it."""
    if isinstance(environment.runner, WorkerRunner):
        environment.runner.register_message("kokoro-part", take_part)
        environment.runner.register_message("kokoro-begin", take_beginning)
        return
    # Whatever ends this process before there is a result, it is no success.
    environment.process_exit_code = int(ExitCode.MEASUREMENT)
    if isinstance(environment.runner, MasterRunner):
        environment.runner.register_message("kokoro", take_last)
        environment.runner.register_message("kokoro-ready", take_ready)
    try:
        config = load_config({})
        SESSION.store = open_store(config.results)
        SESSION.resources = prepare_resources(config, report=print_line)
        SESSION.resources.subject(())
        SESSION.resources.observe()
    except Exception as error:  # noqa: BLE001 - Locust would print it and go on
        give_up(environment, error)


@events.test_start.add_listener
def start(environment: Environment, **_: object) -> None:
    """A client reaches the server and makes ready; the gatherer opens the run. Alone, it then begins the load."""
    try:
        config, scenario = configured(environment)
        SESSION.config, SESSION.scenario = config, scenario
        # The gatherer tries it too: it is the one that a person is looking at.
        target = resolve_target(scenario.arm, clock=SESSION.clock)
        if SESSION.store is not None and SESSION.resources is not None:
            clients = clients_of(environment.runner)
            SESSION.gathering = LoadCollector(config, scenario, SESSION.store, SESSION.resources, clients=clients)
            print_line(f"kokoro-bench: run {SESSION.gathering.run_id}")
        SESSION.start_anew()
        if not isinstance(environment.runner, MasterRunner):
            # Composing texts takes a second and more: in a thread, so that the client goes on saying that it is there.
            composing = gevent.get_hub().threadpool.spawn(texts_of, scenario.text_class, client=SESSION.part[0])
            texts = composing.get()
            SESSION.client = ExternalClient(target, scenario, texts, clock=SESSION.clock)
            tell_ready(environment)
        elif SESSION.gathering is not None:
            for number, client_id in enumerate(SESSION.gathering.clients):
                part = {"client": number, "clients": len(SESSION.gathering.clients)}
                environment.runner.send_message("kokoro-part", part, client_id)
    except Exception as error:  # noqa: BLE001 - Locust would print it and go on
        give_up(environment, error)


def tell_ready(environment: Environment) -> None:
    """Say that this client has prepared what takes time, and how many listeners it has started by now."""
    if isinstance(environment.runner, WorkerRunner):
        environment.runner.send_message("kokoro-ready", {"listeners": SESSION.users})
    elif SESSION.gathering is not None and SESSION.gathering.note_ready(ALONE, SESSION.users):
        begin(environment, SESSION.gathering.user_starts(users_per_second(environment))[ALONE])


def begin(environment: Environment, user_starts_ns: Sequence[int]) -> None:
    """Begin this client's load: all that takes time has been done before. `user_starts_ns` are those of its users."""
    client, scenario, config = SESSION.client, SESSION.scenario, SESSION.config
    assert client is not None
    assert scenario is not None
    assert scenario.traffic is not None
    assert config is not None
    number, clients = SESSION.part
    starts = own_starts(scenario.traffic, seed=config["seed"], client=number, clients=clients)
    SESSION.beating = gevent.spawn(client.measure_timer_lag, gevent.sleep)
    SESSION.user_starts_ns = user_starts_ns
    SESSION.began_ns = client.begin()
    SESSION.ends_ns = SESSION.began_ns + round(scenario.traffic.total_s * 1e9)
    trace = partial(pass_on, environment, client)
    playing = gevent.spawn(client.run_open_loop, starts, sleep=gevent.sleep, spawn=gevent.spawn, trace=trace)
    gevent.spawn(hand_in, environment, client, playing)
    SESSION.begun.set()


@events.report_to_master.add_listener
def report(client_id: str, data: dict[str, Any]) -> None:
    """A client's part since its last report goes with Locust's own."""
    del client_id
    if SESSION.client is not None and not SESSION.over:
        SESSION.look_after(wait=False)
        data["kokoro"] = SESSION.client.drain()


@events.worker_report.add_listener
def take(client_id: str, data: dict[str, Any]) -> None:
    """The gatherer stores it."""
    if SESSION.gathering is not None and "kokoro" in data:
        SESSION.gathering.add(client_id, data["kokoro"])


def take_part(environment: Environment, msg: Message, **_: object) -> None:
    """A client learns which one it is, before the load begins."""
    del environment
    SESSION.part = (int(msg.data["client"]), int(msg.data["clients"]))


def take_ready(environment: Environment, msg: Message, **_: object) -> None:
    """The gatherer begins the load once every client is ready: what they prepare is no part of the warm-up."""
    gathering, runner = SESSION.gathering, environment.runner
    if gathering is not None and gathering.note_ready(str(msg.node_id), int(msg.data["listeners"])):
        assert isinstance(runner, MasterRunner)
        for client_id, starts_ns in gathering.user_starts(users_per_second(environment)).items():
            runner.send_message("kokoro-begin", {"user_starts_ns": starts_ns}, client_id)


def take_beginning(environment: Environment, msg: Message, **_: object) -> None:
    """A client begins when the gatherer says so."""
    begin(environment, msg.data["user_starts_ns"])


def take_last(environment: Environment, msg: Message, **_: object) -> None:
    """The gatherer stores a client's last report."""
    del environment
    take(str(msg.node_id), {"kokoro": msg.data})


def hand_in(environment: Environment, client: ExternalClient, playing: gevent.Greenlet) -> None:
    """When the load is over: wait for the answers under way, judge what is left, and report for the last time."""
    gevent.sleep((SESSION.ends_ns - SESSION.clock.now_ns()) / 1e9)
    playing.join()
    traffic = SESSION.scenario.traffic if SESSION.scenario else None
    assert traffic is not None
    client.await_answers(gives_up_ns=SESSION.ends_ns + round(traffic.drain_s * 1e9), sleep=gevent.sleep)
    if SESSION.beating is not None:
        SESSION.beating.kill()
    SESSION.look_after(wait=True)
    SESSION.over = True
    last = client.drain() | {"last": True}
    if isinstance(environment.runner, WorkerRunner):
        environment.runner.send_message("kokoro", last)
    elif SESSION.gathering is not None:
        SESSION.gathering.add(ALONE, last)


@events.test_stop.add_listener
def stop(environment: Environment, **_: object) -> None:
    """The gatherer judges all."""
    if SESSION.gathering is not None:
        conclude(environment)


@events.quitting.add_listener
def end(environment: Environment, **_: object) -> None:
    """Nothing more is to be stored."""
    del environment
    if SESSION.gathering is None and SESSION.store is not None:
        SESSION.store.close()


def conclude(environment: Environment) -> None:
    """Judge, show and report; Locust ends with our exit code."""
    gathering, config = SESSION.gathering, SESSION.config
    if gathering is None or config is None:
        return
    SESSION.gathering = None
    finished = gathering.finish()
    show_load(finished, config).print(f"exit code {int(finished.code)}", style="dim")
    environment.process_exit_code = int(finished.code)


def clients_of(runner: Runner | None) -> list[str]:
    """The processes that ask: the master's clients, or the one that does it all."""
    return list(runner.clients) if isinstance(runner, MasterRunner) else [ALONE]


def users_per_second(environment: Environment) -> float:
    """How many listeners come each second (-r). Locust tells it to the master alone."""
    return float((environment.parsed_options and environment.parsed_options.spawn_rate) or 1)


def configured(environment: Environment) -> tuple[Config, Scenario]:
    """The harness's configuration with Locust's host, and the scenario of this load. BenchError."""
    config = load_config({"url": environment.host or ""})
    given = vars(environment.parsed_options) if environment.parsed_options else {}
    return config, asked_scenario(config, given, users=int(given.get("num_users") or 1))


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
