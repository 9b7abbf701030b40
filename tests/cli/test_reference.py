"""`baseline promote` leaves a reference: what each arm's worker loaded, which later runs are held against."""

import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

import harness
from harness.core.records.verdict import VerdictKind
from harness.measure.worker import loaded_software
from harness.server.mock.script import Answer, Script, Step
from harness.server.mock.server import serving
from tests.cli.test_bad_input import listed, refused
from tests.conftest import Command, Laboratory

RUN = ("run", "--engine", "scripted", "--model", "scripted", "--launches", "1", "--blocks", "1")
ONE = (*RUN, "-k", "chars-12")
ARM = "scripted.cpu.tdefault"
SHORT, MEDIUM = (f"{ARM}/whole/{name}/af_heart" for name in ("chars-12", "chars-60"))
EXPECTED = f"""# What is accepted: everything that the worker of each arm loaded. Review it like code.
# `kokoro-bench baseline promote RUN` writes this file; docs/method.md describes it.

format = 1

[[arms]]
id = "{ARM}"
run = "RUN"
date = "DATE"
reason = "the first one"
engine = "scripted"
engine-version = "plain"
engine-source = "DIGEST"
harness-version = "VERSION"
revision = ""
dirty = false
interpreter = "CPython VERSION"
provider = "cpu"
threads = 0
scenarios = [
  "{SHORT}",
]

[arms.model]
name = "scripted"
recipe = ""
parent = ""
sha256 = "DIGEST"
voices-sha256 = ""
"""


def git(project: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(project), *identity, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def committed(tmp_path: Path) -> Path:
    """A project with the modules of this checkout that a worker loads, committed."""
    project = tmp_path / "project"
    for name in ("core", "engines", "measure", "metrics"):
        source = Path(harness.__path__[0]) / name
        shutil.copytree(source, project / "harness" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(harness.__path__[0]) / "__init__.py", project / "harness")
    (project / "docs").mkdir()
    (project / "docs" / "notes.md").write_text("Notes.\n", encoding="utf-8")
    git(project, "init", "--quiet")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message", "Start")
    return project


@pytest.fixture
def project(committed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same; its modules are those whose digest scripted workers report."""
    monkeypatch.setattr(loaded_software, "harness", SimpleNamespace(__path__=[str(committed / "harness")]))
    return committed


def changed(project: Path, file: str, *, commit: bool) -> None:
    with (project / file).open("a", encoding="utf-8") as end:
        end.write("\n# changed\n")
    if commit:
        git(project, "commit", "--quiet", "--all", "--message", f"Change {file}")


def references(out: str) -> list[str]:
    return [line.removeprefix("reference  ") for line in out.splitlines() if line.startswith("reference  ")]


def generalised(text: str) -> str:
    """The file without what differs from day to day and from machine to machine."""
    for pattern, name in (
        (r'(?<=run = ")[0-9a-f-]+', "RUN"),
        (r'(?<=date = ")' + f"{datetime.now(tz=UTC):%Y-%m-%d}", "DATE"),
        (r'(?<=engine-version = ")(?=")', "plain"),
        (r'(?<=")[0-9a-f]{64}', "DIGEST"),
        (r'(?<=[" ])\d+\.\d+[^"]*', "VERSION"),
    ):
        text = re.sub(pattern, name, text)
    return text


def test_promotion_writes_the_reference_and_only_the_worker_s_modules_change_it(here: Command, project: Path) -> None:
    file = project / "baselines" / "reference.toml"
    assert here(*ONE, directory=project).returncode == 0
    assert references(here("baseline", "diff", directory=project).stdout) == [f"{ARM}: new (1 scenario)"]
    assert not file.exists()
    accepted = here("baseline", "promote", "--reason", "the first  one", directory=project)
    assert accepted.returncode == 0, accepted.stderr
    assert f"the reference is in {file}" in accepted.stdout
    first = file.read_text(encoding="utf-8")
    assert generalised(first) == EXPECTED

    changed(project, "docs/notes.md", commit=True)
    assert here(*ONE, directory=project).returncode == 0
    assert references(here("baseline", "diff", directory=project).stdout) == []
    assert here("baseline", "promote", directory=project).returncode == 0
    assert file.read_text(encoding="utf-8") == first

    changed(project, "harness/engines/scripted.py", commit=False)
    assert here(*ONE, directory=project).returncode == 0
    [told] = references(here("baseline", "diff", directory=project).stdout)
    source = r"source of engine scripted [0-9a-f]{8} → [0-9a-f]{8}"
    assert re.fullmatch(rf"{ARM}: {source} \(1 scenario\)", told)
    accepted = here("baseline", "promote", directory=project)
    assert "no reason is given" in accepted.stdout
    second = file.read_text(encoding="utf-8")
    assert 'reason = ""' in second
    assert re.findall("engine-source = .*", second) != re.findall("engine-source = .*", first)
    assert ARM in here("baseline", "show", "--reference", directory=project).stdout


class TestRealEngine:
    """espeak-ng in worker processes, which load the modules of this checkout."""

    ESPEAK = ("run", "--engine", "espeak", "--launches", "1", "--blocks", "1", "--budget", "60s", "-k", "chars-12")

    @pytest.fixture
    def told(self, kokoro_bench: Command, committed: Path) -> Callable[[], str]:
        """Measure, accept, and return what is told of the reference."""

        def measure_and_promote() -> str:
            ran = kokoro_bench(*self.ESPEAK, "--replay", "never", directory=committed)
            assert ran.returncode == 0, ran.stdout + ran.stderr
            accepted = kokoro_bench("baseline", "promote", directory=committed)
            assert accepted.returncode == 0, accepted.stderr
            return "\n".join(references(accepted.stdout))

        return measure_and_promote

    def test_source_is_accepted_by_the_commit_that_has_it(
        self, kokoro_bench: Command, committed: Path, told: Callable[[], str]
    ) -> None:
        file = committed / "baselines" / "reference.toml"
        first = git(committed, "rev-parse", "HEAD")
        changed(committed, "docs/notes.md", commit=False)
        assert told() == "espeak: new (1 scenario)"
        text = file.read_text(encoding="utf-8")
        assert f'revision = "{first}"' in text
        assert "dirty = false" in text
        assert re.search(r'^espeakng-loader = "[0-9.]+"$', text, flags=re.MULTILINE)
        assert re.search(r'^numpy = "[0-9.]+"$', text, flags=re.MULTILINE)

        # What is committed is not what the workers load, so these have uncommitted changes.
        changed(committed, "harness/engines/espeak.py", commit=True)
        changed(committed, "docs/notes.md", commit=False)
        file.unlink()
        assert told() == "espeak: new (1 scenario); measured with uncommitted changes"
        assert "dirty = true" in file.read_text(encoding="utf-8")
        assert "dirty" in kokoro_bench("baseline", "show", "--reference", directory=committed).stdout

        # They are committed after the measurement.
        git(committed, "checkout", first, "--", "harness")
        git(committed, "commit", "--quiet", "--all", "--message", "Commit what was measured")
        later = git(committed, "rev-parse", "HEAD")
        [line] = references(kokoro_bench("baseline", "promote", directory=committed).stdout)
        assert line == "espeak: same subject (1 scenario)"
        text = file.read_text(encoding="utf-8")
        assert f'revision = "{later}"' in text
        assert "dirty = false" in text

    def test_source_of_another_project_is_marked(
        self, kokoro_bench: Command, committed: Path, told: Callable[[], str]
    ) -> None:
        shutil.rmtree(committed / "harness")
        git(committed, "commit", "--quiet", "--all", "--message", "Remove")
        lack = "the engine's source, which is in no commit of this project"
        assert told() == f"espeak: new (1 scenario); cannot be restored once it changes: {lack}"
        assert (
            f"espeak cannot be restored once this changes: {lack}"
            in kokoro_bench("baseline", "show", "--reference", directory=committed).stdout
        )


def test_server_is_accepted_as_far_as_it_is_known(kokoro_bench: Command, tmp_path: Path) -> None:
    answer = Answer(steps=(Step(wait_ms=20), Step(audio_share=1.0)))
    with serving(Script(name="test", meaning="a test's own", answers=(answer,), cycle=True)) as (url, _):
        run = ("run", "--url", url, "--text", "chars-12", "--launches", "1", "--blocks", "2", "--warmups", "1")
        run = (*run, "--endpoint-options", "dialect=openai,format=wav", "--targets", "ttfa=30,rtf=100")
        assert kokoro_bench(*run).returncode == 0
        [told, *_] = references(kokoro_bench("baseline", "promote").stdout)
        lack = f"what runs on the server at {url}, which is not known"
        assert lack in told
        text = (tmp_path / "baselines/reference.toml").read_text(encoding="utf-8")
        assert f'  "{lack}",' in text
        assert "[arms.model]" not in text
        # Another client asks the same server, so pairs of the two could not show how the server changed.
        text = re.sub('(?<=engine-source = ")[0-9a-f]+', "e" * 64, text)
        (tmp_path / "baselines/reference.toml").write_text(text, encoding="utf-8")
        for replay in ("auto", "always"):
            again = kokoro_bench(*run, "--replay", replay)
            assert again.returncode in (0, 1), again.stdout + again.stderr
            assert f"what the server at {url} runs is not known" in again.stdout
            assert "pair by pair" not in again.stdout


class TestOnly:
    def test_scenarios_that_match_are_accepted_alone(self, here: Command, project: Path) -> None:
        assert here(*RUN, "-k", "whole", directory=project).returncode == 0
        assert here("baseline", "promote", directory=project).returncode == 0
        baselines = project / "baselines"
        before = {path: path.read_bytes() for path in baselines.rglob("*.json")}
        changed(project, "harness/core/clock.py", commit=True)
        assert here(*RUN, "--seed", "2", "-k", "whole", directory=project).returncode == 0
        only = ("--only", "*/chars-12/*", "--reason", "a better clock")
        assert here("baseline", "promote", *only, directory=project).returncode == 0
        [written] = [path for path in baselines.rglob("*.json") if path.read_bytes() != before[path]]
        assert "chars-12" in written.name
        text = (baselines / "reference.toml").read_text(encoding="utf-8")
        old, new = sorted(text.split("[[arms]]")[1:], key=lambda arm: "a better clock" in arm)
        assert SHORT in new
        assert MEDIUM not in new
        assert SHORT not in old
        assert MEDIUM in old
        rest = here("baseline", "promote", directory=project)
        assert rest.returncode == 0
        text = (baselines / "reference.toml").read_text(encoding="utf-8")
        assert text.count("[[arms]]") == 1
        assert 'reason = "a better clock"' in text

    def test_a_wanted_slowdown_is_accepted_with_its_reason(
        self, here: Command, accepted: Laboratory, tmp_path: Path
    ) -> None:
        Laboratory(tmp_path).run(seed="11", script="pace=1.2", baselines=str(accepted.config().baselines))
        without = here("baseline", "promote", "--only", "*/chars-12/*")
        refused(without, "figures regressed, first ", "--only PATTERN --reason TEXT")
        found = here("baseline", "promote", "--only", "*/chars-12/*", "--reason", "it sounds better")
        assert found.returncode == 0, found.stderr
        assert 'reason = "it sounds better"' in (tmp_path / "baselines/reference.toml").read_text(encoding="utf-8")

    def test_a_regression_that_only_informs_is_accepted_like_no_regression(
        self, here: Command, accepted: Laboratory, tmp_path: Path
    ) -> None:
        options = {"script": "pace=1.2", "baselines": str(accepted.config().baselines), "gate-metrics": "rss_peak"}
        data = Laboratory(tmp_path).run(seed="11", **options).data
        assert any(verdict.kind is VerdictKind.REGRESSED for verdict in data.verdicts)
        assert here("baseline", "promote").returncode == 0

    def test_a_pattern_that_matches_nothing_is_refused(self, here: Command, tmp_path: Path) -> None:
        Laboratory(tmp_path).run()
        refused(here("baseline", "promote", "--only", "chars-12"), "--only: no scenario of ", "matches 'chars-12'")
        assert not (tmp_path / "baselines").exists()


class TestBadFiles:
    @pytest.fixture
    def file(self, here: Command, tmp_path: Path) -> Path:
        Laboratory(tmp_path).run()
        assert here("baseline", "promote").returncode == 0
        Laboratory(tmp_path).run(seed="3")
        return tmp_path / "baselines" / "reference.toml"

    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            ('interpreter = "', "interpreter = ", "has a syntax error"),
            ("format = 1", "format = 2", "has the format 2, and this kokoro-bench reads 1"),
            ("dirty = ", "dusty = ", "has an unknown field `dusty`"),
            ("dirty = ", "<<<<<<< HEAD\ndirty = true\n=======\ndirty = ", "holds an unresolved merge conflict"),
            ("[arms.model]", '[arms.packages]\nnumpy = "newest"\n\n[arms.model]', "'newest' is no version"),
            ('date = "2', 'date = "soon 2', "is no date such as 2026-12-31"),
            ("threads = 0", "threads = -1", "-1 is no number of threads"),
        ],
    )
    def test_a_bad_reference_is_refused_by_its_line_and_nothing_is_written(
        self, here: Command, file: Path, tmp_path: Path, old: str, new: str, told: str
    ) -> None:
        text = file.read_text(encoding="utf-8")
        line = text[: text.index(old)].count("\n") + 1 + new.count("numpy")
        file.write_text(text.replace(old, new, 1), encoding="utf-8")
        before = {path: path.read_bytes() for path in (tmp_path / "baselines").rglob("*") if path.is_file()}
        for command in (("diff",), ("promote", "--reason", "x"), ("show", "--reference")):
            refused(here("baseline", *command), f"{file}:{line}", told)
        refused(here(*ONE), f"{file}:{line}", told)
        assert len(listed(here)) == 2
        assert {path: path.read_bytes() for path in (tmp_path / "baselines").rglob("*") if path.is_file()} == before

    def test_a_scenario_that_two_arms_accept_is_refused(self, here: Command, file: Path) -> None:
        text = file.read_text(encoding="utf-8")
        file.write_text(f"{text}\n{text[text.index('[[arms]]') :]}", encoding="utf-8")
        line = text.count("\n") + 2
        refused(here("baseline", "diff"), f"{file}:{line}: two arms '{ARM}' both accept {ARM}/load-warm")

    def test_none_is_told_with_the_command_that_makes_one(self, here: Command) -> None:
        refused(here("baseline", "show", "--reference"), "no reference is accepted yet", "baseline promote RUN")
