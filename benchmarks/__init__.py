"""The hot path beside its peers: `python -m benchmarks` (benchmarks/README.md says what is measured and how)."""
