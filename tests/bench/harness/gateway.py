"""The gateway as it is measured: release profile, defaults on, plain or with the hooks P1 to P4 in Lua or Python.

GATEWAY names the binary; without it the release build of this workspace is taken.
"""
import contextlib
import json
import os
import shutil

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HOOK_KIND = {"P1": "pre", "P2": "auth_check", "P3": "pre", "P4": "response"}


def binary():
    return os.environ.get("GATEWAY", os.path.abspath(f"{HERE}/../../target/release/gateway"))


def start(ctx, driver=None, hooks=1, apis=None):
    """What starts it: `hooks` times the scenario's hook, in each of `apis` (id to listen path)."""
    scenario = ctx.scen if driver else "P0"
    apps = f"{ctx.run}/apps"
    shutil.rmtree(apps, ignore_errors=True)
    os.makedirs(apps)
    for name, listen_path in (apis or {"bench": "/"}).items():
        with open(f"{apps}/{name}.json", "w") as out:
            json.dump(definition(ctx, name, listen_path, scenario, driver, hooks), out)
    config = {
        "listen_address": "127.0.0.1", "listen_port": ctx.port, "workers": ctx.workers, "log_level": "warn",
        "app_path": apps, "middleware_path": f"{HERE}/plugins",
        "coprocess_options": {"enable_coprocess": driver is not None}, "storage": {"path": f"{ctx.run}/gateway.redb"},
    }
    if driver == "lua":
        # P2 looks tokens up in a file, which a sandboxed script cannot read: it gets them as a module-level table.
        config["middleware_path"] = lua_plugins(ctx)
    with open(f"{ctx.run}/tyk.conf", "w") as out:
        json.dump(config, out)
    return {"cmd": [binary(), "--conf", f"{ctx.run}/tyk.conf"]}


@contextlib.contextmanager
def edited(path):
    """The JSON of a file; what is changed in it is written back."""
    with open(path) as file:
        document = json.load(file)
    yield document
    with open(path, "w") as out:
        json.dump(document, out)


def definition(ctx, name, listen_path, scenario, driver, hooks):
    api = {
        "name": name, "api_id": name, "org_id": "bench", "use_keyless": scenario != "P2",
        "proxy": {"listen_path": listen_path, "target_url": f"http://127.0.0.1:{ctx.up}/"},
    }
    if driver:
        entry = {"name": "Hook" + scenario}
        kind = HOOK_KIND[scenario]
        api["custom_middleware"] = {"driver": driver, kind: entry if kind == "auth_check" else [entry] * hooks}
        api["custom_plugin_auth_enabled"] = kind == "auth_check"
    return api


def lua_plugins(ctx):
    folder = f"{ctx.run}/plugins/lua"
    os.makedirs(folder, exist_ok=True)
    shutil.copy(f"{HERE}/plugins/lua/hooks.lua", f"{folder}/hooks.lua")
    with open(f"{folder}/tokens.lua", "w") as out, open(ctx.tokens) as lines:
        out.write("tokens = {}\n")
        for line in lines:
            token, user = line.split()
            out.write(f'tokens["{token}"] = "{user}"\n')
    return f"{ctx.run}/plugins"


HOOKS = ["P1", "P2", "P3", "P4"]
PEERS = {
    "gateway": {"scen": ["P0"], "start": start},
    "gateway-lua": {"scen": HOOKS, "start": lambda ctx: start(ctx, "lua")},
    "gateway-python": {"scen": HOOKS, "start": lambda ctx: start(ctx, "python")},
}
