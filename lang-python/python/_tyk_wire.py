"""The messages of the wire contract as classes of the `protobuf` package.

They are made from descriptors when they are first asked for, in a pool of their own: so no
generated file has to fit the installed version of the package, and generated files that a
plugin brings along collide with nothing.
"""

import importlib.abc
import importlib.machinery
import sys

PACKAGE = "coprocess"

# The messages by the file that defines them. A field is a number, a name and a type; `*`
# after the type is for repeated fields, `map` for a map from text to the type.
FILES = {
    "coprocess_common": {
        "HookType": "enum Unknown Pre Post PostKeyAuth CustomKeyCheck Response",
        "StringSlice": "1 items string*",
    },
    "coprocess_mini_request_object": {
        "MiniRequestObject": """
            1 headers map string; 2 set_headers map string; 3 delete_headers string*;
            4 body string; 5 url string; 6 params map string; 7 add_params map string;
            8 extended_params map string; 9 delete_params string*;
            10 return_overrides ReturnOverrides; 11 method string; 12 request_uri string;
            13 scheme string; 14 raw_body bytes;
            100 multivalue_headers Header*; 101 client_address string;
            102 listen_path string; 103 request_id string;
            104 client_certificate map string
        """,
    },
    "coprocess_return_overrides": {
        "ReturnOverrides": """
            1 response_code int32; 2 response_error string; 3 headers map string;
            4 override_error bool; 5 response_body string
        """,
    },
    "coprocess_response_object": {
        "ResponseObject": """
            1 status_code int32; 2 raw_body bytes; 3 body string; 4 headers map string;
            5 multivalue_headers Header*
        """,
        "Header": "1 key string; 2 values string*",
    },
    "coprocess_session_state": {
        "AccessSpec": "1 url string; 2 methods string*",
        "AccessDefinition": """
            1 api_name string; 2 api_id string; 3 versions string*;
            4 allowed_urls AccessSpec*
        """,
        "BasicAuthData": "1 password string; 2 hash string",
        "JWTData": "1 secret string",
        "Monitor": "1 trigger_limits double*",
        "SessionState": """
            1 last_check int64; 2 allowance double; 3 rate double; 4 per double;
            5 expires int64; 6 quota_max int64; 7 quota_renews int64;
            8 quota_remaining int64; 9 quota_renewal_rate int64;
            10 access_rights map AccessDefinition; 11 org_id string;
            12 oauth_client_id string; 13 oauth_keys map string;
            14 basic_auth_data BasicAuthData; 15 jwt_data JWTData; 16 hmac_enabled bool;
            17 hmac_secret string; 18 is_inactive bool; 19 apply_policy_id string;
            20 data_expires int64; 21 monitor Monitor; 22 enable_detailed_recording bool;
            23 metadata map string; 24 tags string*; 25 alias string;
            26 last_updated string; 27 id_extractor_deadline int64;
            28 session_lifetime int64; 29 apply_policies string*; 30 certificate string;
            31 max_query_depth int64; 32 key_id string; 33 post_expiry_action string;
            34 post_expiry_grace_period int64
        """,
    },
    "coprocess_object": {
        "Object": """
            1 hook_type HookType; 2 hook_name string; 3 request MiniRequestObject;
            4 session SessionState; 5 metadata map string; 6 spec map string;
            7 response ResponseObject
        """,
        "Event": "1 payload string",
        "EventReply": "",
    },
}

# Each file after those that it uses.
ORDER = (
    "coprocess_common",
    "coprocess_return_overrides",
    "coprocess_response_object",
    "coprocess_mini_request_object",
    "coprocess_session_state",
    "coprocess_object",
)

_built = {}


def module(name):
    """The generated module `name`, as a dictionary of what is in it."""
    modules = _built.get("modules")
    if modules is None:
        # Of several threads that get here the first to be done decides for all.
        modules = _built.setdefault("modules", _build())
    return modules[name]


def message_class(name):
    """The class of the message `name`."""
    for file, messages in FILES.items():
        if name in messages:
            return module(file + "_pb2")[name]
    raise KeyError(name)


def fields(name):
    """The fields of a message as tuples of number, name, type and kind.

    The kind is "map", "repeated" or "single".
    """
    for messages in FILES.values():
        if name in messages:
            return [_field(text) for text in messages[name].split(";") if text.strip()]
    raise KeyError(name)


def _field(text):
    number, name, *rest = text.split()
    if rest[0] == "map":
        return int(number), name, rest[1], "map"
    if rest[0].endswith("*"):
        return int(number), name, rest[0][:-1], "repeated"
    return int(number), name, rest[0], "single"


def _build():
    from google.protobuf import descriptor_pb2, descriptor_pool

    pool = descriptor_pool.DescriptorPool()
    modules = {}
    for at, name in enumerate(ORDER):
        file = descriptor_pb2.FileDescriptorProto(
            name=name + ".proto", package=PACKAGE, syntax="proto3"
        )
        file.dependency.extend(before + ".proto" for before in ORDER[:at])
        for message, text in FILES[name].items():
            if text.startswith("enum "):
                _add_enum(file, message, text.split()[1:])
            else:
                _add_message(file, message)
        pool.AddSerializedFile(file.SerializeToString())
        modules[name + "_pb2"] = _contents(pool.FindFileByName(file.name))
    return modules


def _add_enum(file, name, values):
    enum = file.enum_type.add(name=name)
    for number, value in enumerate(values):
        enum.value.add(name=value, number=number)


def _add_message(file, name):
    message = file.message_type.add(name=name)
    for number, field_name, kind, shape in fields(name):
        field = message.field.add(name=field_name, number=number)
        field.label = field.LABEL_OPTIONAL if shape == "single" else field.LABEL_REPEATED
        if shape == "map":
            entry = "".join(part.capitalize() for part in field_name.split("_")) + "Entry"
            nested = message.nested_type.add(name=entry)
            nested.options.map_entry = True
            key = nested.field.add(name="key", number=1, type=field.TYPE_STRING)
            key.label = field.LABEL_OPTIONAL
            value = nested.field.add(name="value", number=2)
            value.label = field.LABEL_OPTIONAL
            _set_type(value, kind)
            field.type = field.TYPE_MESSAGE
            field.type_name = ".%s.%s.%s" % (PACKAGE, name, entry)
        else:
            _set_type(field, kind)


def _set_type(field, kind):
    if kind == "HookType":
        field.type, field.type_name = field.TYPE_ENUM, ".%s.%s" % (PACKAGE, kind)
    elif kind[0].isupper():
        field.type, field.type_name = field.TYPE_MESSAGE, ".%s.%s" % (PACKAGE, kind)
    else:
        field.type = getattr(field, "TYPE_" + kind.upper())


def _contents(file):
    from google.protobuf import message_factory
    from google.protobuf.internal import enum_type_wrapper

    contents = {"DESCRIPTOR": file}
    for name, descriptor in file.message_types_by_name.items():
        if hasattr(message_factory, "GetMessageClass"):
            contents[name] = message_factory.GetMessageClass(descriptor)
        else:
            contents[name] = message_factory.MessageFactory(file.pool).GetPrototype(descriptor)
    for name, descriptor in file.enum_types_by_name.items():
        contents[name] = enum_type_wrapper.EnumTypeWrapper(descriptor)
        contents.update((value.name, value.number) for value in descriptor.values)
    return contents


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes `import coprocess_object_pb2` and its like work where `protobuf` is installed."""

    def find_spec(self, name, path=None, target=None):
        if name.endswith("_pb2") and name[:-4] in FILES:
            return importlib.machinery.ModuleSpec(name, self)
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module_object):
        try:
            contents = module(module_object.__name__)
        except ModuleNotFoundError as error:
            if error.name not in ("google", "google.protobuf"):
                raise
            raise ModuleNotFoundError(
                "`%s` needs the package `protobuf`, which %s does not have: install it with "
                "`pip install protobuf`, or use the classes of `tyk.session`, `tyk.request` "
                "and `tyk.object`, which need nothing" % (module_object.__name__, sys.prefix),
                name=module_object.__name__,
            ) from error
        for name, value in contents.items():
            setattr(module_object, name, value)


def decode_error():
    """The class of the error that bytes which are no message raise."""
    try:
        from google.protobuf.message import DecodeError
    except ImportError:
        return ValueError
    return DecodeError


# === what a message class tells about itself ===


class FieldDescriptor:
    """A field, where the `protobuf` package is not installed."""

    def __init__(self, number, name, kind, shape):
        self.number, self.name, self.type_name, self.shape = number, name, kind, shape
        self.full_name = name


class Descriptor:
    """A message class, where the `protobuf` package is not installed."""

    def __init__(self, name):
        self.name = name
        self.full_name = PACKAGE + "." + name
        self.fields = [FieldDescriptor(*field) for field in fields(name)]
        self.fields_by_name = {field.name: field for field in self.fields}
        self.fields_by_number = {field.number: field for field in self.fields}


_descriptors = {}


def descriptor(name):
    """The descriptor of the message `name`: protobuf's own where that is installed."""
    found = _descriptors.get(name)
    if found is None:
        try:
            found = message_class(name).DESCRIPTOR
        except ImportError:
            found = Descriptor(name)
        _descriptors[name] = found
    return found


class LazyDescriptor:
    """The attribute `DESCRIPTOR` of a message class, made when it is first read."""

    def __init__(self, name):
        self.name = name

    def __get__(self, instance, owner=None):
        return descriptor(self.name)


def describe(classes):
    """Gives the message classes of a module their descriptors."""
    for messages in FILES.values():
        for name in messages:
            if hasattr(classes, name):
                setattr(getattr(classes, name), "DESCRIPTOR", LazyDescriptor(name))
