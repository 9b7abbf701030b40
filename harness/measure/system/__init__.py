"""What the operating system tells: CPU, memory, other processes, interference and locks."""
