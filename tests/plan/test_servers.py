"""Declared servers, and what is wrong with some."""

from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import BenchError
from harness.core.records.scenario import Mode
from harness.plan.arms import endpoint_arm
from harness.plan.config import Config, load_config
from harness.plan.matrix import ScenarioRequest
from harness.plan.requests import is_for
from harness.plan.servers import find_server


def configured(folder: Path, table: str, environment: dict[str, str] | None = None, **options: str) -> Config:
    (folder / "pyproject.toml").write_text(f"[tool.kokoro-bench]\n{table}")
    return load_config(
        {name.replace("_", "-"): value for name, value in options.items()}, start=folder, environment=environment or {}
    )


WHOLE = """
[tool.kokoro-bench.server.own]
command = "run 'a server' --port {port}"
cwd = "below"
env = { PORT = "{port}", WORKERS = 2 }
ready = "/health"
timeout = "90s"
dialect = "raycast"
stop-signal = "int"
stop-timeout = "3s"
setup = ["uv sync", ["make", "all"]]
"""


def test_every_key_of_a_declared_server_is_read(tmp_path: Path) -> None:
    config = configured(tmp_path, WHOLE, server="own")
    found = find_server(config, "own")
    assert found.command == ("run", "a server", "--port", "{port}")
    assert found.folder(tmp_path) == tmp_path / "below"
    assert found.env == (("PORT", "{port}"), ("WORKERS", "2"))
    assert (found.ready, found.timeout, found.stop_signal, found.stop_timeout) == ("/health", 90.0, "SIGINT", 3.0)
    assert found.setup == (("uv", "sync"), ("make", "all"))
    arm = endpoint_arm(config)
    assert (arm.id, arm.server) == ("endpoint.dialect=raycast.server-own", "own")


def test_dialect_given_as_an_option_replaces_that_of_the_table(tmp_path: Path) -> None:
    config = configured(tmp_path, WHOLE, server="own", endpoint_options="dialect=openai,format=wav")
    assert endpoint_arm(config).session_options == (("dialect", "openai"), ("format", "wav"))


def test_command_has_a_name_without_its_folders_and_options(tmp_path: Path) -> None:
    config = configured(tmp_path, "", server_command="/home/me/bin/serve fast --key secret --port {port}")
    name = endpoint_arm(config).server
    assert name.startswith("serve-fast-")
    assert "secret" not in name
    assert find_server(config, name).command[0] == "/home/me/bin/serve"


@pytest.mark.parametrize(
    ("key", "environment", "options", "url"),
    [
        ("", {}, {"server": "own"}, "server:own"),
        ('url = "http://127.0.0.1:1"', {}, {"server": "own"}, "server:own"),
        ("", {"KOKORO_BENCH_SERVER": "own"}, {"url": "http://127.0.0.1:1"}, "http://127.0.0.1:1"),
        ('url = "http://127.0.0.1:1"', {"KOKORO_BENCH_SERVER": "own"}, {}, "server:own"),
    ],
)
def test_what_is_chosen_closer_to_the_command_wins(
    tmp_path: Path, key: str, environment: dict[str, str], options: dict[str, str], url: str
) -> None:
    config = configured(tmp_path, f"{key}\n{WHOLE}", environment, **options)
    assert (config["url"], config["engine"]) == (url, "endpoint")


@pytest.mark.parametrize(("server", "wanted"), [("own", True), ("", False)])
def test_only_a_started_server_has_a_start_up(tmp_path: Path, server: str, *, wanted: bool) -> None:
    options: dict[str, Any] = {"server": server} if server else {"url": "http://127.0.0.1:1"}
    config = configured(tmp_path, WHOLE, **options)
    assert is_for(ScenarioRequest(mode=Mode.LOAD_WARM), config) is wanted
    assert is_for(ScenarioRequest(mode=Mode.ENDPOINT), config)
    assert not is_for(ScenarioRequest(mode=Mode.STREAM), config)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "unknown server 'own'"),
        ('command = "serve --port 1"', "neither the command nor env has {port}"),
        ("cwd = '.'", "has no command"),
        ('command = "a {port} && b"', "commands run without a shell, so '&&' would be an argument"),
        ('command = "a \'b {port}"', "not a command: No closing quotation"),
        ('command = "a {port}"\nstop-signal = "SIGSTOP"', "stop-signal must be one of SIGTERM"),
        ('command = "a {port}"\nready = "health"', "ready must be a path or 'first answer'"),
        ('command = "a {port}"\ndialect = "none"', "dialect must be one of"),
        ('command = "a {port}"\nport = 70000', "port must be a number from 1 to 65535"),
        ('command = "a {port}"\nsetup = "make"', "setup must be a list of commands"),
        ('command = "a {port}"\nenv = ["A"]', "env must be a table of variables"),
        ('comand = "a {port}"', "unknown key 'comand'"),
    ],
)
def test_wrong_declaration_is_an_error_that_names_it(tmp_path: Path, table: str, said: str) -> None:
    declared = f"[tool.kokoro-bench.server.own]\n{table}" if table else ""
    with pytest.raises(BenchError) as wrong:
        endpoint_arm(configured(tmp_path, declared, server="own"))
    assert said in str(wrong.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"server": "own", "server_command": "a {port}"}, "server and server-command name two servers"),
        ({"server": "own", "url": "http://127.0.0.1:1"}, "server and url name two servers"),
        ({"server": "own", "engine": "espeak"}, "needs the engine endpoint"),
        ({"server": "own", "pid": "1"}, "the process of a started server is known"),
    ],
)
def test_options_that_contradict_a_server_are_refused(tmp_path: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(BenchError) as wrong:
        configured(tmp_path, WHOLE, **options)
    assert said in str(wrong.value)
