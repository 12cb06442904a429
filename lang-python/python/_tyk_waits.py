"""Tells from the text of plugin code whether it may keep the thread that runs it.

A hook of which that is not excluded never runs on the caller's thread by itself: it may be
short a thousand times and then wait, or compute for seconds inside of one call into C that
nothing can cut, with all other requests of that thread.
"""

import dis
import importlib.machinery
import os
import types

# Modules that neither wait for files, networks or other processes nor compute for long
# inside of one call. `re` is none of them: matching some patterns takes exponential time,
# and the text that is matched comes from clients.
NEVER_WAIT = frozenset(
    "__future__ abc array base64 binascii bisect calendar codecs collections contextlib "
    "copy dataclasses datetime enum functools gateway hashlib "
    "heapq hmac html ipaddress itertools json keyword logging math numbers operator os "
    "posixpath random secrets string struct sys threading time "
    "traceback types typing unicodedata urllib.parse uuid warnings weakref tyk "
    "decorators request session object event middleware".split()
)

# Names whose use says that code may wait or compute for long, wherever they come from.
MAY_WAIT = frozenset(
    "sleep open input wait system popen waitpid urlopen store_data get_data "
    "__import__ import_module exec eval "
    "pbkdf2_hmac scrypt factorial comb perm pow uuid1 getnode".split()
)

_NATIVE = tuple(importlib.machinery.EXTENSION_SUFFIXES + importlib.machinery.BYTECODE_SUFFIXES)


class Judgement:
    """What is known about the modules of one source."""

    def __init__(self, root, names):
        self.root = root
        self.names = names
        # Modules whose code may wait, and those that use modules of their own.
        self.waiting = set()
        self.linked = set()
        # What was judged is what runs, should a module be imported later only.
        self.codes = {}
        self._all_judged = False

    def judge(self, name, code):
        """Notes what the code of a module says."""
        for part in _code_within(code):
            names = MAY_WAIT.intersection(part.co_names)
            if part is code:
                # Reading a file while the module is imported is how plugins read their
                # settings; hooks run later.
                names -= {"open"}
            if names:
                self.waiting.add(name)
            if _has_power(part):
                self.waiting.add(name)
            for imported, level in _imports(part):
                root = imported.partition(".")[0]
                if level or root in self.names:
                    self.linked.add(name)
                elif root not in NEVER_WAIT and imported not in NEVER_WAIT:
                    self.waiting.add(name)

    def may_wait(self, name):
        """Whether the functions of a module may wait, as far as the text tells.

        Those of one that uses others may when any other does, also one that is not
        imported yet: a function may do that when it is called.
        """
        if name in self.waiting or name not in self.linked:
            return name in self.waiting
        if not self.waiting and not self._all_judged:
            self._judge_all()
        return bool(self.waiting)

    def _judge_all(self):
        """Judges the files of the source up to the first that may wait."""
        self._all_judged = True
        for folder, inner, files in os.walk(self.root):
            inner[:] = [n for n in inner if n.isidentifier() and n != "__pycache__"]
            # Links are not followed, as they may lead in circles.
            paths = [os.path.join(folder, name) for name in inner + files]
            for path in paths:
                self._judge_file(path)
                if self.waiting:
                    return

    def _judge_file(self, path):
        if os.path.isdir(path):
            if os.path.islink(path):
                self.waiting.add(path)
        elif path.endswith(".py"):
            try:
                with open(path, "rb") as file:
                    code = compile(file.read(), path, "exec", dont_inherit=True)
            except (OSError, SyntaxError, ValueError):
                # It may be another text by the time when it is imported.
                self.waiting.add(path)
                return
            self.codes[path] = code
            self.judge(path, code)
        elif path.endswith(_NATIVE):
            self.waiting.add(path)


def _code_within(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _code_within(constant)


def _has_power(code):
    """Whether code uses `**`, which takes as long as its numbers are large."""
    steps = dis.get_instructions(code)
    return any("POWER" in step.opname or step.argrepr in ("**", "**=") for step in steps)


def _imports(code):
    """The names that code imports, each with its level: 0 when it is not relative."""
    before = []
    for step in dis.get_instructions(code):
        if step.opname == "EXTENDED_ARG":
            continue
        if step.opname == "IMPORT_NAME":
            # The two values on the stack are the level and the names after `from`.
            yield step.argval, before[-2].argval
        before = [*before[-1:], step]
