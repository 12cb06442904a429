"""The functions that a plugin module offers to the gateway."""

from tyk.decorators import (
    CustomKeyCheck,
    Event,
    HandlerDecorator,
    Hook,
    Post,
    PostKeyAuth,
    Pre,
)


class TykMiddleware:
    """The handlers found among a module's top-level names."""

    def __init__(self, module):
        self.module = module
        self.handlers = {
            value.name: value
            for value in vars(module).values()
            if isinstance(value, HandlerDecorator)
        }
