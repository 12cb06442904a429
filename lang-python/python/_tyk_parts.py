"""What messages are made of: single values, maps and lists."""

import collections.abc
import operator
import re

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
DEFAULTS = {"string": "", "bytes": b"", "bool": False, "double": 0.0, "int32": 0, "int64": 0}


def is_header(name):
    return _TOKEN.match(name) is not None


def canonical(name):
    """A header's name as plugins know it; text that is no name stays as it is."""
    if not is_header(name):
        return name
    return "-".join(part.capitalize() for part in name.split("-"))


# === single values ===


def wrong_type(value, expected):
    return TypeError("got %s, expected one of: %s" % (type(value).__name__, expected))


def check(kind, value):
    """The value as a field of that kind holds it."""
    if kind == "string":
        return _text(value)
    if kind == "bytes":
        if not isinstance(value, bytes):
            raise wrong_type(value, "bytes")
        return value
    if kind == "double":
        if not (hasattr(value, "__float__") or hasattr(value, "__index__")):
            raise wrong_type(value, "int, float")
        return float(value)
    if kind == "bool":
        try:
            return bool(_integer(value, 64, OverflowError))
        except TypeError:
            raise wrong_type(value, "bool, int") from None
    if isinstance(value, bool):
        raise wrong_type(value, "int")
    return _integer(value, int(kind[3:]), ValueError)


def _text(value):
    if isinstance(value, bytes):
        return value.decode()
    if not isinstance(value, str):
        raise wrong_type(value, "str")
    # Lone surrogates are no text.
    value.encode()
    return value


def _integer(value, bits, out_of_range):
    if isinstance(value, float) or not hasattr(value, "__index__"):
        raise wrong_type(value, "int")
    number = operator.index(value)
    if not -(1 << bits - 1) <= number < 1 << bits - 1:
        raise out_of_range("value out of range: %d" % number)
    return number


# === parts ===


class _Part:
    """A part of a message, which is told when it is changed."""

    __slots__ = ("_owner", "_items")
    __hash__ = None

    def _touch(self):
        if self._owner is not None:
            self._owner._touch()

    def __len__(self):
        return len(self._items)

    def __repr__(self):
        return repr(self._items)


class Map(_Part):
    __slots__ = ()

    def __init__(self, owner=None):
        self._owner, self._items = owner, {}

    def _key(self, key):
        return _text(key)

    def __contains__(self, key):
        return self._key(key) in self._items

    def __iter__(self):
        return iter(self._items)

    def __delitem__(self, key):
        key = self._key(key)
        self._touch()
        del self._items[key]

    def keys(self):
        return collections.abc.KeysView(self)

    def values(self):
        return collections.abc.ValuesView(self)

    def items(self):
        return collections.abc.ItemsView(self)

    def get(self, key, default=None):
        return self._items.get(self._key(key), default)

    def pop(self, key, default=None):
        value = self[key]
        del self[key]
        return value

    def popitem(self):
        if not self._items:
            raise KeyError("the map is empty")
        key = next(iter(self._items))
        return key, self._items.pop(key)

    def clear(self):
        self._touch()
        self._items.clear()

    def update(self, other=(), **more):
        self._touch()
        for source in (other, more):
            for key, value in list(source.items() if hasattr(source, "items") else source):
                self[key] = value


class StringMap(Map):
    """`map<string, string>`: a key that is missing reads as empty text, and is there then."""

    __slots__ = ("_is_headers",)

    def __init__(self, owner=None, is_headers=False):
        super().__init__(owner)
        self._is_headers = is_headers

    def _key(self, key):
        key = _text(key)
        return canonical(key) if self._is_headers else key

    def __getitem__(self, key):
        key = self._key(key)
        if key not in self._items:
            self._touch()
            self._items[key] = ""
        return self._items[key]

    def __setitem__(self, key, value):
        self._touch()
        key, value = _text(key), _text(value)
        self._items[self._key(key)] = value

    def setdefault(self, key, default):
        key = self._key(key)
        self._touch()
        if key not in self._items:
            if default is None:
                raise ValueError("the value of a map is not None")
            self._items[key] = _text(default)
        return self._items[key]

    def MergeFrom(self, other):
        self.update(other)

    def copy(self):
        return dict(self._items)

    def __eq__(self, other):
        return self._items == (other._items if isinstance(other, StringMap) else other)

    def __deepcopy__(self, memo):
        made = StringMap(None, self._is_headers)
        made._items.update(self._items)
        return made


class MessageMap(Map):
    """`map<string, message>`: reading a key that is missing makes an empty message there."""

    __slots__ = ("_class",)

    def __init__(self, owner, class_):
        super().__init__(owner)
        self._class = class_

    def __getitem__(self, key):
        key = _text(key)
        if key not in self._items:
            self._touch()
            self._items[key] = self._class()
        return self._items[key]

    get_or_create = __getitem__

    def __setitem__(self, key, value):
        raise ValueError(
            "direct assignment of submessage not allowed; use map[key].CopyFrom(message)"
        )

    def setdefault(self, key, default=None):
        return self[key]

    def MergeFrom(self, other):
        for key, value in list(other.items()):
            made = self._class()
            made.CopyFrom(value)
            self._items[_text(key)] = made
        self._touch()

    def __eq__(self, other):
        return isinstance(other, MessageMap) and self._items == other._items

    def __deepcopy__(self, memo):
        made = MessageMap(None, self._class)
        made.MergeFrom(self)
        return made


class List(_Part):
    __slots__ = ()

    def __iter__(self):
        return iter(list(self._items))

    def __getitem__(self, index):
        return self._items[index]

    def __delitem__(self, index):
        self._touch()
        del self._items[index]

    def __contains__(self, value):
        return value in self._items

    def pop(self, *index):
        self._touch()
        return self._items.pop(*index)

    def remove(self, value):
        self._touch()
        self._items.remove(value)

    def sort(self, **options):
        self._items.sort(**options)

    def reverse(self):
        self._touch()
        self._items.reverse()

    def clear(self):
        self._items.clear()

    def MergeFrom(self, values):
        self.extend(values)

    def __eq__(self, other):
        return self._items == (other._items if isinstance(other, List) else other)


class RepeatedScalar(List):
    """A repeated field of texts or of numbers."""

    __slots__ = ("_kind",)

    def __init__(self, owner, kind):
        self._owner, self._kind, self._items = owner, kind, []

    def _change(self, change):
        self._touch()
        items = list(self._items)
        change(items)
        self._items = [check(self._kind, item) for item in items]

    def append(self, value):
        self._change(lambda items: items.append(value))

    def extend(self, values):
        self._change(lambda items: items.extend(values))

    def insert(self, index, value):
        self._change(lambda items: items.insert(index, value))

    def __setitem__(self, index, value):
        self._change(lambda items: items.__setitem__(index, value))

    def __iadd__(self, values):
        self.extend(values)
        return self

    def index(self, value):
        return self._items.index(value)

    def count(self, value):
        return self._items.count(value)

    def __deepcopy__(self, memo):
        made = RepeatedScalar(None, self._kind)
        made._items = list(self._items)
        return made


class RepeatedMessage(List):
    """A repeated field of messages."""

    __slots__ = ("_class",)

    def __init__(self, owner, class_):
        self._owner, self._class, self._items = owner, class_, []

    def add(self, **fields):
        self._touch()
        made = self._class(**fields)
        self._items.append(made)
        return made

    def append(self, value):
        made = self._class()
        made.CopyFrom(value)
        self._touch()
        self._items.append(made)
        return made

    def extend(self, values):
        for value in values:
            self.append(value)

    def insert(self, index, value):
        made = self.append(value)
        self._items.pop()
        self._items.insert(index, made)

    def __setitem__(self, index, value):
        raise TypeError("a repeated field of messages does not support item assignment")

    def __deepcopy__(self, memo):
        made = RepeatedMessage(None, self._class)
        made.extend(self)
        return made
