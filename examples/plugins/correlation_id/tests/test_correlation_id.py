"""The plugin's own tests: `pip install` the kit, then `pytest`."""

import pathlib

BUNDLE = pathlib.Path(__file__).parents[1] / "python"
HEADER = "X-Correlation-Id"


def test_an_id_that_cannot_be_used_is_replaced(load_plugin):
    plugin = load_plugin(BUNDLE)
    for given in ("short", "x" * 65, "with space in it", 'quoted"id"'):
        made = plugin.call("EnsureId", headers={HEADER: given}).upstream.headers[HEADER]
        assert made != given and len(made) == 32


def test_the_client_gets_the_id_back(load_plugin):
    outcome = load_plugin(BUNDLE).call(
        "ReturnId", headers={HEADER: "from-the-client"}, response={"body": "hello"}
    )
    assert (HEADER, "from-the-client") in outcome.headers
