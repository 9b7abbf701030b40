"""The privileged half of a merge request's note on GitLab: a program that is written whole into its job.

It runs on a schedule of the project that merge requests are made to, on its default branch, so that it has a token that
no code of a merge request can read, and serves forks too. Which merge requests are open, and which pipelines and jobs
are theirs, it asks the API. It needs only the standard library: nothing of the repository may run where it runs.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from harness.ci.comment_text import MARKER, MOST_BYTES, comment_of

JOB = "kokoro-bench"
SUMMARY = "kokoro-bench/summary.md"
ENDED = ("success", "failed")
MOST_PAGES = 30
PER_PAGE = 100
TIMEOUT_S = 30
NEEDED = (
    "a project access token (role Reporter, scope api) as a protected, masked variable (Settings, CI/CD, Variables)"
)


class Api:
    """GitLab's API with the token of this project."""

    def __init__(self, *, url: str, token: str, project: str) -> None:
        self._url = url
        self._token = token
        self._project = project

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """The answer to GET, read as JSON. OSError."""
        return json.loads(self._ask("GET", path))

    def all_of(self, path: str) -> Iterator[Any]:
        """The entries of a list, page by page. OSError."""
        mark = "&" if "?" in path else "?"
        for page in range(1, MOST_PAGES + 1):
            found = self.get(f"{path}{mark}per_page={PER_PAGE}&page={page}")
            yield from found
            if len(found) < PER_PAGE:
                return

    def of_project(self, path: str) -> str:
        """A path below this project."""
        return f"/projects/{self._project}{path}"

    def summary(self, project: int, job: int) -> str | None:
        """What the job of a merge request wrote; None where it wrote nothing. OSError."""
        try:
            kept = self._ask("GET", f"/projects/{project}/jobs/{job}/artifacts/{SUMMARY}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return kept.decode("utf-8", errors="replace")

    def note(self, request: int, body: str) -> str:
        """Write the note, or replace the one that this token's user wrote before. Returns what was done. OSError."""
        own = self.get("/user")["id"]
        notes = self.of_project(f"/merge_requests/{request}/notes")
        for each in self.all_of(notes):
            if each["author"]["id"] == own and str(each["body"]).startswith(MARKER):
                # GitLab keeps a note without the blank at its end.
                if str(each["body"]).strip() == body.strip():
                    return "is up to date"
                self._ask("PUT", f"{notes}/{int(each['id'])}", {"body": body})
                return "was replaced"
        self._ask("POST", notes, {"body": body})
        return "was written"

    def _ask(self, method: str, path: str, content: dict[str, str] | None = None) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - the address is the runner's own
            self._url + path,
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={"Content-Type": "application/json"},
        )
        # A redirect to where the artifacts are kept must not take the token along.
        request.add_unredirected_header("PRIVATE-TOKEN", self._token)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - likewise
            return bytes(answer.read(MOST_BYTES) if SUMMARY in path else answer.read())


def newest_job(api: Api, request: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
    """The project and the ended job of a merge request's newest pipeline, if that is of its newest commit. OSError."""
    pipelines = api.get(api.of_project(f"/merge_requests/{int(request['iid'])}/pipelines"))
    newest = pipelines[0] if pipelines else None
    # The commit of a pipeline for merged results is a merge that is made for it.
    if newest is None or (newest["sha"] != request["sha"] and not str(newest.get("ref", "")).endswith("/merge")):
        return None
    project = int(newest.get("project_id") or request["source_project_id"])
    for job in api.all_of(f"/projects/{project}/pipelines/{int(newest['id'])}/jobs"):
        if job["name"] == JOB and job["status"] in ENDED:
            return project, job
    return None


def write_note(api: Api, request: dict[str, Any], *, server: str) -> str:
    """Bring the note of one merge request up to date, and return what was done. OSError."""
    found = newest_job(api, request)
    if found is None:
        return f"no ended job {JOB} for its newest commit"
    project, job = found
    summary = api.summary(project, int(job["id"]))
    if summary is None:
        return f"the job {JOB} wrote no summary, or it has expired"
    url = str(job["web_url"])
    links = f"[Report and log]({url}) of {str(request['sha'])[:8]}" if url.startswith(f"{server}/") else ""
    return "its note " + api.note(int(request["iid"]), comment_of(summary, links=links))


def main() -> None:
    """Write the notes of all open merge requests. One that fails is reported, and the others go on."""
    given = os.environ
    if not given.get("KOKORO_BENCH_TOKEN"):
        sys.exit(f"KOKORO_BENCH_TOKEN is empty; it is {NEEDED}")
    api = Api(url=given["CI_API_V4_URL"], token=given["KOKORO_BENCH_TOKEN"], project=given["CI_PROJECT_ID"])
    try:
        opened = list(api.all_of(api.of_project("/merge_requests?state=opened")))
    except OSError as error:
        sys.exit(
            f"the open merge requests cannot be listed: {error}; KOKORO_BENCH_TOKEN needs role Reporter and scope api"
        )
    failed = False
    for request in opened:
        try:
            done = write_note(api, request, server=given["CI_SERVER_URL"])
        except (OSError, ValueError, KeyError) as error:
            done, failed = f"failed: {error}", True
        sys.stdout.write(f"!{int(request['iid'])}: {done}\n")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
