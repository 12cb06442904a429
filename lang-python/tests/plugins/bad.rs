//! Bad plugins, as rows of tables: what is wrong is told with file, function and line.

use std::sync::Arc;

use coprocess_core::{CoProcessLanguage, HookType, LoadError, Plugin, SourceKind};

use crate::harness::*;

const IMPORTS: &str = "from tyk.decorators import *\n";

fn load_bytes(text: &[u8]) -> Result<Arc<dyn Plugin>, LoadError> {
    let folder = Folder::with(&[("rules.py", "RULE = 1\n")]);
    std::fs::write(folder.0.join("middleware.py"), text).unwrap();
    shared().load(&folder.source(SourceKind::Bundle))
}

/// Code, where it is wrong, and what is said of it.
const DOES_NOT_LOAD: &[(&[u8], &str, &str)] = &[
    (b"x = 1\ndef f(:\n", "middleware.py:2", "SyntaxError"),
    (b"x = 1\n  y = 2\n", "middleware.py:2", "IndentationError"),
    (
        b"if 1:\n\tx = 1\n        y = 2\n",
        "middleware.py:3",
        "TabError",
    ),
    (b"x = 1\nx = '\xe9'\n", "middleware.py", "utf-8"),
    (b"# coding: no-such\nx = 1\n", "middleware.py", "no-such"),
    (b"x = 1\0\n", "middleware.py", "null byte"),
    (
        b"\n\nimport no_such_module\n",
        "middleware.py:3",
        "ModuleNotFoundError: No module named 'no_such_module'",
    ),
    (
        b"from rules import NOTHING\n",
        "middleware.py:1",
        "cannot import name 'NOTHING'",
    ),
    (
        b"from tyk.decorators import Hok\n",
        "middleware.py:1",
        "cannot import name 'Hok'",
    ),
    (b"import tyk.testing\n", "middleware.py:1", "tyk.testing"),
    (
        b"from json import nothing\n",
        "middleware.py:1",
        "cannot import name 'nothing'",
    ),
    (
        b"x = 1\nraise SystemExit(3)\n",
        "middleware.py:2",
        "SystemExit: 3",
    ),
    (
        b"import sys\nsys.exit('bye')\n",
        "middleware.py:2",
        "SystemExit: bye",
    ),
    (
        b"\nraise KeyboardInterrupt\n",
        "middleware.py:2",
        "KeyboardInterrupt",
    ),
    (
        b"class Own(BaseException): pass\nraise Own('mine')\n",
        "middleware.py:2",
        "Own: mine",
    ),
    (
        b"class E(Exception):\n  def __str__(self): raise E\nraise E\n",
        "middleware.py:3",
        "E",
    ),
    (b"def f(): f()\nf()\n", "middleware.py:1", "RecursionError"),
    (b"x = 1 / 0\n", "middleware.py:1", "ZeroDivisionError"),
    (
        b"assert False, 'no'\n",
        "middleware.py:1",
        "AssertionError: no",
    ),
    (
        b"def f():\n  raise GeneratorExit\nf()\n",
        "middleware.py:2",
        "GeneratorExit",
    ),
    (
        b"from tyk.decorators import *\n@Hook\nclass Wrong: pass\n",
        "middleware.py:2",
        "not on class Wrong",
    ),
    (
        b"from tyk.decorators import *\nx = Hook(5)\n",
        "middleware.py:2",
        "not on 5",
    ),
    (
        b"from tyk.decorators import *\n@Hook()\ndef f(a, b, c): pass\n",
        "middleware.py:2",
        "missing 1 required positional argument",
    ),
    (
        b"from tyk.decorators import *\nf = Hook(print, 1)\n",
        "middleware.py:2",
        "TypeError",
    ),
    (
        b"import middleware\nmiddleware.nothing\n",
        "middleware.py:2",
        "no attribute 'nothing'",
    ),
];

#[test]
fn code_that_does_not_load_is_named_with_its_line() {
    let long = format!("x = [\n{}", "0,\n".repeat(200_000));
    let deep = format!("x = {}1{}\n", "(".repeat(300), ")".repeat(300));
    let large: &[(&[u8], &str, &str)] = &[
        (long.as_bytes(), "middleware.py:1", "SyntaxError"),
        (deep.as_bytes(), "middleware.py:1", "SyntaxError"),
    ];
    for (text, place, reason) in DOES_NOT_LOAD.iter().chain(large) {
        let shown = String::from_utf8_lossy(&text[..text.len().min(60)]);
        let message = match load_error(load_bytes(text)) {
            LoadError::Code { file, message } => format!("{file}: {message}"),
            other => panic!("{shown:?}: {other:?}"),
        };
        for part in [place, reason] {
            assert!(
                message.contains(part),
                "{shown:?}: no {part:?} in {message}"
            );
        }
    }
}

#[test]
fn unusual_code_that_is_fine_loads() {
    let rows: &[&[u8]] = &[
        b"\xef\xbb\xbffrom tyk.decorators import *\n@Hook\ndef hook(a, b, c): return a, b\n",
        b"# coding: latin-1\nx = '\xe9'\nfrom tyk.decorators import *\n@Hook\ndef hook(a, b, c): return a, b\n",
        b"from tyk.decorators import *\r\n@Hook\r\ndef hook(a, b, c):\r\n  return a, b\r\n",
        b"from tyk.decorators import *\n@Hook\ndef hook(request, session, spec, /): return request, session",
        b"from tyk.decorators import *\n@Hook\ndef hook(a, b, c=None, *rest, key=1, **more): return a, b\n",
        b"from tyk.decorators import *\nhook = Hook(lambda a, b, c: (a, b))\nhook.name = 'hook'\n",
        b"import functools\nfrom tyk.decorators import *\ndef f(x, a, b, c): return a, b\nhook = Hook(functools.partial(f, 1))\n",
        b"import functools\nfrom tyk.decorators import *\ndef deco(f):\n  @functools.wraps(f)\n  def w(*a, **k): return f(*a, **k)\n  return w\n@Hook\n@deco\ndef hook(a, b, c): return a, b\n",
        b"from tyk.decorators import *\nclass C:\n  def __call__(self, a, b, c): return a, b\nhook = Hook(C())\n",
        b"from tyk.decorators import *\nclass C:\n  def m(self, a, b, c): return a, b\nhook = Hook(C().m)\nhook.name = 'hook'\n",
        b"from tyk.decorators import *\n@Hook\n@Pre\ndef hook(a, b, c): return a, b\n",
        b"from tyk.decorators import *\n@Hook\n@staticmethod\ndef hook(a, b, c): return a, b\n",
        b"from decorators import Hook\n@Hook\ndef hook(a, b, c): return a, b\n",
        b"import json as rules, rules as json\nassert json.RULE\nfrom tyk.decorators import *\n@Hook\ndef hook(a, b, c): return a, b\n",
    ];
    for text in rows {
        let shown = String::from_utf8_lossy(text);
        let plugin = load_bytes(text).unwrap_or_else(|error| panic!("{shown}: {error}"));
        let outcome = run(shared(), object(plugin.as_ref(), "hook"));
        outcome.unwrap_or_else(|error| panic!("{shown}: {error}"));
    }
}

#[test]
fn functions_that_cannot_be_hooks_are_refused_at_load() {
    let rows = [
        ("@Hook\ndef hook(): pass\n", "0 positional"),
        ("@Hook\ndef hook(a): pass\n", "1 positional"),
        ("@Hook\ndef hook(a, b, c, d, e, f): pass\n", "6 positional"),
        ("@Hook\ndef hook(*args): pass\n", "0 positional"),
        ("@Hook\ndef hook(a, b, *args): pass\n", "2 positional"),
        (
            "@Hook\ndef hook(a, b, c, *, key): pass\n",
            "keyword-only parameter without a default: key",
        ),
        ("@Hook\ndef hook(a, b, c): yield a, b\n", "`yield`"),
        ("@Hook\nasync def hook(a, b, c): yield a, b\n", "`yield`"),
        ("@Event\ndef hook(a, b): pass\n", "event handler"),
    ];
    for (text, reason) in rows {
        let plugin = load_bytes(format!("{IMPORTS}{text}").as_bytes()).unwrap();
        match plugin.hook("hook", HookType::Pre) {
            Err(error @ LoadError::BadHook { .. }) => {
                let message = error.to_string();
                for part in ["`hook`", "middleware.py:2", reason] {
                    assert!(message.contains(part), "{text}: {message}");
                }
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    let undecorated = load_bytes(b"def hook(a, b, c): return a, b\n").unwrap();
    let refused = undecorated.hook("hook", HookType::Pre).unwrap_err();
    assert!(
        matches!(refused, LoadError::UnknownHook { .. }),
        "{refused}"
    );
}

/// The body of a hook, and what is said of it.
const GOES_WRONG: &[(&str, &str)] = &[
    (
        "return",
        "must return `request, session`, but did return None",
    ),
    ("return 5", "int object"),
    ("return ''", "str object"),
    ("return ()", "a tuple of 0"),
    ("return [request, session]", "list object"),
    ("return {}", "dict object"),
    ("return (i for i in (request, session))", "generator object"),
    (
        "return session, request",
        "(SessionState, MiniRequestObject)",
    ),
    ("return request, 'session'", "(MiniRequestObject, str)"),
    ("return None, session", "(NoneType, SessionState)"),
    ("return request, {}", "(MiniRequestObject, dict)"),
    ("return type(request), type(session)", "(type, type)"),
    ("return request, session, {}", "a tuple of 3"),
    ("async def f(): pass\nreturn f()", "coroutine object"),
    (
        "del request.object.url",
        "AttributeError: field \"url\" cannot be deleted",
    ),
    ("request.object.uri = '/'", "AttributeError"),
    (
        "request.object.url = None",
        "TypeError: field \"url\": got NoneType",
    ),
    ("request.object.body = b'\\xff'", "UnicodeDecodeError"),
    (
        "request.object.raw_body = 'text'",
        "TypeError: field \"raw_body\": got str, expected one of: bytes",
    ),
    ("request.object.method = 'GE T'", "is not an HTTP method"),
    (
        "request.object.return_overrides = 5",
        "assignment not allowed",
    ),
    (
        "request.object.return_overrides.response_code = '200'",
        "got str, expected one of: int",
    ),
    (
        "request.object.return_overrides.response_code = 1 << 40",
        "out of range",
    ),
    (
        "request.object.set_headers['a'] = 1",
        "got int, expected one of: str",
    ),
    ("request.add_header('a', None)", "got NoneType"),
    ("session.access_rights['a'] = 5", "direct assignment"),
    ("session.tags.append(1)", "got int"),
    (
        "request.get_header()",
        "missing 1 required positional argument",
    ),
    ("no_such_name", "NameError"),
    ("raise SystemExit", "SystemExit"),
    ("import sys; sys.exit(1)", "SystemExit: 1"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ("raise StopIteration", "StopIteration"),
    ("raise GeneratorExit", "GeneratorExit"),
    ("raise 5", "exceptions must derive from BaseException"),
    ("hook.f(request, session, spec)", "RecursionError"),
    ("import no_such_module", "ModuleNotFoundError"),
    ("b'\\xff'.decode()", "UnicodeDecodeError"),
    (
        "request.object.headers.clear(); request.object.headers.no_such()",
        "AttributeError",
    ),
];

#[test]
fn calls_that_go_wrong_name_function_and_line() {
    for (body, reason) in GOES_WRONG {
        let message = raised(run_body(body));
        // The decorator, or the line of the body that raised.
        let named = message.contains("plugin.py:3") && message.contains("`hook`")
            || message.contains("plugin.py\", line 5, in hook");
        assert!(named, "{body}: {message}");
        assert!(message.contains(reason), "{body}: {message}");
    }
}

#[test]
fn a_plugin_cannot_break_what_others_use() {
    let bad = hook_file(
        "import tyk.decorators, gateway, builtins, json, sys
tyk.decorators.Hook.mine = 1
for name in ('tyk.session', 'tyk', 'gateway', 'decorators'):
    sys.modules.pop(name, None)",
    );
    let plugin = load(shared(), &bad);
    let first = run(shared(), object(plugin.as_ref(), "hook"));
    // It did what Python lets it do; those that come later find what they import.
    assert!(first.is_ok(), "{first:?}");
    check_body(
        "import gateway\nfrom tyk.session import TykSession\n\
         assert TykSession().alias == '' and isinstance(session, TykSession)\n\
         assert gateway.TykGateway is tyk",
    );
}
