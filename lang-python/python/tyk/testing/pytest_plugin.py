"""Fixtures for tests of plugins."""

import pytest

from tyk.testing import Gateway, _calls


@pytest.fixture
def gateway():
    """A gateway for the test, which plugins log to and store data in."""
    with Gateway() as running:
        yield running


@pytest.fixture
def load_plugin(gateway):
    """Loads a bundle's folder, a folder of plugins or a file."""
    return gateway.load


@pytest.fixture
def make_request(gateway):
    """Makes a request as the gateway shows it: method, url, headers, body."""
    return lambda **given: _calls.request(gateway, **given)


@pytest.fixture
def make_response():
    """Makes an upstream's response as the gateway shows it: status, headers, body."""
    return _calls.response
