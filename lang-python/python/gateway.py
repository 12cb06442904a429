"""What a plugin may ask of the gateway. Call the class, without an instance."""

import _tyk_native


class TykGateway:
    """The gateway as plugin code sees it."""

    @classmethod
    def log(cls, message, level="info"):
        """Writes a log line; `level` is debug, info, warning or error."""
        _tyk_native.log(_text(message), _text(level))

    @classmethod
    def log_error(cls, *messages):
        """Writes a log line of level error."""
        _tyk_native.log(" ".join(_text(message) for message in messages), "error")

    @classmethod
    def store_data(cls, key, value, ttl=0):
        """Keeps `value` (str or bytes) under `key` for `ttl` seconds; 0: without end."""
        _tyk_native.store_data(key, value, ttl)

    @classmethod
    def get_data(cls, key):
        """What is stored under `key`, as bytes; b"" and an error in the log if nothing is."""
        return _tyk_native.get_data(key)

    @classmethod
    def trigger_event(cls, name, payload):
        """Fires the system event `name` with the text `payload`."""
        _tyk_native.trigger_event(name, payload)


def _text(value):
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
