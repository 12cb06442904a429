"""The hook of the differential test: its configuration says which sequences to run."""

import json

import _tyk_native
import _tyk_wire
import sequences
from tyk.decorators import *

NAMES = [
    name
    for messages in _tyk_wire.FILES.values()
    for name in messages
    if hasattr(_tyk_native, name)
]


@Hook
def compare(request, session, spec):
    ours = {name: getattr(_tyk_native, name) for name in NAMES}
    theirs = {name: _tyk_wire.message_class(name) for name in NAMES}
    schema = {name: _tyk_wire.fields(name) for name in NAMES}
    wanted = json.loads(request.object.body)
    found = sequences.differences(ours, theirs, schema, range(*wanted["seeds"]), wanted["length"])
    request.object.raw_body = "\n".join(found).encode("utf-8", "backslashreplace")
    return request, session
