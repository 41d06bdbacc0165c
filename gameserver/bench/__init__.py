"""What `gameserver bench` measures: this machine in a minute, with the package alone, and Redis where there is one.

The load here is Python and reaches some tens of thousands of messages a second; what needs a faster one, and other
programs to compare with, stands in `benchmarks/` of the repository and builds on this.
"""
