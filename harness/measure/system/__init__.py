"""Information from the operating system: CPU, memory, other processes, interference and locks."""
