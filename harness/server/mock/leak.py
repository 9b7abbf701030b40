"""Memory that the mock server allocates and never uses, as a server does that leaks."""

import mmap


def resident(size: int) -> mmap.mmap:
    """Map `size` bytes of new memory and make them resident.

    The allocator might answer from memory that was freed before and is still resident; then the process would not grow.
    Raises ValueError for a size that is not positive, and OSError if there is no memory.
    """
    memory = mmap.mmap(-1, size)
    # Untouched pages are not resident.
    for start in range(0, size, mmap.PAGESIZE):
        memory[start] = 1
    return memory
