"""What a speech server allows and how patient it is."""

from dataclasses import dataclass

from harness.server.reference.requests import LONGEST_TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Times are in seconds, sizes in bytes."""

    voice: str = "af_heart"
    """Used for warming up."""
    warm_up: bool = True
    """Three pieces on every session before the server says that it is ready."""
    max_characters: int = LONGEST_TEXT
    max_body: int = 1 << 16
    concurrency: int = 32
    """Answers in progress; a whole answer of the longest text holds about 15 MB."""
    per_client: int = 0
    """Answers in progress for one address; 0 is no limit of its own."""
    body_timeout_s: float = 10.0
    """For a whole request to come."""
    piece_timeout_s: float = 120.0
    """For a piece to be spoken; a session that takes longer is taken to hang."""
    send_timeout_s: float = 30.0
    """For a listener to take what is sent."""
    drain_s: float = 30.0
    """For answers in progress to end once the server is told to stop."""
