"""Variables that are empty, and paths: of the file, of a variable, of an option; `~`; what begins where."""

import os
from pathlib import Path

import pytest

from harness.cli.options import STORED
from harness.core.cache_root import ROOT_VARIABLE, default_root
from harness.measure.system.machine import identify
from harness.plan.config import ENVIRONMENT_PREFIX, NOT_CONFIGURATION, Config, load_config
from harness.plan.keys import KEYS
from harness.plan.narrowing import label
from harness.schedule.job_store import JobStore
from harness.schedule.jobs import declared
from harness.schedule.launcher import absolute_variables
from harness.store.runs import open_store
from tests.conftest import Command

RUN = ("run", "--engine", "scripted", "--model", "scripted", "--launches", "1", "--blocks", "1", "-k", "chars-12")
PLACED = [key for key in KEYS if key.place]
FILES = [key.name for key in PLACED if key.name != "runtime"]
"""The paths of runtimes must exist, and become requirements: tests/plan/test_package_sources.py."""


def variable(name: str) -> str:
    return ENVIRONMENT_PREFIX + name.upper().replace("-", "_")


def given(name: str) -> str:
    """A relative path that the key takes."""
    return {"model": "some/k.onnx", "runtime": "some/place.whl"}.get(name, "some/place")


class Project:
    """A project with settings, and a folder of it in which the user stands."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shell = root / "inner"
        self.shell.mkdir()

    def file(self, text: str) -> None:
        (self.root / "pyproject.toml").write_text(f"[tool.kokoro-bench]\n{text}\n")

    def config(self, options: dict[str, str] | None = None, **environment: str) -> Config:
        return load_config(options, start=self.shell, environment=environment)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path)
    found.file("")
    return found


def value(config: Config, name: str) -> str:
    """What the key names, as the harness opens it."""
    if name in STORED:
        return str(getattr(config, name))
    found = config[name]
    return str(found[0] if isinstance(found, tuple) else found)


class TestEmptyVariables:
    @pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
    @pytest.mark.parametrize("empty", ["", " "])
    def test_one_is_not_set(self, project: Project, key: object, empty: str) -> None:
        name = key.name  # type: ignore[attr-defined]
        found = project.config(**{variable(name): empty})
        assert (found[name], found.origins[name]) == (project.config()[name], "default")

    def test_none_of_all_that_are_read_keeps_the_command_from_its_work(self, here: Command, tmp_path: Path) -> None:
        ours = {variable(key.name): "" for key in KEYS} | dict.fromkeys(NOT_CONFIGURATION, "")
        ours.pop(ROOT_VARIABLE)
        found = here(*RUN, **ours, GITHUB_STEP_SUMMARY="", PYTEST_ADDOPTS="")
        assert found.returncode == 0, found.stderr
        assert sorted(path.name for path in tmp_path.iterdir()) == [".kokoro-bench", "reports"]

    def test_the_caches_is_the_users_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(ROOT_VARIABLE, raising=False)
        own = default_root()
        for empty in ("", " "):
            monkeypatch.setenv(ROOT_VARIABLE, empty)
            assert default_root() == own

    def test_one_that_makes_no_sense_is_refused(self, here: Command) -> None:
        found = here(*RUN, KOKORO_BENCH_UNTIL="tomorrow")
        assert found.returncode == 2
        assert found.stderr.startswith("kokoro-bench: KOKORO_BENCH_UNTIL: 'tomorrow' is not a time in seconds")


class TestPlaces:
    def test_every_key_that_names_a_file_is_one_of_these(self) -> None:
        assert [key.name for key in PLACED] == [
            "model", "voices", "runtime", "results", "baselines", "report", "summary",
        ]  # fmt: skip

    @pytest.mark.parametrize("name", FILES)
    def test_a_relative_one_begins_where_it_was_written(self, project: Project, name: str) -> None:
        there = given(name)
        assert value(project.config({name: there}), name) == str(project.shell / there)
        assert value(project.config(**{variable(name): there}), name) == str(project.shell / there)
        project.file(f'{name} = "{there}"')
        assert value(project.config(), name) == str(project.root / there)

    @pytest.mark.parametrize("name", FILES)
    def test_a_tilde_is_the_users_home_everywhere(
        self, project: Project, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(project.root / "home"))
        monkeypatch.setenv("USERPROFILE", str(project.root / "home"))
        there, expected = f"~/{given(name)}", str(project.root / "home" / given(name))
        assert value(project.config({name: there}), name) == expected
        assert value(project.config(**{variable(name): there}), name) == expected
        project.file(f'{name} = "{there}"')
        assert value(project.config(), name) == expected

    @pytest.mark.parametrize("name", FILES)
    def test_a_dollar_is_an_ordinary_character(self, project: Project, name: str) -> None:
        assert "$HOME" in value(project.config({name: f"$HOME/{given(name)}"}), name)

    def test_a_url_and_a_name_are_none(self, project: Project) -> None:
        found = project.config({"results": "sqlite:///x.db", "model": "replica,replica-u8"})
        assert found.results == "sqlite:///x.db"
        assert found["model"] == ("replica", "replica-u8")

    def test_a_models_file_begins_there_and_keeps_its_commas_and_its_name(self, project: Project) -> None:
        found = project.config({"model": r"x\, y/m.onnx,mine=k.onnx,./a=b.onnx"})
        assert [Path(each).name for each in found["model"]] == ["m.onnx", "k.onnx", "a=b.onnx"]
        comma, named, equals = found["model"]
        assert comma.endswith("x, y/m.onnx")
        assert named.startswith(f"mine={comma.removesuffix('x, y/m.onnx')}")
        assert Path(equals).is_absolute()
        # A file that is there is what was meant.
        Path(comma.removesuffix("x, y/m.onnx"), "c=d.onnx").write_bytes(b"")
        (there,) = project.config({"model": "c=d.onnx"})["model"]
        assert there == comma.replace("x, y/m.onnx", "c=d.onnx")

    @pytest.mark.skipif(os.name != "posix", reason="users are the system's")
    @pytest.mark.parametrize(
        "arguments",
        [
            *(("config", f"--{key.name}", f"~nosuch-user/{given(key.name)}") for key in PLACED),
            (*RUN, "--json", "~nosuch-user/x"),
            ("runs", "export", "-o", "~nosuch-user/x"),
            ("report", "--single-file", "latest", "-o", "~nosuch-user/x"),
            ("models", "show", "~nosuch-user/x.onnx"),
            ("models", "show", "replica", "--voices", "~nosuch-user/x"),
            ("schedule", "list", "--config", "~nosuch-user/x"),
            ("mock-server", "~nosuch-user/x.toml"),
            ("mock-server", "steady", "--log", "~nosuch-user/x"),
        ],
    )
    def test_a_user_that_there_is_not_is_told(self, here: Command, arguments: tuple[str, ...]) -> None:
        found = here(*arguments)
        assert found.returncode == 2, found.stdout + found.stderr
        (line,) = found.stderr.splitlines()
        assert "no home directory is known for '~nosuch-user/" in line

    def test_the_label_of_a_run_has_no_folder(self, project: Project) -> None:
        found = project.config({"model": "some/k.onnx,replica"})
        assert label("quick", found) == "quick --model k.onnx,replica"


def test_what_a_run_writes_is_where_it_was_said(here: Command, tmp_path: Path) -> None:
    """The file says `~` and a relative path; the options are of another folder."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.kokoro-bench]\nresults = "~/bench/results.sqlite"\nreport = "pages"\n'
    )
    (tmp_path / "inner").mkdir()
    home = tmp_path / "home"
    found = here(
        *RUN, "--summary", "summary.md", "--json", "~/bench.json", directory=tmp_path / "inner",
        HOME=str(home), USERPROFILE=str(home),
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert (home / "bench/results.sqlite").is_file()
    assert (home / "bench.json").is_file()
    assert (tmp_path / "pages/index.html").is_file()
    assert [path.name for path in (tmp_path / "inner").iterdir()] == ["summary.md"]


class TestSchedule:
    def test_the_options_of_a_job_begin_at_the_file_that_declares_it(self, project: Project) -> None:
        project.file(
            '[tool.kokoro-bench.schedule.n]\nevery = "6h"\noptions = { voices = "v.npz", model = ["a/k.onnx"] }'
        )
        (job,) = declared(project.config()).jobs
        assert dict(job.options) == {"voices": str(project.root / "v.npz"), "model": str(project.root / "a/k.onnx")}
        other = project.root / "elsewhere"
        other.mkdir()
        file = other / "schedule.toml"
        file.write_text('[schedule]\nalerts = ["file:alerts"]\n[schedule.n]\nevery = "6h"\noptions.voices = "v.npz"\n')
        found = declared(project.config(), file)
        assert found.base == other
        assert dict(found.jobs[0].options) == {"voices": str(other / "v.npz")}

    def test_those_of_one_that_is_added_begin_at_the_shells_folder(self, here: Command, project: Project) -> None:
        added = here(
            "schedule", "add", "n", "--every", "6h", "--option", "engine=scripted", "--option", "summary=s.md",
            directory=project.shell,
        )  # fmt: skip
        assert added.returncode == 0, added.stderr
        with open_store(project.config().results) as store, JobStore(store.journal(), identify().key) as book:
            (booked,) = book.all()
        assert dict(booked.job.options)["summary"] == str(project.shell / "s.md")

    def test_its_runs_start_elsewhere_and_find_what_variables_name(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(project.shell)
        monkeypatch.setenv(ROOT_VARIABLE, "cache")
        found = absolute_variables({
            ROOT_VARIABLE: "cache", variable("model"): "k.onnx,replica", variable("voices"): "", "PATH": "x",
        })  # fmt: skip
        assert found == {
            ROOT_VARIABLE: str(project.shell / "cache"),
            variable("model"): f"{project.shell / 'k.onnx'},replica",
            variable("voices"): "",
            "PATH": "x",
        }

    def test_a_place_for_logs_that_cannot_be_made_costs_the_run_and_not_the_schedule(
        self, here: Command, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project.file('[tool.kokoro-bench.schedule.n]\nevery = "6h"\noptions.engine = "scripted"')
        (project.root / ".kokoro-bench").mkdir()
        (project.root / ".kokoro-bench/schedule").touch()
        monkeypatch.setattr("harness.schedule.service.busy", lambda *_given, **_named: "")
        found = here("schedule", "run-now", "n", directory=project.root)
        assert found.returncode == 3, found.stdout + found.stderr
        assert "logs of scheduled runs" in here("schedule", "history", directory=project.root).stdout
