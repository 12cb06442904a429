"""What event handlers receive."""

import json


class TykEvent:
    """The payload of an event: `message` and `spec` are dictionaries."""

    def __init__(self, payload):
        fields = json.loads(payload)
        self.payload = payload
        self.message = fields.get("message") or {}
        self.spec = fields.get("spec") or {}
        self.handler_name = fields.get("handler_name", "")
