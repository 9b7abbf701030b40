"""What is shown of a bisection."""

import json
from dataclasses import replace

import pytest

from harness.core.records.bisection import Bisection, BisectionAnswer, FoundStep, Known, Place, Probe
from harness.core.records.verdict import Estimate
from reports.views.bisection import bisection_json, bisection_markdown, bisection_view, omitted, shown_lines


def estimate(point: float) -> Estimate:
    return Estimate(point=point, low=point - 0.01, high=point + 0.01, level=0.95, method="", n=9, launches=3)


def probe(place: int, ratio: float) -> Probe:
    known = Known(point=ratio, error=0.004, freedom=20.0)
    return Probe(
        place=place, run_id=f"run-{place}", ratio=known, centred=known, whole=known, pairs=9, launches=3, seconds=9.0
    )


def found(count: int = 60, step: int = 40, **changes: object) -> Bisection:
    """Commits with a step of 10 %, of which its neighbours were measured."""
    places = tuple(
        Place(label=f"c{number}", spec=f"rev=c{number}", detail=f"Commit {number}") for number in range(count)
    )
    return replace(
        Bisection(
            id="abc", subject="commits", metric="latency", machine="m", started_at=0.0, updated_at=0.0,
            error_rate=0.01, places=places, first_run="run-first", whole=estimate(0.0953),
            probes=(probe(step - 1, 0.001), probe(step, 0.096)),
            changes=tuple(0.996 if gap == step - 1 else 0.0 for gap in range(count - 1)),
            steps=(FoundStep(before=step - 1, after=step, change=estimate(0.0953), share=1.0, probability=0.996),),
            answer=BisectionAnswer.STEP, confidence=0.9957,
        ),
        **changes,
    )  # fmt: skip


def test_a_long_list_shows_what_was_measured_and_its_neighbours() -> None:
    view = bisection_view(found())
    assert [line.number for line in shown_lines(view)] == [0, 1, 38, 39, 40, 41, 58, 59]
    assert omitted(view) == "52 places not measured and not shown"
    states = {line.number: line.state for line in view.lines}
    assert (states[0], states[39], states[40], states[50], states[59]) == (
        "good", "like good", "like bad", "not measured", "bad",
    )  # fmt: skip
    assert omitted(bisection_view(found(count=40, step=20))) == ""


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "c40 (Commit 40) changed latency by +10.0 % (+8.9 to +11.1 %), with a probability of 99.57 %."),
        (
            {"subject": "bells", "places": tuple(Place(label=f"{n}", spec=f"bells=={n}") for n in range(60))},
            "bells 40 changed latency by +10.0 % (+8.9 to +11.1 %), with a probability of 99.57 %.",
        ),
        (
            {"answer": BisectionAnswer.UNDECIDED, "reason": "the time was up"},
            "Undecided. The most probable step is c40 (Commit 40), with a probability of 99.6 %. The time was up.",
        ),
        (
            {"answer": BisectionAnswer.NO_DIFFERENCE, "reason": "latency: shown to be within ±2.5 %: -0.1 %"},
            "No difference between good and bad is shown: latency: shown to be within ±2.5 %: −0.1 %.",
        ),
        (
            {"answer": BisectionAnswer.UNDECIDED, "steps": ()},
            "Undecided: good and bad were not compared to the end.",
        ),
    ],
)
def test_the_answer_is_one_sentence(changes: dict[str, object], sentence: str) -> None:
    assert " ".join(bisection_view(found(**changes)).sentence.split()) == sentence


def test_markdown_and_json_hold_the_answer_without_markup_or_folders() -> None:
    places = (*found(count=3, step=2).places[:2], Place(label="c2", spec="path:/home/me/x", detail="Ring <b>*all*</b>"))
    bisection = found(count=3, step=2, places=places)
    markdown = bisection_markdown(bisection)
    assert "| c2 | Ring &#60;b&#62;\\*all\\*&#60;/b&#62; |" in markdown
    content = json.loads(bisection_json(bisection))
    assert (content["answer"], content["steps"][0]["after"]) == ("one step", 2)
    assert content["sentence"].startswith("c2 (Ring")
    assert "/home/me" not in json.dumps(content)
