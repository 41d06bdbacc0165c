"""Faults on whole clusters, larger than a test has time for: `make chaos`. Each scenario is a module with a `run`."""
