"""The loads of `kokoro-bench load` by Locust, for more users or higher rates than one client machine can generate.

On the machine that collects the records, and on each client machine:

    locust -f suites/locustfile.py --headless --host http://server:8880 -u 500 -r 50 --master --expect-workers 4
    locust -f suites/locustfile.py --worker --master-host collector

With --rate or --ramp it is an open loop: each client runs its part of the schedule, and -u is ignored. Requests,
stamps, checks, texts and metrics are those of the harness. The run appears in the same store and report. The other
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
"""Seconds of silence after which a client counts as lost. Locust's default of 3 is too short for a busy machine."""


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """Add the options for the window and the texts."""
    group = parser.add_argument_group("kokoro-bench")
    group.add_argument("--rate", default="", help="open loop: requests per second, of all clients together")
    group.add_argument("--ramp", default="", help="open loop: a rate that rises or falls evenly, FIRST:LAST")
    group.add_argument("--arrivals", choices=["poisson", "constant"], default="poisson", help="of requests at a --rate")
    group.add_argument("--seconds", default="30s", help="the window that is measured")
    group.add_argument("--warm-up", default="5s", help="load before the window")
    group.add_argument("--cool-down", default="2s", help="load after the window")
    group.add_argument("--drain", default="30s", help="how long to wait for answers after the load")
    group.add_argument("--text-class", default="chars-200", help="class of the texts")
    group.add_argument("--listen", action="store_true", help="users play an answer to its end before the next request")


class LoadShape(LoadTestShape):
    """-u users, with -r starting each second, until warm-up, window and cool-down are over."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """The number of users now; None ends the load. All users start at once and wait for the begin message."""
        options, collector = self.runner.environment.parsed_options if self.runner else None, SESSION.collector
        if options is None:
            return None
        clients, waited_s = client_ids(self.runner), float(self.get_run_time())
        # Without a collector the run is not open yet. Locust calls this every second, also while it is being opened.
        # Locust does not wait for the last reports of users that it stops, so all clients report before that.
        if waited_s > PREPARING_S if collector is None else collector.is_over(len(clients), waited_s=waited_s):
            return None
        # Users send nothing in an open loop, but Locust needs one. A changed number would restart the load.
        users = len(collector.clients if collector else clients) if options.rate or options.ramp else options.num_users
        return users or 1, users or 1


class SpeechUser(User):
    """A user of a closed loop."""

    wait_time = constant(0)

    def on_start(self) -> None:
        """Create the user's connection and report that the user is ready."""
        assert SESSION.client is not None
        self.connection, self.stages = SESSION.client.connection()
        self.next_ns: int | None = None
        self.number, SESSION.users = SESSION.users, SESSION.users + 1
        report_ready(self.environment)

    def on_stop(self) -> None:
        self.connection.close()

    @task
    def send(self) -> None:
        """Send one request. Its end is the intended start of the next one."""
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
        record_answer(self.environment, client, trace, utterance)


def record_answer(environment: Environment, client: ExternalClient, trace: RequestTrace, utterance: Utterance) -> None:
    """Pass an answer to the record thread and to Locust's statistics."""
    SESSION.pending_records.append(SESSION.record_thread.spawn(client.record, trace, utterance))
    environment.events.request.fire(
        request_type="POST", name=utterance.text_class, response_time=(trace.end_ns - trace.intended_ns) / 1e6,
        response_length=2 * trace.frames, context={},
        exception=None if trace.outcome.valid else RuntimeError(trace.outcome.reason),
    )  # fmt: skip


@events.init.add_listener
def prepare(environment: Environment, **_: object) -> None:
    """Register the messages, and prepare the store and the resources."""
    if isinstance(environment.runner, WorkerRunner):
        environment.runner.register_message("kokoro-part", set_part)
        environment.runner.register_message("kokoro-begin", begin_on_message)
        return
    # An end without a result is no success.
    environment.process_exit_code = int(ExitCode.MEASUREMENT)
    if isinstance(environment.runner, MasterRunner):
        environment.runner.register_message("kokoro", store_last_report)
        environment.runner.register_message("kokoro-ready", note_ready)
    try:
        config = load_config({})
        SESSION.store = open_store(config.results)
        SESSION.resources = prepare_resources(config, report=print_line)
        SESSION.resources.subject(())
        SESSION.resources.observe()
    except Exception as error:  # noqa: BLE001 - Locust would print it and continue
        end_with_error(environment, error)


@events.test_start.add_listener
def start(environment: Environment, **_: object) -> None:
    """Connect to the server and prepare the client; the collector opens the run. A single process begins the load."""
    try:
        config, scenario = load_scenario(environment)
        SESSION.config, SESSION.scenario = config, scenario
        # The collector connects too, because its output is what the user sees.
        target = resolve_target(scenario.arm, clock=SESSION.clock)
        if SESSION.store is not None and SESSION.resources is not None:
            clients = client_ids(environment.runner)
            SESSION.collector = LoadCollector(config, scenario, SESSION.store, SESSION.resources, clients=clients)
            print_line(f"kokoro-bench: run {SESSION.collector.run_id}")
        SESSION.reset()
        if not isinstance(environment.runner, MasterRunner):
            # Composing texts takes a second or more. It runs in a thread, so that the client keeps sending heartbeats.
            composing = gevent.get_hub().threadpool.spawn(texts_of, scenario, client=SESSION.part[0])
            texts = composing.get()
            SESSION.client = ExternalClient(target, scenario, texts, clock=SESSION.clock)
            report_ready(environment)
        elif SESSION.collector is not None:
            for number, client_id in enumerate(SESSION.collector.clients):
                part = {"client": number, "clients": len(SESSION.collector.clients)}
                environment.runner.send_message("kokoro-part", part, client_id)
    except Exception as error:  # noqa: BLE001 - Locust would print it and continue
        end_with_error(environment, error)


def report_ready(environment: Environment) -> None:
    """Report that this client is prepared, and how many users it has started so far."""
    if isinstance(environment.runner, WorkerRunner):
        environment.runner.send_message("kokoro-ready", {"users": SESSION.users})
    elif SESSION.collector is not None and SESSION.collector.note_ready(ALONE, SESSION.users):
        begin(environment, SESSION.collector.user_starts(users_per_second(environment))[ALONE])


def begin(environment: Environment, user_starts_ns: Sequence[int]) -> None:
    """Begin this client's load, after all preparation. `user_starts_ns` are the first starts of its users."""
    client, scenario, config = SESSION.client, SESSION.scenario, SESSION.config
    assert client is not None
    assert scenario is not None
    assert scenario.traffic is not None
    assert config is not None
    number, clients = SESSION.part
    starts = own_starts(scenario.traffic, seed=config["seed"], client=number, clients=clients)
    SESSION.timer = gevent.spawn(client.measure_timer_lag, gevent.sleep)
    SESSION.user_starts_ns = user_starts_ns
    SESSION.began_ns = client.begin()
    SESSION.ends_ns = SESSION.began_ns + round(scenario.traffic.total_s * 1e9)
    trace = partial(record_answer, environment, client)
    requests = gevent.spawn(client.run_open_loop, starts, sleep=gevent.sleep, spawn=gevent.spawn, trace=trace)
    gevent.spawn(report_last, environment, client, requests)
    SESSION.begun.set()


@events.report_to_master.add_listener
def report(client_id: str, data: dict[str, Any]) -> None:
    """Add a client's records since its last report to Locust's report."""
    del client_id
    if SESSION.client is not None and not SESSION.reported:
        SESSION.raise_failures(wait=False)
        data["kokoro"] = SESSION.client.drain()


@events.worker_report.add_listener
def store_report(client_id: str, data: dict[str, Any]) -> None:
    """Store a client's report in the collector."""
    if SESSION.collector is not None and "kokoro" in data:
        SESSION.collector.add(client_id, data["kokoro"])


def set_part(environment: Environment, msg: Message, **_: object) -> None:
    """Set a client's part of the load before it begins."""
    del environment
    SESSION.part = (int(msg.data["client"]), int(msg.data["clients"]))


def note_ready(environment: Environment, msg: Message, **_: object) -> None:
    """Begin the load once every client is ready, so that preparation is no part of the warm-up."""
    collector, runner = SESSION.collector, environment.runner
    if collector is not None and collector.note_ready(str(msg.node_id), int(msg.data["users"])):
        assert isinstance(runner, MasterRunner)
        for client_id, starts_ns in collector.user_starts(users_per_second(environment)).items():
            runner.send_message("kokoro-begin", {"user_starts_ns": starts_ns}, client_id)


def begin_on_message(environment: Environment, msg: Message, **_: object) -> None:
    """Begin a client's load on the collector's message."""
    begin(environment, msg.data["user_starts_ns"])


def store_last_report(environment: Environment, msg: Message, **_: object) -> None:
    """Store a client's last report."""
    del environment
    store_report(str(msg.node_id), {"kokoro": msg.data})


def report_last(environment: Environment, client: ExternalClient, requests: gevent.Greenlet) -> None:
    """After the load: wait for open requests, build the remaining records, and send the last report."""
    gevent.sleep((SESSION.ends_ns - SESSION.clock.now_ns()) / 1e9)
    requests.join()
    traffic = SESSION.scenario.traffic if SESSION.scenario else None
    assert traffic is not None
    client.await_answers(gives_up_ns=SESSION.ends_ns + round(traffic.drain_s * 1e9), sleep=gevent.sleep)
    if SESSION.timer is not None:
        SESSION.timer.kill()
    SESSION.raise_failures(wait=True)
    SESSION.reported = True
    last = client.drain() | {"last": True}
    if isinstance(environment.runner, WorkerRunner):
        environment.runner.send_message("kokoro", last)
    elif SESSION.collector is not None:
        SESSION.collector.add(ALONE, last)


@events.test_stop.add_listener
def stop(environment: Environment, **_: object) -> None:
    """Finish the run in the collector."""
    if SESSION.collector is not None:
        finish_run(environment)


@events.quitting.add_listener
def end(environment: Environment, **_: object) -> None:
    """Close the store."""
    del environment
    if SESSION.collector is None and SESSION.store is not None:
        SESSION.store.close()


def finish_run(environment: Environment) -> None:
    """Finish the run, show the result, and set Locust's exit code."""
    collector, config = SESSION.collector, SESSION.config
    if collector is None or config is None:
        return
    SESSION.collector = None
    finished = collector.finish()
    console, written = show_load(finished, config)
    code = int(finished.code or written.code)
    console.print(f"exit code {code}", style="dim")
    environment.process_exit_code = code


def client_ids(runner: Runner | None) -> list[str]:
    """The ids of the load clients: the master's clients, or the single process."""
    return list(runner.clients) if isinstance(runner, MasterRunner) else [ALONE]


def users_per_second(environment: Environment) -> float:
    """The users that start each second (-r). Only the master knows it."""
    return float((environment.parsed_options and environment.parsed_options.spawn_rate) or 1)


def load_scenario(environment: Environment) -> tuple[Config, Scenario]:
    """The harness's configuration with Locust's host, and the scenario of this load. Raises BenchError."""
    config = load_config({"url": environment.host or ""})
    given = vars(environment.parsed_options) if environment.parsed_options else {}
    return config, asked_scenario(config, given, users=int(given.get("num_users") or 1))


def end_with_error(environment: Environment, error: Exception) -> None:
    """Print one line and end the load with the exit code of the error."""
    if isinstance(error, BenchError):
        message, code = str(error), error.exit_code
    elif isinstance(error, EngineRefusal | EndpointFault):
        message, code = str(error), ExitCode.MEASUREMENT
    else:
        message, code = crash_line(error), ExitCode.INTERNAL
    print_line(f"kokoro-bench: {message}")
    environment.process_exit_code = int(code)
    if environment.runner is not None:
        gevent.spawn(environment.runner.quit)
