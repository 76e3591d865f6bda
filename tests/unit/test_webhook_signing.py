"""Signatures that a consumer's own library accepts."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from recsvc.webhooks.signing import check_secret, new_secret, signed_headers

NOW = int(time.time())


@given(st.text(max_size=200), st.binary(min_size=24, max_size=64))
def test_a_consumers_library_accepts_the_signature(text: str, key: bytes):
    secret = "whsec_" + base64.b64encode(key).decode()
    body = text.encode()
    headers = signed_headers("msg_1", int(time.time()), body, [check_secret(secret)])
    Webhook(secret).verify(body, headers, json_parse=False)


def test_the_example_of_the_specification_has_its_signature():
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [secret]
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_each_secret_signs():
    first, second = new_secret(), new_secret()
    headers = signed_headers("msg_1", NOW, b"{}", [first, second])
    for secret in (first, second):
        assert Webhook(secret).verify(b"{}", headers) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(b"{}", headers)


def test_new_secrets_are_accepted_and_never_the_same():
    made = {check_secret(new_secret()) for _ in range(100)}
    assert len(made) == 100


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        "whsec_not/base64!",
        base64.b64encode(b"x" * 32).decode(),
    ],
)
def test_what_is_no_secret_is_refused_without_being_repeated(secret: str):
    with pytest.raises(ValueError, match=r"must|has") as refused:
        check_secret(secret)
    assert secret.removeprefix("whsec_") == "" or secret[6:] not in str(refused.value)
