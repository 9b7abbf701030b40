"""A process that writes runs until it is done or killed: `child_writer.py URL RUN_ID BLOCKS [SECONDS_BETWEEN]`.

Prints the id of its run, then the number of each block once that is stored.
"""

import os
import sys
import time

from harness.core.records.environment import Conditions, Machine, Subject
from harness.core.records.repetition import Block, Canary, Phase, Repetition
from harness.core.records.run import RunRecord, Setting
from harness.core.records.scenario import Arm, Mode, Scenario
from harness.store.runs import open_store


def main(url: str, run_id: str, blocks: str, between: str = "0") -> None:
    scenarios = tuple(
        Scenario(arm=Arm(engine="scripted"), mode=Mode.WHOLE, text_class=f"class-{number}", voice="voice")
        for number in range(12)
    )
    run = RunRecord(
        id=run_id,
        started_at=time.time(),
        seed=1,
        selection="child",
        machine=Machine(
            key="child", system="x", architecture="x", cpu="x", logical_cpus=1, physical_cpus=None, memory=2**30
        ),
        conditions=Conditions(taken_at=0.0),
        subject=Subject(),
        setting=Setting(corpus="", protocol=1),
        scenarios=scenarios,
        budget_s=1.0,
        pid=os.getpid(),
        boot="this-boot",
    )
    with open_store(url) as store:
        stored = store.begin(run)
        print(stored, flush=True)  # noqa: T201 - its parent listens
        for number in range(1, int(blocks) + 1):
            order = tuple(scenario.id for scenario in scenarios)
            canary = Canary(numpy_ns=1, graph_ns=1)
            block = Block(block=number, launch=1, order=order, started_at=0.0, wall_ns=1, canary=canary)
            repetitions = [
                Repetition(
                    scenario_id=scenario_id,
                    launch=1,
                    block=number,
                    position=position,
                    phase=Phase.MEASURED,
                    variant=0,
                    characters=1,
                    started_at=0.0,
                    end_ns=number * 1_000 + position,
                )
                for position, scenario_id in enumerate(order)
            ]
            store.add_block(stored, block, repetitions)
            print(number, flush=True)  # noqa: T201
            time.sleep(float(between))


if __name__ == "__main__":
    main(*sys.argv[1:])
