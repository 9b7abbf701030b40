"""The privileged half of a pull request's comment on GitHub: a program that is written whole into its workflow.

Which pull request it is, it asks the API and not the artifact. It needs only the standard library, because nothing of
the repository may run where it runs.
"""

import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.ci.comment_text import MARKER, MOST_BYTES, comment_of

AUTHOR = "github-actions[bot]"
MOST_PAGES = 30
TIMEOUT_S = 30


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
    api.comment(number, comment_of(markdown, links=f"[Report and log]({given['RUN_URL']})"))
    sys.stdout.write(f"commented on pull request {number}\n")


if __name__ == "__main__":
    main()
