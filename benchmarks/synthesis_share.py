"""Measures the share of synthesis in a quick run's time between its first and its last block."""

import argparse

from benchmarks.kept_figures import keep

WANTED = 0.85


def main() -> None:
    """Measure a quick run, or read a stored one, and print the share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="", help="a stored run; without it, one is measured")
    parser.add_argument("--results", default="", help="its database")
    given = parser.parse_args()
    from harness.core.records.scenario import Mode
    from harness.plan.config import load_config
    from harness.store.runs import open_store

    config = load_config({"results": given.results})
    if not given.run:
        from harness.plan.matrix import ScenarioRequest
        from harness.runner import run
        from harness.runner.selection import wanted_scenarios

        requests = [
            ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12", "chars-60", "chars-200")),
            ScenarioRequest(mode=Mode.LOAD_WARM),
        ]
        wanted = wanted_scenarios(config, requests, "quick")
        data = run.measure(config, wanted, selection="quick", handlers=[], report=print).data
    else:
        with open_store(config.results) as store:
            data = store.load(store.resolve(given.run))
    first = min(block.started_at for block in data.blocks)
    last = max(block.started_at + block.wall_ns / 1e9 for block in data.blocks)
    within = [repetition for repetition in data.repetitions if first <= repetition.started_at <= last]
    synthesis = sum(repetition.end_ns for repetition in within) / 1e9
    measured = sum(repetition.end_ns for repetition in within if repetition.block >= 0) / 1e9
    wall = last - first
    print(f"{data.run.id}: {wall:.1f} s between the start of the first block and the end of the last")
    print(f"synthesis {synthesis:.1f} s: share {synthesis / wall:.3f}, wanted ≥ {WANTED}")
    keep("share of synthesis between blocks", synthesis / wall, "", least=WANTED)
    print(f"measured repetitions alone: {measured / wall:.3f}; the rest are warm-ups of later launches")


if __name__ == "__main__":
    main()
