"""The privileged half of a pull request's comment: a program of its own, written whole into its workflow.

It reads a summary that the code of a pull request may have written, and so trusts nothing in it. It keeps headings,
lists, tables and plain code, and writes everything else as text. Which pull request it is, it asks the API and not the
artifact. It needs only the standard library, because nothing of the repository may run where it runs.
"""

import json
import os
import re
import sys
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

MARKER = "<!-- kokoro-bench -->"
AUTHOR = "github-actions[bot]"
MOST_BYTES = 200_000
MOST_CHARACTERS = 60_000
MOST_PAGES = 30
TIMEOUT_S = 30

BREAK = "&#8203;"
"""A space without width. GitHub looks for mentions, references and addresses in the text that it shows, so that an
escape alone does not keep `@name` from being one."""
ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])|&#(\d{1,4});")
SPECIAL = re.compile(r"[\\`*_{}\[\]#|<>&~@$]|:(?=[^\s\d])|^[-+](?=\s)|(?<=^\d)[.)](?=\s)|(?<=^\d\d)[.)](?=\s)")
LINKED = re.compile(r"(&#64;|\\#(?=\d)|&#58;(?=//)|\bwww\.|\bGH-(?=\d))", re.IGNORECASE)
CODE = re.compile(r"(?<![\\`])(`[A-Za-z0-9 .,_=/~^+%-]+`)(?!`)")
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb]"
)


def harmless(markdown: str) -> str:
    """The summary with its structure, and all of its text as text: no link, mention, HTML or reference takes effect."""
    kept: list[str] = []
    size = 0
    for raw in markdown.split("\n"):
        line = _line(" ".join(_visible(raw).split()))
        size += len(line) + 1
        if size > MOST_CHARACTERS:
            kept.append("\n… and more, in the report.")
            break
        kept.append(line)
    return "\n".join(kept).strip()


def _line(line: str) -> str:
    if re.fullmatch(r"\|( --- \|)+", line):
        return line
    if len(line) > 3 and line.startswith("| ") and line.endswith(" |"):
        return "| " + " | ".join(_text(cell.strip()) for cell in line[2:-2].split("|")) + " |"
    heading = re.match(r"(#{2,3}|-) (?=\S)", line)
    if heading:
        return heading[0] + _text(line[heading.end() :])
    text = _text(line)
    # It would begin a list, underline a heading, or draw a line.
    return f"\\{text}" if text[:1] in {"-", "+", "="} else text


def _text(text: str) -> str:
    """One piece of text. Code of harmless characters stays code."""
    parts = CODE.split(text)
    return "".join(part if index % 2 else _escape(_plain(part)) for index, part in enumerate(parts))


def _plain(text: str) -> str:
    """What escaped text says."""
    return ESCAPED.sub(lambda found: found[1] or _character(int(found[2])), text)


def _character(number: int) -> str:
    """The character of a number; nothing for one that cannot be seen."""
    return _visible(chr(number)) if 32 <= number < 8192 else ""


def _escape(text: str) -> str:
    escaped = SPECIAL.sub(lambda found: f"&#{ord(found[0])};" if found[0] in "<>&@|:" else f"\\{found[0]}", text)
    return LINKED.sub(rf"\1{BREAK}", escaped)


def _visible(text: str) -> str:
    return HIDDEN.sub(lambda found: f"\u27e8U+{ord(found[0]):04X}\u27e9", text)


def comment_of(markdown: str, *, run_url: str) -> str:
    """The whole comment."""
    return f"{MARKER}\n{harmless(markdown) or 'No summary was written.'}\n\n[Report and log]({run_url})\n"


class Api:
    """GitHub's API with the token of this workflow."""

    def __init__(self, *, url: str, token: str, repository: str) -> None:
        self._url = f"{url}/repos/{repository}"
        self._token = token

    def ask(self, method: str, path: str, content: dict[str, str] | None = None) -> Any:  # noqa: ANN401 - JSON
        """The answer to a request, read as JSON. Raises OSError if it fails."""
        request = urllib.request.Request(  # noqa: S310 - the address is the runner's own
            self._url + path,
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Accept": "application/vnd.github+json",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - likewise
            return json.load(answer)

    def pull_request(self, *, owner: str, branch: str, commit: str) -> int | None:
        """The number of the open pull request whose head is `commit`; None if it has moved on or was closed."""
        head = quote(f"{owner}:{branch}", safe="")
        found = self.ask("GET", f"/pulls?state=open&per_page=100&head={head}")
        return next((int(each["number"]) for each in found if each["head"]["sha"] == commit), None)

    def comment(self, number: int, body: str) -> None:
        """Write the comment, or replace the one that this workflow wrote before."""
        for page in range(1, MOST_PAGES + 1):
            found = self.ask("GET", f"/issues/{number}/comments?per_page=100&page={page}")
            for each in found:
                if each["user"]["login"] == AUTHOR and str(each["body"]).startswith(MARKER):
                    self.ask("PATCH", f"/issues/comments/{int(each['id'])}", {"body": body})
                    return
            if len(found) < 100:
                break
        self.ask("POST", f"/issues/{number}/comments", {"body": body})


def main() -> None:
    """Comment on the pull request that the environment names by owner, branch and commit."""
    given = os.environ
    with Path(sys.argv[1]).open("rb") as file:
        markdown = file.read(MOST_BYTES).decode("utf-8", errors="replace")
    api = Api(url=given["GITHUB_API_URL"], token=given["COMMENT_TOKEN"], repository=given["GITHUB_REPOSITORY"])
    number = api.pull_request(owner=given["HEAD_OWNER"], branch=given["HEAD_BRANCH"], commit=given["HEAD_SHA"])
    if number is None:
        sys.stdout.write("no open pull request has this head: it has moved on, so there is nothing to comment\n")
        return
    api.comment(number, comment_of(markdown, run_url=given["RUN_URL"]))
    sys.stdout.write(f"commented on pull request {number}\n")


if __name__ == "__main__":
    main()
