"""Every attack the service is tried against, done for real, while somebody else plays on: `make attack`."""
