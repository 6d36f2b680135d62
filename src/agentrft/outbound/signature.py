"""Signed requests: how an endpoint knows that a request is ours, and neither changed nor sent again by somebody else.

Standard Webhooks, version 1 of its symmetric scheme (https://www.standardwebhooks.com): HMAC-SHA256 over
`<id>.<unix seconds>.<body>`, so that any of its libraries can check our requests.
"""

import base64
import hashlib
import hmac

from agentrft.domain.signing_secret import read_signing_secret


class Signer:
    """Signs with one secret, which never leaves this object.

    Raises:
        ValueError: as `read_signing_secret`.
    """

    def __init__(self, secret: str) -> None:
        self._key = read_signing_secret(secret)

    def headers(self, message_id: str, *, timestamp_s: int, body: bytes) -> dict[str, str]:
        """What to send with `body`. The id stays the same when a request is tried again, the time does not."""
        signed = f"{message_id}.{timestamp_s}.".encode() + body
        signature = base64.b64encode(hmac.digest(self._key, signed, hashlib.sha256)).decode()
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": f"v1,{signature}",
        }
