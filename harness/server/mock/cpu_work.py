"""Work that needs a CPU and waits for nothing: it stops while its process is halted, as a synthesis does."""

import hashlib

ROUND = bytes(1 << 20)
"""What one round digests: about 1 ms."""


def work(rounds: int) -> None:
    """Work for that many rounds of equal size. It reads no clock."""
    for _ in range(rounds):
        hashlib.sha256(ROUND)
