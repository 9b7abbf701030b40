"""Sides of a duel that name servers."""

from pathlib import Path

import pytest

from harness.core.errors import BenchError
from harness.plan.config import load_config
from harness.runner.arm_specs import server_base, split_server


@pytest.mark.parametrize(
    ("side", "url", "changes"),
    [
        ("url=http://127.0.0.1:8001", "http://127.0.0.1:8001", "current"),
        ("keep_alive=off,url=http://h:1,format=wav", "http://h:1", "keep_alive=off,format=wav"),
        ("server=own", "server:own", "current"),
        ("server=own,rev=main", "server:own", "rev=main"),
        ("threads=1", "", "threads=1"),
    ],
)
def test_side_is_split_into_its_server_and_other_changes(side: str, url: str, changes: str) -> None:
    assert split_server(side) == (url, changes)


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ("url=", "url= names no server"),
        ("server= ", "server= names no server"),
        ("url=http://h:1,server=own", "one side names two servers"),
    ],
)
def test_side_without_one_server_is_refused(side: str, said: str) -> None:
    with pytest.raises(BenchError) as wrong:
        split_server(side)
    assert said in str(wrong.value)


def test_address_that_is_none_and_unknown_server_are_refused(tmp_path: Path) -> None:
    config = load_config({}, start=tmp_path, environment={})
    for url, said in (("localhost", "is no URL of an endpoint"), ("server:own", "unknown server 'own'")):
        with pytest.raises(BenchError) as wrong:
            server_base(config, url)
        assert said in str(wrong.value)


def test_arm_has_the_configured_options_of_endpoints(tmp_path: Path) -> None:
    config = load_config({"endpoint-options": "format=wav"}, start=tmp_path, environment={})
    arm = server_base(config, "http://127.0.0.1:1")
    assert (arm.engine, arm.url, arm.session_options) == ("endpoint", "http://127.0.0.1:1", (("format", "wav"),))
