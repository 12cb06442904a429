"""The gateway as a peer of the shared benchmark: plain proxy and the hooks P1 to P4, in Lua and in Python.

The benchmark executes this file with its own names in scope (PEERS, os, json). GATEWAY names the binary; without it
the release build of this workspace is taken. Everything is as a user would have it: release profile, defaults on.
"""

HERE = os.path.dirname(os.path.abspath(os.environ["BENCH_PEERS"]))
BINARY = os.environ.get("GATEWAY", os.path.abspath(f"{HERE}/../../target/release/gateway"))
HOOK_KIND = {"P1": "pre", "P2": "auth_check", "P3": "pre", "P4": "response"}


def gateway(ctx, driver=None):
    scenario = ctx.scen if driver else "P0"
    definition = {
        "name": "bench", "api_id": "bench", "org_id": "bench", "use_keyless": scenario != "P2",
        "proxy": {"listen_path": "/", "target_url": f"http://127.0.0.1:{ctx.up}/"},
    }
    if driver:
        entry = {"name": "Hook" + scenario}
        kind = HOOK_KIND[scenario]
        definition["custom_middleware"] = {"driver": driver, kind: entry if kind == "auth_check" else [entry]}
        definition["custom_plugin_auth_enabled"] = kind == "auth_check"
    config = {
        "listen_address": "127.0.0.1", "listen_port": ctx.port, "workers": ctx.workers, "log_level": "warn",
        "app_path": f"{ctx.run}/apps", "middleware_path": f"{HERE}/plugins",
        "coprocess_options": {"enable_coprocess": driver is not None}, "storage": {"path": f"{ctx.run}/gateway.redb"},
    }
    if driver == "lua":
        # P2 looks tokens up in a file, which a sandboxed script cannot read: it gets them as a module-level table.
        config["middleware_path"] = lua_plugins(ctx)
    os.makedirs(f"{ctx.run}/apps", exist_ok=True)
    json.dump(definition, open(f"{ctx.run}/apps/bench.json", "w"))
    json.dump(config, open(f"{ctx.run}/tyk.conf", "w"))
    return dict(cmd=[BINARY, "--conf", f"{ctx.run}/tyk.conf"])


def lua_plugins(ctx):
    folder = f"{ctx.run}/plugins/lua"
    os.makedirs(folder, exist_ok=True)
    shutil.copy(f"{HERE}/plugins/lua/hooks.lua", f"{folder}/hooks.lua")
    with open(f"{folder}/tokens.lua", "w") as out:
        out.write("tokens = {}\n")
        for line in open(ctx.tokens):
            token, user = line.split()
            out.write(f'tokens["{token}"] = "{user}"\n')
    return f"{ctx.run}/plugins"


PEERS["gateway"] = dict(scen=["P0"], start=gateway)
PEERS["gateway-lua"] = dict(scen=["P1", "P2", "P3", "P4"], start=lambda ctx: gateway(ctx, "lua"))
PEERS["gateway-python"] = dict(scen=["P1", "P2", "P3", "P4"], start=lambda ctx: gateway(ctx, "python"))
