"""The Python half of the host: starts and stops it, cuts hooks, runs event handlers."""

import _imp
import importlib
import importlib.abc
import importlib.machinery
import inspect
import io
import json
import logging
import signal
import sys
import threading

import _tyk_async
import _tyk_native
import _tyk_wire

# The Rust half takes all of these from here.
from _tyk_loader import Generation, PluginFinder, describe, error_line, handlers


# How long after its limit an `async` hook is cut if its loop has not noticed, and how long
# it has to clean up after it has, in seconds.
_GRACE = 0.2
_CLEAN_UP = 1.0


class HookTimeout(BaseException):
    """Injected into a hook that ran longer than it may."""

    def __init__(self, *args):
        super().__init__(*(args or ("hook ran longer than it may",)))
        # Only a cut that has arrived where plugin code runs is one that it could swallow.
        if _in_plugin(sys._getframe().f_back) and _tyk_native.cut_arrived() >= 3:
            _insist()


class TakenBack(BaseException):
    """Arrives in the place of a cut that was taken back, see `let_arrive`."""


def let_arrive():
    """Runs until what was injected into this thread has arrived, which is what it raises."""
    for _ in range(1000):
        pass


# Where code comes from that no plugin brings: the gateway, and Python's own library.
_NOT_PLUGINS = ("<gateway>/", "<frozen ", threading.__file__.removesuffix("threading.py"))
_PACKAGES = ("site-packages", "dist-packages")


def _in_plugin(frame):
    """Whether a frame, or one that called it, is of a plugin or of a package it uses."""
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_NOT_PLUGINS) or any(part in name for part in _PACKAGES):
            return True
        frame = frame.f_back
    return False


def _insist():
    """Raises once more at the next line, which is in the handler that swallows the cut."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals is not globals():
            frame.f_trace = _raise_again
        frame = frame.f_back
    sys.settrace(_raise_again)


def _raise_again(frame, event, arg):
    # Lines only: newer versions also report the cut itself, in the frame that it leaves.
    # The interpreter takes a trace function away when it raises.
    if event == "line" and frame.f_globals is not globals():
        raise HookTimeout("hook ran longer than it may and swallowed the error")
    return _raise_again


def relent():
    """Called when a hook that was cut has ended, on its thread."""
    sys.settrace(None)
    _tyk_async.relent()
    # A cut may arrive between taking a lock and the `try` that gives it back. Nothing of
    # this thread is inside of these modules any more, but all plugins use them.
    handlers = [reference() for reference in list(logging._handlerList)]
    for lock in [logging._lock, *(getattr(handler, "lock", None) for handler in handlers)]:
        is_owned = getattr(lock, "_is_owned", None)
        while is_owned is not None and is_owned():
            lock.release()
    _give_back_import_locks()


def _give_back_import_locks():
    try:
        while True:
            _imp.release_lock()
    except RuntimeError:
        # It is not this thread's any more, as it should be.
        pass
    own = threading.get_ident()
    for reference in list(importlib._bootstrap._module_locks.values()):
        lock = reference()
        while getattr(lock, "owner", None) == own:
            lock.release()


# === start-up ===


class _LogBridge(logging.Handler):
    """Writes what plugins log through `logging` to the gateway's log.

    It has no lock, as the gateway's log needs none: a hook that is cut while it holds one
    would stop all that log after it.
    """

    def createLock(self):
        self.lock = None

    def handle(self, record):
        passed = self.filter(record)
        if passed:
            # Newer versions let a filter give another record.
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record):
        try:
            if record.levelno >= logging.ERROR:
                level = "error"
            elif record.levelno >= logging.WARNING:
                level = "warning"
            elif record.levelno >= logging.INFO:
                level = "info"
            else:
                level = "debug"
            _tyk_native.log(self.format(record), level)
        except Exception:
            self.handleError(record)


class _Embedded(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the gateway's own modules to who imports them, whatever else has their names.

    They are found before all that is installed, and again after a plugin took one out of
    `sys.modules`.
    """

    def __init__(self):
        names = [n for n in sys.modules if n == "gateway" or n.partition(".")[0] == "tyk"]
        self.modules = {name: sys.modules[name] for name in names}

    def find_spec(self, name, path=None, target=None):
        if name not in self.modules:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=name == "tyk")

    def create_module(self, spec):
        return self.modules[spec.name]

    def exec_module(self, module):
        pass


class _ShortNames(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes `import decorators` mean `tyk.decorators` where nothing else has the name."""

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
            if not (name.startswith("__") and name != "__all__"):
                setattr(module, name, value)


def start(path_prefix, switch_interval):
    """Prepares the interpreter for plugins; returns what the log says about it."""
    if path_prefix:
        sys.path.insert(0, path_prefix)
    sys.setswitchinterval(switch_interval)
    # Importing the module installs a handler where there is none; signals are the gateway's.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.meta_path.insert(0, PluginFinder())
    sys.meta_path.insert(1, _tyk_wire.Finder())
    sys.meta_path.insert(2, _Embedded())
    _tyk_wire.describe(_tyk_native)
    sys.meta_path.append(_ShortNames())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    root = logging.getLogger()
    root.addHandler(_LogBridge())
    root.setLevel(logging.INFO)
    threading.excepthook = _log_uncaught
    return "%s, executable %s, prefix %s" % (
        sys.version.split()[0],
        sys.executable,
        sys.prefix,
    )


def _log_uncaught(uncaught):
    if uncaught.exc_type is not SystemExit and uncaught.exc_value is not None:
        name = uncaught.thread.name if uncaught.thread else "?"
        _tyk_native.log("thread %s: %s" % (name, describe(uncaught.exc_value)), "error")


def stop():
    """Runs what plugins registered with `atexit` and flushes the standard streams."""
    import atexit

    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


# === calls ===


def run_event(function, payload):
    """Calls an event handler with the message and the spec of `payload`, a JSON text."""
    fields = json.loads(payload)
    result = function(fields.get("message") or {}, fields.get("spec") or {})
    if inspect.iscoroutine(result):
        run_async(result)


def drive(coroutine):
    """What an `async` function returns that can wait for nothing: it needs no event loop."""
    steps = coroutine.__await__()
    try:
        # As a loop does, `None` lets others go first, of which there are none.
        while (awaited := next(steps)) is None:
            pass
    except StopIteration as end:
        return end.value
    raise RuntimeError("nothing runs that could wait for %r" % (awaited,))


def run_async(coroutine):
    """What an `async` function returns, which is waited for on an event loop."""
    _tyk_async.relent()
    seconds = _tyk_native.time_left()
    # Later cuts are for what computes; what waits is woken in time.
    _tyk_native.spare(seconds + _GRACE)
    return _tyk_async.run(coroutine, seconds, HookTimeout, lambda: _tyk_native.spare(_CLEAN_UP))
