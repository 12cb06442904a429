"""Loads plugin code and finds its hooks; tells where code went wrong."""

import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import linecache
import os
import sys
import traceback
import types

import _tyk_waits

_builtins_import = __import__


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
    function = inspect.unwrap(getattr(function, "func", function))
    code = getattr(function, "__code__", None)
    if code is None:
        code = getattr(getattr(type(function), "__call__", None), "__code__", None)
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


class PluginFinder(importlib.abc.MetaPathFinder):
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

    Each is `(name, function, arg_count, is_event, is_async, may_wait, location, problem)`.
    """
    from tyk.decorators import Event, HandlerDecorator

    generation = _generations[module.__name__.partition(".")[0]]
    may_wait = generation.judgement.may_wait(module.__name__)
    found = []
    for name, value in list(vars(module).items()):
        if isinstance(value, HandlerDecorator):
            is_async = inspect.iscoroutinefunction(value.f)
            if is_async and may_wait:
                # What it takes to run one is not loaded within the time of a call.
                import _tyk_async
            found.append(
                (
                    value.name or name,
                    value.f,
                    value.arg_count,
                    isinstance(value, Event),
                    is_async,
                    may_wait,
                    location(value.f),
                    value.problem,
                )
            )
    return found
