"""The message classes, and what they are made of."""

from _tyk_native import (
    AccessDefinition,
    AccessSpec,
    BasicAuthData,
    Header,
    JWTData,
    Message,
    MessageMap,
    MiniRequestObject,
    Monitor,
    RepeatedMessage,
    RepeatedScalar,
    ResponseObject,
    ReturnOverrides,
    SessionState,
    StringMap,
)
