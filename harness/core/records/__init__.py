"""The records of the benchmark: frozen, typed, versioned. No I/O, and no arithmetic beyond names and digests.

Every record is a plain dataclass, so a worker needs only the standard library. Times within a repetition are integer
nanoseconds since its intended start; wall-clock times are seconds since the epoch, in UTC.
"""
