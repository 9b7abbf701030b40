"""`kokoro-bench` for a page's commands, in processes that have everything imported already.

Importing takes most of the CPU time of a short command, and the pages have some forty. One process imports, listens on
a Unix socket, and forks for each command; the fork has the directory, the environment and the streams of whoever
started the command.

    python preloaded.py SOCKET
"""

import importlib
import json
import os
import socket
import sys
import traceback
from pathlib import Path

PRELOADED = (
    "harness.cli",
    "reports.terminal.output",
    "harness.runner.run",
    "harness.runner.pytest_plugin",
    "reports.pages.write",
    "scipy.special",
)
"""What most commands import, directly or not; a command imports the rest itself."""

CLIENT = """\
#!{python} -IS
import json, os, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect({address!r})
request = json.dumps({{"arguments": sys.argv[1:], "directory": os.getcwd(), "environment": dict(os.environ)}}).encode()
socket.send_fds(line, [len(request).to_bytes(4, "big")], [0, 1, 2])
line.sendall(request)
sys.exit(line.recv(1)[0])
"""


def write_client(folder: Path, *, address: str) -> None:
    """Write the command `kokoro-bench` that asks the process at `address`."""
    folder.mkdir(parents=True)
    client = folder / "kokoro-bench"
    client.write_text(CLIENT.format(python=sys.executable, address=address))
    client.chmod(0o755)


def serve(address: str) -> None:
    """Run one command after another, each in a fork of this process; prints a line once it listens."""
    for name in PRELOADED:
        importlib.import_module(name)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    while True:
        line, _ = listener.accept()
        head, streams, _, _ = socket.recv_fds(line, 4, 3)
        request = json.loads(line.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL))
        child = os.fork()
        if not child:
            listener.close()
            run(request["arguments"], request["directory"], request["environment"], streams)
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(child, 0)
        line.sendall(bytes([os.waitstatus_to_exitcode(status) & 0xFF]))
        line.close()


def run(arguments: list[str], directory: str, environment: dict[str, str], streams: list[int]) -> None:
    """Become the command. Never returns."""
    from harness.cli import main

    code = 70
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["kokoro-bench", *arguments]
        main(arguments)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    except BaseException:  # noqa: BLE001 - the fork must not go on as its parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
