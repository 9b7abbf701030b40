"""`python -m harness.cli` is `kokoro-bench`."""

from harness.cli import main

main()
