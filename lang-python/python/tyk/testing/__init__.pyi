from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from types import TracebackType
from typing import Any

from tyk._messages import MiniRequestObject, ResponseObject, SessionState, StringMap
from typing_extensions import Self

__all__ = ["Answer", "Gateway", "HookError", "Outcome", "Plugin", "Upstream"]

class HookError(Exception): ...

@dataclass
class Upstream:
    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    @property
    def params(self) -> dict[str, str]: ...

@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    def json(self) -> Any: ...

@dataclass
class Outcome:
    request: MiniRequestObject
    session: SessionState
    metadata: dict[str, str]
    response: ResponseObject
    upstream: Upstream | None = None
    answer: Answer | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    @property
    def passed(self) -> bool: ...

class Gateway:
    api_id: str
    org_id: str
    listen_path: str
    config_data: dict[str, Any] | None
    logs: list[tuple[str, str]]
    events: list[tuple[str, str]]
    stored: dict[str, tuple[bytes, int | None]]
    def __init__(
        self,
        *,
        api_id: str = "api",
        org_id: str = "org",
        listen_path: str = "/",
        config_data: dict[str, Any] | None = None,
    ) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        *exception: type[BaseException] | BaseException | TracebackType | None,
    ) -> None: ...
    def log(self, message: str, level: str) -> None: ...
    def store_data(self, key: str, value: bytes, ttl: int) -> None: ...
    def get_data(self, key: str) -> bytes: ...
    def trigger_event(self, name: str, payload: str) -> None: ...
    def advance(self, seconds: int) -> None: ...
    def load(self, path: str | PathLike[str]) -> Plugin: ...
    def spec(self) -> StringMap: ...

class Plugin:
    manifest: dict[str, Any] | None
    functions: dict[str, Any]
    def __init__(self, gateway: Gateway, path: str) -> None: ...
    def close(self) -> None: ...
    def call(
        self,
        name: str,
        hook_type: str | None = None,
        *,
        method: str = "GET",
        url: str = "/",
        headers: Mapping[str, str | Sequence[str]] | None = None,
        body: str | bytes = b"",
        scheme: str = "http",
        raw_body_only: bool = False,
        client_address: str = "127.0.0.1",
        request_id: str = ...,
        client_certificate: Mapping[str, str] | None = ...,
        session: SessionState | Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        response: ResponseObject | Mapping[str, Any] | None = None,
    ) -> Outcome: ...
    def event(
        self, name: str, message: Mapping[str, Any], spec: Mapping[str, Any] | None = None
    ) -> None: ...
