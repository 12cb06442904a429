"""The messages that travel between the gateway and a hook."""

from _tyk_native import (
    AccessDefinition,
    AccessSpec,
    BasicAuthData,
    Header,
    JWTData,
    MiniRequestObject,
    Monitor,
    ResponseObject,
    ReturnOverrides,
    SessionState,
)


class HookType:
    """The numbers that the wire message uses for the hook types."""

    Unknown = 0
    Pre = 1
    Post = 2
    PostKeyAuth = 3
    CustomKeyCheck = 4
    Response = 5


Unknown = HookType.Unknown
Pre = HookType.Pre
Post = HookType.Post
PostKeyAuth = HookType.PostKeyAuth
CustomKeyCheck = HookType.CustomKeyCheck
Response = HookType.Response


class TykCoProcessObject:
    """The parts of one call, for code that was written against this class."""

    def __init__(self, object=None):
        self.object = object
        for name in ("request", "session", "spec", "metadata", "response", "hook_name"):
            setattr(self, name, getattr(object, name, None))
