"""The kit's message classes do what protobuf's do, on the sequences that the gateway's run."""

import pathlib
import sys

import _tyk_native
import _tyk_wire
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "protobuf"))
import sequences  # noqa: E402

NAMES = [
    name
    for messages in _tyk_wire.FILES.values()
    for name in messages
    if hasattr(_tyk_native, name)
]


@pytest.mark.filterwarnings("ignore")
def test_generated_sequences_do_the_same_on_both():
    assert len(NAMES) == 10
    ours = {name: getattr(_tyk_native, name) for name in NAMES}
    theirs = {name: _tyk_wire.message_class(name) for name in NAMES}
    schema = {name: _tyk_wire.fields(name) for name in NAMES}
    found = sequences.differences(ours, theirs, schema, range(3000), 25)
    assert not found, "\n".join(found)


def test_headers_of_a_response_are_one_in_any_case():
    response = _tyk_native.ResponseObject(headers={"content-type": "a"})
    response.headers["CONTENT-TYPE"] = "b"
    assert dict(response.headers) == {"Content-Type": "b"} and "content-Type" in response.headers
