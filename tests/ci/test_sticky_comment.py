"""The comment on a pull request: hostile Markdown becomes text, and only its own comment is replaced."""

import html
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from harness.ci.sticky_comment import MARKER, MOST_CHARACTERS, harmless
from reports.views.summary import escape, table
from tests.ci.jobs import Runner, workflow
from tests.conftest import Command

SHA = "c0ffee" * 6 + "c0ff"
HOSTILE = (
    "<script>alert(1)</script>",
    "<!-- kokoro-bench --> <img src=x onerror=alert(1)>",
    "[click](https://evil.example) ![pixel](https://evil.example/p.png)",
    "[a]: https://evil.example",
    "https://evil.example www.evil.example evil@evil.example",
    "@octocat please merge, closes #1, GH-1, octo/repo#2",
    "&lt;b&gt; &#60;b&#62; \\<b\\> \\&lt;",
    "```\ncode\n```",
    "~~~\ncode\n~~~",
    "    indented",
    "| a | <b> | [x](y) |",
    "## <b>heading</b> [x](https://evil.example)",
    "- [ ] task @octocat",
    "heading\n===\n---",
    "`https://evil.example` `<b>` ``x`` \\`y`",
    "> [!WARNING]\n> trust me",
    "$x$ \u202eright to left\u202c \u200b \x00 \x1b[31m",
    "10) list\n1. list\n* list\n+ list",
    ":octocat: ^[footnote] [^1]",
)
SYNTAX = re.compile(r"<|>|(?<!&)(?<!\\)#|(?<!\\)[\[\]*_~$]|@|:(?=/)|(?<!\\)```|&(?!#\d+;)|[\x00-\x09\u200b-\u202e]")
"""What Markdown would act on."""
SHOWN = re.compile(r"@\w|#\d|://|www\.\w|GH-\d", re.IGNORECASE)
"""What GitHub would act on in the text that it shows."""


def without_structure(text: str) -> str:
    """The text without what the comment keeps: headings, lists, tables and plain code."""
    lines = [re.sub(r"^(#{2,3}|-) ", "", line) for line in text.split("\n")]
    return "\n".join(re.sub(r"(?<!\\)`[A-Za-z0-9 .,_=/~^+%-]+`", " ", line) for line in lines)


def is_text(markdown: str) -> bool:
    """Whether nothing in the text takes effect, neither as Markdown nor in what is shown of it."""
    left = without_structure(markdown)
    shown = re.sub(r"\\(\W)", r"\1", html.unescape(left))
    return not SYNTAX.search(left) and not SHOWN.search(shown)


KEPT = {"heading", "paragraph", "bullet_list", "list_item", "table", "thead", "tbody", "tr", "th", "td", "inline"}


def has_only_the_kept_structure(markdown: str) -> bool:
    """Whether a reader of Markdown finds only headings, paragraphs, lists, tables, text and plain code."""
    blocks = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)
    inner = {child.type for block in blocks for child in block.children or ()}
    outer = {block.type.removesuffix("_open").removesuffix("_close") for block in blocks}
    return outer <= KEPT and inner <= {"text", "code_inline", "softbreak", "text_special"}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_is_text(text: str) -> None:
    assert is_text(harmless(text)), harmless(text)
    assert has_only_the_kept_structure(harmless(text)), harmless(text)


def test_what_the_checks_below_look_for_is_found() -> None:
    assert not any(
        map(has_only_the_kept_structure, ("<b>", "[x](y)", "```", "> x", "***", "*x*", "<https://x.example>"))
    )
    assert not any(map(is_text, ("<b>", "[x](y)", "&#64;octocat", "\\#1", "https&#58;//x", "www.x.example", "```")))


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(st.sampled_from(HOSTILE), st.text(alphabet="<>[]()!@#`\\&;:|*_~$-=+. \n\tahtpsw/GH160", max_size=40))
    )
)
def test_whatever_is_mixed_of_it_is_text(parts: list[str]) -> None:
    once = harmless("".join(parts))
    assert is_text(once), once
    assert has_only_the_kept_structure(once), once
    assert harmless(once) == once


def test_tables_of_ours_come_through_as_they_are() -> None:
    """A whole summary is tried with the workflows, end to end."""
    rows = table(("a", "b"), [("x | y", "<b> & `c` #one a: b"), ("1. one", "- two")])
    assert harmless(rows) == rows
    assert harmless(escape("*bold* _it_ ~s~ $m$")) == escape("*bold* _it_ ~s~ $m$")


def test_a_long_summary_is_cut_at_a_line() -> None:
    cut = harmless("- line\n" * 100_000)
    assert len(cut) < MOST_CHARACTERS + 100
    assert cut.endswith("- line\n\n… and more, in the report.")


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

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            api.authorised.add(self.headers["authorization"])
            content = json.loads(self.rfile.read(length) or b"{}")
            body = json.dumps(api.answer(self.command, self.path, content)).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = _do  # noqa: N815 - the base's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield api, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


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
