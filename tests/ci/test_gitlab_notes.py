"""The notes on merge requests, by the generated job against as much of GitLab's API as it needs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from harness.ci.comment_text import MARKER
from tests.ci.api_server import send, served
from tests.ci.hostile import HOSTILE, is_text
from tests.conftest import Command

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the jobs run on Linux")

OURS, FORK, BOT, TOKEN = 5, 6, 77, "the-token"
OLD, NEW = "0" * 40, "c0ffee" * 6 + "c0ff"
REQUESTS = f"/projects/{OURS}/merge_requests"
HOST = "https://gitlab.example"


@dataclass
class GitLab:
    """`summaries` are what jobs have written, by project and job. `asked` are the requests that change something."""

    requests: list[dict[str, Any]]
    pipelines: dict[int, list[dict[str, Any]]]
    jobs: dict[tuple[int, int], list[dict[str, Any]]]
    summaries: dict[tuple[int, int], str]
    notes: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    store: str = ""
    """The address that keeps the artifacts."""

    def answer(self, method: str, path: str, content: dict[str, str]) -> Any:
        """What the API answers; None where there is nothing."""
        if path == "/user":
            return {"id": BOT}
        if path == REQUESTS:
            return self.requests
        parts = path.split("/")
        if path.startswith(REQUESTS) and parts[5] == "pipelines":
            return self.pipelines.get(int(parts[4]), [])
        if path.startswith(REQUESTS) and parts[5] == "notes":
            return self._note(method, path, int(parts[4]), content)
        if parts[3] == "pipelines":
            return self.jobs.get((int(parts[2]), int(parts[4])))
        return None

    def _note(self, method: str, path: str, request: int, content: dict[str, str]) -> Any:
        kept = self.notes.setdefault(request, [])
        if method == "GET":
            return kept
        self.asked.append((method, path))
        if method == "POST":
            kept.append({"id": 100 + len(kept), "author": {"id": BOT}, **content})
            return kept[-1]
        found = next(each for each in kept if path.endswith(f"/notes/{each['id']}"))
        found.update(content)
        return found


@pytest.fixture
def gitlab() -> GitLab:
    """A merge request of the project and one of a fork, each with a job that has ended."""

    def job(number: int) -> dict[str, Any]:
        return {"id": number, "name": "kokoro-bench", "status": "failed", "web_url": f"{HOST}/us/-/jobs/{number}"}

    return GitLab(
        requests=[
            {"iid": 1, "sha": NEW, "source_project_id": OURS},
            {"iid": 2, "sha": NEW, "source_project_id": FORK},
        ],
        pipelines={
            1: [{"id": 10, "sha": "1" * 40, "ref": "refs/merge-requests/1/merge", "project_id": OURS}, {"id": 9}],
            2: [{"id": 20, "sha": NEW, "ref": "refs/merge-requests/2/head"}],
        },
        jobs={(OURS, 10): [{"id": 3, "name": "test", "status": "success"}, job(11)], (FORK, 20): [job(21)]},
        summaries={(OURS, 11): "## = Nothing changed\n", (FORK, 21): "## 1 figure got worse\n"},
    )


@pytest.fixture
def api(gitlab: GitLab) -> Iterator[str]:
    """The API's address. The artifacts lie on another server, to which it redirects."""
    stored: set[str | None] = set()

    def store(handler: BaseHTTPRequestHandler) -> None:
        stored.add(handler.headers["private-token"])
        _, project, job = urlsplit(handler.path).path.split("/")
        send(handler, 200, gitlab.summaries[int(project), int(job)].encode())

    def answer(handler: BaseHTTPRequestHandler) -> None:
        path, question = urlsplit(handler.path).path, parse_qs(urlsplit(handler.path).query)
        gitlab.tokens.add(handler.headers["private-token"])
        content = json.loads(handler.rfile.read(int(handler.headers.get("content-length") or 0)) or b"{}")
        if handler.headers["private-token"] != TOKEN:
            send(handler, 401)
        elif path.endswith("/artifacts/kokoro-bench/summary.md"):
            kept = (int(path.split("/")[2]), int(path.split("/")[4]))
            known = kept in gitlab.summaries
            send(handler, 302, location=f"{gitlab.store}/{kept[0]}/{kept[1]}") if known else send(handler, 404)
        elif question.get("page", ["1"]) != ["1"]:
            send(handler, 200, b"[]")
        else:
            found = gitlab.answer(handler.command, path, content)
            send(handler, 500) if found is None else send(handler, 200, json.dumps(found).encode())

    stores = served(store)
    gitlab.store = next(stores)
    yield from served(answer)
    next(stores, None)
    assert stored <= {None}, "the token went along to the artifacts"


@pytest.fixture
def write_notes(here: Command, tmp_path: Path, api: str) -> Any:
    """Run the generated job, and return its exit code and log."""
    assert here("ci", "gitlab").returncode == 0
    job = yaml.safe_load((tmp_path / ".gitlab/kokoro-bench.yml").read_text(encoding="utf-8"))["kokoro-bench-notes"]

    def run(token: str = TOKEN) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", "\n".join(job["script"])],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "CI_API_V4_URL": api,
                "CI_SERVER_URL": HOST,
                "CI_PROJECT_ID": str(OURS),
                "KOKORO_BENCH_TOKEN": token,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        return done.returncode, done.stdout

    return run


def test_each_open_request_gets_one_note_which_is_replaced_only_when_it_changes(
    write_notes: Any, gitlab: GitLab
) -> None:
    gitlab.notes[1] = [{"id": 1, "author": {"id": 3}, "body": f"{MARKER}\nan imitation"}]
    assert write_notes() == (0, "!1: its note was written\n!2: its note was written\n")
    assert write_notes() == (0, "!1: its note is up to date\n!2: its note is up to date\n")
    gitlab.summaries[FORK, 21] = "## = Nothing changed any more\n"
    assert write_notes() == (0, "!1: its note is up to date\n!2: its note was replaced\n")
    assert gitlab.asked == [
        ("POST", f"{REQUESTS}/1/notes"),
        ("POST", f"{REQUESTS}/2/notes"),
        ("PUT", f"{REQUESTS}/2/notes/100"),
    ]
    imitation, ours = gitlab.notes[1]
    assert imitation["body"].endswith("an imitation")
    assert ours["body"] == f"{MARKER}\n## = Nothing changed\n\n[Report and log]({HOST}/us/-/jobs/11) of c0ffeec0\n"


def test_hostile_text_reaches_the_note_escaped(write_notes: Any, gitlab: GitLab) -> None:
    gitlab.summaries[FORK, 21] = "\n\n".join(HOSTILE)
    gitlab.jobs[FORK, 20][0]["web_url"] = "https://evil.example/-/jobs/21"
    write_notes()
    inside = gitlab.notes[2][0]["body"].removeprefix(MARKER)
    assert is_text(inside), inside


def test_a_request_without_an_ended_job_for_its_newest_commit_gets_none(write_notes: Any, gitlab: GitLab) -> None:
    gitlab.pipelines[1] = []
    gitlab.pipelines[2][0]["sha"] = OLD
    gitlab.requests.append({"iid": 3, "sha": NEW, "source_project_id": OURS})
    gitlab.pipelines[3] = [{"id": 30, "sha": NEW, "ref": "refs/merge-requests/3/head", "project_id": OURS}]
    gitlab.jobs[OURS, 30] = [{"id": 31, "name": "kokoro-bench", "status": "running"}]
    code, log = write_notes()
    assert code == 0
    assert log == "".join(f"!{number}: no ended job kokoro-bench for its newest commit\n" for number in (1, 2, 3))
    assert gitlab.asked == []


def test_artifacts_that_have_expired_leave_the_note_as_it_is(write_notes: Any, gitlab: GitLab) -> None:
    write_notes()
    before = json.dumps(gitlab.notes)
    gitlab.summaries.clear()
    code, log = write_notes()
    assert (code, json.dumps(gitlab.notes)) == (0, before)
    assert "!1: the job kokoro-bench wrote no summary, or it has expired" in log


def test_a_request_that_fails_is_named_and_the_others_go_on(write_notes: Any, gitlab: GitLab) -> None:
    del gitlab.jobs[OURS, 10]
    code, log = write_notes()
    assert code == 1
    assert log == "!1: failed: HTTP Error 500: Internal Server Error\n!2: its note was written\n"


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("", "KOKORO_BENCH_TOKEN is empty; it is a project access token (role Reporter, scope api)"),
        ("expired", "cannot be listed: HTTP Error 401: Unauthorized; KOKORO_BENCH_TOKEN needs role Reporter"),
    ],
)
def test_a_token_that_does_not_serve_is_said(write_notes: Any, token: str, said: str) -> None:
    code, log = write_notes(token)
    assert code == 1
    assert said in log
    assert "Traceback" not in log
