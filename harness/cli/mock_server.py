"""`kokoro-bench mock-server`: a speech server on loopback that does as its script says."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import UserPath
from harness.core.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from typing import BinaryIO

    from harness.server.mock.script import Script


@click.command("mock-server")
@click.argument("script", required=False, default="")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8880, show_default=True, metavar="PORT", help="0: a free port"
)
@click.option(
    "--log",
    type=UserPath(dir_okay=False),
    help="write a JSON line per connection and request: all that the server received and sent",
)
@click.option("--list", "listing", is_flag=True, help="list the built-in scripts")
def mock_server(script: str, port: int, log: Path | None, listing: bool) -> int:  # noqa: FBT001 - click's own
    """Serve POST /v1/audio/speech to a SCRIPT: a built-in name, or a .json or .toml file. Ctrl-C ends it.

    A script is a list of answers, each a list of steps, as in

    \b
      [[answers]]
      steps = [{ wait_ms = 200 }, { audio_share = 0.5 }, { wait_ms = 900 }, { audio_share = 0.5 }]

    A step is wait_ms or wait_share, audio_ms or audio_share (of the text's natural length), silence_ms, header, text,
    hex, end ("close", "reset", "hang"), or steps with a repeat (0: for ever). An answer may also say status, headers,
    content_type, framing ("chunked", "length", "until-close"), missing, gzip, coalesce, sample_rate, channels,
    wav_size, wav_pieces, voice ("own", "first", "other", "mixed"), unasked and
    work (rounds of about 1 ms of CPU time before the steps); a script name, meaning, cycle, dialect,
    cached, freeze, refuses (fields, separated by commas, that are answered with 422), leak_bytes (what each answer
    leaves in memory), and a capacity: how many requests it answers at once; when_full says whether others "wait" or it
    "refuse"s them with 503.

    A --log has one JSON object a line. Times are nanoseconds of the machine's monotonic clock, so that what a client on
    this machine stamps on the same clock can be held against them. `kind` tells the lines apart:

    \b
      connection  connection (from 1), accepted_ns, cpu_ns (of the server's process, by now, in every line)
      answer      one request for speech, written when its answer is over:
        number, connection, open   which one (from 0), on which connection, and how many were open when it came,
                                   itself included
        method, path, headers, body, text    as received; of a key only its length is kept
        asked_ns, turn_ns, end_ns  when it had come, when its answer began, when its answer was over
        sent_ns, sent_bytes, sent_frames     for each write: when, the body's bytes and frames of audio in it
        status, bytes, frames      as answered, and the sums of what was sent
        complete, gone_ns          whether all was sent; when the client went away, null where it did not
      other       any other request: connection, open, method, path, headers, body, asked_ns, status, end_ns
    """  # noqa: D301 - click's own mark for text that is not rewrapped is the character, not its spelling
    from harness.server.mock.builtin import SCRIPTS
    from harness.server.mock.script_file import find_script

    if listing:
        width = max(map(len, SCRIPTS))
        for each in SCRIPTS.values():
            click.echo(f"{each.name:<{width}}  {each.meaning}")
        return int(ExitCode.OK)
    if not script:
        raise UsageError("no script is named", where="SCRIPT", remedy="kokoro-bench mock-server --list")
    served = find_script(script)
    with ExitStack() as stack:
        written = stack.enter_context(_opened(log, script)) if log else None
        _serve(served, port, written)
    return int(ExitCode.USAGE if written and written.lost else ExitCode.OK)


class _Log:
    """Unbuffered, so that a client that has its answer finds the line of it.

    After a line that cannot be written the server goes on without a log.
    """

    def __init__(self, file: "BinaryIO", where: str) -> None:
        self._file = file
        self._where = where
        self.lost = False

    def write(self, line: str) -> None:
        """Write a line, or say once that it cannot be written."""
        if self.lost:
            return
        try:
            self._file.write(line.encode())
        except OSError as error:
            self.lost = True
            reason = f"cannot be written: {error.strerror} — the log ends here"
            click.echo(f"kokoro-bench: {self._where}: {reason}", err=True)


@contextmanager
def _opened(log: Path, script: str) -> Iterator[_Log]:
    from harness.core.output_files import REMEDY, check_distinct, check_file

    where = f"--log {log}"
    check_distinct({"--log": log, "SCRIPT": Path(script)})
    check_file(log, where=where)
    try:
        file = log.open("wb", buffering=0)
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=where, remedy=REMEDY) from error
    with file:
        yield _Log(file, where)


def _serve(script: "Script", port: int, log: _Log | None) -> None:
    """Until Ctrl-C or SIGTERM."""
    import asyncio
    import gc

    from harness.core.event_loop import run
    from harness.server.mock.server import EARLY_S, LOOPBACK, MockServer

    async def serve() -> None:
        server = MockServer(script, log=log)
        try:
            bound = await server.start(port)
        except OSError as error:
            raise UsageError(f"cannot listen: {error.strerror}", where=f"--port {port}", remedy="--port 0") from error
        # What is there by now need not be walked through again while somebody waits.
        gc.freeze()
        click.echo(f"{script.name} at http://{LOOPBACK}:{bound}")
        try:
            await asyncio.Event().wait()
        finally:
            await server.close()

    with suppress(KeyboardInterrupt):
        run(serve(), early_s=EARLY_S)
