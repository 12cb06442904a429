"""What a plugin may ask of the gateway. Call the class, without an instance."""

from __future__ import annotations

import _tyk_native  # type: ignore[import-untyped]


class TykGateway:
    """The gateway as plugin code sees it."""

    @classmethod
    def log(cls, message: str | bytes, level: str = "info") -> None:
        """Writes a log line; `level` is debug, info, warning or error."""
        _tyk_native.log(_text(message), _text(level))

    @classmethod
    def log_error(cls, *messages: object) -> None:
        """Writes a log line of level error."""
        _tyk_native.log(" ".join(_text(message) for message in messages), "error")

    @classmethod
    def store_data(cls, key: str, value: str | bytes, ttl: int = 0) -> None:
        """Keeps `value` (str or bytes) under `key` for `ttl` seconds; 0: without end."""
        _tyk_native.store_data(key, value, ttl)

    @classmethod
    def get_data(cls, key: str) -> bytes:
        """What is stored under `key`, as bytes; b"" and an error in the log if nothing is."""
        data: bytes = _tyk_native.get_data(key)
        return data

    @classmethod
    def trigger_event(cls, name: str, payload: str) -> None:
        """Fires the system event `name` with the text `payload`."""
        _tyk_native.trigger_event(name, payload)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
