import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.core.errors import ModelError
from harness.models.cache import Cache
from harness.models.download import MOST_FRUITLESS
from harness.models.files import ModelFiles
from harness.models.obtain import Source, obtain
from harness.models.public import BY_NAME, BY_SHA256, PUBLIC, Asset, PublicModel

MODEL_BYTES = np.random.default_rng(1).bytes(1_200_000)
VOICES_BYTES = np.random.default_rng(2).bytes(300_000)


@dataclass
class Release:
    """A release on loopback, with the faults that a test asks for."""

    files: dict[str, bytes]
    ranges: bool = True
    cut: int = 0
    """Bytes of a body after which the connection is dropped."""
    cuts: int = 0
    """How many answers are cut; afterwards all is well."""
    status: list[int] = field(default_factory=list)
    """Answers that come first, whatever is asked."""
    shift: int = 0
    """How far the answered range lies beside the one asked for."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Iterator[Release]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    state = Release(files={"kokoro.onnx": MODEL_BYTES, "voices.bin": VOICES_BYTES})

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            wanted = self.headers.get("Range", "")
            state.asked.append((name, wanted))
            if state.status:
                self.send_error(state.status.pop(0))
                return
            body = state.files.get(name)
            if body is None:
                self.send_error(404)
                return
            first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            if first >= len(body):
                self.send_error(416)
                return
            part = body[first:]
            if wanted and state.ranges:
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first + state.shift}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if state.cuts and len(part) > state.cut:
                state.cuts -= 1
                part = part[: state.cut]
                self.close_connection = True
            self.wfile.write(part)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def asset(file: str, content: bytes) -> Asset:
    return Asset(release="r1", file=file, size=len(content), sha256=hashlib.sha256(content).hexdigest())


MODEL = PublicModel(
    name="kokoro-test",
    model=asset("kokoro.onnx", MODEL_BYTES),
    voices=asset("voices.bin", VOICES_BYTES),
    meaning="for tests",
)


def get(cache: Cache, release: Release, *, pauses: list[float] | None = None, told: Any = None) -> ModelFiles:
    slept = pauses if pauses is not None else []
    return obtain(
        MODEL,
        cache=cache,
        sources=(Source.RELEASE,),
        base_url=release.url,
        pause=slept.append,
        progress=told or (lambda _done, _total: None),
    )


def leave(cache: Cache, content: bytes) -> Path:
    """What an earlier, interrupted fetch left of the model."""
    cache.models.mkdir(parents=True, exist_ok=True)
    part = cache.models / f".part-{MODEL.model.sha256[:16]}"
    part.write_bytes(content)
    return part


def test_a_fetched_model_is_complete_and_known(cache: Cache, release: Release) -> None:
    files = get(cache, release)
    assert files.model_path.read_bytes() == MODEL_BYTES
    assert files.voices_path.read_bytes() == VOICES_BYTES
    assert (files.variant.sha256, files.variant.origin) == (MODEL.model.sha256, "public")
    assert release.asked == [("voices.bin", ""), ("kokoro.onnx", "")]
    assert get(cache, release) == files
    assert len(release.asked) == 2
    assert not list(cache.models.glob(".*"))


def test_progress_rises_to_the_whole(cache: Cache, release: Release) -> None:
    told: list[tuple[int, int]] = []
    get(cache, release, told=lambda done, total: told.append((done, total)))
    assert {total for _, total in told} == {1_500_000}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (1_500_000, 1_500_000)


def test_two_models_share_the_voices(cache: Cache, release: Release) -> None:
    first = get(cache, release)
    release.files["other.onnx"] = b"other"
    other = PublicModel(name="other", model=asset("other.onnx", b"other"), voices=MODEL.voices, meaning="")
    second = obtain(other, cache=cache, base_url=release.url)
    assert first.voices_path == second.voices_path
    assert [name for name, _ in release.asked] == ["voices.bin", "kokoro.onnx", "other.onnx"]


def test_a_cut_body_is_resumed_in_the_same_call(cache: Cache, release: Release) -> None:
    release.cut, release.cuts = 250_000, 3
    assert get(cache, release).model_path.read_bytes() == MODEL_BYTES
    assert release.asked == [
        ("voices.bin", ""),
        ("voices.bin", "bytes=250000-"),
        ("kokoro.onnx", ""),
        ("kokoro.onnx", "bytes=250000-"),
        ("kokoro.onnx", "bytes=500000-"),
    ]


def test_an_earlier_call_is_resumed(cache: Cache, release: Release) -> None:
    leave(cache, MODEL_BYTES[:700_000])
    assert get(cache, release).model_path.read_bytes() == MODEL_BYTES
    assert ("kokoro.onnx", "bytes=700000-") in release.asked


def test_a_finished_part_is_not_asked_for(cache: Cache, release: Release) -> None:
    leave(cache, MODEL_BYTES)
    get(cache, release)
    assert [name for name, _ in release.asked] == ["voices.bin"]


def test_a_server_without_ranges_starts_over(cache: Cache, release: Release) -> None:
    release.ranges = False
    leave(cache, MODEL_BYTES[:700_000])
    assert get(cache, release).model_path.read_bytes() == MODEL_BYTES


def test_an_answer_to_another_range_is_not_appended(cache: Cache, release: Release) -> None:
    release.shift = 1
    leave(cache, MODEL_BYTES[:700_000])
    assert get(cache, release).model_path.read_bytes() == MODEL_BYTES
    assert release.asked[-1] == ("kokoro.onnx", "")


@pytest.mark.parametrize("left", [b"\x00" * 700_000, b"\x00" * len(MODEL_BYTES)])
def test_a_part_of_another_file_is_fetched_anew(cache: Cache, release: Release, left: bytes) -> None:
    leave(cache, left)
    assert get(cache, release).model_path.read_bytes() == MODEL_BYTES


def test_a_wrong_digest_never_gets_the_name(cache: Cache, release: Release) -> None:
    release.files["kokoro.onnx"] = MODEL_BYTES[::-1]
    with pytest.raises(ModelError, match=r"the SHA-256 \w{12}… and the catalogue says \w{12}….*by hand"):
        get(cache, release)
    assert cache.find("kokoro-test") is None
    assert not list(cache.models.glob("*.onnx"))
    assert not list(cache.models.glob(".part*"))


def test_a_longer_file_is_refused(cache: Cache, release: Release) -> None:
    release.files["kokoro.onnx"] = MODEL_BYTES + b"more"
    with pytest.raises(ModelError, match="what came is longer"):
        get(cache, release)


def test_a_missing_asset_is_said(cache: Cache, release: Release) -> None:
    del release.files["kokoro.onnx"]
    with pytest.raises(ModelError, match=r"kokoro\.onnx: the server has no such file \(HTTP 404\)"):
        get(cache, release)


def test_a_refusal_is_said(cache: Cache, release: Release) -> None:
    release.status = [403]
    with pytest.raises(ModelError, match=r"the server refuses \(HTTP 403\)"):
        get(cache, release)


def test_a_busy_server_is_asked_again(cache: Cache, release: Release) -> None:
    release.status = [503, 429]
    pauses: list[float] = []
    assert get(cache, release, pauses=pauses).model_path.is_file()
    assert pauses == [1.0, 2.0]


def test_patience_ends_and_what_came_is_kept(cache: Cache, release: Release) -> None:
    part = leave(cache, MODEL_BYTES[:700_000])
    release.status = [503] * 100
    pauses: list[float] = []
    del release.files["voices.bin"]
    with pytest.raises(ModelError, match=r"does not go on after 0 bytes: the server cannot now \(HTTP 503\)"):
        get(cache, release, pauses=pauses)
    assert len(release.asked) == MOST_FRUITLESS
    assert pauses == [1.0, 2.0, 4.0]
    assert part.stat().st_size == 700_000


def test_without_a_network_it_says_what_to_do(cache: Cache, release: Release) -> None:
    unused = Release(files={}, url="http://127.0.0.1:9")
    with pytest.raises(ModelError) as caught:
        get(cache, unused)
    assert "no network, or no way to the server" in caught.value.what
    assert "http://127.0.0.1:9/r1/kokoro.onnx and http://127.0.0.1:9/r1/voices.bin by hand" in caught.value.remedy
    assert "kokoro-bench run --model kokoro.onnx --voices voices.bin" in caught.value.remedy


def test_room_is_looked_for_first(cache: Cache, release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1_000_000})())
    leave(cache, MODEL_BYTES[:700_000])
    get(cache, release)  # 800,000 bytes are still to come
    cache.models.joinpath("kokoro-test.json").unlink()
    cache.models.joinpath("kokoro-test.onnx").unlink()
    with pytest.raises(ModelError, match=r"kokoro-test needs 1\.2 MB of disk and 1\.0 MB are free"):
        get(cache, release)


def test_a_damaged_model_is_fetched_again(cache: Cache, release: Release) -> None:
    files = get(cache, release)
    files.model_path.write_bytes(b"damaged")
    assert get(cache, release).model_path.read_bytes() == MODEL_BYTES


def test_the_table_of_public_files() -> None:
    assert len(BY_NAME) == len(BY_SHA256) == len(PUBLIC) == 6
    assert all(len(one.model.sha256) == 64 and one.model.size > 90e6 for one in PUBLIC)
    older, newer = BY_NAME["kokoro-v1.0"].model, BY_NAME["kokoro-v1.1"].model
    assert older.file == newer.file
    assert older.sha256 != newer.sha256
    assert newer.url() == (
        "https://github.com/thewh1teagle/kokoro-onnx/releases/download/model-files-v1.1/kokoro-v1.0.onnx"
    )
    assert BY_NAME["kokoro-v1.0"].voices.url().endswith("/model-files-v1.0/voices-v1.0.bin")
