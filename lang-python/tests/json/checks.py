"""Compares the gateway's `json.loads` and `json.dumps` with the standard library's own."""

import collections
import copy
import enum
import inspect
import io
import json
import pickle
import random
import struct
import sys
import weakref

from tyk.decorators import Hook

SEPARATORS = (None, (",", ":"), (", ", ": "), ("", ""), (" ,\n", "=>"), ("\u00e9\u20ac", "\U0001f600"))


def originals():
    return json.loads.__wrapped__, json.dumps.__wrapped__


def typed(value):
    """The value with all its types, the order of its keys, and the bits of its floats."""
    if type(value) is dict:
        return ("dict", [(typed(key), typed(item)) for key, item in value.items()])
    if type(value) is list:
        return ("list", [typed(item) for item in value])
    if type(value) is float:
        return ("float", struct.pack(">d", value))
    return (type(value), repr(value))


def outcome(function, *args, **keywords):
    try:
        return "gave", typed(function(*args, **keywords))
    except Exception as error:
        parts = ("msg", "doc", "pos", "lineno", "colno", "reason", "start", "end", "object")
        return "raised", type(error), str(error), [repr(getattr(error, part, None)) for part in parts]


def same(name, *args, **keywords):
    new = getattr(json, name)
    expected = outcome(new.__wrapped__, *args, **keywords)
    got = outcome(new, *args, **keywords)
    assert got == expected, (name, args, keywords, got, expected)
    return expected


def handed_on(*args, **keywords):
    raise LookupError("handed on")


def is_quick(name, *args, **keywords):
    """Whether the original function is not called."""
    function = getattr(json, name)
    original = function.__wrapped__
    code = original.__code__
    original.__code__ = handed_on.__code__
    try:
        function(*args, **keywords)
    except LookupError as error:
        assert str(error) == "handed on"
        return False
    finally:
        original.__code__ = code
    return True


# === inputs that are written out ===

USUAL_TEXTS = [
    *("null true false 0 -0 7 -7 1.5 -0.0 1E5 1e+5 1e-5 0.1 0e0 1e400 -1e400 1e-400 5e-324".split()),
    "9223372036854775807", "-9223372036854775808", "2.2250738585072011e-308", "0." + "1" * 900,
    "9007199254740993.0", "1" * 400 + ".0", "123456789012345678901234567890e-20",
    "[]", "{}", " [ ] ", "\t{\r}\n", '""', '"a"', '"\u00e9"', '"\u20ac"', '"\U0001f600"', '"\x7f"',
    r'"\" \\ \/ \b \f \n \r \t"', r'"\u0041\u00e9\u20ac\ud83d\ude00"', r'"\uFFFF\u0000"', r'"\ud83d\ude00x"',
    '"' + "long text " * 50 + '"', '"' + "12345678" + r"\n" + '12345678"',
    "[1, 2.0, true, null, \"x\", [], {}]", ' [ 1 , { "a" : [ ] } ] ', "[" * 100 + "]" * 100,
    '{"a": 1, "b": 2, "a": 3}', r'{"a": 1, "\u0061": 2, "b": 0, "a": 4}', r'{"\u00e9": 1, "\u00e9": 2}',
    '{"": 0}', '[{"same": 1}, {"same": 2}]', '{"a":{"a":{"a":{"a":1}}}}',
    "{" + ",".join('"key-%d":%d' % (n % 300, n) for n in range(500)) + "}",
]

UNUSUAL_TEXTS = [
    "", " ", "\x00", "nul", "nulll", "True", "NaN", "Infinity", "-Infinity", "[NaN]", "-", "+1", "01", "-01", "1.",
    ".5", "1.e5", "1e", "1e+", "--1", "1 2", "1,", "0x10", "1_0", "\u0661", "1\u0661", "[1 2]", "[1,]", "[,1]", "[",
    "]", "[1", "[1,", "{", "}", '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', "{1:2}", "{'a':1}", '{"a" 1}',
    '{"a":1 "b":2}', '{a:1}', '"', '"a', '"\\', '"\\"', '"\\x"', '"\\u"', '"\\u12"', '"\\u12g4"', '"\\u+123"',
    '"\\u 123"', '"\\ud800', '"\\ud800"', '"\\udc00"', '"\\ud800\\ud800"', '"\\ud800\\n"', '"\\ud800x"',
    '"\\ud83d\\u0041"', '"\\ud83d\\u"', '"\\ud83d\\ude0"', '"\n"', '"\x1f"', '"a\x00b"', '"\t"', "\ufeff{}",
    "{}\ufeff", "\u00a01", "1\u00a0", "\x0b1", "9223372036854775808", "-9223372036854775809", "[" + "1" * 5000 + "]",
    "[" * 129 + "]" * 129, "[" * 5000, "[" * 100_000 + "]" * 100_000, '{"a":' * 200 + "1" + "}" * 200, "[1]]", "{}{}",
    '"\ud800"', '["\udc00"]', "/* */1", "1 // x", "truefalse", "[true false]", "nullnull",
]


@Hook
def texts(request, session, spec):
    json_loads, _ = originals()
    # Longer than parsers count exponents.
    for number in ("1" + "0" * 655360 + "e-655360", "0." + "0" * 700000 + "1e700001"):
        assert json.loads(number) == json_loads(number) == 1.0
    for quick, given in [(True, USUAL_TEXTS), (False, UNUSUAL_TEXTS)]:
        for text in given:
            kind = same("loads", text)[0]
            assert is_quick("loads", text) is quick, text
            assert kind == "gave" or not quick, text
            for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"):
                data = text.encode(encoding, "surrogatepass")
                same("loads", data)
                same("loads", bytearray(data))
            data = text.encode("utf-8", "surrogatepass")
            assert is_quick("loads", data) is quick, data
            if kind == "gave":
                assert typed(json.load(io.BytesIO(data))) == typed(json_loads(data))
    for data in (b"\xff", b'"\xff"', b'"\xc3"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b"\x00", b"1\x00", b"\x001", b'"\xf5"'):
        same("loads", data)
    return request, session


class Text(str):
    pass


class Data(bytes):
    pass


@Hook
def arguments(request, session, spec):
    for args in ((), (None,), (1,), ([],), (memoryview(b"1"),), ("1", "2"), (Text("[1]"),), (Data(b"[1]"),), ("[1",)):
        same("loads", *args)
    nothing = dict.fromkeys(("cls", "object_hook", "parse_float", "parse_int", "parse_constant", "object_pairs_hook"))
    assert is_quick("loads", "[1]", **nothing)
    for keywords in (
        nothing, {"strict": True}, {"strict": None}, {"encoding": "utf-8"}, {"nonsense": None}, {"cls": json.JSONDecoder},
        {"parse_float": str}, {"parse_int": float}, {"parse_constant": str}, {"object_hook": str}, {"object_pairs_hook": str},
        {"s": "[]"},
    ):
        same("loads", '{"a": [1, 2.5, "x", NaN]}', **keywords)
        same("loads", "{", **keywords)
    same("loads", s="[1]")
    for quick, keywords in [
        (True, {"separators": None, "indent": None, "cls": None, "default": None, "sort_keys": False}),
        (True, {"skipkeys": True, "check_circular": False, "allow_nan": False, "ensure_ascii": False, "default": str}),
        (False, {"separators": [",", ":"]}), (False, {"separators": (",",)}), (False, {"separators": (Text(","), ":")}),
        (False, {"separators": (1, 2)}), (False, {"separators": ("\ud800", ":")}), (False, {"separators": ()}),
        (False, {"separators": ",:"}), (False, {"indent": 2}), (False, {"indent": 0}), (False, {"indent": ""}),
        (False, {"sort_keys": True}), (False, {"sort_keys": 0}), (False, {"ensure_ascii": 0}), (False, {"default": 3}),
        (False, {"cls": json.JSONEncoder}), (False, {"nonsense": None}), (False, {"allow_nan": None}),
    ]:
        value = {"b": [1, 2.5, "\u00e9\U0001f600"], "a": {}}
        assert is_quick("dumps", value, **keywords) is quick, keywords
        for value in (value, object(), {"a": {1, 2}}, {1: 2}, {(): 1}, float("nan"), "\ud800", [b""]):
            same("dumps", value, **keywords)
    for args in ((), (1, 2)):
        same("dumps", *args)
    same("dumps", obj=[1])
    return request, session


class Kind(enum.IntEnum):
    ONE = 1


class Whole(int):
    def __repr__(self):
        return "whole"


class Real(float):
    def __repr__(self):
        return "real"


Point = collections.namedtuple("Point", "x y")


def nested(depth, make=lambda inner: [inner]):
    value = 1
    for _ in range(depth):
        value = make(value)
    return value


def circular():
    one, other = [], {}
    one.append({"a": one})
    other["b"] = (1, [other])
    return [one, other]


@Hook
def values(request, session, spec):
    infinity = float("inf")
    usual = [
        None, True, False, 0, -1, 2**63 - 1, -(2**63), 0.0, -0.0, 1.0, 1e16, 1e-5, 1e22, 1e-4, 9999999999999998.0, 5e-324,
        infinity, -infinity, float("nan"), "", "a", "\x00\x1f \x7f\x80\xff", "\"\\/\b\f\n\r\t\v", "\u0100\uffff", "\ud800",
        "\udc00\ud800x", "\U00010000\U0010ffff", "a" * 1000 + "\n" + "b" * 7, [], {}, (), [[]], {"a": {}}, ((1,), [2]),
        {"a": 1, "b": [None, True, 1.5, "x"], "\u00e9": {"\ud800": 1}, "": ""}, nested(128),
        nested(128, lambda inner: {"a": inner}), nested(128, lambda inner: (inner,)),
    ]
    unusual = [
        2**63, -(2**63) - 1, 10**4000, 10**5000, Kind.ONE, Whole(1), Real(1.5), Text("a"), Point(1, 2), {1: 2}, {None: 1},
        {True: 1}, {1.5: 1}, {Text("a"): 1}, {(1,): 2}, {1}, b"a", object(), collections.OrderedDict(a=1),
        collections.defaultdict(int, a=1), type("Items", (list,), {})([1]), nested(129), nested(5000),
        nested(129, lambda inner: {"a": inner}), *circular(), [1, {"a": object()}], Kind, 1j,
    ]
    for quick, given in [(True, usual), (False, unusual)]:
        for value in given:
            assert is_quick("dumps", value) is quick, value
            for separators in SEPARATORS:
                for ascii in (True, False):
                    for nan in (True, False):
                        same("dumps", value, separators=separators, ensure_ascii=ascii, allow_nan=nan)
                        same("dumps", [value, value], separators=separators, ensure_ascii=ascii, allow_nan=nan)
            same("dumps", value)
            same("dumps", value, default=repr)
            same("dumps", value, skipkeys=True)
    for code in [*range(0x300), *range(0x300, sys.maxunicode + 1, 61), 0xD7FF, 0xD800, 0xDFFF, 0xE000, 0xFFFF, 0x10000]:
        same("dumps", "ab" + chr(code))
        same("dumps", chr(code) + "cd\u20ac\U0001f600", ensure_ascii=False)
    return request, session


# === inputs that are made up ===

LETTERS = ["a", "b", "key", " ", '"', "\\", "/", "\n", "\t", "\x01", "\x7f", "\u00e9", "\u20ac", "\ud7ff", "\uffff", "\U0001f600"]


def made_text(chance):
    letters = LETTERS if chance.random() < 0.3 else LETTERS[:3]
    if chance.random() < 0.02:
        letters = letters + ["\ud800", "\udfff"]
    return "".join(chance.choices(letters, k=chance.choice((0, 1, 2, 3, 5, 8, 13, 40))))


def made_float(chance):
    if chance.random() < 0.5:
        return struct.unpack(">d", chance.randbytes(8))[0]
    return round(chance.uniform(-1e4, 1e4), chance.randrange(6)) * 10.0 ** chance.randrange(-8, 20)


def made_value(chance, depth):
    kind = chance.randrange(12 if depth else 8)
    if kind < 2:
        return made_text(chance)
    if kind < 4:
        return chance.choice((0, 1, 255, -6, 256, 10**9, 2**53 + 1, -(2**63), chance.randrange(-(2**64), 2**64)))
    if kind < 6:
        return made_float(chance)
    if kind < 8:
        return chance.choice((None, True, False, [], {}))
    count = chance.choice((0, 1, 2, 3, 5, 9))
    if kind < 10:
        return [made_value(chance, depth - 1) for _ in range(count)]
    return {made_text(chance): made_value(chance, depth - 1) for _ in range(count)}


def damaged(chance, data):
    data = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            del data[at : at + chance.randrange(1, 4)]
        elif kind == 2:
            data[at:at] = bytes([chance.choice(b'{}[]",:\\ue.+-0123456789 tfn\x00\x1f\xc3\xff')])
        elif kind == 3 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif at < len(data):
            data[at] = chance.choice(b'{}[]",:\\u0 \n\x00')
    return bytes(data)


@Hook
def documents(request, session, spec):
    chance = random.Random(30)
    json_loads, json_dumps = originals()
    kinds = collections.Counter()
    for _ in range(2500):
        value = made_value(chance, 4)
        separators, ascii = chance.choice(SEPARATORS), chance.random() < 0.7
        same("dumps", value, separators=separators, ensure_ascii=ascii)
        text = json_dumps(value, ensure_ascii=ascii, indent=chance.choice((None, None, 1, "\t")))
        same("loads", text)
        data = text.encode("utf-8", "surrogatepass")
        same("loads", data)
        for _ in range(3):
            broken = damaged(chance, data)
            kinds[same("loads", broken)[0]] += 1
            same("loads", broken.decode("utf-8", "replace"))
        if text.isascii() and chance.random() < 0.2:
            same("loads", broken.decode("latin-1"))
    assert min(kinds.values()) > 300, kinds
    return request, session


@Hook
def floats(request, session, spec):
    chance = random.Random(31)
    powers = [10.0**n for n in range(-323, 309)] + [2.0**n for n in range(-1074, 1024)]
    bits = [struct.unpack(">d", chance.randbytes(8))[0] for _ in range(100_000)]
    near = [struct.unpack(">q", struct.pack(">d", power))[0] + step for power in powers for step in (-1, 1)]
    bits += [struct.unpack(">d", struct.pack(">q", max(number, 0)))[0] for number in near]
    decimal = [chance.randrange(10**8) / 10 ** chance.randrange(9) for _ in range(20_000)]
    numbers = powers + bits + decimal
    numbers += [-number for number in numbers]
    assert is_quick("dumps", numbers)
    json_loads, json_dumps = originals()
    text = json.dumps(numbers, separators=(",", ":"))
    names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    for number, got in zip(numbers, text[1:-1].split(",")):
        assert got == names.get(repr(number), repr(number)), (number, got)
    finite = [number for number in numbers if number - number == 0]
    # As they are written, with digits that decide on rounding, and in halves between two.
    texts = [repr(number) for number in finite]
    texts += ["%.25e" % number for number in finite[:5000]] + ["%.60f" % number for number in decimal[:5000]]
    texts += ["%d.%dE%+d" % (chance.randrange(10), chance.randrange(10**18), chance.randrange(-330, 312)) for _ in range(20_000)]
    text = "[%s]" % ",".join(texts)
    assert is_quick("loads", text)
    for text, got, expected in zip(texts, json.loads(text), json_loads(text)):
        assert typed(got) == typed(expected), (text, got, expected)
    return request, session


# === what is about the functions, not about JSON ===


@Hook
def appearance(request, session, spec):
    assert all(weakref.ref(function)() is function for function in (json.loads, json.dumps))
    for name, original in zip(("loads", "dumps"), originals()):
        new = getattr(json, name)
        assert inspect.isfunction(original) and original is not new
        for attribute in ("__name__", "__qualname__", "__module__", "__doc__", "__code__", "__kwdefaults__", "__globals__"):
            assert getattr(new, attribute) == getattr(original, attribute), attribute
        assert inspect.signature(new) == inspect.signature(original)
        assert inspect.getsource(new) == inspect.getsource(original)
        assert repr(new) == repr(original) and callable(new)
        assert pickle.loads(pickle.dumps(new)) is new and copy.deepcopy(new) is new is copy.copy(new)
        assert outcome(getattr, new, "nonsense")[1] is AttributeError
    for name in ("load", "dump", "JSONEncoder", "JSONDecoder"):
        assert not hasattr(getattr(json, name), "__wrapped__"), name
    items = json.loads('[{"key": 1}, {"key": 2}, {"other": 3}]')
    assert next(iter(items[0])) is next(iter(items[1]))
    many = json.loads(json.dumps([{"key-%d" % n: n for n in range(1000)}] * 2))
    assert all(one is other for one, other in zip(*many))
    return request, session


@Hook
def replaced(request, session, spec):
    """What a plugin puts into `json` counts."""
    decoder, encoder, cls, default = json._default_decoder, json._default_encoder, json.JSONEncoder, json.JSONEncoder.default
    try:
        json._default_decoder = json.JSONDecoder(parse_int=str)
        assert json.loads("[1]") == ["1"]
        json._default_decoder = decoder
        json._default_encoder = json.JSONEncoder(separators=("-", "="))
        assert json.dumps([1, 2]) == "[1-2]"
        json._default_encoder = encoder
        json.JSONEncoder = type("Encoder", (cls,), {"encode": lambda self, value: "mine"})
        assert json.dumps([1], separators=(",", ":")) == "mine"
        json.JSONEncoder = cls
        json.JSONEncoder.default = lambda self, value: "default"
        assert json.dumps([object()]) == '["default"]'
    finally:
        json._default_decoder, json._default_encoder, json.JSONEncoder = decoder, encoder, cls
        cls.default = default
    assert is_quick("loads", "[1]") and is_quick("dumps", [1])
    return request, session


@Hook
def memory(request, session, spec):
    wrong = b'{"key": ["text", {"n": 1.5}], "\\u00e9": [tru'
    value = {"key": ["text", {"n": 1.5, "big": 12345678}], "\u00e9\u20ac": None, "wrong": object()}
    many = json.dumps([{"key-%d" % n: n for n in range(400)}] * 2)

    def once():
        json.loads(b'{"key": ["text", {"n": 1.5, "big": 12345678}], "\\u00e9": null, "other": {"key": "\xc3\xa9"}}')
        json.loads('["\u00e9\\n", 5000]')
        json.dumps({"key": ["text", {"n": 1.5, "big": 12345678}], "\u00e9\u20ac": None}, separators=(",", ":"))
        if turn % 100 == 0:
            json.loads(many)
            outcome(json.loads, many[:-1])
        if turn % 10 == 0:
            outcome(json.loads, wrong)
            outcome(json.dumps, value)

    for turn in range(1000):
        once()
    constants = [sys.getrefcount(constant) for constant in (True, False, None, "key")]
    before = sys.getallocatedblocks()
    for turn in range(33_000):
        once()
    grown = sys.getallocatedblocks() - before
    assert grown < 200, grown
    for count, constant in zip(constants, (True, False, None, "key")):
        assert sys.getrefcount(constant) < count + 500, constant
    # Neither function leaves another form of a text in it.
    text = '"%s"' % ("\u20ac" * 1000)
    size = sys.getsizeof(text)
    json.loads(text), json.dumps(text), json.dumps(text, ensure_ascii=False)
    assert sys.getsizeof(text) == size
    return request, session
