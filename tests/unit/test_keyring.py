"""API keys."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from indexer.errors import NotFound, SettingsError
from recsvc.problems import Forbidden, Unauthorized
from recsvc.security import SCOPES, Keyring, is_loopback


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_without_a_file_everybody_may_do_everything():
    keyring = Keyring(None)
    assert keyring.open
    for scope in SCOPES:
        assert keyring.check({}, scope).tenant == "default"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_key_is_taken_as_a_bearer_token(path: Path, scheme: str):
    key = Keyring(path).create("app", ["read"], "shop")
    found = Keyring(path).check({"authorization": f"{scheme} {key}"}, "read")
    assert (found.name, found.tenant, found.scopes) == ("app", "shop", ("read",))


def test_a_key_is_taken_from_a_header_of_its_own(path: Path):
    key = Keyring(path).create("app", ["read"], "shop")
    assert Keyring(path).check({"x-api-key": key}, "read").name == "app"


def test_a_new_key_works_at_once(path: Path):
    keyring = Keyring(path)
    assert keyring.check(bearer(keyring.create("app", ["read"], "shop")), "read").name == "app"


def test_each_key_has_its_tenant(path: Path):
    keyring = Keyring(path)
    keys = {tenant: keyring.create(f"for-{tenant}", ["read"], tenant) for tenant in ("a", "b")}
    assert {keyring.check(bearer(key), "read").tenant for key in keys.values()} == {"a", "b"}
    assert keyring.check(bearer(keys["a"]), "read").tenant == "a"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer wrong"},
        {"authorization": "Basic YTpi"},
        {"x-api-key": ""},
        {"x-api-key": "é"},
    ],
)
def test_without_a_known_key_there_is_no_entry(path: Path, headers: dict[str, str]):
    Keyring(path).create("app", SCOPES, "shop")
    with pytest.raises(Unauthorized, match="send a known key"):
        Keyring(path).check(headers, "read")


def test_an_empty_or_missing_file_lets_nobody_in(path: Path):
    with pytest.raises(Unauthorized):
        Keyring(path).check({}, "read")
    path.write_text("", encoding="utf-8")
    with pytest.raises(Unauthorized):
        Keyring(path).check({}, "read")


def test_what_is_kept_of_a_key_does_not_open_anything(path: Path):
    keyring = Keyring(path)
    keyring.create("app", SCOPES, "shop")
    with pytest.raises(Unauthorized):
        keyring.check(bearer(keyring.all()[0].sha256), "read")


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_opens_its_scopes_only(path: Path, scope: str):
    keyring = Keyring(path)
    key = keyring.create("app", [scope], "shop")
    assert keyring.check(bearer(key), scope).name == "app"
    for other in set(SCOPES) - {scope}:
        with pytest.raises(Forbidden, match=f"'app' lacks the scope '{other}'"):
            keyring.check(bearer(key), other)


def test_only_the_hash_of_a_key_is_in_the_file(path: Path):
    key = Keyring(path).create("app", ["read", "write"], "shop")
    text = path.read_text(encoding="utf-8")
    assert key not in text
    assert key.removeprefix("rs_") not in text
    assert Keyring(path).all()[0].sha256 in text


def test_the_file_can_be_read_by_its_owner_only(path: Path):
    Keyring(path).create("app", ["read"], "shop")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keys_differ_and_are_listed_by_name(path: Path):
    keyring = Keyring(path)
    keys = {keyring.create(name, ["read"], "shop") for name in ("b", "c", "a")}
    assert len(keys) == 3
    assert [key.name for key in Keyring(path).all()] == ["a", "b", "c"]


def test_a_revoked_key_opens_nothing_and_the_others_stay(path: Path):
    keyring = Keyring(path)
    gone, stays = (keyring.create(name, ["read"], "shop") for name in ("gone", "stays"))
    keyring.revoke("gone")
    for ring in (keyring, Keyring(path)):
        with pytest.raises(Unauthorized):
            ring.check(bearer(gone), "read")
        assert ring.check(bearer(stays), "read").name == "stays"


def test_a_revoked_name_is_free_again(path: Path):
    keyring = Keyring(path)
    keyring.create("app", ["read"], "shop")
    keyring.revoke("app")
    assert keyring.check(bearer(keyring.create("app", ["read"], "shop")), "read").name == "app"


def test_an_unknown_name_cannot_be_revoked(path: Path):
    with pytest.raises(NotFound, match="no key 'app'"):
        Keyring(path).revoke("app")


@pytest.mark.parametrize("name", ["", "a b", 'a"', "a\n", "x" * 65, "taken"])
def test_a_malformed_or_taken_name_is_refused(path: Path, name: str):
    keyring = Keyring(path)
    keyring.create("taken", ["read"], "shop")
    with pytest.raises(SettingsError, match="is taken, or not"):
        keyring.create(name, ["read"], "shop")
    assert len(Keyring(path).all()) == 1


@pytest.mark.parametrize(
    ("scopes", "tenant"), [([], "shop"), (["root"], "shop"), (["read"], "a b"), (["read"], "")]
)
def test_a_wrong_scope_or_tenant_is_refused(path: Path, scopes: list[str], tenant: str):
    with pytest.raises(SettingsError, match="scopes of read, write, admin and a tenant id"):
        Keyring(path).create("app", scopes, tenant)
    assert not path.exists()


def test_without_a_file_no_key_can_be_made():
    with pytest.raises(SettingsError, match="RECSVC_API_KEYS_FILE is not set"):
        Keyring(None).create("app", ["read"], "shop")


GOOD = {"name": '"app"', "sha256": f'"{"0" * 64}"', "scopes": '["read"]', "tenant": '"shop"'}


def block(**changes: str | None) -> str:
    rows = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    return "[[keys]]\n" + "".join(f"{name} = {value}\n" for name, value in rows.items())


def test_a_file_written_by_hand_is_read(path: Path):
    path.write_text(block(), encoding="utf-8")
    assert [key.name for key in Keyring(path).all()] == ["app"]


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        'keys = "x"',
        "[keys]\nname = 1",
        *(block(**{name: None}) for name in GOOD),
        block(name="1"),
        block(sha256="1"),
        block(sha256='"abc"'),
        block(scopes='["root"]'),
        block(scopes='"read"'),
        block(scopes="1"),
        block(scopes="[[1]]"),
        block(tenant='"a b"'),
        block(tenant="1"),
    ],
)
def test_a_wrong_file_stops_the_start(path: Path, text: str):
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match="RECSVC_API_KEYS_FILE"):
        Keyring(path)


def test_a_file_that_is_no_text_stops_the_start(path: Path):
    path.write_bytes(b'\xff\xfe[[keys]]\nname = "\xe9"')
    with pytest.raises(SettingsError, match="RECSVC_API_KEYS_FILE"):
        Keyring(path)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.com", False),
        ("localhost.example.com", False),
        ("", False),
    ],
)
def test_a_loopback_address_is_told_from_the_others(host: str, local: bool):
    assert is_loopback(host) is local
