"""The servers that the gateway is compared with."""
import glob
import os
import subprocess

CONF = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "conf")
LUA_MODULES = ["/usr/lib/nginx/modules/ndk_http_module.so", "/usr/lib/nginx/modules/ngx_http_lua_module.so"]


def read(name):
    with open(f"{CONF}/{name}") as file:
        return file.read()


def render(ctx, name, **parts):
    """The template with its @WORDS@ filled in; parts may have words of their own, so they go in first."""
    text = read(name)
    values = {**parts, "PORT": ctx.port, "UP": ctx.up, "RUN": ctx.run, "WORKERS": ctx.workers, "TOKENS": ctx.tokens}
    for word, value in values.items():
        text = text.replace(f"@{word}@", str(value))
    path = f"{ctx.run}/{name}"
    with open(path, "w") as out:
        out.write(text)
    return path


def nginx(ctx):
    return {"cmd": ["nginx", "-c", render(ctx, "nginx.conf", MODULES="", LUA="", HOOK="")]}


def nginx_lua(ctx):
    modules = "".join(f"load_module {path};\n" for path in LUA_MODULES)
    hook = read(f"nginx_hooks/{ctx.scen}.conf")
    return {"cmd": ["nginx", "-c", render(ctx, "nginx.conf", MODULES=modules, LUA=read("nginx_lua.conf"), HOOK=hook)]}


def haproxy(ctx):
    return {"cmd": ["haproxy", "-db", "-f", render(ctx, "haproxy.cfg")]}


def envoy(ctx):
    binary = glob.glob(f"{ctx.work}/envoy-venv/lib/python3*/site-packages/envoy/_bin/envoy")
    if not binary:
        raise RuntimeError("no Envoy in the work folder: `cargo xtask bench --all` installs it")
    options = ["--concurrency", str(ctx.workers), "--disable-hot-restart", "-l", "error"]
    return {"cmd": [binary[0], "-c", render(ctx, "envoy.yaml"), *options]}


def pyvoy(ctx):
    """pyvoy prints the configuration and the command that it would run; both are adapted here."""
    origin = f"http://127.0.0.1:{ctx.up}"
    env = {"PYTHONPATH": CONF, "BENCH_SCENARIO": ctx.scen, "BENCH_ORIGIN": origin}
    program = [f"{ctx.work}/pyvoy-venv/bin/pyvoy", "pyvoy_app:app", "--port", str(ctx.port), "--upstream", f"origin={origin}"]

    def printed(flag, name):
        done = subprocess.run([*program, flag], env={**os.environ, **env}, capture_output=True, text=True, check=True)
        # It asks for a negotiation that Envoy refuses on connections without TLS.
        text = done.stdout.replace("auto_config: {}", "explicit_http_config: {http_protocol_options: {}}")
        with open(f"{ctx.run}/{name}", "w") as out:
            out.write(text.replace("type: STRICT_DNS", "type: STATIC"))
        return f"{ctx.run}/{name}"

    conf = printed("--print-envoy-config", "envoy.yaml")
    entry = printed("--print-envoy-entrypoint", "entry.sh")
    options = ["--concurrency", str(ctx.workers), "--disable-hot-restart", "-l", "error"]
    return {"cmd": ["sh", entry, "-c", conf, *options], "env": env}


PEERS = {
    "nginx": {"scen": ["P0"], "start": nginx},
    "haproxy": {"scen": ["P0"], "start": haproxy},
    "envoy": {"scen": ["P0"], "start": envoy},
    "nginx-lua": {"scen": ["P1", "P2", "P3", "P4"], "start": nginx_lua},
    "pyvoy": {"scen": ["P1", "P3"], "start": pyvoy},
}
