"""What every bus promises (gameserver/buses/base.py), as tests that each bus's module runs on its own store."""

from __future__ import annotations

from tests.buses.contract_groups import Claiming, Deciding, Remembering
from tests.buses.contract_store import Leasing, Publishing, Reading


class BusContract(Deciding, Remembering, Claiming, Leasing, Reading, Publishing):
    """All of it."""
