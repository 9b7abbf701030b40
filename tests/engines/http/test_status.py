import json
from dataclasses import replace

import pytest

from harness.core.clock import SystemClock
from harness.engines.http.engine import MOST, EndpointEngine, read_figures, start
from harness.engines.http.exchange import Answer
from harness.engines.protocol import EngineOrder, Stages
from harness.server.mock.builtin import SCRIPTS
from harness.server.mock.server import serving

STAGES = Stages(SystemClock())


def said(what: object, status: int = 200) -> Answer:
    return Answer(status=status, body=json.dumps(what).encode())


def test_every_number_is_kept_by_its_path_and_nothing_else() -> None:
    found = read_figures(
        said({"requests": 3, "ready": True, "name": "x", "computed": {"ttfa": {"median": 0.25}}, "last": [1, 2]})
    )
    assert found.figures == (("requests", 3.0), ("computed.ttfa.median", 0.25))
    assert not found.reason


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said({}, 404), "the server has no /status: it answers 404"),
        (Answer(status=200, body=b"<html>"), "/status holds no JSON"),
        (Answer(status=200, body=b"[" * 100_000), "/status holds no JSON"),
        (said({"ready": True}), "/status holds no number"),
        (Answer(status=200, body=b'{"a": NaN, "b": 1e999}'), "/status holds no number"),
    ],
)
def test_what_says_nothing_says_why(answer: Answer, reason: str) -> None:
    found = read_figures(answer)
    assert found.figures == ()
    assert found.reason == reason


def test_what_another_address_says_is_known_by_its_name() -> None:
    assert read_figures(said({"hits": 3}), path="/cache-status").figures == (("cache-status.hits", 3.0),)
    assert read_figures(said({}, 404), path="/cache-status").reason == "the server has no /cache-status: it answers 404"


def test_a_server_that_lists_everything_is_cut_short() -> None:
    assert len(read_figures(said({str(number): number for number in range(1_000)})).figures) == MOST


def test_a_server_is_asked_over_a_connection_of_its_own_and_speaks_nothing_for_it() -> None:
    with serving(SCRIPTS["steady"]) as (url, server):
        order = EngineOrder(engine="endpoint", url=url, session_options={"dialect": "openai"})
        engine = start(order, clock=SystemClock(), stages=Stages(SystemClock()))
        assert isinstance(engine, EndpointEngine)
        assert dict(engine.own_figures().figures)["requests"] == 0
        engine.close()
        # It has no more than its /status, which is no reason to leave that out.
        engine = start(replace(order, session_options={"dialect": "raycast"}), clock=SystemClock(), stages=STAGES)
        assert isinstance(engine, EndpointEngine)
        assert dict(engine.own_figures().figures)["requests"] == 0
        engine.close()
        assert server.tally.requests == 0
    assert "/status: cannot connect" in engine.own_figures().reason
