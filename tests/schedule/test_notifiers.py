"""Channels: each tells, each may fail, none takes the others with it."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import ConfigError
from harness.schedule.notifiers import REPEATED, Line, Message, channels, tell

LINE = Line(
    kind="regression", subject="replica/whole", metric="latency", sentence="latency is worse by +10 %", run="run-1",
    size=0.1, low=0.05, high=0.15, suspects=("onnxruntime 1.30 → 1.31",),
)  # fmt: skip
MESSAGE = Message(
    event="alert", subject="kokoro-bench: latency", text="latency is worse", run="run-1", machine="two-core",
    job="nightly", link="https://bench.example/runs/run-1.html", alerts=(LINE,),
)  # fmt: skip


@pytest.fixture
def hook() -> Iterator[Any]:
    """A webhook that keeps what it gets, and answers as it is told."""
    got: list[dict[str, Any]] = []
    kept = SimpleNamespace(got=got, status=200, keys=[])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            kept.keys.append(self.headers["idempotency-key"])
            self.send_response(kept.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    kept.url = f"http://127.0.0.1:{server.server_port}/hook"
    yield kept
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_webhook_gets_everything(hook: Any, tmp_path: Path) -> None:
    assert tell(channels([hook.url], root=tmp_path), MESSAGE) == ""
    [got] = hook.got
    assert got["text"] == "latency is worse"
    assert got["alerts"][0]["size"] == 0.1
    assert got["link"].startswith("https://")


def test_a_file_gets_a_line(tmp_path: Path) -> None:
    found = channels(["file:logs/alerts.jsonl"], root=tmp_path)
    assert [tell(found, MESSAGE), tell(found, MESSAGE)] == ["", ""]
    lines = (tmp_path / "logs/alerts.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["run"] for line in lines] == ["run-1", "run-1"]


def test_a_file_says_whether_it_has_a_message(tmp_path: Path) -> None:
    [found] = channels(["file:alerts.jsonl"], root=tmp_path)
    first, second = replace(MESSAGE, id="one"), replace(MESSAGE, id="another")
    assert not found.has(first)
    found.send(first)
    assert (found.has(first), found.has(second)) == (True, False)
    with (tmp_path / "alerts.jsonl").open("ab") as file:
        file.write(second.as_json().encode()[:-1])
    assert not found.has(second)  # a part of a line is no message


def test_a_webhook_can_tell_a_message_that_came_before(hook: Any, tmp_path: Path) -> None:
    message = replace(MESSAGE, id="one")
    for each in (message, replace(message, repeated=True)):
        assert tell(channels([hook.url], root=tmp_path), each) == ""
    assert [(got["id"], got["repeated"]) for got in hook.got] == [("one", False), ("one", True)]
    assert hook.keys == ["one", "one"]


def test_a_text_for_people_says_that_it_may_have_arrived_before() -> None:
    assert MESSAGE.for_people == "latency is worse"
    assert replace(MESSAGE, repeated=True).for_people == f"latency is worse\n{REPEATED}"


def test_equal_targets_are_one_and_keys_hold_no_secret(tmp_path: Path) -> None:
    declared = ["https://x.example/${TOKEN}", "file:told", "https://x.example/${TOKEN}"]
    found = channels(declared, root=tmp_path, environment={"TOKEN": "secret"})
    assert [channel.name for channel in found] == ["webhook x.example", "file told"]
    keys = {channel.key for channel in found}
    assert (len(keys), any("secret" in key for key in keys)) == (2, False)


def test_a_command_gets_it_on_standard_input(tmp_path: Path) -> None:
    code = "import sys; open('got', 'w').write(sys.stdin.read())"
    assert tell(channels([f'command:{sys.executable} -c "{code}"'], root=tmp_path), MESSAGE) == ""
    assert json.loads((tmp_path / "got").read_text())["event"] == "alert"


def test_a_command_gets_utf_8_in_any_locale_and_may_say_what_is_no_text(tmp_path: Path) -> None:
    text = "−6.2 % ± 1"
    (tmp_path / "hook.py").write_text(
        "import sys\nopen('got', 'wb').write(sys.stdin.buffer.read())\n"
        "sys.stderr.buffer.write(b'caf\\xe9 closed')\nsys.exit(3)\n"
    )
    program = (
        "from tests.schedule.test_notifiers import MESSAGE\nfrom dataclasses import replace\nfrom pathlib import Path\n"
        "from harness.schedule.notifiers import channels, tell\n"
        f"found = channels(['command:{sys.executable} hook.py'], root=Path.cwd())\n"
        f"print(ascii(tell(found, replace(MESSAGE, text={text!a}))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert "ended with exit code 3: caf\\ufffd closed" in done.stdout, done.stderr
    assert json.loads((tmp_path / "got").read_bytes())["text"] == text


def test_what_fails_says_so_without_its_secrets_and_the_rest_is_told(hook: Any, tmp_path: Path) -> None:
    hook.status = 500
    declared = [
        hook.url + "/${TOKEN}",
        "http://127.0.0.1:1/secret",
        "command:false",
        "command:/no/such/program",
        "file:pyproject.toml/x",
        "file:told",
    ]
    (tmp_path / "pyproject.toml").write_text("")
    trouble = tell(channels(declared, root=tmp_path, environment={"TOKEN": "secret"}), MESSAGE)
    assert trouble.count(";") == 4
    for part in ("webhook 127.0.0.1: answered 500", "cannot be reached (ConnectError)", "exit code 1: no output"):
        assert part in trouble
    assert "secret" not in trouble
    assert (tmp_path / "told").is_file()


@pytest.mark.parametrize(
    ("text", "says"),
    [("https://x/${MISSING}", "no MISSING"), ("https://x/$", "names nothing"), ("mail me", "unsupported alert target"),
     ("command:'", "no command"), ("file:", "unsupported alert target"), ("ftp", "unsupported alert target")],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_at_the_start(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        channels([text], root=tmp_path, environment={})


def test_apprise_that_is_missing_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConfigError, match=r"not installed.*kokoro-bench\[alerts\]"):
        channels(["mailto://user:secret@example.org"], root=tmp_path)


@pytest.mark.parametrize(("works", "trouble"), [(True, ""), (False, "apprise mailto: could not be delivered")])
def test_any_other_address_is_apprises(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, works: bool, trouble: str
) -> None:
    asked: list[Any] = []

    class Sender:
        def add(self, url: str) -> bool:
            asked.append(url)
            return True

        def notify(self, **message: Any) -> bool:
            asked.append(message)
            return works

    module: Any = ModuleType("apprise")
    module.Apprise = Sender
    module.NotifyType = SimpleNamespace(SUCCESS="success", WARNING="warning")
    monkeypatch.setitem(sys.modules, "apprise", module)
    assert tell(channels(["mailto://a@example.org"], root=tmp_path), MESSAGE) == trouble
    assert asked[0] == "mailto://a@example.org"
    assert asked[1] == {"title": MESSAGE.subject, "body": MESSAGE.text, "notify_type": "warning"}
