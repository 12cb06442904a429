"""The decorators that make a function of a plugin a hook or an event handler."""

from __future__ import annotations

import inspect
from inspect import getfullargspec
from typing import Any, Callable

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

    def __init__(self, f: Callable[..., Any]) -> None:
        while isinstance(f, HandlerDecorator):
            f = f.f
        if isinstance(f, (staticmethod, classmethod)):
            f = f.__func__
        if inspect.isclass(f) or not callable(f):
            raise TypeError(
                "@%s goes on a function, not on %s"
                % (type(self).__name__, "class %s" % f.__name__ if inspect.isclass(f) else repr(f))
            )
        self.f: Callable[..., Any] = f
        # Without one it goes by the name that it is assigned to.
        self.name: str = getattr(f, "__name__", "")
        self.arg_count, self.problem = _judge(f)
        self.__doc__ = getattr(f, "__doc__", None)
        self.__wrapped__ = f

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.f(*args, **kwargs)


def _judge(f: Callable[..., Any]) -> tuple[int, str | None]:
    """How many positional parameters a function has, and why it cannot be called, if so."""
    spec = getfullargspec(f)
    names = spec.args
    if spec.varargs and hasattr(f, "__wrapped__"):
        # A wrapper that passes on what it gets: what it wraps says what that is.
        names = getfullargspec(inspect.unwrap(f)).args
    if inspect.ismethod(f) or not hasattr(f, "__code__") and names[:1] == ["self"]:
        names = names[1:]
    missing = [name for name in spec.kwonlyargs if name not in (spec.kwonlydefaults or {})]
    if missing:
        return len(names), "it has a keyword-only parameter without a default: " + missing[0]
    if inspect.isgeneratorfunction(f) or inspect.isasyncgenfunction(f):
        return len(names), "it has a `yield`, so calling it runs nothing of it"
    return len(names), None


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
