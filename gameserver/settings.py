"""Configuration: environment variables, overridden by flags of the same names, checked all at once.

The field `redis_url` is the variable `GAMESERVER_REDIS_URL` and the flag `--redis-url`; an empty variable counts
as not set. Fields whose names end in `_s` are in seconds, sizes are in bytes, rates are per second.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from gameserver.errors import SettingsError
from gameserver.issuers import ALGORITHMS, LOOPBACK_HOSTS, SECRET_BYTES, Issuer, check_issuer, read_issuers

PREFIX = "GAMESERVER_"
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")

Reader = Callable[[str], Any]
"""Reads a variable's text; raises ValueError saying what it must be, without quoting it."""


def _text(raw: str) -> str:
    return raw


def _words(raw: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in raw.split(",") if word.strip())


def _flag(raw: str) -> bool:
    try:
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[raw.lower()]
    except KeyError:
        raise ValueError("must be 1 or 0") from None


def _one_of(*words: str) -> Reader:
    def read(raw: str) -> str:
        if raw.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return raw.lower()

    return read


def _whole(least: int, most: int) -> Reader:
    def read(raw: str) -> int:
        if re.fullmatch(r"-?[0-9]{1,18}", raw) is None or not least <= int(raw) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(raw)

    return read


def _number(least: float = 0.0, *, above: bool = False) -> Reader:
    def read(raw: str) -> float:
        try:
            number = float(raw)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or number < least or (above and number == least):
            raise ValueError(f"must be a number {'above' if above else 'of at least'} {least:g}")
        return number

    return read


def _origins(raw: str) -> tuple[str, ...]:
    origins = _words(raw)
    # Compared as whole strings with what browsers send: lower case, no path, no default port.
    shape = re.compile(
        r"(?!http://[^/]*:80$)(?!https://[^/]*:443$)https?://(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]+)?"
    )
    if not all(shape.fullmatch(origin) for origin in origins):
        raise ValueError(
            "must be exact origins separated by commas, such as https://play.example:8443: "
            "lower case, no path, no wildcard, no default port"
        )
    return origins


def _networks(raw: str) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(word)) for word in _words(raw))
    except ValueError:
        raise ValueError("must be addresses or networks separated by commas, such as 10.0.0.0/8") from None


def _places(raw: str) -> tuple[str, ...]:
    words = _words(raw)
    for word in words:
        place, _, network = word.partition("=")
        try:
            ip_network(network.strip() if place.strip() else "")
        except ValueError:
            raise ValueError("must be networks with names, separated by commas, such as eu=192.0.2.0/24") from None
    return words


def _redis_url(raw: str) -> str:
    try:
        url = urlsplit(raw)
        fits = url.port != 0 and re.fullmatch(r"(/[0-9]*)?", url.path) is not None and bool(url.hostname)
    except ValueError:
        fits = False
    if not fits or url.scheme not in ("redis", "rediss"):
        raise ValueError("must be like redis://[user:password@]host[:port][/database], or rediss://... for TLS")
    return raw


def _world(raw: str) -> str:
    if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", raw) is None:
        raise ValueError("must be like package.module:attribute")
    return raw


def _setting(default: Any, read: Reader, help: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"read": read, "help": help, "secret": secret})


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """Everything a worker is told from outside. Make one with `Settings.load`."""

    world: str = _setting("gameserver.worlds.frontier:game", _world, "the world to run, module:attribute")
    host: str = _setting("127.0.0.1", _text, "the address to listen at")
    port: int = _setting(8000, _whole(0, 65535), "the port to listen at; 0 takes a free one")
    workers: int = _setting(1, _whole(1, 256), "worker processes; more than one needs Redis")
    redis_url: str = _setting("", _redis_url, "the store; without it the world lives in this process", secret=True)
    redis_deadline_s: float = _setting(1.0, _number(0, above=True), "the longest a store operation may take")
    dev: bool = _setting(False, _flag, "1: development conveniences, on loopback only")
    log_level: str = _setting("info", _one_of(*LOG_LEVELS), "how much to log")

    jwt_secret: str = _setting("", _text, "the secret of HS tokens", secret=True)
    jwt_algorithm: str = _setting("HS256", _text, "the one algorithm accepted")
    jwt_issuer: str = _setting("gameserver", _text, "the issuer accepted")
    jwt_audience: str = _setting("gameserver", _text, "the audience tokens must name")
    jwt_jwks_url: str = _setting("", _text, "where the issuer publishes its keys")
    jwt_issuers: str = _setting("", _text, "a JSON file of further issuers (gameserver/issuers.py)")
    jwt_leeway_s: float = _setting(2.0, _number(), "how far clocks may differ")

    origins: tuple[str, ...] = _setting((), _origins, "origins of web pages that may connect, comma-separated")
    trusted_proxies: tuple[str, ...] = _setting((), _networks, "whose X-Forwarded-For is believed")
    places: tuple[str, ...] = _setting((), _places, "names for networks, such as eu=192.0.2.0/24,us=10.0.0.0/8")
    far_apart: str = _setting(
        "flag", _one_of("flag", "refuse"), "what a player meets who comes from a second place at once: flag or refuse"
    )
    handshakes_per_address: float = _setting(100.0, _number(0, above=True), "handshakes per second and address")
    handshakes_per_player: float = _setting(10.0, _number(0, above=True), "handshakes per second and player")
    handshake_s: float = _setting(10.0, _number(0, above=True), "the longest a handshake may take")
    max_connections: int = _setting(10_000, _whole(1, 1_000_000), "connections per worker")
    max_message: int = _setting(16 * 1024, _whole(64, 1 << 24), "the largest message from a client")
    compression: bool = _setting(False, _flag, "1: compress for clients that ask for it")
    commands_per_second: float = _setting(20.0, _number(0, above=True), "commands per second and player")
    commands_burst: int = _setting(40, _whole(1, 100_000), "commands a player may send at once")
    messages_per_second: float = _setting(
        200.0, _number(0, above=True), "messages per second and connection before it is closed for flooding"
    )
    command_memory_s: float = _setting(600.0, _number(0, above=True), "how long command ids are remembered")

    heartbeat_s: float = _setting(20.0, _number(0, above=True), "silence after which a client should have spoken")
    grace_s: float = _setting(20.0, _number(), "silence beyond the heartbeat before a client is cut")
    resume_grace_s: float = _setting(60.0, _number(), "how long a lost session can be resumed")
    verify_s: float = _setting(5.0, _number(0, above=True), "between verification ticks")
    drain_s: float = _setting(20.0, _number(), "the longest a worker takes to drain")

    issuers: tuple[Issuer, ...] = ()
    """All issuers: the one of the variables, then those of the file."""
    secret_generated: bool = field(default=False, compare=False)
    """Whether the secret is dev mode's random one."""

    @classmethod
    def load(cls, environ: Mapping[str, str], overrides: Mapping[str, object] | None = None) -> Settings:
        """Settings from variables and `overrides` (field names to flag values; None is not given).

        Raises SettingsError naming every fault.
        """
        overrides = overrides or {}
        faults: list[str] = []
        values: dict[str, Any] = {}
        for name, metadata in _variables().items():
            given = overrides.get(name)
            source = flag_name(name) if given is not None else variable_name(name)
            raw = str(given if given is not None else environ.get(source, ""))
            # A secret is taken as it is: whoever signs with it does not strip it either.
            raw = raw if metadata["secret"] else raw.strip()
            if not raw:
                continue
            try:
                values[name] = metadata["read"](raw)
            except ValueError as fault:
                shown = "" if metadata["secret"] else f", not {raw!r}"
                faults.append(f"{source} {fault}{shown}.")
        settings = cls(**values)
        settings, found = _settle_issuers(settings)
        faults += found + _check_together(settings)
        if faults:
            raise SettingsError(faults)
        return settings

    def to_environ(self) -> dict[str, str]:
        """Variables from which `load` makes the same settings in another process, the secret included."""
        environ = {}
        for name in _variables():
            value = getattr(self, name)
            if isinstance(value, bool):
                value = int(value)
            environ[variable_name(name)] = ",".join(value) if isinstance(value, tuple) else str(value)
        return environ

    @property
    def signer(self) -> Issuer | None:
        """The issuer whose tokens this process can make itself: the HS one of the variables."""
        first = self.issuers[0] if self.issuers else None
        return first if first is not None and first.symmetric and first.key == self.jwt_secret else None

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in _variables()}
        shown["jwt_secret"] = "***" if self.jwt_secret else ""
        shown |= {name: redact_url(shown[name]) for name in ("redis_url", "jwt_jwks_url")}
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def variable_name(name: str) -> str:
    return PREFIX + name.upper()


def flag_name(name: str) -> str:
    return "--" + name.replace("_", "-")


def flags() -> list[tuple[str, str, bool]]:
    """For the command line: each setting's field name, one line of help, and whether it is a switch."""
    return [(name, metadata["help"], metadata["read"] is _flag) for name, metadata in _variables().items()]


def redact_url(url: str) -> str:
    """The URL without its password, fit to be shown."""
    return re.sub(r"//[^/]*@", "//***@", re.sub(r"\?.*", "?***", url)) if url else ""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address or name."""
    if host in LOOPBACK_HOSTS:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _variables() -> dict[str, Mapping[str, Any]]:
    return {entry.name: entry.metadata for entry in fields(Settings) if "read" in entry.metadata}


def _settle_issuers(settings: Settings) -> tuple[Settings, list[str]]:
    """The settings with `issuers` filled in, and a secret made in dev mode when none is given."""
    faults: list[str] = []
    issuers: list[Issuer] = []
    symmetric = settings.jwt_algorithm in SECRET_BYTES
    if settings.dev and symmetric and not settings.jwt_secret and not settings.jwt_jwks_url:
        settings = replace(settings, jwt_secret=secrets.token_urlsafe(64), secret_generated=True)
    if settings.jwt_secret and settings.jwt_jwks_url:
        faults.append("GAMESERVER_JWT_SECRET and GAMESERVER_JWT_JWKS_URL are both set: keep one.")
    elif settings.jwt_secret and settings.jwt_algorithm in ALGORITHMS and not symmetric:
        faults.append(f"GAMESERVER_JWT_SECRET has no use with {settings.jwt_algorithm}: set GAMESERVER_JWT_JWKS_URL.")
    elif settings.jwt_secret or settings.jwt_jwks_url:
        issuer = Issuer(
            settings.jwt_issuer,
            settings.jwt_algorithm,
            settings.jwt_audience,
            settings.jwt_secret,
            settings.jwt_jwks_url,
        )
        faults += [f"GAMESERVER_JWT_*: {fault}" for fault in check_issuer(issuer)]
        issuers.append(issuer)
    elif settings.jwt_algorithm not in ALGORITHMS:
        faults.append(f"GAMESERVER_JWT_ALGORITHM must be one of {', '.join(sorted(ALGORITHMS))}.")
    if settings.jwt_issuers:
        more, found = read_issuers(settings.jwt_issuers, settings.jwt_audience)
        issuers += more
        faults += found
    elif not (settings.jwt_secret or settings.jwt_jwks_url):
        faults.append(
            "No key to verify tokens with: set GAMESERVER_JWT_SECRET (at least 32 random bytes), "
            "GAMESERVER_JWT_JWKS_URL or GAMESERVER_JWT_ISSUERS. GAMESERVER_DEV=1 makes a random secret for development."
        )
    names = [issuer.issuer for issuer in issuers]
    faults += [f"The issuer {name!r} is configured twice." for name in sorted({n for n in names if names.count(n) > 1})]
    return replace(settings, issuers=tuple(issuers)), faults


def _check_together(settings: Settings) -> list[str]:
    faults = []
    if settings.dev and not is_loopback(settings.host):
        faults.append(
            f"GAMESERVER_DEV serves loopback alone, but GAMESERVER_HOST is {settings.host!r}: "
            "anyone could get a token there."
        )
    if settings.workers > 1 and not settings.redis_url:
        faults.append(f"{settings.workers} workers need a store in common: set GAMESERVER_REDIS_URL.")
    return faults
