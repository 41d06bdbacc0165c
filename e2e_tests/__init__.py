"""Whole systems under test: real worker processes, a real Redis, real WebSockets, and a judge of its own."""
