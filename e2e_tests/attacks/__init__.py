"""Every attack the service is tried against, done for real, while somebody else plays on. `python -m e2e_tests.attacks`."""
