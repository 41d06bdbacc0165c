"""Figures of this machine: `python -m benchmarks` prints one page (benchmarks/README.md says how to read it)."""
