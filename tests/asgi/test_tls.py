"""The same protocols over TLS, where transports differ: in their limits, and in that they cannot be closed half."""

import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from serving import RawClient, Serving

from gameserver.protocol.frames import encode_frame

BINARY = 0x2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of our own for localhost, as uvicorn's settings."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    directory = tmp_path_factory.mktemp("tls")
    public, private = directory / "public.pem", directory / "private.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {"ssl_certfile": str(public), "ssl_keyfile": str(private)}


@pytest.fixture(params=["asyncio", "uvloop"])
def serving(request, certificate):
    """A server on each event loop it may run on."""
    with Serving(request.param, certificate) as serving:
        yield serving


@pytest.fixture
def tls(certificate):
    """What a client trusts."""
    return ssl.create_default_context(cafile=certificate["ssl_certfile"])


def test_requests_are_served(serving, tls):
    """An answer comes whole, also when it is large."""
    with RawClient(serving.port, tls=tls) as client:
        for path in ("/health", "/large"):
            client.send(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
            status, headers = client.head()
            assert status == 200
            assert path.encode() in client.take(int(headers["content-length"]))


def test_what_is_taken_at_once_is_not_told_of(serving, tls):
    """A channel that keeps nothing back neither counts as congested nor as drained."""
    told = []
    with RawClient(serving.port, tls=tls).open("/detached") as client:
        serving.wait(lambda: serving.channels)
        (channel,) = serving.channels
        serving.call(channel.on_congested, lambda: told.append("congested"))
        serving.call(channel.on_drained, lambda: told.append("drained"))
        for number in range(5):
            serving.call(channel.write, encode_frame(bytes((number,)), False))
            assert client.frame() == (BINARY, bytes((number,)))
    assert told == []


@pytest.mark.parametrize("before", [0, 1])
def test_a_slow_reader_shows_and_drains(serving, tls, before):
    """Its congestion is told of, however many writes it took before, and that it has taken everything."""
    told = []
    with RawClient(serving.port, small_window=True, tls=tls).open("/detached") as client:
        serving.wait(lambda: serving.channels)
        (channel,) = serving.channels
        for _ in range(before):
            serving.call(channel.write, encode_frame(b"z", False))
            client.frame()
        serving.call(channel.on_congested, lambda: told.append(("congested", channel.unsent() > 0)))
        serving.call(channel.on_drained, lambda: (told.append(("drained", channel.unsent() > 0)), serving._notify()))
        count = 0
        while serving.call(channel.unsent) < 100_000:
            serving.call(channel.write, encode_frame(b"z" * 50_000, False))
            count += 1
            assert count < 100
        assert told == [("congested", True)]
        for _ in range(count):
            client.frame()
        serving.wait(lambda: len(told) > 1)
    assert told == [("congested", True), ("drained", False)]


def test_a_fault_is_answered(serving, tls):
    """The close frame arrives and the connection ends."""
    with RawClient(serving.port, tls=tls).open("/detached") as client:
        serving.wait(lambda: serving.channels)
        client.send_frame(0x3, b"no such opcode")
        assert client.close_code() == 1002
        assert client.at_end()
    serving.wait_for_end_of_connections()


def test_a_refusal_is_answered(serving, tls):
    """So is an HTTP answer instead of a WebSocket."""
    with RawClient(serving.port, tls=tls) as client:
        client.upgrade("/deny")
        assert client.head()[0] == 429
        assert client.at_end()
