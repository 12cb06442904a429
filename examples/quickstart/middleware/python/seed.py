"""A pre hook that uses everything a plugin may ask of the gateway."""

from gateway import TykGateway as tyk
from tyk.decorators import *


@Pre
def MyPreMiddleware(request, session, spec):
    # Kept for five minutes; plugins in every language read the same store.
    tyk.store_data("cool_key", "cool_value", 300)
    # tyk.conf says who handles this event: here, a line in the log.
    tyk.trigger_event("a_middleware_event", "additional_data")

    request.add_header("custom_header", "custom_value")
    request.delete_header("Accept")
    request.add_param("param_a", "value_a")
    request.delete_param("param_remove")
    return request, session
