"""A cluster on one machine to be hurt on purpose: `gameserver lab`.

A balancer in front of several workers, a Redis of its own behind them, and between the two a line that loses what it is
told to lose. Everything is a real process, ended by its pid.
"""
