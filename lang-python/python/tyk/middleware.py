"""The functions that a plugin module offers to the gateway."""

from __future__ import annotations

from types import ModuleType

from tyk.decorators import CustomKeyCheck as CustomKeyCheck
from tyk.decorators import Event as Event
from tyk.decorators import HandlerDecorator as HandlerDecorator
from tyk.decorators import Hook as Hook
from tyk.decorators import Post as Post
from tyk.decorators import PostKeyAuth as PostKeyAuth
from tyk.decorators import Pre as Pre


class TykMiddleware:
    """The handlers found among a module's top-level names."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.handlers = {
            value.name: value
            for value in vars(module).values()
            if isinstance(value, HandlerDecorator)
        }
