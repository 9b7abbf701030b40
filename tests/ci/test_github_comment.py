"""The comment on a pull request: only its own comment is replaced, and hostile text reaches it escaped."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from harness.ci.comment_text import MARKER
from tests.ci.api_server import send, served
from tests.ci.hostile import HOSTILE, is_text
from tests.ci.jobs import Runner, workflow
from tests.conftest import Command

SHA = "c0ffee" * 6 + "c0ff"


class GitHub:
    """As much of the API as the comment needs. `asked` are the requests that change something."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = [
            {"id": 1, "user": {"login": "someone"}, "body": f"{MARKER}\nan imitation"},
        ]
        self.asked: list[tuple[str, str]] = []
        self.heads = [{"number": 7, "head": {"sha": SHA}}, {"number": 8, "head": {"sha": "0" * 40}}]
        self.authorised: set[str] = set()

    def answer(self, method: str, path: str, content: dict[str, str]) -> Any:
        place, question = urlsplit(path).path, parse_qs(urlsplit(path).query)
        if method == "GET" and place == "/repos/octo/project/pulls":
            return self.heads if question["head"] == ["fork:feature/x"] else []
        if method == "GET":
            assert place == "/repos/octo/project/issues/7/comments"
            return self.comments if question["page"] == ["1"] else []
        self.asked.append((method, place))
        if method == "POST":
            made = {"id": len(self.comments) + 1, "user": {"login": "github-actions[bot]"}, **content}
            self.comments.append(made)
            return made
        found = next(each for each in self.comments if place.endswith(f"/comments/{each['id']}"))
        found.update(content)
        return found


@pytest.fixture
def github() -> Iterator[tuple[GitHub, str]]:
    api = GitHub()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        api.authorised.add(handler.headers["authorization"])
        content = json.loads(handler.rfile.read(int(handler.headers.get("content-length") or 0)) or b"{}")
        send(handler, 200, json.dumps(api.answer(handler.command, handler.path, content)).encode())

    for address in served(answer):
        yield api, address


@pytest.fixture
def comment(here: Command, tmp_path: Path, github: tuple[GitHub, str]) -> Any:
    """Run the privileged workflow on a summary, and return its log."""
    here("ci", "github")
    job = workflow(tmp_path / ".github/workflows/kokoro-bench-comment.yml")["jobs"]["comment"]
    numbers = iter(range(10))

    def run(summary: str, **changes: str) -> str:
        event = "github.event.workflow_run"
        given = {
            "github.token": "the-token",
            f"{event}.id": "99",
            f"{event}.head_repository.owner.login": "fork",
            f"{event}.head_branch": "feature/x",
            f"{event}.head_sha": SHA,
            f"{event}.html_url": "https://github.com/octo/project/actions/runs/99",
            **changes,
        }
        environment = {"GITHUB_API_URL": github[1], "GITHUB_REPOSITORY": "octo/project"}
        runner = Runner(tmp_path, tmp_path / f"runner-{next(numbers)}", environment, github=given)
        folder = runner.artifacts / "kokoro-bench-comment"
        folder.mkdir()
        (folder / "summary.md").write_text(summary)
        assert runner.run(job), runner.log
        return runner.log

    return run


def test_a_fork_gets_one_comment_which_later_runs_replace(comment: Any, github: tuple[GitHub, str]) -> None:
    api, _ = github
    comment("## ✗ 1 figure got worse\n\n<script>alert(1)</script> [x](https://evil.example) @octocat")
    comment("## = Nothing changed")
    assert api.asked == [
        ("POST", "/repos/octo/project/issues/7/comments"),
        ("PATCH", "/repos/octo/project/issues/comments/2"),
    ]
    assert api.authorised == {"Bearer the-token"}
    imitation, ours = api.comments
    assert imitation["body"].endswith("an imitation")
    link = "[Report and log](https://github.com/octo/project/actions/runs/99)"
    assert ours["body"] == f"{MARKER}\n## = Nothing changed\n\n{link}\n"


def test_hostile_text_reaches_the_comment_escaped(comment: Any, github: tuple[GitHub, str]) -> None:
    comment("\n\n".join(HOSTILE))
    body = github[0].comments[-1]["body"]
    inside = body.removeprefix(MARKER).rpartition("\n\n[Report and log]")[0]
    assert is_text(inside), inside


def test_a_pull_request_that_has_moved_on_gets_no_comment(comment: Any, github: tuple[GitHub, str]) -> None:
    log = comment("## old", **{"github.event.workflow_run.head_sha": "1" * 40})
    assert "no open pull request has this head" in log
    assert github[0].asked == []
