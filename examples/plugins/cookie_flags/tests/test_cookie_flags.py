"""The plugin's own tests: `pip install` the kit, then `pytest`."""

import pathlib

BUNDLE = pathlib.Path(__file__).parents[1] / "python"


def test_cookies_are_hardened_and_debug_cookies_dropped(load_plugin):
    cookies = ["a=1; Path=/", "debug_trace=on", "b=2; secure; SameSite=Strict"]
    outcome = load_plugin(BUNDLE).call(
        "HardenCookies", response={"headers": {"Set-Cookie": cookies}, "body": "hello"}
    )
    assert [value for name, value in outcome.headers if name == "Set-Cookie"] == [
        "a=1; Path=/; Secure; HttpOnly; SameSite=Lax",
        "b=2; secure; SameSite=Strict; HttpOnly",
    ]
