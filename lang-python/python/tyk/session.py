"""The session of the caller's key, and the messages it is made of."""

from _tyk_native import (
    AccessDefinition,
    AccessSpec,
    BasicAuthData,
    JWTData,
    Monitor,
    SessionState,
)

TykSession = SessionState
