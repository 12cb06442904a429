"""What event handlers receive."""

from __future__ import annotations

import json
from typing import Any


class TykEvent:
    """The payload of an event: `message` and `spec` are dictionaries."""

    def __init__(self, payload: str) -> None:
        fields: dict[str, Any] = json.loads(payload)
        self.payload = payload
        self.message: dict[str, Any] = fields.get("message") or {}
        self.spec: dict[str, Any] = fields.get("spec") or {}
        self.handler_name: str = fields.get("handler_name", "")
