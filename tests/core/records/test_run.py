from dataclasses import replace

from tests.conftest import Laboratory


def test_a_run_lasts_until_its_end_or_that_of_its_last_block(lab: Laboratory) -> None:
    data = lab.run().data
    assert data.run.ended_at is not None
    assert data.seconds == data.run.ended_at - data.run.started_at
    killed = replace(data, run=replace(data.run, ended_at=None))
    last = data.blocks[-1]
    assert killed.seconds == last.started_at + last.wall_ns / 1e9 - data.run.started_at
    assert 0 < killed.seconds <= data.seconds
    assert replace(killed, blocks=()).seconds == 0
