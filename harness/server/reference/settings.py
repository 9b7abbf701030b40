"""Limits and time-outs of a speech server."""

from dataclasses import dataclass

from harness.engines.pooled.planned_rtf import RtfSource
from harness.server.reference.requests import LONGEST_TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Times are in seconds, sizes in bytes."""

    voice: str = "af_heart"
    """The voice of the warm-up."""
    warm_up: bool = True
    """Whether to synthesise two segments on every session before the server is ready."""
    rtf_source: RtfSource = RtfSource.DEFAULT
    """Where the synthesizer's planned real-time factor comes from. MEASURED: its warm-up measures it."""
    max_characters: int = LONGEST_TEXT
    max_body: int = 1 << 16
    concurrency: int = 32
    """The most answers in progress. An answer without streaming to the longest text holds about 15 MB."""
    per_client: int = 0
    """The most answers in progress for one address; 0 is no limit."""
    body_timeout_s: float = 10.0
    """For a request to be complete."""
    piece_timeout_s: float = 120.0
    """For the synthesis of a segment. A session that takes longer counts as hung."""
    send_timeout_s: float = 30.0
    """For a client to read a send."""
    drain_s: float = 30.0
    """For answers in progress to end after a request to stop."""
