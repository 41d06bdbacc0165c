"""The peers by their short names, in the order in which the tables show them."""

from __future__ import annotations

from benchmarks.contestants import Contestant
from benchmarks.peers.colyseus import Colyseus
from benchmarks.peers.nats import Nats
from benchmarks.peers.nchan import Nchan
from benchmarks.peers.plain_ws import PlainWs
from benchmarks.peers.socket_io import PythonSocketIo, SocketIo

PEERS: dict[str, Contestant] = {
    "nats": Nats(),
    "nchan": Nchan(),
    "ws": PlainWs(),
    "socketio": SocketIo(),
    "colyseus": Colyseus(),
    "python-socketio": PythonSocketIo(),
}
