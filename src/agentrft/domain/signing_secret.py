"""What a signing secret looks like (Standard Webhooks: `whsec_` and base64), for whoever reads or uses one."""

import base64
import binascii

PREFIX = "whsec_"
MIN_KEY_BYTES = 24
MAX_KEY_BYTES = 64


def read_signing_secret(secret: str) -> bytes:
    """The key that `secret` stands for.

    Raises:
        ValueError: it is malformed. The message, fit for its owner, does not quote it.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if not secret.startswith(PREFIX) or not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(f"must be '{PREFIX}' and the base64 of {MIN_KEY_BYTES} to {MAX_KEY_BYTES} random bytes.")
    return key
