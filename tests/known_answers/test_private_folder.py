"""Nothing that is published names a folder of the user's: the real commands are run in one with a telltale name.

Models (one that cannot be loaded among them), voices, results, configuration and outputs lie in it. Runs of earlier
versions, which stored whole command lines, are published clean as well.
"""

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.records.repetition import Outcome, OutcomeKind
from harness.core.records.run import RunRecord
from harness.models.files import ModelFiles
from harness.store.payload import PAYLOAD_FORMAT, decode, encode
from tests.conftest import Command

TELLTALE = "zz-private-folder"
OLD = f"/home/me/{TELLTALE}/my models"
RUN = ("run", "-k", "text_lengths", "--text", "chars-12", "--launches", "1", "--blocks", "1", "--warmups", "1",
       "--threads", "1", "--budget", "60s")  # fmt: skip


@pytest.fixture
def private(tmp_path: Path, small_replica: ModelFiles) -> Path:
    """A project in a folder of the user's, beside models that are not of the catalogue."""
    import onnx

    folder = tmp_path / TELLTALE
    (folder / "models").mkdir(parents=True)
    (folder / "project").mkdir()
    model = onnx.load(small_replica.model_path)
    for name in ("first", "second"):
        model.producer_name = name
        onnx.save(model, folder / "models" / f"{name}.onnx")
    model.graph.node[len(model.graph.node) // 2].op_type = "NoSuchOperator"
    onnx.save(model, folder / "models" / "broken.onnx")
    shutil.copy(small_replica.voices_path, folder / "models" / "voices.npz")
    (folder / "project" / "pyproject.toml").write_text(
        f'[tool.kokoro-bench]\nvoices = "{folder / "models" / "voices.npz"}"\nresults = "../results/r.sqlite"\n'
    )
    return folder / "project"


def published_under(project: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file that others read, and what is in it."""
    for folder in ("out", "reports", "baselines"):
        for file in sorted((project / folder).rglob("*")):
            if file.is_file():
                yield file.relative_to(project), file.read_bytes()


def publish(here: Command, project: Path, *, accepted: str = "latest") -> None:
    """Write everything that can be written of the two newest runs, of which one is accepted."""
    (project / "out").mkdir(exist_ok=True)
    for form in ("jsonl", "csv", "pytest-benchmark"):
        for run in ("latest", "latest~1"):
            found = here("runs", "export", run, "--format", form, "-o", f"out/{run}.{form}", directory=project)
            assert found.returncode == 0, found.stderr
    listed = here("runs", "list", "--json", directory=project)
    (project / "out" / "list.json").write_text(listed.stdout)
    for arguments in (
        ("report",),
        ("report", "--single-file", "latest", "-o", "out/single.html"),
        ("compare", "latest~1", "latest", "--html", "-o", "out/compare.html"),
        ("compare", "latest~1", "latest", "--markdown", "-o", "out/compare.md"),
        ("baseline", "promote", accepted),
    ):
        found = here(*arguments, directory=project)
        assert found.returncode == 0, (arguments, found.stdout, found.stderr)


def assert_clean(project: Path) -> None:
    found = dict(published_under(project))
    assert {path.suffix for path in found} >= {".html", ".md", ".csv", ".jsonl", ".json"}
    telltale = TELLTALE.encode()
    leaks = {
        str(path): content[max(0, at - 120) : at + 60]
        for path, content in found.items()
        if (at := content.find(telltale)) >= 0
    }
    assert leaks == {}
    assert [path for path in found if TELLTALE in str(path)] == []


def test_nothing_published_of_real_runs_names_the_folder(here: Command, private: Path) -> None:
    models = private.parent / "models"
    given = f"{models / 'first.onnx'},../models/second.onnx,{models / 'broken.onnx'}"
    outputs = ("--summary", "out/summary.md", "--json", "out/bench.json")
    failed = here(*RUN, "--model", given, *outputs, directory=private)
    assert failed.returncode == 3, failed.stdout + failed.stderr
    assert "NoSuchOperator" in failed.stdout
    assert "sound: second.cpu.t1 is compared with first.cpu.t1" in failed.stdout, "nobody knows the files' originals"
    scripted = here("run", "--engine", "scripted", "-k", "text_lengths", "--text", "chars-12", directory=private)
    assert scripted.returncode == 0, scripted.stdout + scripted.stderr
    publish(here, private, accepted="latest~1")  # the scripted clock stands at another year
    assert_clean(private)
    pages = "".join(page.read_text(encoding="utf-8") for page in (private / "reports").rglob("runs/*.html"))
    assert "NoSuchOperator" in pages, "what went wrong is said all the same"
    heads = [re.sub("<.*?>", "", head) for head in re.findall(r'<p class="chosen">(.*?)</p>', pages)]
    assert "quick · first, second, broken · 1 thread · chars-12 · -k text_lengths" in heads


def test_a_duel_of_files_is_published_by_their_names(here: Command, private: Path) -> None:
    """On the scripted engine, so that it takes no time; the sides are what a user writes for files."""
    for number in range(2):
        found = here("duel", "threads=2", "current", "--engine", "scripted", "--seed", str(number), directory=private)
        assert found.returncode == 0, found.stdout + found.stderr
    spoil(private.parent / "results" / "r.sqlite", f"duel: model={OLD}/a.onnx,threads=2 against {TELLTALE}/b.onnx")
    publish_without_baseline(here, private)
    assert_clean(private)
    assert b"duel: model=a.onnx,threads=2 against b.onnx" in (private / "out" / "latest.jsonl").read_bytes()


def publish_without_baseline(here: Command, project: Path) -> None:
    """The same for runs that cannot be accepted."""
    (project / "out").mkdir(exist_ok=True)
    (project / "baselines").mkdir(exist_ok=True)
    for form in ("jsonl", "csv", "pytest-benchmark"):
        here("runs", "export", "latest", "--format", form, "-o", f"out/latest.{form}", directory=project)
    here("report", directory=project)
    here("report", "--single-file", "latest", "-o", "out/single.html", directory=project)
    here("compare", "latest", "-o", "out/compare.md", directory=project)
    (project / "out" / "list.json").write_text(here("runs", "list", "--json", directory=project).stdout)


def spoil(database: Path, selection: str) -> None:
    """Let every stored run say of itself what one of an earlier version may have said, folders and all."""
    told = f"cannot read {OLD}/k.onnx: [Errno 13] Permission denied: '{OLD}'"
    with sqlite3.connect(database) as connection:
        for key, payload in connection.execute("SELECT key, payload FROM bench_runs").fetchall():
            run = decode(payload, RunRecord, payload_format=PAYLOAD_FORMAT, where="here")
            for name, value in (("selection", selection), ("notes", (*run.notes, told)), ("reason", told)):
                object.__setattr__(run, name, value)
            connection.execute(
                "UPDATE bench_runs SET payload = ?, selection = ?, reason = ? WHERE key = ?",
                (encode(run), selection, told, key),
            )
        connection.execute("UPDATE bench_summaries SET reason = ? WHERE n = 0", (told,))
        _spoil_launches(connection, Outcome(kind=OutcomeKind.CRASHED, reason=told, stderr_tail=told))


def _spoil_launches(connection: sqlite3.Connection, outcome: Outcome) -> None:
    from dataclasses import replace

    from harness.core.records.repetition import Launch

    rows = connection.execute("SELECT key, payload FROM bench_launches").fetchall()
    for key, payload in rows[:1]:
        launch = decode(payload, Launch, payload_format=PAYLOAD_FORMAT, where="here")
        spoiled = encode(replace(launch, outcome=outcome))
        connection.execute("UPDATE bench_launches SET payload = ? WHERE key = ?", (spoiled, key))


def test_runs_of_earlier_versions_are_published_clean(here: Command, private: Path) -> None:
    for number in range(2):
        options = ("--engine", "scripted", "--model", "scripted", "--text", "chars-12", "--seed", str(number))
        found = here("run", *options, "-k", "text_lengths", "--report", "elsewhere", directory=private)
        assert found.returncode == 0, found.stdout + found.stderr
    spoil(
        private.parent / "results" / "r.sqlite",
        f"quick --model {OLD}/k.onnx,{TELLTALE}/l.onnx --threads 1 --say one/two -k long {TELLTALE}/tests/test_mine.py",
    )
    publish(here, private)
    (private / "out" / "x.md").write_text("")
    assert_clean(private)
    said = json.loads((private / "out" / "list.json").read_text())[0]["selection"]
    assert said == "quick --model k.onnx,l.onnx --threads 1 --say one/two -k long test_mine.py"
    assert "quick · k, l · 1 thread · “one/two” · -k long test_mine.py" in re.sub(
        "<.*?>", "", (private / "reports" / "site" / "index.html").read_text()
    )
