"""Whole clusters whose workers are killed, or restarted, under many players: `make restarts`."""
