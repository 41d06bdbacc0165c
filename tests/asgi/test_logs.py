import logging

import pytest

from gameserver.asgi.logs import WithoutQueries

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2-l_n"


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("/ws", "/ws"),
        (f"/ws?token={JWT}", "/ws?***"),
        ("/ws?anything", "/ws?***"),
        (f"/ws/{JWT}", "/ws/***"),
        (f"/ws/%3Ftoken%3D{JWT}", "/ws/%3Ftoken%3D***"),
        (f"/ws%23token%3D{JWT}%26more", "/ws%23token%3D***%26more"),
    ],
)
def test_no_token_is_written(path, written):
    """Wherever in the URL it stood."""
    record = logging.LogRecord(
        "uvicorn.error", logging.INFO, "", 0, '%s - "WebSocket %s" 404', ("1.2.3.4:5", path), None
    )
    assert WithoutQueries().filter(record)
    assert record.getMessage() == f'1.2.3.4:5 - "WebSocket {written}" 404'
