"""The words of the laboratory: frozen, typed, versioned records. No I/O, no arithmetic beyond names and digests.

Every record is a plain dataclass, so that a worker needs nothing but the standard library to speak of it. Times within
a repetition are integer nanoseconds since its intended start; wall-clock times are seconds since the epoch, in UTC.
"""
