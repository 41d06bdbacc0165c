"""What a TLS connection to Redis is checked with."""

from __future__ import annotations

import ssl

from gameserver.errors import SettingsError


def tls_context(authority: str = "", certificate: str = "") -> ssl.SSLContext | None:
    """None when neither file is named: then the system's authorities count, and we show no certificate.

    `authority` is a PEM file of who signed Redis' certificate, `certificate` one with our own key and certificate.
    Raises SettingsError for what cannot be read.
    """
    if not authority and not certificate:
        return None
    try:
        context = ssl.create_default_context(cafile=authority or None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError([f"GAMESERVER_REDIS_CA cannot be read: {error}."]) from None
    if certificate:
        try:
            context.load_cert_chain(certificate)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError([f"GAMESERVER_REDIS_CERTIFICATE cannot be read: {error}."]) from None
    return context
