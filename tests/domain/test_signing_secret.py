import base64

import pytest

from agentrft.domain.signing_secret import read_signing_secret


@pytest.mark.parametrize("size", [24, 32, 64])
def test_the_key_of_a_secret_is_read(size) -> None:
    key = bytes(range(size))
    assert read_signing_secret("whsec_" + base64.b64encode(key).decode()) == key


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_c2hvcnQ=",
        "whsec_" + "A" * 92,  # 69 bytes
        base64.b64encode(bytes(32)).decode(),
        "whsec_" + "?" * 44,
        "whsec_" + "é" * 44,
        "**********",
    ],
)
def test_other_text_is_refused_without_being_quoted(secret) -> None:
    with pytest.raises(ValueError, match=r"^must be 'whsec_' and the base64 of 24 to 64 random bytes\.$"):
        read_signing_secret(secret)
