"""A gRPC server of plugins for the black-box suite, built from the published .proto files.

It serves the functions of the Python fixtures, so that each scenario is written once. Each
line of its input is a folder to serve and, behind a tab, the address to serve it at; it
answers with the port. It ends with its input.
"""
import inspect
import pathlib
import sys
import tempfile
import traceback
import types
from concurrent import futures

import grpc
from grpc_tools import protoc

UNLIMITED = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
]


def build_messages(folder):
    """Makes Python's modules of the messages, as an author of plugins would."""
    made = tempfile.mkdtemp(prefix="messages-")
    files = sorted(str(file) for file in pathlib.Path(folder).glob("*.proto"))
    arguments = ["protoc", "-I" + folder, "--python_out=" + made, "--grpc_python_out=" + made]
    if protoc.main(arguments + files):
        raise SystemExit("protoc failed")
    sys.path.insert(0, made)


class Hook:
    """Marks a function, as the decorator of in-process plugins does."""

    def __init__(self, function):
        self.f = function
        self.arity = len(inspect.signature(function).parameters)


class Request:
    """The request with the helpers that in-process plugins have."""

    def __init__(self, message):
        self.object = message

    def get_header(self, name):
        wanted = name.lower()
        found = (v for k, v in self.object.headers.items() if k.lower() == wanted)
        return next(found, None)

    def add_header(self, name, value):
        self.object.set_headers[name] = value
        self.object.headers[name] = value

    def delete_header(self, name):
        self.object.delete_headers.append(name)

    def add_param(self, name, value):
        self.object.add_params[name] = value

    def delete_param(self, name):
        self.object.delete_params.append(name)


def stub_modules():
    """What the fixtures import of the gateway and its kit."""
    decorators = types.ModuleType("tyk.decorators")
    for name in ("Hook", "Pre", "Post", "PostKeyAuth", "CustomKeyCheck", "Event"):
        setattr(decorators, name, Hook)
    tyk, gateway = types.ModuleType("tyk"), types.ModuleType("gateway")
    tyk.decorators, gateway.TykGateway = decorators, types.SimpleNamespace()
    sys.modules.update({"tyk": tyk, "tyk.decorators": decorators, "gateway": gateway})


def call(function, message):
    """Calls a hook by the number of its arguments, and checks what it returns."""
    request = Request(message.request)
    session, metadata = message.session, message.session.metadata
    if function.arity == 5:
        arguments = request, message.response, session, metadata, message.spec
    elif function.arity == 4:
        arguments = request, session, metadata, message.spec
    else:
        arguments = request, session, message.spec
    returned = function.f(*arguments)
    if returned is not message.response and not isinstance(returned, tuple):
        raise TypeError("wrong return value: %r" % (returned,))


class Dispatcher:
    """The service, for the functions of one folder."""

    def __init__(self, folder, reply_class):
        self.functions, self.reply_class, self.last_event = {}, reply_class, ""
        self.functions["LastEvent"] = Hook(self.tell_event)
        for file in sorted(pathlib.Path(folder).glob("*.py")):
            space = {"__name__": file.stem, "__file__": str(file)}
            exec(compile(file.read_text(), str(file), "exec"), space)
            marked = {k: v for k, v in space.items() if isinstance(v, Hook)}
            self.functions.update(marked)

    def Dispatch(self, message, context):
        function = self.functions.get(message.hook_name)
        if function is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "no function " + message.hook_name)
        try:
            call(function, message)
        except Exception:
            context.abort(grpc.StatusCode.INTERNAL, traceback.format_exc(limit=-5))
        return message

    def DispatchEvent(self, event, context):
        self.last_event = event.payload
        return self.reply_class()

    def tell_event(self, request, session, spec):
        """A hook that tells the last event in a header."""
        request.add_header("X-Event", self.last_event)
        return request, session


def main():
    build_messages(sys.argv[1])
    import coprocess_object_pb2 as messages
    import coprocess_object_pb2_grpc as service

    stub_modules()
    servers = []
    for line in sys.stdin:
        server = grpc.server(futures.ThreadPoolExecutor(4), options=UNLIMITED)
        folder, _, address = line.strip().partition("\t")
        dispatcher = Dispatcher(folder, messages.EventReply)
        service.add_DispatcherServicer_to_server(dispatcher, server)
        port = server.add_insecure_port(address or "127.0.0.1:0")
        server.start()
        print(port, flush=True)
        servers.append(server)


main()
