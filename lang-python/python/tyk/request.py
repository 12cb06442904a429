"""The request that a hook receives."""

from tyk._messages import Header as Header
from tyk._messages import MiniRequestObject as MiniRequestObject
from tyk._messages import ResponseObject as ResponseObject
from tyk._messages import ReturnOverrides as ReturnOverrides

# One class plays both parts: `request.object` is the request itself.
TykCoProcessRequest = MiniRequestObject
