"""Inputs of real syntheses. A static quantisation measures the range of every activation with them."""

import hashlib
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from harness.core.errors import ModelError
from harness.models.files import ModelFiles
from harness.models.graph_facts import GraphFacts
from harness.models.jobs import Feed, Job, run_child
from harness.models.quantise.tools import read_feeds, write_feeds
from harness.models.smoke_test import token_feed
from harness.models.voices import read_voices

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_FEEDS = 8
LEAST_TOKENS = 16
"""Minimum tokens of a feed that counts: a word or two would use only a part of each activation's range."""
SPEEDS = (1.0, 0.8, 1.25)
CONFIG_KEY = "kokoro_config"


def calibration_feeds(
    files: ModelFiles, facts: GraphFacts, texts: Iterable[str]
) -> "tuple[dict[str, NDArray[Any]], ...]":
    """The inputs that kokoro-onnx would pass to the graph for `texts`, made in a child process.

    Raises ModelError if too few texts are long enough.
    """
    with tempfile.TemporaryDirectory(prefix="kokoro-bench-", ignore_cleanup_errors=True) as work:
        known, target = Path(work) / "facts.json", Path(work) / "feeds.npz"
        known.write_bytes(msgspec.json.encode(facts))
        job = Feed(voices=str(files.voices_path.absolute()), facts=str(known), texts=tuple(texts), target=str(target))
        answer = run_child(Job(feed=job), Path(work))
        if answer.error:
            remedy = "kokoro-bench doctor shows what is installed"
            raise ModelError(f"its texts cannot be made into inputs: {answer.error}", remedy=remedy)
        return tuple(read_feeds(target))


def feed_file(job: Feed) -> None:
    """Write calibration inputs for `job.texts` to `job.target`. Runs in the child process. Raises ModelError."""
    facts = msgspec.json.decode(Path(job.facts).read_bytes(), type=GraphFacts)
    write_feeds(Path(job.target), make_feeds(Path(job.voices), facts, job.texts))


def make_feeds(voices_path: Path, facts: GraphFacts, texts: Iterable[str]) -> "tuple[dict[str, NDArray[Any]], ...]":
    """The inputs for `texts`, with the voices and some speeds taken in turn.

    A text of more than 510 phonemes gives several feeds. Raises ModelError if too few texts are long enough.
    """
    import numpy as np
    from kokoro_onnx.chunker import split_phonemes
    from kokoro_onnx.config import DEFAULT_VOCAB, MAX_PHONEME_LENGTH
    from kokoro_onnx.tokenizer import Tokenizer

    embedded = facts.metadata.get(CONFIG_KEY)
    tokenizer = Tokenizer(vocab=json.loads(embedded)["vocab"] if embedded else DEFAULT_VOCAB)
    dtypes = {tensor.name: np.dtype(tensor.dtype) for tensor in facts.inputs}
    feeds: list[dict[str, NDArray[Any]]] = []
    names = read_voices(voices_path)
    with np.load(voices_path) as voices:
        for text in texts:
            phonemes = " ".join(tokenizer.phonemize(text, "en-us").split())
            for part in split_phonemes(phonemes, MAX_PHONEME_LENGTH):
                voice, speed = voices[names[len(feeds) % len(names)]], SPEEDS[len(feeds) % len(SPEEDS)]
                feeds.append(token_feed(tokenizer.tokenize(part), voice, dtypes=dtypes, speed=speed))
    check_feeds(feeds, facts)
    return tuple(feeds)


def check_feeds(feeds: "Iterable[dict[str, NDArray[Any]]]", facts: GraphFacts) -> None:
    """Raise ModelError unless the feeds fit the graph and enough of them are long enough."""
    feeds = tuple(feeds)
    names = {tensor.name for tensor in facts.inputs}
    for feed in feeds:
        if set(feed) != names:
            raise ModelError(
                f"a calibration input has {', '.join(sorted(feed))}",
                remedy=f"the graph takes {', '.join(sorted(names))}",
            )
    long_enough = sum(1 for feed in feeds if _tokens(feed) >= LEAST_TOKENS)
    if long_enough < LEAST_FEEDS:
        raise ModelError(
            f"{long_enough} of {len(feeds)} calibration texts have at least {LEAST_TOKENS} phonemes, "
            f"and {LEAST_FEEDS} are needed",
            remedy="give more or longer texts",
        )


def feeds_digest(feeds: "tuple[dict[str, NDArray[Any]], ...]") -> str:
    """SHA-256 (hex) of calibration inputs: names, types, shapes and values, in order."""
    digest = hashlib.sha256()
    for feed in feeds:
        for name in sorted(feed):
            digest.update(f"{name} {feed[name].dtype} {feed[name].shape}\n".encode())
            digest.update(feed[name].tobytes())
    return digest.hexdigest()


def _tokens(feed: "dict[str, NDArray[Any]]") -> int:
    return max((array.size for name, array in feed.items() if name in ("input_ids", "tokens")), default=0)
