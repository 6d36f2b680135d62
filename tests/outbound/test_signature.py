"""Signatures that any Standard Webhooks library accepts."""

import base64
import hashlib
import hmac

import pytest

from agentrft.outbound.signature import Signer


def test_the_example_of_the_published_scheme_is_signed_alike() -> None:
    """The vector that the Standard Webhooks libraries are tested with."""
    signer = Signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert signer.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp_s=1614265330, body=body) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_what_is_signed_is_id_time_and_body() -> None:
    key = bytes(range(32))
    headers = Signer("whsec_" + base64.b64encode(key).decode()).headers("call_1", timestamp_s=7, body=b"\xff{}")
    expected = base64.b64encode(hmac.new(key, b"call_1.7.\xff{}", hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_a_signer_does_not_show_its_secret() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert secret[6:] not in repr(Signer(secret))
    with pytest.raises(ValueError, match="whsec_") as caught:
        Signer("s3cret")
    assert "s3cret" not in str(caught.value)
