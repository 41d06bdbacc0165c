"""The catalogue of faults: each is done for real to workers under load, and again without what guards against it."""
