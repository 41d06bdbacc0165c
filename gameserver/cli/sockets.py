"""Taking the port before anything else is started, so that one that cannot be had is told in a sentence."""

from __future__ import annotations

import errno
import socket

from gameserver.errors import SettingsError


def bind(host: str, port: int, *, shared: bool = False) -> list[socket.socket]:
    """Bound sockets, one for each address of `host`, not listening yet; port 0 becomes a free one.

    With `shared` other processes of this user may bind the same port, and connections are spread over all that
    listen. Raises SettingsError with one fault.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError([f"The host {host!r} cannot be resolved: {reason}."]) from None
    bound: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            # The addresses of one name share one port.
            place = (address[0], port_of(bound) if bound else port, *address[2:])
            try:
                bound.append(_bind_one(family, kind, protocol, place, shared))
            except OSError as error:
                # `localhost` is often ::1 too, by name, where there is no IPv6 at all.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                absent = error
        if not bound:
            raise absent or OSError(errno.EADDRNOTAVAIL, "no address")
    except OSError as error:
        for each in bound:
            each.close()
        raise SettingsError([_sentence(error, host, port)]) from None
    return bound


def port_of(bound: list[socket.socket]) -> int:
    port: int = bound[0].getsockname()[1]
    return port


def _bind_one(
    family: socket.AddressFamily,
    kind: socket.SocketKind,
    protocol: int,
    place: tuple[str | int | bytes, ...],
    shared: bool,
) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.set_inheritable(False)
        made.bind(place)
    except BaseException:
        made.close()
        raise
    return made


def _sentence(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"Port {port} of {host} is taken by another program: stop that, or choose another port by --port."
        case errno.EADDRNOTAVAIL:
            return f"The host {host!r} is not an address of this machine."
        case errno.EACCES:
            return f"This user may not listen on port {port}: choose one from 1024 on by --port."
        case _:
            return f"Port {port} of {host} cannot be listened on: {error.strerror or error}."


def web_address(host: str, port: int) -> str:
    """`host:port` as it stands in a URL; an address that means every one becomes this machine's."""
    if host in ("", "0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
