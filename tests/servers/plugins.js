// A gRPC server of plugins in Node for the black-box suite, from the published .proto files.
//
// It has the five hooks of the fixture `hooks`. As plugins.py, it takes folders from its input,
// which it has no use for, and answers each with a port.
"use strict";

const path = require("node:path");
const readline = require("node:readline");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

// Defaults fill every field of a reply, as servers in Node commonly do.
const definition = loader.loadSync("coprocess_object.proto", {
  includeDirs: [path.resolve(process.argv[2])],
  keepCase: true,
  defaults: true,
  enums: Number,
});
const { Dispatcher } = grpc.loadPackageDefinition(definition).coprocess;

function mark(request, name) {
  const before = request.headers["X-Trail"];
  request.set_headers["X-Trail"] = before ? before + "," + name : name;
}

const hooks = {
  MarkPre: (object) => mark(object.request, "pre"),
  SecondPre: (object) => mark(object.request, "second"),
  CheckToken(object) {
    if (object.request.headers["Authorization"] === "good") {
      const metadata = { token: "caller-1", plan: "gold" };
      object.session = { alias: "a caller", metadata };
    }
    mark(object.request, "auth");
  },
  MarkPostKeyAuth(object) {
    const { session, metadata, request } = object;
    request.set_headers["X-Plan"] = session.metadata.plan + "/" + metadata.plan;
    request.set_headers["X-Alias"] = session.alias;
    mark(request, "post_key_auth");
  },
  MarkPost: (object) => mark(object.request, "post"),
  MarkResponse(object) {
    const { response, session } = object;
    response.headers["X-Response"] = "response";
    response.headers["X-Session-Plan"] = session.metadata.plan || "none";
    response.raw_body = Buffer.concat([response.raw_body, Buffer.from("!")]);
  },
};

const service = {
  Dispatch(call, answer) {
    const hook = hooks[call.request.hook_name];
    if (!hook) {
      answer({ code: grpc.status.UNIMPLEMENTED, details: "no " + call.request.hook_name });
      return;
    }
    hook(call.request);
    answer(null, call.request);
  },
  DispatchEvent: (call, answer) => answer(null, {}),
};

const lines = readline.createInterface({ input: process.stdin });
lines.on("line", () => {
  const server = new grpc.Server();
  server.addService(Dispatcher.service, service);
  server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    console.log(port);
  });
});
lines.on("close", () => process.exit());
