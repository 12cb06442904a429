"""The plugin's own tests: `pip install` the kit, then `pytest`."""

import pathlib

BUNDLE = pathlib.Path(__file__).parents[1] / "python"


def test_a_bot_is_refused_and_told(load_plugin, gateway):
    outcome = load_plugin(BUNDLE).call("FilterBots", url="/.git/config")
    assert (outcome.answer.status, outcome.answer.json()["score"]) == (403, 100)
    assert [name for name, _ in gateway.events] == ["BotRefused"]


def test_a_person_passes(load_plugin):
    outcome = load_plugin(BUNDLE).call("FilterBots", headers={"User-Agent": "Mozilla/5.0"})
    assert outcome.upstream.headers["X-Bot-Score"] == "0"
