"""The process that loads an engine, synthesises, and stamps each audio chunk."""


def main() -> None:
    """Run a worker on the standard streams.

    Conductors start `main` of `harness.measure.worker`, which is a module in revisions before this package: so a duel
    between revisions starts either in the same way.
    """
    from harness.measure.worker.process import main as run_worker

    run_worker()
