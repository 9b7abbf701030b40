import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.core.records.repetition import Memory
from harness.measure.system import memory
from harness.measure.system.memory import Mark, TreeSampler, Usage, lifetime_maximum, memory_since, parse_status

MIB = 1024 * 1024
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux resets a high-water mark")

SPIKE = """
import json, numpy
from harness.measure.system import memory
def spike():
    numpy.ones(64 * 1024 * 1024, dtype=numpy.uint8)
numpy.ones(8)
spike()
mark = memory.begin()
spike()
held = memory.memory(mark)
mark = memory.begin()
quiet = memory.memory(mark)
print(json.dumps([[m.rss_before, m.rss_after, m.peak, m.peak_reason] for m in (held, quiet)]))
"""


@linux_only
def test_a_block_freed_between_two_readings_is_caught_by_the_peak_and_forgotten_by_the_reset() -> None:
    import json

    done = subprocess.run([sys.executable, "-c", SPIKE], capture_output=True, text=True, check=True, timeout=240)
    held, quiet = [Memory(rss_before=a, rss_after=b, peak=c, peak_reason=d) for a, b, c, d in json.loads(done.stdout)]
    assert held.rss_before is not None
    assert held.rss_after is not None
    assert held.peak is not None
    assert held.peak_reason == ""
    # The kernel's counters lag by less than a mebibyte.
    assert 63 * MIB < held.peak - held.rss_before < 66 * MIB
    assert held.rss_after - held.rss_before < 2 * MIB
    assert quiet.peak is not None
    assert quiet.rss_before is not None
    assert quiet.peak - quiet.rss_before < 2 * MIB


def test_the_status_file_is_read_in_bytes() -> None:
    text = "Name:\tpython\nVmPeak:\t   12560 kB\nVmHWM:\t    8860 kB\nVmRSS:\t    8800 kB\nThreads:\t1\n"
    assert parse_status(text) == Usage(rss=8800 * 1024, peak=8860 * 1024)


def test_a_status_without_a_high_water_mark_says_so() -> None:
    found = parse_status("Name:\tpython\nVmRSS:\t    8800 kB\n")
    assert found == Usage(rss=8800 * 1024, peak=None, reason="/proc/self/status has no VmHWM here")


def test_macos_counts_its_maximum_in_bytes_and_the_others_in_kibibytes() -> None:
    assert lifetime_maximum(90_112, platform="darwin") == 90_112
    assert lifetime_maximum(88, platform="freebsd14") == 90_112


LIFELONG = "kept for life"


@pytest.mark.parametrize(
    ("mark", "now", "expected"),
    [
        pytest.param(
            Mark(usage=Usage(rss=10, peak=10), reset_reason=""),
            Usage(rss=12, peak=20),
            Memory(rss_before=10, rss_after=12, peak=20),
            id="reset",
        ),
        pytest.param(
            Mark(usage=Usage(rss=10, peak=30), reset_reason=LIFELONG),
            Usage(rss=12, peak=31),
            Memory(rss_before=10, rss_after=12, peak=31),
            id="not-reset-but-risen",
        ),
        pytest.param(
            Mark(usage=Usage(rss=10, peak=30), reset_reason=LIFELONG),
            Usage(rss=12, peak=30),
            Memory(
                rss_before=10,
                rss_after=12,
                peak=None,
                peak_reason="kept for life, and the process stayed below its earlier maximum",
            ),
            id="not-reset-and-not-risen",
        ),
        pytest.param(
            Mark(usage=Usage(rss=None, peak=None), reset_reason="no"),
            Usage(rss=None, peak=None, reason="unreadable"),
            Memory(peak_reason="unreadable"),
            id="unreadable",
        ),
    ],
)
def test_two_readings_make_one_record(mark: Mark, now: Usage, expected: Memory) -> None:
    assert memory_since(mark, now) == expected


def test_a_kernel_that_forbids_the_reset_is_named(tmp_path: Path) -> None:
    (tmp_path / "clear_refs").mkdir()
    assert memory._reset_linux(tmp_path) == "the kernel does not let VmHWM be reset (Is a directory)"
    (tmp_path / "file").write_text("")
    assert memory._reset_linux(tmp_path / "file").endswith("(Not a directory)")


@pytest.mark.parametrize(("platform", "said"), [("win32", "Windows"), ("darwin", "darwin")])
def test_platforms_that_cannot_reset_say_so(monkeypatch: pytest.MonkeyPatch, platform: str, said: str) -> None:
    monkeypatch.setattr(memory, "sys", SimpleNamespace(platform=platform))
    assert said in memory.reset_peak()


CHILD = """
import subprocess, sys
block = bytearray(b"x" * (32 * 1024 * 1024))
child = subprocess.Popen([sys.executable, "-c", "b = b'x' * (24 * 1024 * 1024); print('up', flush=True); input()"],
                         stdin=subprocess.PIPE)
input()
child.communicate(b"\\n")
"""


def test_a_tree_is_sampled_with_its_children_to_the_last_reading() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        # An interval longer than the test: only the first and the last reading are made.
        sampler = TreeSampler(process.pid, interval_s=3600)
        sampler.start()
        found = sampler.stop()
        process.communicate("\n")
    assert found.samples == 2
    assert found.last is not None
    assert found.peak is not None
    assert found.peak >= found.last > 56 * MIB
    assert found.reason == ""


def test_the_background_thread_samples_until_it_is_stopped() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True) as process:
        sampler = TreeSampler(process.pid, interval_s=0.001)
        sampler.start()
        deadline = time.monotonic() + 240
        while sampler._samples < 15 and time.monotonic() < deadline:
            time.sleep(0.002)
        found = sampler.stop()
        process.communicate("\n")
    assert found.samples >= 16
    assert not sampler._thread.is_alive()


def test_a_process_that_has_ended_has_no_last_reading_but_keeps_its_peak() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True) as process:
        with TreeSampler(process.pid, interval_s=3600) as sampler:
            process.communicate("\n")
            process.wait()
        found = sampler.stop()
    assert found.first is not None
    assert found.peak is not None
    assert found.last is None
    assert found.reason == f"process {process.pid} has ended or may not be read"


def test_a_process_that_never_was_has_no_figures() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    sampler = TreeSampler(process.pid, interval_s=3600)
    sampler.start()
    found = sampler.stop()
    assert (found.first, found.last, found.peak, found.samples) == (None, None, None, 0)
