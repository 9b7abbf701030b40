"""What an arm may set of the engines `kokoro-sentences` and `kokoro-server`, beside the session options."""

from collections.abc import Mapping

SENTENCES_OPTIONS: Mapping[str, str] = {
    "sessions": "a count, which share the arm's threads and provider; or provider:threads for each, as in cpu:1+cpu:1",
    "warm_up": "on or off: two segments on every session before the engine is ready",
    "cache": "MiB of audio that are kept; 0 keeps none",
    "cache_ttl": "seconds that a piece is kept",
    "first": "the most phonemes of the first segment, from 16 to 180; 48, or 110 with a window",
    "window": "seconds of the first segment that are decoded before the rest of it, from 0.5 to 5; 0 decodes it whole; "
    "auto: 0.7 if the model can be decoded so",
    "planned_rtf": "the real-time factor up to which no segment is late, from 0.2 to 1",
}
"""Of both engines."""
SPLIT = ("first", "planned_rtf", "window")
"""The options that say where texts are split."""
LEAST_SPLIT = (("first", "180"), ("planned_rtf", "0.2"), ("window", "0"))
"""The options with which a text is split least: its speech is nearest to that of the whole text."""
CLIENT_OPTIONS: Mapping[str, str] = {
    "dialect": "openai or raycast",
    "format": "pcm, wav, mp3, opus or flac; the raycast dialect has the first two",
    "keep_alive": "on: one connection for all requests; off: a new one for each",
}
"""Of the client of `kokoro-server`."""
DIALECT = "openai"
"""The dialect that the client of `kokoro-server` has by default."""
SERVED_OPTIONS: Mapping[str, str] = {**SENTENCES_OPTIONS, **CLIENT_OPTIONS}
