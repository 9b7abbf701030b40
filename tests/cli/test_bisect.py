"""`kokoro-bench bisect` against planted steps: by the scripted engine, by commits, and by versions of a package."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.analysis.finished import Finished
from harness.core.errors import ExitCode
from harness.plan.config import load_config
from harness.runner.bisect.ends import measure_ends
from harness.runner.bisect.places import commit_places
from harness.store.runs import open_store
from tests import forking
from tests.conftest import Command
from tests.engine_packages import WORK, commit, environment_in, git, write_engine, write_index, write_wheel

SCRIPTED = ("--engine", "scripted", "--model", "scripted", "--text", "chars-12", "--budget", "2m")


def arms(*paces: float) -> list[str]:
    """Arms of the scripted engine, each with a pace and a name of its own."""
    return [f"script=noise=0.005{number} pace={pace}" for number, pace in enumerate(paces)]


STEP = arms(1, 1, 1, 1.1, 1.1, 1.1)


@dataclass(frozen=True)
class Made:
    """A bisection with a step of 10 % at the fourth of six arms, and the folder that it was made in."""

    printed: str
    folder: Path

    @property
    def runs(self) -> list[str]:
        """Selections of all stored runs."""
        with open_store(self.folder / ".kokoro-bench/results.sqlite") as store:
            return [row.selection for row in store.list()]

    @property
    def page_file(self) -> Path:
        """The file of the bisection's page."""
        (found,) = (self.folder / "reports/site/bisections").glob("*.html")
        return found

    @property
    def page(self) -> str:
        """The page of the bisection."""
        return self.page_file.read_text(encoding="utf-8")


def shown(output: str) -> str:
    return " ".join(output.split())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package index of its own."""
    found = tmp_path_factory.mktemp("bisections")
    write_index(found)
    return found


@pytest.fixture(scope="module")
def made(root: Path) -> Made:
    folder = root / "arms"
    folder.mkdir()
    command = ("bisect", "arms", *STEP, *SCRIPTED, "--metric", "latency", "--summary", "found.md")
    ran = forking.run(*command, cwd=folder, env=environment_in(root))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return Made(printed=shown(ran.stdout), folder=folder)


class TestAStep:
    def test_is_named_with_its_size_and_its_probability(self, made: Made) -> None:
        found = re.search(
            r"script=noise=0.0053 pace=1.1 changed latency by \+(\S+) % \((.*?) to (.*?) %\)", made.printed
        )
        assert found, made.printed
        assert 9.5 < float(found[1]) < 10.5
        assert float(found[2]) < float(found[1]) < float(found[3])
        assert "with a probability of 99." in made.printed
        assert "Bad against good: latency +" in made.printed

    def test_takes_few_probes_each_of_which_is_a_run(self, made: Made) -> None:
        first, *probes = reversed(made.runs)
        assert re.fullmatch(r"bisect [0-9a-f]{8}: \S+ pace=1.1 against \S+ pace=1", first)
        assert 2 <= len(probes) <= 4
        assert all(" between " in each for each in probes)
        assert made.printed.count("like good") + made.printed.count("like bad") == len(probes)

    def test_has_a_page_with_a_picture_and_links_to_its_runs(self, made: Made) -> None:
        assert made.page.count("<svg viewBox") == 2
        assert "script=noise=0.0053 pace=1.1 changed latency by" in made.page
        links = re.findall(r'href="\.\./(runs/[^"]+)"', made.page)
        assert len(links) == len(made.runs)
        assert all((made.folder / "reports/site" / link).is_file() for link in links)
        back = f'href="../bisections/{made.page_file.name}"'
        assert all(back in (made.folder / "reports/site" / link).read_text(encoding="utf-8") for link in links)
        assert "bisections/" in (made.folder / "reports/site/runs.html").read_text(encoding="utf-8")

    def test_is_in_the_summary(self, made: Made) -> None:
        summary = (made.folder / "found.md").read_text(encoding="utf-8")
        assert summary.startswith("## Bisection of arms from")
        assert "pace=1.1 changed latency by" in summary
        assert summary.count("| like ") == len(made.runs) - 1

    def test_is_known_without_measuring_when_it_is_called_again(self, made: Made, here: Command) -> None:
        before = made.runs
        again = here("bisect", "arms", *STEP, *SCRIPTED, "--metric", "latency", "--json", directory=made.folder)
        assert again.returncode == 0, again.stderr
        found = json.loads(again.stdout)
        assert made.runs == before
        assert (found["answer"], found["metric"], found["improved"]) == ("one step", "latency", False)
        assert [each["after"] for each in found["steps"]] == [3]
        assert shown(found["sentence"]) in made.printed
        assert "already measured" in again.stderr


def bisect(here: Command, specs: list[str], *options: str) -> str:
    found = here("bisect", "arms", *specs, *SCRIPTED, *options)
    assert found.returncode == 0, found.stdout + found.stderr
    return shown(found.stdout)


@pytest.mark.usefixtures("no_pages")
def test_a_difference_may_be_spread_over_several_steps(here: Command) -> None:
    printed = bisect(here, arms(1, 1.15, 1.3), "--metric", "latency", "--budget", "4m")
    assert "latency changed in 2 steps" in printed
    assert re.search(r"pace=1.15 by \+1[45]\.\d % .* and script=noise=0.0052 pace=1.3 by \+1[23]\.\d % ", printed)


@pytest.mark.usefixtures("no_pages")
def test_a_change_may_go_the_other_way_first(here: Command) -> None:
    """The places before the great step lie at −0.22 of it, where no half and no whole level is near."""
    printed = bisect(here, arms(1, 1.28, 1.28, 1.28, 0.33, 0.33), "--metric", "latency", "--budget", "6m")
    assert "latency changed in both directions" in printed
    assert re.search(r"pace=1.28 by \+2[6-9]\.\d % .* and \S+ pace=0.33 by −7[3-5]\.\d % ", printed)
    assert "beyond good" in printed
    assert "like good" not in printed


@pytest.mark.usefixtures("no_pages")
def test_a_change_may_come_back(here: Command) -> None:
    printed = bisect(here, arms(1, 1, 1.2, 1.2, 1.2, *[1] * 7, 1.2), "--metric", "latency", "--budget", "4m")
    assert "latency changed in both directions" in printed
    assert re.search(r"pace=1 by −1[67]\.\d % ", printed)


@pytest.mark.usefixtures("no_pages")
def test_an_arm_that_does_not_load_is_skipped_and_the_answer_is_a_range(here: Command) -> None:
    specs = arms(1, 1, 1.1)
    specs[1] += " fault=exit-at-load"
    printed = bisect(here, specs, "--metric", "latency")
    assert re.search(rf"latency changed by \+\S+ % \(.*\) between {specs[0]} and {specs[2]}, with", printed)
    assert f"{specs[1]} cannot be measured." in printed
    assert f"{specs[1]} is skipped:" in printed


@pytest.mark.usefixtures("no_pages")
def test_memory_that_fell_is_followed_with_few_values_and_is_an_improvement(here: Command) -> None:
    specs = [f"{each} memory={1.3 if number < 2 else 1}" for number, each in enumerate(arms(1, 1, 1, 1))]
    printed = bisect(here, specs, "--metric", "rss_peak")
    assert re.search(r"pace=1 memory=1 changed rss_peak by −23.1 % ", printed), printed
    assert "Bad is better than good: this is an improvement, or the two were given the wrong way round." in printed


@pytest.mark.usefixtures("no_pages")
def test_no_difference_ends_with_what_would_show_one(here: Command, tmp_path: Path) -> None:
    options = ("--metric", "latency", "--launches", "2", "--blocks", "3")
    found = here("bisect", "arms", *arms(1, 1, 1.012), *SCRIPTED, *options, "--require", "answer")
    assert found.returncode == 4, found.stdout
    assert "No difference between good and bad is shown: latency: " in shown(found.stdout)
    assert "would settle it" in shown(found.stdout)
    with open_store(tmp_path / ".kokoro-bench/results.sqlite") as store:
        assert len(store.list()) == 1


@pytest.mark.usefixtures("no_pages")
def test_a_budget_that_ends_is_said_and_the_same_command_goes_on(here: Command, tmp_path: Path) -> None:
    specs = arms(1, 1, 1, 1, 1, 1.1, 1.1, 1.1)
    command = ("bisect", "arms", *specs, *SCRIPTED, "--metric", "latency", "--budget")
    found = here(*command, "8s")
    assert found.returncode == 2, found.stdout
    assert "the budget of 8 s is too small for the comparison of good and bad" in found.stderr
    assert re.search(r"6 pairs take about \d+ s here: `--budget \d+s` or more", found.stderr)
    found = here(*command, "45s")
    assert found.returncode == 0, found.stderr
    assert "Undecided. The most probable step" in shown(found.stdout)
    assert "The same command goes on where it ended" in shown(found.stdout)
    with open_store(tmp_path / ".kokoro-bench/results.sqlite") as store:
        before = [row.id for row in store.list()]
    found = here(*command, "10m")
    assert "script=noise=0.0055 pace=1.1 changed latency by +" in shown(found.stdout)
    with open_store(tmp_path / ".kokoro-bench/results.sqlite") as store:
        selections = [row.selection for row in store.list()]
        assert {*before} < {row.id for row in store.list()}
    # Nothing was measured twice, but what the first budget was too small for.
    assert len(set(selections)) == len(selections) - 1
    assert sum(" against " in each for each in selections) == 2


@pytest.mark.usefixtures("no_pages")
def test_a_probe_may_take_less_of_the_budget_than_the_shortest_before_it(here: Command) -> None:
    """Probes of noisy arms use all that they are given. As long ones once more have no time in this budget."""
    specs = [f"script=noise=0.05{number} pace={pace}" for number, pace in enumerate([1] * 4 + [1.07] * 4)]
    printed = bisect(here, specs, "--metric", "latency", "--budget", "250s")
    assert "script=noise=0.054 pace=1.07 changed latency by +" in printed


def test_ctrl_c_in_a_probe_is_130_and_the_next_call_goes_on(
    here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[Finished] = []

    def duel(*given: object, **named: object) -> Finished:
        ended.append(measure_ends(*given, **named))  # type: ignore[arg-type]
        return ended[0]

    def probe(*_given: object, **_named: object) -> Finished:
        return replace(ended[0], code=ExitCode.INTERRUPTED)

    command = ("bisect", "arms", *arms(1, 1, 1.1), *SCRIPTED, "--metric", "latency")
    with monkeypatch.context() as patch:
        patch.setattr("harness.runner.bisect.search.measure_ends", duel)
        patch.setattr("harness.runner.bisect.search.measure_probe", probe)
        found = here(*command)
    assert found.returncode == 130, found.stderr
    assert "Undecided. The most probable step" in shown(found.stdout)
    found = here(*command)
    assert found.returncode == 0
    assert "already measured: bisect" in found.stdout
    with open_store(tmp_path / ".kokoro-bench/results.sqlite") as store:
        assert len(store.list()) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("onnxruntime", "1.20.1", "1.20.1"), "1.20.1: good and bad are the same"),
        (("onnxruntime", "1.20.1", "1.20.1.0"), "good and bad are the same"),
        (("onnxruntime", "1.20.1"), "bisect onnxruntime: takes a good and a bad one, not 1 of them"),
        (("rev", "HEAD~1", "HEAD"), "run it in a git repository"),
        (("onnxruntime", "one", "two"), "'one' is no version"),
        (("arms", "current", "current"), "current: good and bad are the same"),
        (("arms", "threads=1", "current", "threads=1,threads=2", "threads=1"), "good and bad are the same"),
        (("rev", "a", "b", "--versions", "1"), "--versions: bisect rev takes no versions"),
        (("packages", "latest", "latest"), "no run is stored yet"),
        (("arms", "a", "b", "--text", "chars-12,chars-60"), "--text: bisect takes one text class"),
        (("arms", "a", "b", "--metric", "speed"), "names no metric: 'speed'"),
    ],
)
def test_what_makes_no_sense_is_one_line(here: Command, arguments: tuple[str, ...], said: str) -> None:
    found = here("bisect", *arguments, "--engine", "scripted")
    assert found.returncode == 2, found.stdout
    assert said in found.stderr


def test_an_index_that_is_away_is_an_error_and_no_missing_version(here: Command, tmp_path: Path) -> None:
    (tmp_path / "uv.toml").write_text('index-url = "http://127.0.0.1:1/simple"\n')
    found = here("bisect", "bells", "1.0", "2.0", "--engine", "bells", UV_HTTP_RETRIES="0", UV_NO_CACHE="1")
    assert found.returncode == 2, found.stdout
    assert "check the network, or name a package index that can be reached" in found.stderr


BELLS = ("--engine", "bells", "--text", "chars-12", "--launches", "2", "--blocks", "3", "--metric", "latency")


def run(root: Path, *arguments: str, directory: Path) -> str:
    ran = forking.run("bisect", *arguments, *BELLS, cwd=directory, env=environment_in(root))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return shown(ran.stdout)


def test_a_slow_commit_is_named_by_its_subject(root: Path) -> None:
    """There is nothing between the two, so that no probe is needed."""
    repository = write_engine(root / "commits")
    git(repository, "init", "--quiet", "--initial-branch", "main")
    commit(repository, "Ring", "good")
    write_engine(repository, work=2 * WORK)
    slow = commit(repository, "Ring twice")
    printed = run(root, "rev", "good", "main", directory=repository)
    assert re.search(rf"{slow} \(Ring twice\) changed latency by \+(99|100)\.\d % ", printed), printed
    # The other way round the places are the same, in the opposite order.
    config = load_config({}, start=repository, environment={})
    there, back = commit_places(config, "good", "main"), commit_places(config, "main", "good")
    assert there == back[::-1]
    assert [each.detail for each in there] == ["Ring", "Ring twice"]


@pytest.mark.exhaustive
def test_versions_come_from_the_index(root: Path) -> None:
    for released, work in (("1.0", WORK), ("1.1", WORK), ("1.2", 2 * WORK)):
        write_wheel(root, released=released, work=work)
    # From new to old: the change is an improvement.
    printed = run(root, "bells", "1.2", "1.0", directory=root)
    assert re.search(r"1\.1 changed latency by −(49|50)\.\d % ", printed), printed
    with open_store(root / ".kokoro-bench/results.sqlite") as store:
        assert len(store.list()) == 2
