"""The plugin's own tests: `pip install` the kit, then `pytest`."""

import pathlib

import pytest

BUNDLE = pathlib.Path(__file__).parents[1] / "python"
ACCOUNTS = {"token-of-ada": {"owner": "ada", "plan": "gold"}, "token-of-bob": {"owner": "bob"}}


@pytest.fixture
def plugin(load_plugin, gateway):
    gateway.config_data = {"accounts": ACCOUNTS}
    return load_plugin(BUNDLE)


@pytest.mark.parametrize("header", [None, "Bearer", "Basic token-of-ada", "Bearer token-of-eve"])
def test_others_are_challenged(plugin, header):
    headers = {"Authorization": header} if header else {}
    answer = plugin.call("CheckBearer", headers=headers).answer
    assert answer.status == 401
    assert answer.headers["Www-Authenticate"].startswith("Bearer ")


def test_plans_decide_the_rate(plugin):
    def session(token):
        return plugin.call("CheckBearer", headers={"Authorization": "Bearer " + token}).session

    assert session("token-of-ada").rate == 100
    assert session("token-of-bob").rate == 2
    assert session("token-of-bob").metadata["owner"] == "bob"
