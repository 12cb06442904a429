"""Runs the same operations on the gateway's message classes and on protobuf's own, and
tells where they differ.

Everything that is random comes from the seed, so a difference can be looked at again.
"""

import copy
import random

SCALARS = [
    "", "A", "text \u00e9", "quote \" and \n\x07\x7f'\\", b"Bytes", b"\xff", 0, 1, -1, 7, 255,
    2**31 - 1, 2**31, -(2**31) - 1, 2**63 - 1, 2**63, -(2**63), True, False, 0.0, 0.5, -2.25,
    1e20, 1e-7, 123456789.125, float("inf"), None, [], {}, ["a"], object(), "\ud800",
]
KEYS = ["A", "B", "C", "X-Name", "", "\u00fc", b"A", 1, None, 1.5, "\ud800"]
TEXTS = ["", "a", "b", "long " * 3, "\u00fc", b"b", 1, None, b"\xfe"]
NUMBERS = [0, 1, 2.5, -3.75, 1e30, True, "1", None, 10**400]
INDEXES = [0, 1, -1, 5, -5, "a", None, slice(0, 2), slice(None), slice(None, None, -1), 1.0, True]


SIDES = ("ours", "theirs")


class Index:
    """What numbers of other packages look like."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


class Float:
    def __float__(self):
        return 2.5


SCALARS += [Index(5), Float()]
INDEXES += [Index(0)]


class Side:
    """One of the two implementations."""

    def __init__(self, classes):
        self.classes = classes

    def build(self, name, fill):
        message = self.classes[name]()
        fill(message)
        return message


def plain(value):
    """A value as both sides have it."""
    if hasattr(value, "SerializeToString"):
        return ("message", type(value).__name__, fields(value))
    if hasattr(value, "MergeFrom"):
        if hasattr(value, "keys"):
            return ("map", sorted((key, plain(value[key])) for key in list(value)))
        return ("list", [plain(item) for item in value])
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, [plain(item) for item in value])
    if isinstance(value, float):
        return ("float", repr(value))
    return (type(value).__name__, value)


def fields(message):
    return [(field.name, plain(value)) for field, value in message.ListFields()]


def outcome(act):
    """What an operation returns or raises."""
    try:
        return plain(act())
    except RecursionError:
        raise
    except Exception as error:
        kind = type(error)
        # A subclass says the same, and more.
        return ("raises", kind.__name__)


# Each chooser draws what an operation does, and returns it as a function of a message and
# its side, with a text that tells what it is.


class Chooser:
    def __init__(self, seed, schema):
        self.draw = random.Random(seed)
        self.schema = schema

    def operation(self, root):
        path, name = self.target(root)
        field = self.draw.choice(self.schema[name])
        kind = self.draw.random()
        if kind < 0.3:
            what, act = self.on_message(name, field)
        else:
            _, field_name, type_name, shape = field
            if shape == "map":
                what, act = self.on_map(field_name, type_name)
            elif shape == "repeated" and type_name[0].isupper():
                what, act = self.on_messages(field_name, type_name)
            elif shape == "repeated":
                what, act = self.on_list(field_name, type_name)
            elif type_name[0].isupper():
                what, act = self.on_part(field_name, type_name)
            else:
                what, act = self.on_scalar(field)
        return "%s%s: %s" % (name, path_text(path), what), lambda m, s: act(walk(m, path), s)

    def target(self, root):
        """A way from the root to a message, which is made where it is missing."""
        path, name = [], root
        while self.draw.random() < 0.5:
            parts = [f for f in self.schema[name] if f[2][0].isupper()]
            if not parts:
                break
            _, field_name, type_name, shape = self.draw.choice(parts)
            key = self.draw.choice(["A", "B"]) if shape == "map" else None
            path.append((field_name, shape, key))
            name = type_name
        return path, name

    def value(self, field):
        _, name, kind, shape = field
        if name == "method":
            # The gateway takes only what can be a method for one.
            return self.draw.choice(["GET", "PUT", "", 1, None])
        if shape == "map":
            return self.draw.choice([None, {}])
        value = self.draw.choice(SCALARS)
        # Versions differ in whether a truth value is a number.
        return 3 if isinstance(value, bool) and kind.startswith("int") else value

    def on_scalar(self, field):
        name, value = field[1], self.value(field)
        pick = self.draw.randrange(4)
        if pick == 0:
            return "get " + name, lambda m, s: getattr(m, name)
        if pick == 1:
            return "del " + name, lambda m, s: delattr(m, name)
        return "%s = %r" % (name, value), lambda m, s: setattr(m, name, value)

    def on_map(self, name, type_name):
        key, other = self.draw.choice(KEYS), self.draw.choice(KEYS)
        value = self.draw.choice(TEXTS)
        is_text = type_name == "string"
        acts = {
            "get": lambda m, s: getattr(m, name)[key],
            "in": lambda m, s: written(key) in getattr(m, name),
            "get()": lambda m, s: getattr(m, name).get(key),
            "get default": lambda m, s: getattr(m, name).get(key, 5),
            "get keyword": lambda m, s: getattr(m, name).get(key=written(key), default="d"),
            "del": lambda m, s: getattr(m, name).__delitem__(written(key)),
            "len": lambda m, s: len(getattr(m, name)),
            "keys": lambda m, s: sorted(getattr(m, name).keys()),
            "in keys": lambda m, s: written(key) in getattr(m, name).keys(),
            "keys and set": lambda m, s: sorted(getattr(m, name).keys() & {"A", "X-Name"}),
            "items": lambda m, s: sorted((k, plain(v)) for k, v in getattr(m, name).items()),
            "values": lambda m, s: sorted(map(repr, map(plain, getattr(m, name).values()))),
            "iterate": lambda m, s: sorted(getattr(m, name)),
            "clear": lambda m, s: getattr(m, name).clear(),
            "bool": lambda m, s: bool(getattr(m, name)),
            "assign": lambda m, s: setattr(m, name, {}),
            "set": lambda m, s: getattr(m, name).__setitem__(written(key), value),
            "equal": lambda m, s: getattr(m, name) == getattr(another(m, s, name), name),
            "merge": lambda m, s: getattr(m, name).MergeFrom(
                getattr(s.build(type(m).__name__, lambda n: touch(n, name, key)), name)
            ),
            "pop": lambda m, s: getattr(m, name).pop(key),
            "pop default": lambda m, s: getattr(m, name).pop(key, "d"),
        }
        if is_text:
            acts.update({
                "set ": lambda m, s: getattr(m, name).__setitem__(key, value),
                "set  ": lambda m, s: getattr(m, name).__setitem__(key, value),
                "update": lambda m, s: getattr(m, name).update({key: value}),
                "update pairs": lambda m, s: getattr(m, name).update([(key, value)]),
                "update keywords": lambda m, s: getattr(m, name).update(X="1", Y=value),
                "update map": lambda m, s: getattr(m, name).update(getattr(another(m, s, name), name)),
                "setdefault": lambda m, s: getattr(m, name).setdefault(written(key), written(value)),
                "dict": lambda m, s: dict(getattr(m, name)),
                "equal dict": lambda m, s: getattr(m, name) == {"A": "b"},
                "repr": lambda m, s: repr(getattr(m, name)) if len(getattr(m, name)) < 2 else 0,
            })
        else:
            acts.update({
                "get_or_create": lambda m, s: getattr(m, name).get_or_create(key),
                "update": lambda m, s: getattr(m, name).update({}),
                "part": lambda m, s: touch(m, name, key),
            })
        what = self.draw.choice(sorted(acts))
        return "%s.%s key %r value %r %r" % (name, what, key, value, other), acts[what]

    def on_list(self, name, type_name):
        pool = TEXTS if type_name == "string" else NUMBERS
        value, other = self.draw.choice(pool), self.draw.choice(pool)
        index, place = self.draw.choice(INDEXES), self.draw.choice([0, -1, 1, 7, -7])
        good = ["p", "q"] if type_name == "string" else [1, 2.5]
        acts = {
            "append": lambda m, s: getattr(m, name).append(value),
            "append ": lambda m, s: getattr(m, name).append(value),
            "extend": lambda m, s: getattr(m, name).extend([value, other]),
            "extend generator": lambda m, s: getattr(m, name).extend(v for v in [other, value]),
            "extend none": lambda m, s: getattr(m, name).extend(None),
            "extend self": lambda m, s: getattr(m, name).extend(getattr(m, name)[:2]),
            "extend number": lambda m, s: getattr(m, name).extend(5),
            "merge": lambda m, s: getattr(m, name).MergeFrom(getattr(another(m, s, name), name)),
            "merge list": lambda m, s: getattr(m, name).MergeFrom([value]),
            "insert": lambda m, s: getattr(m, name).insert(place, value),
            "pop": lambda m, s: pop(getattr(m, name)),
            "pop at": lambda m, s: pop(getattr(m, name), place),
            "remove": lambda m, s: getattr(m, name).remove(value),
            "get": lambda m, s: getattr(m, name)[index],
            "set": lambda m, s: getattr(m, name).__setitem__(place, value),
            "set many": lambda m, s: getattr(m, name).__setitem__(slice(0, 2), good),
            "del": lambda m, s: getattr(m, name).__delitem__(index),
            "sort": lambda m, s: getattr(m, name).sort(),
            "sort key": lambda m, s: getattr(m, name).sort(key=str, reverse=True),
            "reverse": lambda m, s: getattr(m, name).reverse(),
            "clear": lambda m, s: getattr(m, name).clear(),
            "len": lambda m, s: len(getattr(m, name)),
            "in": lambda m, s: value in getattr(m, name),
            "iterate": lambda m, s: list(getattr(m, name)),
            "reversed": lambda m, s: list(reversed(getattr(m, name))),
            "bool": lambda m, s: bool(getattr(m, name)),
            "equal": lambda m, s: getattr(m, name) == getattr(another(m, s, name), name),
            "equal list": lambda m, s: getattr(m, name) == ["A", "b"],
            "unequal": lambda m, s: getattr(m, name) != ["A", "b"],
            "assign": lambda m, s: setattr(m, name, [value]),
            "repr": lambda m, s: repr(getattr(m, name)),
            "plus": lambda m, s: getattr(m, name) + ["x"],
            "hash": lambda m, s: hash(getattr(m, name)),
            "deepcopy": lambda m, s: copy.deepcopy(getattr(m, name)),
        }
        what = self.draw.choice(sorted(acts))
        text = "%s.%s index %r value %r %r" % (name, what, index, value, other)
        return text, acts[what]

    def on_messages(self, name, type_name):
        index, place = self.draw.choice(INDEXES), self.draw.choice([0, -1, 1, 7, -7])
        inner = self.draw.choice(self.schema[type_name])
        field, value = inner[1], self.value(inner)
        make = lambda m, s: s.build(type_name, lambda n: touch(n, field, "A"))
        acts = {
            "add": lambda m, s: getattr(m, name).add(),
            "add with": lambda m, s: getattr(m, name).add(**{field: value}),
            "append": lambda m, s: getattr(m, name).append(make(m, s)),
            "append wrong": lambda m, s: getattr(m, name).append(value),
            "extend": lambda m, s: getattr(m, name).extend([make(m, s), make(m, s)]),
            "merge": lambda m, s: getattr(m, name).MergeFrom(getattr(another(m, s, name), name)),
            "insert": lambda m, s: getattr(m, name).insert(place, make(m, s)),
            "pop": lambda m, s: pop(getattr(m, name)),
            "pop at": lambda m, s: pop(getattr(m, name), place),
            "remove": lambda m, s: getattr(m, name).remove(make(m, s)),
            "get": lambda m, s: getattr(m, name)[index],
            "set": lambda m, s: len(getattr(m, name)) and getattr(m, name).__setitem__(0, make(m, s)),
            "del": lambda m, s: getattr(m, name).__delitem__(index),
            "sort": lambda m, s: getattr(m, name).sort(key=str),
            "reverse": lambda m, s: getattr(m, name).reverse(),
            "clear": lambda m, s: getattr(m, name).clear(),
            "len": lambda m, s: len(getattr(m, name)),
            "in": lambda m, s: make(m, s) in getattr(m, name),
            "change first": lambda m, s: touch(getattr(m, name)[0], field, "A"),
            "equal": lambda m, s: getattr(m, name) == getattr(another(m, s, name), name),
            "assign": lambda m, s: setattr(m, name, []),
            "repr": lambda m, s: repr(getattr(m, name)),
        }
        what = self.draw.choice(sorted(acts))
        return "%s.%s index %r %s %r" % (name, what, index, field, value), acts[what]

    def on_part(self, name, type_name):
        field = self.draw.choice(self.schema[type_name])[1]
        acts = {
            "has": lambda m, s: m.HasField(name),
            "look": lambda m, s: getattr(m, name),
            "assign": lambda m, s: setattr(m, name, s.classes[type_name]()),
            "assign none": lambda m, s: setattr(m, name, None),
            "copy empty": lambda m, s: getattr(m, name).CopyFrom(s.classes[type_name]()),
            "merge empty": lambda m, s: getattr(m, name).MergeFrom(s.classes[type_name]()),
            "set in parent": lambda m, s: getattr(m, name).SetInParent(),
            "clear": lambda m, s: getattr(m, name).Clear(),
            "clear field": lambda m, s: m.ClearField(name),
            "touch": lambda m, s: touch(getattr(m, name), field, "A"),
            "default": lambda m, s: set_default(getattr(m, name), field),
            "look inside": lambda m, s: getattr(getattr(m, name), field),
        }
        what = self.draw.choice(sorted(acts))
        return "%s.%s %s" % (name, what, field), acts[what]

    def on_message(self, name, field):
        _, field_name, type_name, shape = field
        value = self.value(field)
        other = self.draw.choice([n for n in self.schema if n != name])
        clone = lambda m, s: s.build(name, lambda n: n.CopyFrom(m))
        acts = {
            "CopyFrom": lambda m, s: m.CopyFrom(s.build(name, lambda n: touch(n, field_name, "A"))),
            "MergeFrom": lambda m, s: m.MergeFrom(
                s.build(name, lambda n: touch(n, field_name, "B"))
            ),
            "MergeFrom self": lambda m, s: m.MergeFrom(m),
            "CopyFrom self": lambda m, s: m.CopyFrom(m),
            "CopyFrom other class": lambda m, s: m.CopyFrom(s.classes[other]()),
            "CopyFrom wrong": lambda m, s: m.CopyFrom(value),
            "MergeFrom wrong": lambda m, s: m.MergeFrom(value),
            "ClearField": lambda m, s: m.ClearField(field_name),
            "ClearField unknown": lambda m, s: m.ClearField("no_such"),
            "HasField": lambda m, s: m.HasField(field_name),
            "HasField unknown": lambda m, s: m.HasField("no_such"),
            "ListFields": lambda m, s: fields(m),
            "numbers": lambda m, s: [f.number for f, _ in m.ListFields()],
            "WhichOneof": lambda m, s: m.WhichOneof("no_such"),
            "IsInitialized": lambda m, s: m.IsInitialized(),
            "FindInitializationErrors": lambda m, s: m.FindInitializationErrors(),
            "ByteSize": lambda m, s: m.ByteSize(),
            "serialize": lambda m, s: len(m.SerializeToString(deterministic=True)),
            "serialize partial": lambda m, s: len(m.SerializePartialToString()),
            "parse": lambda m, s: s.classes[name].FromString(m.SerializeToString()) == m,
            "parse into": lambda m, s: m.ParseFromString(
                s.build(name, lambda n: touch(n, field_name, "C")).SerializeToString()
            ),
            "merge bytes": lambda m, s: m.MergeFromString(
                s.build(name, lambda n: touch(n, field_name, "C")).SerializeToString()
            ),
            "parse wrong": lambda m, s: s.classes[name]().ParseFromString(value),
            "full name": lambda m, s: m.DESCRIPTOR.full_name,
            "names": lambda m, s: sorted(m.DESCRIPTOR.fields_by_name),
            "str": lambda m, s: sorted(str(m).splitlines()),
            "repr": lambda m, s: sorted(repr(m).splitlines()),
            "bool": lambda m, s: bool(m),
            "hash": lambda m, s: hash(m),
            "copy": lambda m, s: copy.copy(m) == m,
            "deepcopy": lambda m, s: copy.deepcopy(m) == m and copy.deepcopy(m) is not m,
            "equal clone": lambda m, s: clone(m, s) == m,
            "equal other": lambda m, s: m == s.classes[other](),
            "unequal": lambda m, s: m != s.classes[name](),
            "equal text": lambda m, s: m == "text",
            "less": lambda m, s: m < m,
            "unknown get": lambda m, s: m.no_such,
            "unknown set": lambda m, s: setattr(m, "no_such", 1),
            "construct": lambda m, s: s.classes[name](**{field_name: value}),
            "construct copy": lambda m, s: s.classes[name](**{field_name: getattr(m, field_name)}),
            "construct unknown": lambda m, s: s.classes[name](no_such=1),
            "construct positional": lambda m, s: s.classes[name](value),
            "construct dict": lambda m, s: s.classes[name](**{field_name: {"A": "b"}}),
            "set in parent": lambda m, s: m.SetInParent(),
            "set unknown class": lambda m, s: setattr(type(m)(), "no_such", 1),
            "touch": lambda m, s: touch(m, field_name, "A"),
            "touch ": lambda m, s: touch(m, field_name, "B"),
            "Clear": lambda m, s: m.Clear(),
        }
        what = self.draw.choice(sorted(acts))
        return "%s %s %r %s" % (what, field_name, value, other), acts[what]


def another(message, side, name):
    return side.build(type(message).__name__, lambda made: touch(made, name, "B"))


def written(key):
    """A key that can be looked for."""
    return key if isinstance(key, str) and key != "\ud800" else str(bool(key))


def pop(items, *place):
    """Taking out what is not there is an error in some versions, and a warning in others."""
    index = place[0] if place else -1
    return items.pop(*place) if -len(items) <= index < len(items) else None


def touch(message, name, key):
    """Puts something into a field, whatever it holds."""
    value = getattr(message, name)
    if hasattr(value, "get_or_create"):
        part = value[key]
        touch(part, "api_id", key) if hasattr(part, "api_id") else None
    elif hasattr(value, "keys"):
        value[key] = "touched"
    elif hasattr(value, "add"):
        part = value.add()
        touch(part, "url" if hasattr(part, "url") else "key", key)
    elif hasattr(value, "append"):
        value.append("touched" if name != "trigger_limits" else 80)
    elif hasattr(value, "SetInParent"):
        for field in sorted(value.DESCRIPTOR.fields_by_name):
            touch(value, field, key)
    elif isinstance(value, bool):
        setattr(message, name, True)
    elif isinstance(value, bytes):
        setattr(message, name, b"raw")
    elif isinstance(value, (int, float)):
        setattr(message, name, 9)
    else:
        setattr(message, name, "PUT" if name == "method" else "/touched")


def set_default(message, name):
    value = getattr(message, name)
    if isinstance(value, (bool, int, float, str, bytes)):
        setattr(message, name, type(value)())


def walk(message, path):
    for name, shape, key in path:
        part = getattr(message, name)
        if shape == "map":
            part = part[key]
        elif shape == "repeated":
            part = part[0] if len(part) else part.add()
        message = part
    return message


def path_text(path):
    return "".join(".%s%s" % (name, "[%r]" % key if key else "") for name, _, key in path)


def differences(ours, theirs, schema, seeds, length):
    """What differs between two sets of classes, as texts; at most one for each seed."""
    roots = sorted(schema)
    found = []
    for seed in seeds:
        chooser = Chooser(seed, schema)
        root = roots[seed % len(roots)] if seed % 2 else "SessionState"
        if seed % 4 == 0:
            root = "MiniRequestObject"
        sides = [Side(ours), Side(theirs)]
        messages = [side.classes[root]() for side in sides]
        history = []
        for _ in range(length):
            what, act = chooser.operation(root)
            history.append(what)
            results = []
            for side, message in zip(sides, messages):
                results.append(outcome(lambda: act(message, side)))
            states = [plain(message) for message in messages]
            if results[0] == results[1] and states[0] == states[1]:
                continue
            found.append("seed %d, %s" % (seed, what))
            found += ["  %s: %r, then %r" % pair for pair in zip(SIDES, results, states)]
            found.append("  after %s" % history[-4:-1])
            break
        else:
            # What one writes, the other reads as the same.
            if theirs[root].FromString(messages[0].SerializeToString()) != messages[1]:
                found.append("seed %d: ours as bytes is another message" % seed)
            if ours[root].FromString(messages[1].SerializeToString()) != messages[0]:
                found.append("seed %d: theirs as bytes is another message" % seed)
    return found

