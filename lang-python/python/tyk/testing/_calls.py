"""Calls hooks as the gateway does, and works out what comes of it."""

import copy
import json
import urllib.parse
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

from _tyk_native import MiniRequestObject, ResponseObject, SessionState, StringMap
from _tyk_parts import canonical, is_header

HOOK_TYPES = ("pre", "auth_check", "post_key_auth", "post", "response")
# What the gateway sets itself: what a hook writes there has no effect.
OWN = ("host", "content-length", "transfer-encoding")
FORMS = {
    3: "request, session",
    4: "request, session, metadata",
    5: "response",
}


class HookError(Exception):
    """The gateway would refuse the request: the hook's function or its answer is unusable."""


@dataclass
class Upstream:
    """The request as the upstream would get it."""

    method: str
    url: str
    headers: Dict[str, str]
    body: bytes

    @property
    def params(self) -> Dict[str, str]:
        """The query as text by key, first value of each."""
        query = urllib.parse.urlsplit(self.url).query
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
        return dict(reversed(pairs))


@dataclass
class Answer:
    """What the client would get instead of the upstream's response."""

    status: int
    headers: Dict[str, str]
    body: bytes

    def json(self) -> object:
        """The body, which is JSON, as a value."""
        return json.loads(self.body)


@dataclass
class Outcome:
    """What came of a call."""

    request: object
    session: object
    metadata: Dict[str, str]
    response: object
    upstream: Optional[Upstream] = None
    answer: Optional[Answer] = None
    headers: List[Tuple[str, str]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether the request goes on to the upstream."""
        return self.answer is None


class Function:
    """A function of a plugin, as the loader describes it."""

    def __init__(self, name, f, arity, is_event, is_async, may_wait, location, problem):
        self.name, self.f, self.arity = name, f, arity
        self.is_event, self.is_async = is_event, is_async
        self.location, self.problem = location, problem

    def run(self, arguments):
        result = self.f(*arguments)
        if not self.is_async:
            return result
        import _tyk_async

        return _tyk_async.run(result, 5, TimeoutError)


def usable(functions, name, is_event=False):
    """A function by name; what the gateway says at load when it cannot be a hook."""
    function = functions.get(name)
    if function is None:
        known = ", ".join(sorted(functions)) or "none"
        raise HookError("no function `%s`; there are: %s" % (name, known))
    reason = None
    if function.is_event != is_event:
        reason = "it is %s" % ("an event handler" if function.is_event else "a hook")
    elif function.problem:
        reason = function.problem
    elif function.arity not in ((2,) if is_event else (3, 4, 5)):
        reason = "it has %d positional parameters, and takes %s" % (
            function.arity,
            "2" if is_event else "3, 4 or 5",
        )
    if reason:
        raise HookError("function `%s` (%s): %s" % (name, function.location, reason))
    return function


# === what a hook is called with ===


def spec(gateway):
    """The spec map of the API."""
    made = StringMap()
    made.update({"OrgID": gateway.org_id, "APIID": gateway.api_id})
    made["bundle_hash"] = "d41d8cd98f00b204e9800998ecf8427e"
    if gateway.config_data:
        made["config_data"] = json.dumps(gateway.config_data)
    return made


def request(gateway, method="GET", url="/", headers=None, body=b"", scheme="http",
            raw_body_only=False, client_address="127.0.0.1", request_id="0" * 31 + "1",
            client_certificate=None):
    """A request as the gateway shows it to a hook."""
    body = body.encode() if isinstance(body, str) else body
    made = MiniRequestObject(method=method, url=url, request_uri=url, scheme=scheme,
                             raw_body=body, client_address=client_address,
                             listen_path=gateway.listen_path, request_id=request_id,
                             client_certificate=client_certificate)
    made.body = "" if raw_body_only else _as_text(body)
    made.return_overrides.response_code = -1
    given = {"host": "localhost"}
    given.update((name.lower(), value) for name, value in (headers or {}).items())
    _fill_headers(made, given)
    for key, value in urllib.parse.parse_qsl(
        urllib.parse.urlsplit(url).query, keep_blank_values=True
    ):
        if key not in made.params:
            made.params[key] = value
    return made


def response(status=200, headers=None, body=b"", raw_body_only=False):
    """An upstream's response as the gateway shows it to a hook."""
    body = body.encode() if isinstance(body, str) else body
    made = ResponseObject(status_code=status, raw_body=body)
    made.body = "" if raw_body_only else _as_text(body)
    _fill_headers(made, headers or {})
    return made


def _fill_headers(message, headers):
    for name, values in headers.items():
        values = [values] if isinstance(values, str) else list(values)
        message.headers[canonical(name)] = values[0]
        message.multivalue_headers.add(key=canonical(name), values=values)


def _as_text(body):
    try:
        return body.decode()
    except UnicodeDecodeError:
        return ""


def _session(given, metadata):
    made = given
    if not isinstance(given, SessionState):
        made = SessionState(**(given or {}))
    if metadata:
        made.metadata.update(metadata)
    return made


# === the call ===


def call(gateway, function, hook_type, given):
    """Calls a hook and applies what it left."""
    given = dict(given)
    upstream = given.pop("response", None)
    hook_type = hook_type or ("pre" if upstream is None else "response")
    if hook_type not in HOOK_TYPES:
        raise ValueError("hook type %r is none of %s" % (hook_type, ", ".join(HOOK_TYPES)))
    if upstream is None and hook_type == "response":
        upstream = {}
    session = _session(given.pop("session", None), given.pop("metadata", None))
    original = request(gateway, **given)
    shown = original.__copy__()
    answered = upstream if isinstance(upstream, ResponseObject) else response(**(upstream or {}))
    sent = answered.__copy__()
    arguments = _arguments(function.arity, shown, answered, session, spec(gateway))
    result = function.run(arguments)
    check(function, result)
    parts = result if isinstance(result, tuple) else ()
    if function.arity == 4:
        metadata = parts[2]
        if metadata is not None and metadata is not session.metadata:
            session.metadata.update(metadata)
    left = _adopt(parts[0], original, shown) if parts else shown
    if len(parts) > 1 and parts[1] is not None and parts[1] is not session:
        session = SessionState()
        session.CopyFrom(parts[1])
    if function.arity == 5 and not parts:
        answered = _own(result, ResponseObject)
    outcome = Outcome(left, session, dict(session.metadata), answered)
    if hook_type == "response":
        if not 200 <= answered.status_code <= 999:
            raise HookError("hook set status_code to %d" % answered.status_code)
        outcome.headers = reconcile(sent, answered)
    else:
        apply(left, original, outcome)
    return outcome


def _arguments(arity, request, response, session, spec):
    if arity == 3:
        return request, session, spec
    if arity == 4:
        return request, session, session.metadata, spec
    return request, response, session, session.metadata, spec


def _is(value, class_):
    if isinstance(value, type):
        return False
    descriptor = getattr(value, "DESCRIPTOR", None)
    return getattr(descriptor, "full_name", None) == "coprocess." + class_._name


def _own(value, class_):
    if isinstance(value, class_):
        return value
    made = class_()
    made.CopyFrom(value)
    return made


def check(function, result):
    """Refuses a return value of the wrong shape, as the gateway does."""
    if isinstance(result, tuple):
        lengths = {3: (2,), 4: (3,)}.get(function.arity, (2, 3))
        fits = (
            len(result) in lengths
            and _is(result[0], MiniRequestObject)
            and (result[1] is None or _is(result[1], SessionState))
        )
        types = ", ".join(type(part).__name__ for part in result)
        got = "a tuple of %d (%s)" % (len(result), types)
    else:
        fits = function.arity == 5 and _is(result, ResponseObject)
        got = "None" if result is None else type(result).__name__ + " object"
    if not fits:
        raise HookError(
            "hook `%s` (%s) must return `%s`, but did return %s"
            % (function.name, function.location, FORMS[function.arity], got)
        )


def _adopt(returned, original, shown):
    """The request that a hook returned; what it does not say stays as it was."""
    if returned is shown:
        return shown
    left = _own(returned, MiniRequestObject).__copy__()
    left.method = left.method or original.method
    left.url = left.url or original.url
    return left


# === what comes of it ===


def apply(left, original, outcome):
    """Applies the edits of a request hook, and answers where it asks for that."""
    headers = {header.key: list(header.values) for header in original.multivalue_headers}
    for name in left.delete_headers:
        if name.lower() not in OWN:
            headers.pop(canonical(name), None)
    for name, value in left.set_headers.items():
        _check_header(name, value)
        if name.lower() not in OWN:
            headers[canonical(name)] = [value]
    flat = {name: values[0] for name, values in headers.items()}
    target = _target(left, original)
    if left.return_overrides.response_code > 0:
        outcome.answer = answer(left.return_overrides)
        return
    outcome.headers = [(name, value) for name, values in headers.items() for value in values]
    outcome.upstream = Upstream(left.method, target, flat, left.raw_body)


def _check_header(name, value):
    if not is_header(name):
        raise HookError("hook set header %r, which is not a header name" % name)
    if any(letter != "\t" and (letter < " " or letter == "\x7f") for letter in value):
        raise HookError("hook set header %r to a value with a control character: %r" % (name, value))


def _target(left, original):
    """The URL with the parameters removed and added; others keep order and spelling."""
    url = left.url
    if url != original.url:
        parts = urllib.parse.urlsplit(url)
        if not url.startswith("/") and parts.scheme not in ("http", "https"):
            raise HookError("hook set url to %r, which neither begins with `/` nor is http" % url)
        url = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    if not left.add_params and not left.delete_params:
        return url
    path, _, query = url.partition("?")
    goes = set(left.delete_params) | set(left.add_params)
    pairs = [
        pair
        for pair in query.split("&")
        if pair and urllib.parse.unquote_plus(pair.partition("=")[0]) not in goes
    ]
    pairs += [
        "%s=%s" % (urllib.parse.quote(key, safe=""), urllib.parse.quote(value, safe=""))
        for key, value in left.add_params.items()
    ]
    return path + ("?" + "&".join(pairs) if pairs else "")


def answer(overrides):
    """The answer for a positive `response_code`."""
    code = overrides.response_code
    if not 200 <= code <= 999:
        raise HookError("hook set response_code to %d, which is not a status from 200 to 999" % code)
    text = overrides.response_error or overrides.response_body
    is_error = code >= 400 and not overrides.override_error
    headers = {}
    for name, value in overrides.headers.items():
        _check_header(name, value)
        if name.lower() not in OWN:
            headers[canonical(name)] = value
    if is_error:
        message = json.dumps(text or "Key not authorised", ensure_ascii=False)
        text = '{\n    "error": %s\n}' % message
        headers.update({"Content-Type": "application/json"})
        headers.setdefault("X-Generator", "tyk.io")
    return Answer(code, headers, text.encode())


def reconcile(sent, left):
    """The headers of a response, out of the two forms that a hook may have edited."""
    shown = dict(sent.headers)
    headers = dict(left.headers)
    multi = [(canonical(header.key), list(header.values)) for header in left.multivalue_headers]
    if headers != shown:
        multi = [(key, values) for key, values in multi if key in headers or key not in shown]
        for key, value in headers.items():
            values = next((values for other, values in multi if other == key), None)
            if values is None:
                multi.append((key, [value]))
            elif not values:
                values.append(value)
            elif shown.get(key) != value:
                values[0] = value
    for key, values in multi:
        for value in values:
            _check_header(key, value)
    return [(key, value) for key, values in multi for value in values]
