"""The command `kokoro-bench`. `main` answers signals before it imports anything."""

TYPE_CHECKING = False  # as in `harness.cli.early_signals`
if TYPE_CHECKING:
    from typing import NoReturn


def main(arguments: list[str] | None = None) -> "NoReturn":
    """Run the command and exit with its code. No exception leaves it as a traceback.

    The imports take a tenth of a second, in which Ctrl-C and SIGTERM end the process at once.
    """
    from harness.cli.early_signals import answer_signals

    answer_signals()
    from harness.cli.command import run

    run(arguments)
