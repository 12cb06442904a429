"""The plugin's own tests: `pip install` the kit, then `pytest`."""

import json
import pathlib
import zlib

BUNDLE = pathlib.Path(__file__).parents[1] / "python"


def send(load_plugin, hook, kind, body):
    return load_plugin(BUNDLE).call(
        hook, method="POST", headers={"Content-Type": kind}, body=body
    )


def test_card_numbers_are_masked_wherever_they_are(load_plugin):
    order = {"a": [{"card_number": "4111111111111111"}], "card_number": 4222222222222}
    sent = send(load_plugin, "MaskCards", "application/json", json.dumps(order)).upstream
    assert json.loads(sent.body) == {
        "a": [{"card_number": "*" * 12 + "1111"}],
        "card_number": "*" * 12 + "2222",
    }


def test_what_is_no_json_is_refused(load_plugin):
    assert send(load_plugin, "MaskCards", "application/json", b"{").answer.status == 400


def test_an_upload_is_framed(load_plugin):
    body = bytes(range(256))
    sent = send(load_plugin, "FrameUpload", "application/octet-stream", body).upstream
    assert sent.body[:8] == b"UPL1\x00\x00\x01\x00" and sent.body[12:] == body
    assert int.from_bytes(sent.body[8:12], "big") == zlib.adler32(body)
