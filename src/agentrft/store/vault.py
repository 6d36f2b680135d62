"""Secrets at rest: what a request carries in headers is useless to whoever copies the database alone."""

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken


class Vault:
    """Seals text with the key of one data directory."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._fernet = Fernet(key)

    @classmethod
    def open(cls, path: Path) -> "Vault":
        """The vault whose key lies at `path`, which is made, readable by its owner alone, when it is not there."""
        if not path.exists():
            _write_new_key(path)
        return cls(path.read_bytes())

    def derive(self, purpose: str) -> str:
        """A secret of 64 hexadecimal characters that only holders of the key can make; another for each purpose."""
        return hmac.new(self._key, purpose.encode(), hashlib.sha256).hexdigest()

    def seal(self, text: str) -> bytes:
        return self._fernet.encrypt(text.encode())

    def unseal(self, sealed: bytes) -> str:
        """Raises ValueError when `sealed` was made with another key or was changed since."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            raise ValueError("sealed with another key, or changed since") from None

    def seal_json(self, value: Mapping[str, Any]) -> bytes:
        return self.seal(json.dumps(value))

    def unseal_json(self, sealed: bytes) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.unseal(sealed))
        return value


def _write_new_key(path: Path) -> None:
    # Two processes may start at once: the link makes the first whole file win, and nobody reads half a key.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key())
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)
