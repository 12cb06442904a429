"""Stands in for what the gateway provides: message classes, and calls to the gateway.

Inside a gateway this file is not used, whether it is installed or not: the gateway's own
module of this name is there before any plugin is.
"""

from _tyk_messages import Message, make_classes
from _tyk_parts import MessageMap, RepeatedMessage, RepeatedScalar, StringMap, check, wrong_type

_classes = make_classes()
globals().update(_classes)

# The gateway that plugins talk to: an object with the methods that are called here.
host = None


def _host():
    if host is None:
        raise RuntimeError(
            "no gateway is running: make one with `tyk.testing.Gateway()`, or use the "
            "fixture `gateway`"
        )
    return host


def log(message, level):
    if not isinstance(level, str):
        raise wrong_type(level, "str")
    _host().log(message, level)


def store_data(key, value, ttl):
    key = _key(key)
    if isinstance(ttl, float) or not hasattr(ttl, "__index__"):
        raise wrong_type(ttl, "int")
    value = value if isinstance(value, bytes) else check("string", value).encode()
    _host().store_data(key, value, ttl)


def get_data(key):
    return _host().get_data(_key(key))


def trigger_event(name, payload):
    _host().trigger_event(_key(name), _key(payload))


def _key(value):
    if not isinstance(value, str):
        raise wrong_type(value, "str")
    return value


def cut_arrived():
    return 0


class MiniRequestObject(_classes["MiniRequestObject"]):
    """The request, with the methods that plugins call on it."""

    __slots__ = ()

    @property
    def object(self):
        """The request itself: it is its own wrapper."""
        return self

    def get_header(self, name):
        """The first value of a request header, its name in any case; `None` without one."""
        values = self.get_headers(name)
        return values[0] if values else None

    def get_headers(self, name):
        """All values of a request header, its name in any case."""
        for header in self.multivalue_headers:
            if header.key.lower() == name.lower():
                return list(header.values)
        return [value for key, value in self.headers.items() if key.lower() == name.lower()][:1]

    def add_header(self, name, value):
        """Sets a header of the request to the upstream."""
        self.set_headers[name] = value

    def delete_header(self, name):
        """Removes a header from the request to the upstream."""
        self.delete_headers.append(name)

    def add_param(self, name, value):
        """Sets a query parameter."""
        self.add_params[name] = value

    def delete_param(self, name):
        """Removes a query parameter."""
        self.delete_params.append(name)

