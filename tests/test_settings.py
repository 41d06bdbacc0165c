import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gameserver.errors import SettingsError
from gameserver.settings import Settings, flags, is_loopback

SECRET = "0123456789abcdef0123456789abcdef"
GOOD = {"GAMESERVER_JWT_SECRET": SECRET}


def public_pem(key):
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def faults_of(environ, overrides=None):
    with pytest.raises(SettingsError) as caught:
        Settings.load(environ, overrides)
    return caught.value.faults


def test_defaults():
    """The figures of the protocol hold when only a secret is given."""
    settings = Settings.load(GOOD)
    assert (settings.heartbeat_s, settings.grace_s, settings.resume_grace_s, settings.verify_s) == (20, 20, 60, 5)
    assert settings.max_message == 16 * 1024
    assert settings.command_memory_s == 600
    assert (settings.host, settings.dev, settings.redis_url) == ("127.0.0.1", False, "")
    assert settings.issuers[0].key == SECRET


def test_flags_override_variables():
    """A flag wins; a flag that was not given leaves the variable alone; an empty variable is not set."""
    environ = GOOD | {"GAMESERVER_PORT": "1", "GAMESERVER_HOST": "::1", "GAMESERVER_VERIFY_S": ""}
    settings = Settings.load(environ, {"port": 2, "host": None})
    assert (settings.port, settings.host, settings.verify_s) == (2, "::1", 5)


def test_every_fault_is_named_at_once():
    """One start tells everything that is wrong, each fault by the name one would correct it under."""
    faults = faults_of(
        {
            "GAMESERVER_PORT": "http",
            "GAMESERVER_REDIS_URL": "http://user:hunter2@store",
            "GAMESERVER_VERIFY_S": "-1",
            "GAMESERVER_HEARTBEAT_S": "nan",
            "GAMESERVER_DEV": "1",
            "GAMESERVER_HOST": "0.0.0.0",
            "GAMESERVER_ORIGINS": "https://play.example/",
            "GAMESERVER_WORLD": "frontier",
            "GAMESERVER_JWT_SECRET": "hunter2",
            "GAMESERVER_JWT_ISSUERS": "/does/not/exist.json",
        },
        {"workers": "many"},
    )
    said = "\n".join(faults)
    for name in ("PORT", "REDIS_URL", "VERIFY_S", "HEARTBEAT_S", "DEV", "ORIGINS", "WORLD", "JWT_"):
        assert f"GAMESERVER_{name}" in said
    assert "--workers" in said
    assert "shorter than the 32 bytes" in said
    assert "No such file" in said
    assert "hunter2" not in said
    assert all(fault.endswith(".") for fault in faults)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "No key to verify tokens with"),
        ({"GAMESERVER_JWT_SECRET": "x" * 31}, "shorter than the 32 bytes"),
        (GOOD | {"GAMESERVER_JWT_ALGORITHM": "HS512"}, "shorter than the 64 bytes"),
        (GOOD | {"GAMESERVER_JWT_ALGORITHM": "none"}, "'none' is not one of"),
        (GOOD | {"GAMESERVER_JWT_ALGORITHM": "hs256"}, "'hs256' is not one of"),
        (GOOD | {"GAMESERVER_JWT_ALGORITHM": "RS256"}, "has no use with RS256"),
        (GOOD | {"GAMESERVER_JWT_JWKS_URL": "https://id.example/keys"}, "keep one"),
        ({"GAMESERVER_JWT_JWKS_URL": "https://id.example/keys"}, "takes a secret"),
        ({"GAMESERVER_JWT_JWKS_URL": "http://id.example/k", "GAMESERVER_JWT_ALGORITHM": "RS256"}, "https://"),
        (GOOD | {"GAMESERVER_JWT_SECRET": public_pem(ec.generate_private_key(ec.SECP256R1()))}, "not a secret fit"),
        (GOOD | {"GAMESERVER_REDIS_URL": "redis://"}, "GAMESERVER_REDIS_URL"),
        (GOOD | {"GAMESERVER_REDIS_URL": "redis://host:port"}, "GAMESERVER_REDIS_URL"),
        (GOOD | {"GAMESERVER_REDIS_URL": "redis://host/base"}, "GAMESERVER_REDIS_URL"),
        (GOOD | {"GAMESERVER_WORKERS": "2"}, "GAMESERVER_REDIS_URL"),
        (GOOD | {"GAMESERVER_PORT": "65536"}, "GAMESERVER_PORT"),
        (GOOD | {"GAMESERVER_MAX_MESSAGE": "-1"}, "GAMESERVER_MAX_MESSAGE"),
        (GOOD | {"GAMESERVER_HANDSHAKES_PER_ADDRESS": "0"}, "GAMESERVER_HANDSHAKES_PER_ADDRESS"),
        (GOOD | {"GAMESERVER_DEV": "maybe"}, "GAMESERVER_DEV"),
        (GOOD | {"GAMESERVER_LOG_LEVEL": "loud"}, "GAMESERVER_LOG_LEVEL"),
        (GOOD | {"GAMESERVER_TRUSTED_PROXIES": "proxy"}, "GAMESERVER_TRUSTED_PROXIES"),
        (GOOD | {"GAMESERVER_ORIGINS": "*"}, "GAMESERVER_ORIGINS"),
        (GOOD | {"GAMESERVER_ORIGINS": "null"}, "GAMESERVER_ORIGINS"),
        (GOOD | {"GAMESERVER_ORIGINS": "https://play.example:443"}, "GAMESERVER_ORIGINS"),
        (GOOD | {"GAMESERVER_ORIGINS": "https://Play.example"}, "GAMESERVER_ORIGINS"),
    ],
)
def test_single_faults(environ, said):
    """Each wrong setting is exactly one fault."""
    faults = faults_of(environ)
    assert len(faults) == 1
    assert said in faults[0]


def test_good_values():
    """Lists are split, urls of every supported kind are taken."""
    settings = Settings.load(
        GOOD
        | {
            "GAMESERVER_ORIGINS": "https://play.example, http://127.0.0.1:5173,http://[::1]:3000",
            "GAMESERVER_TRUSTED_PROXIES": "10.0.0.0/8,::1",
            "GAMESERVER_REDIS_URL": "rediss://user:p%40ss@store.example:6380/2",
        }
    )
    assert settings.origins == ("https://play.example", "http://127.0.0.1:5173", "http://[::1]:3000")
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1/128")


def test_dev_mode_makes_a_secret_of_its_own():
    """No two process groups share it, and a child process given `to_environ` has its parent's."""
    one, two = (Settings.load({"GAMESERVER_DEV": "1"}) for _ in range(2))
    assert one.secret_generated
    assert len(one.jwt_secret) >= 64
    assert one.jwt_secret != two.jwt_secret
    assert Settings.load(one.to_environ()) == one
    assert one.signer is not None
    assert not Settings.load(GOOD | {"GAMESERVER_DEV": "1"}).secret_generated


def test_to_environ_keeps_everything():
    """What was read can be read again."""
    overrides = {"origins": "https://a.example,https://b.example", "port": 0, "max_message": 1024, "verify_s": 0.25}
    settings = Settings.load(GOOD, overrides)
    assert Settings.load(settings.to_environ()) == settings


def test_secrets_are_never_shown():
    """Neither the secret nor a password in a URL is in the text of settings or issuers."""
    settings = Settings.load(GOOD | {"GAMESERVER_REDIS_URL": "redis://user:p@ssw0rd@store:6379/0?password=p@ssw0rd"})
    for text in (repr(settings), str(settings), repr(settings.issuers)):
        assert SECRET not in text
        assert "ssw0rd" not in text
    assert "store:6379" in repr(settings)


def test_issuers_of_a_file(tmp_path):
    """Several issuers, each with its own algorithm, beside the one of the variables."""
    entries = [
        {"issuer": "a", "algorithm": "ES256", "key": public_pem(ec.generate_private_key(ec.SECP256R1()))},
        {"issuer": "b", "algorithm": "RS256", "jwks_url": "https://id.example/keys", "audience": "ours"},
        {"issuer": "c", "algorithm": "HS256", "secret": "s" * 32},
    ]
    path = tmp_path / "issuers.json"
    path.write_text(json.dumps(entries))
    settings = Settings.load(GOOD | {"GAMESERVER_JWT_ISSUERS": str(path), "GAMESERVER_JWT_AUDIENCE": "game"})
    assert [(issuer.issuer, issuer.audience) for issuer in settings.issuers] == [
        ("gameserver", "game"),
        ("a", "game"),
        ("b", "ours"),
        ("c", "game"),
    ]
    alone = Settings.load({"GAMESERVER_JWT_ISSUERS": str(path)})
    assert len(alone.issuers) == 3
    assert alone.signer is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "it is not JSON"),
        ("[]", "at least one issuer"),
        ("[7]", "object of non-empty strings"),
        ([{"issuer": "a", "algorithm": "HS256"}], "exactly one of"),
        ([{"issuer": "a", "algorithm": "HS256", "secret": "s" * 32, "jwks_url": "https://x"}], "exactly one of"),
        ([{"issuer": "a", "algorithm": "none", "key": "k"}], "'none' is not one of"),
        ([{"issuer": "a", "algorithm": "RS256", "key": "k"}], "not a public key fit for RS256"),
        ([{"issuer": "a", "algorithm": "RS256", "secret": "s" * 32}], "does not go with 'secret'"),
        ([{"issuer": "a", "algorithm": "HS256", "key": "s" * 32}], "does not go with 'key'"),
        ([{"issuer": "a", "algorithm": "HS256", "secret": "short"}], "shorter than the 32 bytes"),
        ([{"issuer": "a", "algorithm": "HS256", "secret": "s" * 32, "kid": "1"}], "'kid' is not known"),
        ([{"issuer": "gameserver", "algorithm": "HS256", "secret": "s" * 32}], "configured twice"),
    ],
)
def test_faults_of_an_issuers_file(tmp_path, content, said):
    """Every way the file can be wrong is said, without a word of its secrets."""
    path = tmp_path / "issuers.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    faults = faults_of(GOOD | {"GAMESERVER_JWT_ISSUERS": str(path)})
    assert len(faults) == 1
    assert said in faults[0]


def test_weak_and_private_keys_are_refused(tmp_path):
    """A private key does not belong on a server that only verifies, and a short RSA key is no key."""
    private = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    short = public_pem(rsa.generate_private_key(65537, 1024))
    entries = [
        {"issuer": "a", "algorithm": "ES256", "key": private.decode()},
        {"issuer": "b", "algorithm": "RS256", "key": short},
    ]
    path = tmp_path / "issuers.json"
    path.write_text(json.dumps(entries))
    faults = faults_of(GOOD | {"GAMESERVER_JWT_ISSUERS": str(path)})
    assert "private" in faults[0]
    assert "2048 bits" in faults[1]


def test_flags_cover_every_setting():
    """The command line can be built from the settings themselves."""
    names = {name for name, _, _ in flags()}
    assert {"redis_url", "world", "dev", "jwt_secret"} <= names
    assert ("dev", "1: development conveniences, on loopback only", True) in flags()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.9", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("example", False)],
)
def test_loopback(host, loopback):
    """Only addresses that no other machine reaches are loopback."""
    assert is_loopback(host) is loopback
