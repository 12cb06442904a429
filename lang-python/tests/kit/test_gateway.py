"""The gateway that the kit has for tests does with plugins what the real one does."""

import pathlib

import pytest
from tyk.testing import Gateway, HookError

BUNDLE = pathlib.Path(__file__).parent / "bundle"
EXAMPLES = pathlib.Path(__file__).parents[3] / "examples"


@pytest.fixture
def plugin(load_plugin):
    return load_plugin(BUNDLE)


def test_five_lines_are_enough(load_plugin):
    outcome = load_plugin(BUNDLE).call("AddHeaders", headers={"Accept": "text/plain"})
    assert outcome.upstream.headers["X-Plugin"] == "from the bundle"


def test_a_request_hook_changes_what_the_upstream_gets(plugin, gateway):
    outcome = plugin.call(
        "AddHeaders", method="POST", url="/a?old=1&k=%20&k=2", body="text", headers={"accept": "x"}
    )
    assert outcome.passed and outcome.answer is None
    upstream = outcome.upstream
    assert (upstream.method, upstream.body) == ("POST", b"TEXT")
    assert upstream.url == "/a?k=%20&k=2&new=1%20%26%202"
    assert upstream.params == {"k": " ", "new": "1 & 2"}
    assert "Accept" not in upstream.headers and upstream.headers["X-Client"] == "127.0.0.1"
    assert gateway.logs == [("info", "changed /a?old=1&k=%20&k=2")]
    assert gateway.events == [("a_middleware_event", '{"api": "api"}')]
    assert gateway.stored == {"cool_key": (b"\x00cool", 300)}
    assert gateway.get_data("cool_key") == b"\x00cool"
    gateway.advance(300)
    assert gateway.get_data("cool_key") == b"" and gateway.logs[-1][0] == "error"


def test_an_auth_hook_makes_a_session_or_answers(plugin):
    outcome = plugin.call("CheckToken", headers={"Authorization": "key-1"})
    assert outcome.metadata == {"token": "key-1"} == dict(outcome.session.metadata)
    assert outcome.session.tags == ["red", "blue"] and outcome.session.rate == 25.0
    assert outcome.session.access_rights["api"].allowed_urls[0].methods == ["GET"]
    answer = plugin.call("CheckToken").answer
    assert answer.status == 401 and answer.json() == {"error": 'no "key"'}
    assert answer.body == b'{\n    "error": "no \\"key\\""\n}'
    assert answer.headers["Content-Type"] == "application/json"


def test_an_async_hook_answers(plugin):
    answer = plugin.call("Answer").answer
    assert (answer.status, answer.body) == (418, b"short and stout")
    assert answer.headers["X-Reason"] == "tea"


def test_a_response_hook_changes_what_the_client_gets(plugin):
    headers = {"x-remove": "old", "set-cookie": ["a=1", "b=2"]}
    outcome = plugin.call("MarkResponse", response={"headers": headers, "body": "text"})
    assert (outcome.response.status_code, outcome.response.raw_body) == (202, b"text!")
    assert sorted(outcome.headers) == [
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("X-Added", "yes"),
    ]


def test_what_the_gateway_refuses_is_an_error(plugin):
    cases = [
        ("Forgets", ["`Forgets`", "middleware.py", "`request, session`", "None"]),
        ("TakesTwo", ["`TakesTwo`", "middleware.py", "2 positional"]),
        ("Missing", ["no function `Missing`", "AddHeaders"]),
        ("OnEvent", ["`OnEvent`", "an event handler"]),
    ]
    for name, parts in cases:
        with pytest.raises(HookError) as caught:
            plugin.call(name)
        assert all(part in str(caught.value) for part in parts), caught.value


def test_an_event_handler_is_called(plugin, gateway):
    plugin.event("OnEvent", {"Event": "QuotaExceeded"}, {"APIID": "api"})
    assert gateway.logs == [("warning", "QuotaExceeded of api")]


def test_a_plugin_without_a_gateway_is_told(plugin):
    with Gateway() as other:
        plugin.call("AddHeaders")
        assert other.events
    from gateway import TykGateway

    with pytest.raises(TypeError):
        TykGateway.store_data("key", 5, 0)
    with pytest.raises(TypeError):
        TykGateway.store_data("key", "value", "0")


def test_two_bundles_do_not_see_each_other(gateway, tmp_path):
    for word in ("one", "two"):
        folder = tmp_path / word
        folder.mkdir()
        (folder / "rules.py").write_text("GREETING = %r\n" % word)
        (folder / "middleware.py").write_text((BUNDLE / "middleware.py").read_text())
        plugin = gateway.load(folder)
        assert plugin.call("AddHeaders").upstream.headers["X-Plugin"] == word


def test_config_data_is_in_the_spec(tmp_path):
    file = tmp_path / "hooks.py"
    file.write_text(
        "import json\nfrom decorators import Hook\n@Hook\ndef Read(request, session, spec):\n"
        "    request.add_header('X-Config', json.loads(spec['config_data'])['a'])\n"
        "    return request, session\n"
    )
    with Gateway(config_data={"a": "b"}) as gateway:
        outcome = gateway.load(file).call("Read", hook_type="post", session={"alias": "me"})
    assert outcome.upstream.headers["X-Config"] == "b" and outcome.session.alias == "me"


def test_the_quickstart_plugins_run(load_plugin):
    plugin = load_plugin(EXAMPLES / "quickstart/middleware/python/five_hooks.py")
    assert plugin.call("MarkRequest", url="/?teapot").answer.json() == {"error": "this is a teapot"}
    accepted = plugin.call("CheckToken", headers={"Authorization": "token-of-ada"})
    assert accepted.metadata["owner"] == "ada"
    assert plugin.call("RaiseVoice", body="a", metadata={"owner": "ada"}).upstream.body == b"A"
