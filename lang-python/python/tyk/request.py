"""The request that a hook receives."""

from _tyk_native import MiniRequestObject, ReturnOverrides

# One class plays both parts: `request.object` is the request itself.
TykCoProcessRequest = MiniRequestObject
