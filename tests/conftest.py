"""What all tests may ask for: models, the command, scripted laboratories, databases."""

import gc
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import certifi
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

from harness.analysis.finished import Finished
from harness.analysis.promotion import baseline_entries
from harness.core.cache_root import ROOT_VARIABLE
from harness.core.records.run import RunData
from harness.core.records.scenario import Mode
from harness.measure.conductor.events import EventHandler
from harness.models.cache import Cache
from harness.models.catalogue import Catalogue
from harness.models.default import OFFLINE_VARIABLE
from harness.models.files import ModelFiles
from harness.plan.config import Config, load_config
from harness.plan.matrix import ScenarioRequest
from harness.runner import run as laboratory
from harness.runner.selection import wanted_scenarios
from tests import forking
from tests.accepting import promote

POSTGRES = "KOKORO_BENCH_TEST_POSTGRES"
WORKER = "PYTEST_XDIST_WORKER"
"""Set in each of several processes that run tests."""
SMALL = "replica-small"

# What gates is the same every time: the same examples, whatever was found before and however busy the machine is.
settings.register_profile(
    "gate", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
# `nox -s fuzz`: other examples each time, and ten times as many. What fails is kept in .hypothesis/ and tried first.
settings.register_profile(
    "fuzz", deadline=None, max_examples=1_000, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("gate")

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Download no model, let commands be interrupted, and keep Hypothesis from the constants of imported modules."""
    os.environ[OFFLINE_VARIABLE] = "1"
    if config.getoption("dist", "no") != "no" and WORKER not in os.environ:
        forking.share()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So a shell starts what runs in its background, and the commands that the tests start would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if settings.get_current_profile_name() != "fuzz":
        known = providers._local_constants
        providers._get_local_constants = lambda: known


class _Frozen:
    """What each later search for garbage leaves out: it stays until the end, and is large."""

    MANY = 100
    """From so many new modules on, the next ends of commands, which collect several times, are worth a collection."""
    modules = 0

    @classmethod
    def renew(cls) -> None:
        gc.collect()
        gc.freeze()
        cls.modules = len(sys.modules)


def pytest_collection_finish() -> None:
    """Search no more among what has been collected."""
    _Frozen.renew()


def pytest_runtest_logfinish() -> None:
    """Search no more among the modules that tests have imported, when these have become many."""
    if len(sys.modules) >= _Frozen.modules + _Frozen.MANY:
        _Frozen.renew()


@pytest.fixture(scope="session", autouse=True)
def _no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a user has downloaded decides nothing: the default models are the real ones where these are there."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(ROOT_VARIABLE, str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trust a single authority. No test asks one, and each client of HTTP read the certificates of all."""
    first = re.search(
        "-----BEGIN.*?END CERTIFICATE-----\n", Path(certifi.where()).read_text("ascii", "ignore"), re.DOTALL
    )
    assert first is not None
    file = tmp_path_factory.getbasetemp() / "authority.pem"
    file.write_text(first[0])
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(file))
        yield


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of models of the session's own, with the small replica in it, which one of parallel processes builds."""
    root = tmp_path_factory.getbasetemp() / "models"
    if WORKER in os.environ:
        built = tmp_path_factory.getbasetemp().parent / "built"
        Catalogue(cache=Cache(built)).resolve(SMALL)
        shutil.copytree(built, root, ignore=shutil.ignore_patterns("locks"))
    Catalogue(cache=Cache(root)).resolve(SMALL)
    return root


@pytest.fixture(scope="session")
def small_replica(model_cache: Path) -> ModelFiles:
    return Catalogue(cache=Cache(model_cache)).resolve(SMALL, build=False)


@pytest.fixture
def user_environment(model_cache: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a user whose models and files of errors lie in temporary folders, and who downloads none."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("KOKORO_BENCH_", "PYTEST_"))}
    ours.pop("GITHUB_STEP_SUMMARY", None)
    return {
        **ours,
        ROOT_VARIABLE: str(model_cache),
        OFFLINE_VARIABLE: "1",
        # The tools that judge speech are fetched from a package index; tests of them bring a stand-in.
        "KOKORO_BENCH_QUALITY": "off",
        "XDG_STATE_HOME": str(tmp_path / ".state"),
        "PYTHONUTF8": "1",
    }


@pytest.fixture
def kokoro_bench(tmp_path: Path, user_environment: dict[str, str]) -> Command:
    """Run `kokoro-bench ARGUMENTS` in an empty directory, as a process of its own.

    Its interpreter is forked, or truly started where `python` is given or the environment asks for it.
    """

    def run(
        *arguments: str,
        directory: Path = tmp_path,
        python: str | Path = "",
        interpreter: forking.Interpreter | None = None,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        env = {**user_environment, **environment}
        if not python:
            return forking.run(*arguments, interpreter=interpreter, cwd=directory, env=env)
        return subprocess.run(
            [python, "-m", "harness.cli", *arguments],
            cwd=directory,
            env=env,
            capture_output=True,
            encoding="utf-8",
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return run


@pytest.fixture
def here(
    tmp_path: Path,
    user_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Command]:
    """Run `kokoro-bench ARGUMENTS` in this process: for what a process of its own would only make slower.

    Afterwards the suites that it has imported are forgotten: those of another test have the same names.
    """
    from harness.cli import main

    def run(*arguments: str, directory: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        for name in [name for name in os.environ if name not in user_environment]:
            monkeypatch.delenv(name)
        for name, value in {**user_environment, **environment}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(directory)
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        said = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return subprocess.CompletedProcess(arguments, ended.value.code, said.out, said.err)

    yield run
    for name in [name for name in sys.modules if name.partition(".")[0] in ("suites", "conftest", "test_own")]:
        del sys.modules[name]


@pytest.fixture
def no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands in this process write no pages, which take longest, where a test looks at none."""
    monkeypatch.setattr(
        "harness.runner.outputs.write_report", lambda _store, config, **_given: Path(config.report, "index.html")
    )


class Laboratory:
    """A directory in which scripted runs are made, judged against its own baselines, and promoted."""

    REQUESTS = (ScenarioRequest(mode=Mode.LOAD_WARM), ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12", "chars-60")))

    def __init__(self, root: Path) -> None:
        self.root = root

    def config(self, **options: str) -> Config:
        """The configuration of a short scripted run."""
        given = {"engine": "scripted", "model": "scripted", "launches": "3", "blocks": "4", **options}
        return load_config(given, start=self.root, environment={})

    def run(
        self, *, requests: Sequence[ScenarioRequest] = REQUESTS, handlers: Sequence[EventHandler] = (), **options: str
    ) -> Finished:
        """One run, from the plan to the verdicts."""
        config = self.config(**options)
        scenarios = wanted_scenarios(config, requests, "quick")
        return laboratory.measure(config, scenarios, selection="quick", handlers=handlers, report=lambda _message: None)

    def promote(self, data: RunData) -> None:
        """Accept a run's figures."""
        promote(self.config().baselines, baseline_entries(data))


@pytest.fixture
def lab(tmp_path: Path) -> Laboratory:
    return Laboratory(tmp_path)


@pytest.fixture(scope="session")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    """A laboratory with six accepted runs. To be read only: tests that write copy its baselines."""
    found = Laboratory(tmp_path_factory.mktemp("accepted"))
    for seed in range(6):
        found.promote(found.run(seed=str(seed)).data)
    return found


def _postgres() -> ModuleType:
    """The module beside this file: tests are no package."""
    spec = importlib.util.spec_from_file_location("kokoro_tests_postgres", Path(__file__).with_name("postgres.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A database that may be emptied: the one that is named, else one of a server that is started for the tests."""
    named = os.environ.get(POSTGRES)
    if named:
        yield named
        return
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    postgres = _postgres()
    try:
        with postgres.server() as url:
            yield url
    except postgres.NoServerError as error:
        pytest.skip(f"{error}; or set {POSTGRES}")


@pytest.fixture
def server_url(postgres_url: str) -> str:
    """An empty database of a PostgreSQL server."""
    from sqlalchemy import inspect, text

    from harness.store.databases import connect

    database = connect(postgres_url, lock_wait_s=10.0)
    with database.writers.begin() as connection:
        for table in inspect(connection).get_table_names():
            if table.startswith("bench_"):
                connection.execute(text(f'DROP TABLE "{table}" CASCADE'))
    database.dispose()
    return postgres_url


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "results.sqlite")
    url: str = request.getfixturevalue("server_url")
    return url
