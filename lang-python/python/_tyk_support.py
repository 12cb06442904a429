"""The Python half of the host: loads plugin code, finds its hooks, tells what went wrong."""

import _imp
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import json
import linecache
import logging
import os
import signal
import sys
import threading
import traceback
import types

import _tyk_native
import _tyk_waits
import _tyk_wire

_builtins_import = __import__


class HookTimeout(BaseException):
    """Injected into a hook that ran longer than it may."""

    def __init__(self, *args):
        super().__init__(*(args or ("hook ran longer than it may",)))
        # Only a cut that has arrived counts as one that the plugin could swallow.
        if _tyk_native.cut_arrived() >= 3:
            _insist()


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
    sys.meta_path.insert(0, _PluginFinder())
    sys.meta_path.insert(1, _tyk_wire.Finder())
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


# === errors ===


def describe(error):
    """An exception as text: its own line first, then the traceback."""
    try:
        head = "".join(traceback.format_exception_only(type(error), error)).strip()
    except BaseException:
        head = type(error).__name__
    if isinstance(error, SyntaxError):
        head = "%s: %s (%s, line %s)" % (
            type(error).__name__,
            error.msg,
            error.filename,
            error.lineno,
        )
    try:
        trace = "".join(
            traceback.format_exception(type(error), error, error.__traceback__)
        ).rstrip()
    except BaseException:
        trace = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    text = head + "\n" + trace
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def location(function):
    """`file:line` of a function, as far as it can be told."""
    code = getattr(function, "__code__", None)
    if code is None:
        return getattr(function, "__module__", None) or "unknown place"
    return "%s:%d" % (code.co_filename, code.co_firstlineno)


def error_line(error, path):
    """The line of `path` that an import error comes from: `path:line`, or `path`."""
    if isinstance(error, SyntaxError) and error.filename == path and error.lineno:
        return "%s:%d" % (path, error.lineno)
    line = None
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == path:
            line = frame.lineno
    return path if line is None else "%s:%d" % (path, line)


# === plugin code ===

_PREFIX = "_tyk_plugin_"

_generations = {}


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles from source, always: a cached file may be older than it looks."""

    def get_code(self, fullname):
        path = self.get_filename(fullname)
        generation = _generations.get(fullname.partition(".")[0])
        code = generation.judgement.codes.get(path) if generation is not None else None
        if code is None:
            code = self.source_to_code(self.get_data(path), path)
        if generation is not None:
            generation.judgement.judge(fullname, code)
        return code

    def exec_module(self, module):
        generation = _generations.get(module.__name__.partition(".")[0])
        if generation is not None:
            module.__dict__["__builtins__"] = generation.builtins
        super().exec_module(module)


class _PluginFinder(importlib.abc.MetaPathFinder):
    """Finds the modules of a plugin below the plugin's own package."""

    def find_spec(self, name, path=None, target=None):
        if not name.startswith(_PREFIX) or path is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
            spec.cached = None
        return spec


class Generation:
    """The modules of one load of one plugin, in a package that no other plugin sees.

    Every module of it has an `__import__` of its own, which looks among the plugin's own
    files first. So two plugins may each have `rules.py`, and an import inside a function
    finds it as one at the top does.
    """

    def __init__(self, number, root):
        self.package = "%s%d" % (_PREFIX, number)
        vendor = os.path.join(root, "vendor")
        self.path = [root] + ([vendor] if os.path.isdir(vendor) else [])
        self.names = self._own_names()
        self.judgement = _tyk_waits.Judgement(root, self.names)
        self.builtins = dict(vars(_builtins_module()))
        self.builtins["__import__"] = self.import_name
        module = types.ModuleType(self.package)
        module.__path__ = self.path
        sys.modules[self.package] = module
        _generations[self.package] = self
        importlib.invalidate_caches()

    def _own_names(self):
        names = set()
        for folder in self.path:
            for entry in os.scandir(folder):
                stem, _, ending = entry.name.partition(".")
                if entry.is_dir() and not ending and stem.isidentifier():
                    names.add(stem)
                elif ending and entry.name.endswith((".py", ".so")):
                    names.add(stem)
        names.discard("vendor")
        return frozenset(names)

    def import_name(self, name, globals=None, locals=None, fromlist=(), level=0):
        """What `import` does in this plugin's modules."""
        if level or name.partition(".")[0] not in self.names:
            return _builtins_import(name, globals, locals, fromlist, level)
        full = self.package + "." + name
        module = importlib.import_module(full)
        if not fromlist:
            return sys.modules[self.package + "." + name.partition(".")[0]]
        for wanted in fromlist:
            if wanted != "*" and hasattr(module, "__path__") and not hasattr(module, wanted):
                try:
                    importlib.import_module(full + "." + wanted)
                except ModuleNotFoundError as error:
                    if error.name != full + "." + wanted:
                        raise
        return module

    def load(self, path):
        """Imports the file `path`, which need not have an identifier for a name."""
        stem = os.path.splitext(os.path.relpath(path, self.path[0]))[0]
        name = self.package + "." + stem.replace(os.sep, ".")
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, path))
        spec.cached = None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(name, None)
            raise
        return module

    def drop(self):
        """Forgets the modules, so that their memory is free once nothing runs in them."""
        _generations.pop(self.package, None)
        below = self.package + "."
        for name in [n for n in sys.modules if n == self.package or n.startswith(below)]:
            module = sys.modules.pop(name)
            path = getattr(module, "__file__", None)
            if path:
                linecache.cache.pop(path, None)
        for folder in [f for f in sys.path_importer_cache if _below(f, self.path)]:
            sys.path_importer_cache.pop(folder, None)
        self.builtins = {}
        self.judgement.codes = {}
        gc.collect()


def _below(folder, roots):
    return any(folder == root or folder.startswith(root + os.sep) for root in roots)


def _builtins_module():
    import builtins

    return builtins


def handlers(module):
    """The decorated functions of a module, in the order of their definition.

    Each is `(name, function, arg_count, is_event, is_async, may_wait, location)`.
    """
    from tyk.decorators import Event, HandlerDecorator

    generation = _generations[module.__name__.partition(".")[0]]
    may_wait = generation.judgement.may_wait(module.__name__)
    found = []
    for value in list(vars(module).values()):
        if isinstance(value, HandlerDecorator):
            flags = getattr(getattr(value.f, "__code__", None), "co_flags", 0)
            found.append(
                (
                    value.name,
                    value.f,
                    value.arg_count,
                    isinstance(value, Event),
                    bool(flags & 0x80),
                    may_wait,
                    location(value.f),
                )
            )
    return found


def run_event(function, payload):
    """Calls an event handler with the message and the spec of `payload`, a JSON text."""
    fields = json.loads(payload)
    result = function(fields.get("message") or {}, fields.get("spec") or {})
    if hasattr(result, "send"):
        try:
            result.send(None)
        except StopIteration:
            return
        result.close()
        raise RuntimeError("async event handler waited for something; it must not")
