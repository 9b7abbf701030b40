"""How `benchmarks/planted_causes.py` reads what a duel names, and that what it plants is what it says."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.planted_causes import Found, outcome, suspects_in
from benchmarks.plants import Plant, every_plant, named
from tests.conftest import Command

SLOWER = Plant(
    kind="option", name="pace", sides=named("script=pace=1.2", "script=pace=1"), cause="^script pace=1 → pace=1.2",
    part="^stage inference:",
)  # fmt: skip


@pytest.fixture
def found(here: Command) -> Found:
    sides = SLOWER.sides(Path())
    done = here("duel", *sides, "--engine", "scripted", "--text", "chars-12", "--json")
    return suspects_in(done.stdout)


def test_the_rank_is_the_worse_of_the_places_of_the_cause_and_of_its_part(found: Found) -> None:
    assert outcome(SLOWER, found).rank == 1, "operators are parts of a stage"
    stage = outcome(replace(SLOWER, cause="^stage inference:"), found)
    assert stage.rank == stage.cause
    assert stage.cause is not None
    assert stage.cause > 1
    assert outcome(replace(SLOWER, part="^memory"), found).words == "1, part not named"
    assert outcome(replace(SLOWER, cause="^threads"), found).words == "–"


def test_anything_that_is_named_of_equal_sides_is_wrong(found: Found) -> None:
    equal = replace(SLOWER, cause="", part="")
    assert outcome(equal, found).rank is None
    assert outcome(equal, {"latency": ("nothing", ())}).rank == 1


def test_thirty_causes_are_planted_and_each_once() -> None:
    plants = [each for each in every_plant() if each.cause]
    assert len({(each.kind, each.name) for each in plants}) == len(plants) == 30


def test_the_commits_of_an_engine_have_one_version_and_differ_in_one_line(tmp_path: Path) -> None:
    (plant,) = (each for each in every_plant() if (each.kind, each.name) == ("commit", "phonemise"))
    after, before = (side.rpartition("@")[2] for side in plant.sides(tmp_path))
    command = ["git", "diff", "--stat", before, after]
    done = subprocess.run(command, cwd=tmp_path / "engine", capture_output=True, encoding="utf-8", check=True)
    assert "1 file changed, 1 insertion(+)" in done.stdout
