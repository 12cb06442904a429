"""The session of the caller's key, and the messages it is made of."""

from tyk._messages import AccessDefinition as AccessDefinition
from tyk._messages import AccessSpec as AccessSpec
from tyk._messages import BasicAuthData as BasicAuthData
from tyk._messages import JWTData as JWTData
from tyk._messages import Monitor as Monitor
from tyk._messages import SessionState as SessionState
from tyk._messages import StringMap as StringMap

TykSession = SessionState
