"""A gateway for tests of plugins: runs hooks as the gateway does, without one.

```python
from tyk.testing import Gateway

def test_a_header_is_set():
    with Gateway() as gateway:
        plugin = gateway.load("my_bundle")
        outcome = plugin.call("MyHook", headers={"Accept": "text/plain"})
        assert outcome.upstream.headers["X-Plugin"] == "yes"
```
"""

import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import os
import sys

import _tyk_loader
import _tyk_native
from tyk.testing import _bundle, _calls
from tyk.testing._calls import Answer, HookError, Outcome, Upstream

__all__ = ["Answer", "Gateway", "HookError", "Outcome", "Plugin", "Upstream"]

_numbers = itertools.count(1)


class Gateway:
    """What plugins talk to: it keeps log lines, events and data for assertions.

    One is there at a time; use it in a `with` statement, or through the fixture `gateway`.
    """

    def __init__(self, *, api_id="api", org_id="org", listen_path="/", config_data=None):
        self.api_id = api_id
        self.org_id = org_id
        self.listen_path = listen_path
        self.config_data = config_data
        self.logs = []
        self.events = []
        self.stored = {}
        self._now = 0
        self._plugins = []
        self._before = None

    def __enter__(self):
        _install_finders()
        self._before, _tyk_native.host = _tyk_native.host, self
        return self

    def __exit__(self, *exception):
        for plugin in self._plugins:
            plugin.close()
        _tyk_native.host = self._before

    # What plugins call, by way of `gateway.TykGateway`.

    def log(self, message, level):
        """Keeps a log line."""
        known = ("debug", "info", "warning", "error")
        self.logs.append((level if level in known else "info", message))

    def store_data(self, key, value, ttl):
        """Keeps data until the time is up; as in the gateway, a negative time is only logged."""
        if ttl < 0:
            self.log("cannot store `%s`: the time to live is negative: %d" % (key, ttl), "error")
            return
        self.stored[key] = (value, self._now + ttl if ttl else None)

    def get_data(self, key):
        """The data under a key; without it, `b""` and an error in the log."""
        value, end = self.stored.get(key, (b"", 0))
        if end is None or end > self._now:
            return value
        self.stored.pop(key, None)
        self.log("no data under `%s`" % key, "error")
        return b""

    def trigger_event(self, name, payload):
        """Keeps an event."""
        self.events.append((name, payload))

    def advance(self, seconds):
        """Lets time pass for what is stored."""
        self._now += seconds

    # What tests call.

    def load(self, path):
        """Loads a bundle's folder, a folder of plugins, or one file, as the gateway does."""
        plugin = Plugin(self, os.path.abspath(os.fspath(path)))
        self._plugins.append(plugin)
        return plugin

    def spec(self):
        """The spec that hooks are given."""
        return _calls.spec(self)


class Plugin:
    """Loaded plugin code."""

    def __init__(self, gateway, path):
        self._gateway = gateway
        root, files = (path, None) if os.path.isdir(path) else os.path.split(path)
        self.manifest = _bundle.manifest(root) if files is None else None
        self._generation = _tyk_loader.Generation(next(_numbers), root)
        self.functions = {}
        names = [files] if files else _bundle.entry_files(root, self.manifest)
        try:
            for name in names:
                module = self._generation.load(os.path.join(root, name))
                for found in _tyk_loader.handlers(module):
                    self.functions[found[0]] = _calls.Function(*found)
        except BaseException:
            self.close()
            raise

    def close(self):
        """Forgets the code."""
        self._generation.drop()

    def call(self, name, hook_type=None, **given):
        """Calls a hook with a request and what else is given; what came of it.

        `hook_type` is pre, auth_check, post_key_auth, post or response; without it, the
        manifest says, and else it is response where a `response` is given, and pre.
        The rest is the request (method, url, headers, body and more), the session and its
        metadata, and the response: a dictionary of status, headers and body, or a message.
        """
        function = _calls.usable(self.functions, name)
        if hook_type is None:
            hook_type = _bundle.hook_type(self.manifest, name)
        return _calls.call(self._gateway, function, hook_type, given)

    def event(self, name, message, spec=None):
        """Calls an event handler."""
        function = _calls.usable(self.functions, name, is_event=True)
        return function.run((message, dict(spec or {})))


class _ShortNames(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes `import decorators` mean `tyk.decorators`, as in the gateway."""

    NAMES = ("decorators", "request", "session", "object", "event", "middleware")

    def find_spec(self, name, path=None, target=None):
        if name in self.NAMES:
            return importlib.machinery.ModuleSpec(name, self)
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        original = importlib.import_module("tyk." + module.__name__)
        for name, value in vars(original).items():
            if not name.startswith("__") or name == "__all__":
                setattr(module, name, value)


def _install_finders():
    import _tyk_wire

    if not any(isinstance(finder, _ShortNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, _tyk_loader.PluginFinder())
        sys.meta_path.insert(1, _tyk_wire.Finder())
        sys.meta_path.append(_ShortNames())
