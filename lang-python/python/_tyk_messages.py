"""Message classes that behave as the gateway's do, in Python.

A test of the gateway's repository runs the same operations on these, on the gateway's own
and on those of the `protobuf` package.
"""

import _tyk_wire
from _tyk_parts import DEFAULTS, List, Map, MessageMap, RepeatedMessage, RepeatedScalar
from _tyk_parts import StringMap, check, is_header

# The maps whose keys are names of headers, which may be written in any case.
HEADERS_OF = ("ResponseObject", "headers")


class _Field:
    """A field of a message class."""

    def __init__(self, number, name, kind, shape):
        self.number, self.name, self.kind, self.shape = number, name, kind, shape

    def is_single(self):
        return self.shape == "single" and self.kind in DEFAULTS

    def __get__(self, message, owner=None):
        if message is None:
            return self
        found = message._values.get(self.name)
        if found is None:
            found = self._empty(message)
            message._values[self.name] = found
        return found

    def _empty(self, message):
        if self.shape == "map":
            if self.kind == "string":
                return StringMap(message, (message._name, self.name) == HEADERS_OF)
            return MessageMap(message, message._classes[self.kind])
        if self.shape == "repeated":
            if self.kind in DEFAULTS:
                return RepeatedScalar(message, self.kind)
            return RepeatedMessage(message, message._classes[self.kind])
        if self.kind in DEFAULTS:
            return DEFAULTS[self.kind]
        made = message._classes[self.kind]()
        made._owner, made._present = message, False
        return made

    def __set__(self, message, value):
        if not self.is_single():
            raise AttributeError(
                "assignment not allowed to message, map or repeated field \"%s\"" % self.name
            )
        message._touch()
        try:
            value = check(self.kind, value)
        except UnicodeError:
            # They are not made of a text.
            raise
        except (TypeError, ValueError, OverflowError) as error:
            raise type(error)("field \"%s\": %s" % (self.name, error)) from None
        if self.name == "method" and value and not is_header(value):
            raise ValueError("method %r is not an HTTP method" % value)
        message._values[self.name] = value

    def __delete__(self, message):
        raise AttributeError(
            "field \"%s\" cannot be deleted; use ClearField(\"%s\")" % (self.name, self.name)
        )

    def holds_something(self, message):
        value = message._values.get(self.name)
        if value is None:
            return False
        if self.is_single():
            return value != DEFAULTS[self.kind] or repr(value) == "-0.0"
        return value._present if isinstance(value, Message) else len(value) > 0


class Message:
    """The base of all message classes."""

    __slots__ = ("_values", "_owner", "_present")
    __hash__ = None
    _classes = {}

    def __init__(self, **fields):
        self._values, self._owner, self._present = {}, None, True
        for name, value in fields.items():
            field = self._field(name)
            if value is None:
                continue
            if field.is_single():
                setattr(self, name, value)
            else:
                self._fill(getattr(self, name), value)

    @staticmethod
    def _fill(part, value):
        if isinstance(part, StringMap):
            part.update(value)
        elif isinstance(part, Message) and isinstance(value, dict):
            for name, item in value.items():
                if part._field(name).is_single():
                    setattr(part, name, item)
                else:
                    part._fill(getattr(part, name), item)
        elif isinstance(part, (Message, MessageMap)):
            part.MergeFrom(value)
        else:
            part.extend(value)

    def _touch(self):
        self._present = True
        if self._owner is not None:
            self._owner._touch()

    @classmethod
    def _field(cls, name):
        field = cls._fields.get(name)
        if field is None:
            raise ValueError("protocol message %s has no \"%s\" field" % (cls._name, name))
        return field

    def _given(self, other):
        """What a plugin gives for a message: one of these, or one of the `protobuf` package."""
        if isinstance(other, Message):
            if other._name != self._name:
                raise TypeError(
                    "parameter must be an instance of %s, got %s" % (self._name, other._name)
                )
            return other
        descriptor = None if isinstance(other, type) else getattr(other, "DESCRIPTOR", None)
        if getattr(descriptor, "full_name", None) != "coprocess." + self._name:
            raise TypeError("parameter must be a message, got %s" % type(other).__name__)
        return type(self).FromString(other.SerializeToString())

    def MergeFrom(self, other):
        other = self._given(other)
        self._touch()
        for name, field in self._fields.items():
            if not field.holds_something(other):
                continue
            value = getattr(other, name)
            if field.is_single():
                setattr(self, name, value)
            else:
                getattr(self, name).MergeFrom(value)

    def CopyFrom(self, other):
        if other is self:
            return
        other = self._given(other)
        copy = type(self)()
        copy.MergeFrom(other)
        self.Clear()
        self.MergeFrom(copy)

    def Clear(self):
        self._touch()
        self._values = {}

    def ClearField(self, name):
        self._touch()
        self._values.pop(self._field(name).name, None)

    def HasField(self, name):
        field = self._field(name)
        if field.is_single() or field.shape != "single":
            raise ValueError("field %s does not have presence" % name)
        return field.holds_something(self)

    def ListFields(self):
        return [
            (field, getattr(self, name))
            for name, field in self._fields.items()
            if field.holds_something(self)
        ]

    def SetInParent(self):
        self._touch()

    def IsInitialized(self):
        return True

    def FindInitializationErrors(self):
        return []

    def WhichOneof(self, name):
        raise ValueError("protocol message %s has no oneof \"%s\" field" % (self._name, name))

    def _as_protobuf(self):
        made = _tyk_wire.message_class(self._name)()
        for field, value in self.ListFields():
            own = getattr(made, field.name)
            if field.is_single():
                setattr(made, field.name, value)
            elif isinstance(value, Message):
                own.CopyFrom(value._as_protobuf())
            elif isinstance(value, MessageMap):
                for key, item in value.items():
                    own[key].CopyFrom(item._as_protobuf())
            elif isinstance(value, RepeatedMessage):
                own.extend(item._as_protobuf() for item in value)
            else:
                own.update(value) if isinstance(value, StringMap) else own.extend(value)
        return made

    def SerializeToString(self, **options):
        """The message in protobuf's wire format; this needs the `protobuf` package."""
        return self._as_protobuf().SerializeToString(deterministic=True)

    SerializePartialToString = SerializeToString

    def ByteSize(self):
        return len(self.SerializeToString())

    def ParseFromString(self, data):
        self.Clear()
        return self.MergeFromString(data)

    def MergeFromString(self, data):
        read = _tyk_wire.message_class(self._name).FromString(data)
        self._read(read)
        return len(data)

    def _read(self, read):
        self._touch()
        for descriptor, value in read.ListFields():
            field = self._fields[descriptor.name]
            if field.is_single():
                setattr(self, field.name, value)
                continue
            own = getattr(self, field.name)
            if isinstance(own, Message):
                own._read(value)
            elif isinstance(own, MessageMap):
                for key, item in value.items():
                    own._items[key] = own._class()
                    own._items[key]._read(item)
            elif isinstance(own, RepeatedMessage):
                for item in value:
                    own.add()._read(item)
            else:
                own.MergeFrom(value)

    @classmethod
    def FromString(cls, data):
        made = cls()
        made.MergeFromString(data)
        return made

    def __reduce__(self):
        return type(self).FromString, (self.SerializeToString(),)

    def __eq__(self, other):
        if not isinstance(other, Message):
            return NotImplemented
        return self._name == other._name and [
            (field.name, value) for field, value in self.ListFields()
        ] == [(field.name, value) for field, value in other.ListFields()]

    def __copy__(self):
        made = type(self)()
        made.CopyFrom(self)
        return made

    def __deepcopy__(self, memo):
        return self.__copy__()

    def __str__(self):
        return "".join(_lines(self, 0))

    __repr__ = __str__


def make_classes():
    """The message classes of the wire contract by their names."""
    classes = {}
    for messages in _tyk_wire.FILES.values():
        for name, text in messages.items():
            if text.startswith("enum ") or name in ("Object", "Event", "EventReply", "StringSlice"):
                continue
            fields = {field[1]: _Field(*field) for field in _tyk_wire.fields(name)}
            content = dict(fields)
            content.update(
                __slots__=(),
                __doc__="The message `%s` of the wire contract." % name,
                __module__="_tyk_native",
                _name=name,
                _fields=dict(sorted(fields.items(), key=lambda item: item[1].number)),
                _classes=classes,
                DESCRIPTOR=_tyk_wire.LazyDescriptor(name),
            )
            classes[name] = type(name, (Message,), content)
    return classes


# === text ===


def _lines(message, depth):
    blank = "  " * depth
    for field, value in message.ListFields():
        if isinstance(value, Map):
            for key in value:
                yield "%s%s {\n%s  key: %s\n" % (blank, field.name, blank, _quoted(key))
                if isinstance(value, StringMap):
                    yield "%s  value: %s\n" % (blank, _quoted(value[key]))
                else:
                    yield "%s  value {\n" % blank
                    yield from _lines(value[key], depth + 2)
                    yield "%s  }\n" % blank
                yield "%s}\n" % blank
            continue
        for item in value if isinstance(value, List) else [value]:
            if isinstance(item, Message):
                yield "%s%s {\n" % (blank, field.name)
                yield from _lines(item, depth + 1)
                yield "%s}\n" % blank
            else:
                yield "%s%s: %s\n" % (blank, field.name, _shown(item))


def _shown(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        short = "%.15g" % value
        return short if float(short) == value else "%.17g" % value
    return str(value) if isinstance(value, int) else _quoted(value)


_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "'": "\\'", "\\": "\\\\"}


def _quoted(value):
    letters = value if isinstance(value, str) else map(chr, value)
    out = []
    for letter in letters:
        if letter in _ESCAPES:
            out.append(_ESCAPES[letter])
        elif " " <= letter <= "~" or (isinstance(value, str) and letter > "\x7f"):
            out.append(letter)
        else:
            out.append("\\%03o" % ord(letter))
    return '"%s"' % "".join(out)
