"""The messages that travel between the gateway and a hook."""

from typing import Any

from tyk._messages import AccessDefinition as AccessDefinition
from tyk._messages import AccessSpec as AccessSpec
from tyk._messages import BasicAuthData as BasicAuthData
from tyk._messages import Header as Header
from tyk._messages import JWTData as JWTData
from tyk._messages import MiniRequestObject as MiniRequestObject
from tyk._messages import Monitor as Monitor
from tyk._messages import ResponseObject as ResponseObject
from tyk._messages import ReturnOverrides as ReturnOverrides
from tyk._messages import SessionState as SessionState


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

    def __init__(self, object: Any = None) -> None:
        self.object = object
        for name in ("request", "session", "spec", "metadata", "response", "hook_name"):
            setattr(self, name, getattr(object, name, None))
