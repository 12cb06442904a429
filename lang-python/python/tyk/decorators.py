"""The decorators that make a function of a plugin a hook or an event handler."""

from inspect import getfullargspec

__all__ = [
    "HandlerDecorator",
    "Hook",
    "Pre",
    "Post",
    "PostKeyAuth",
    "CustomKeyCheck",
    "Event",
    "getfullargspec",
]


class HandlerDecorator:
    """Keeps a function, and how many positional parameters it declares."""

    def __init__(self, f):
        self.f = f
        self.name = getattr(f, "__name__", type(f).__name__)
        self.arg_count = len(getfullargspec(f)[0])
        self.__doc__ = getattr(f, "__doc__", None)
        self.__wrapped__ = f

    def __call__(self, *args, **kwargs):
        return self.f(*args, **kwargs)


class Hook(HandlerDecorator):
    """A hook of any type: 3, 4 or 5 positional parameters say what it receives."""


class Pre(Hook):
    """A hook. The name is an older one; what decides is the API definition."""


class Post(Hook):
    """A hook. The name is an older one; what decides is the API definition."""


class PostKeyAuth(Hook):
    """A hook. The name is an older one; what decides is the API definition."""


class CustomKeyCheck(Hook):
    """A hook. The name is an older one; what decides is the API definition."""


class Event(HandlerDecorator):
    """An event handler: `def name(event, spec)`."""
