//! How functions are called and what they may return.

use std::sync::Arc;

use std::time::Duration;

use coprocess_core::{DispatchError, HookType, LoadError, Plugin, Response, Session, StringMap};

use crate::harness::*;

const IMPORTS: &str = "from tyk.decorators import *\nfrom gateway import TykGateway as tyk\n";

fn load_functions(text: &str) -> Arc<dyn Plugin> {
    load(shared(), &format!("{IMPORTS}{text}"))
}

fn run_named(plugin: &Arc<dyn Plugin>, name: &str) -> coprocess_core::Object {
    match run(shared(), object(plugin.as_ref(), name)) {
        Ok(object) => object,
        Err(error) => panic!("{name}: {error}"),
    }
}

#[test]
fn every_arity_is_called_in_its_own_form() {
    let plugin = load_functions(
        "@Hook\ndef three(request, session, spec):\n    request.add_header('n', spec['APIID'])\n    return request, session\n\
         @Hook\ndef four(request, session, metadata, spec):\n    metadata['k'] = spec['OrgID']\n    return request, session, metadata\n\
         @Hook\ndef five(request, response, session, metadata, spec):\n    assert response.status_code == 0\n    metadata['k'] = 'v'\n    return response\n\
         @Hook\ndef five_as_pair(request, response, session, metadata, spec):\n    request.add_header('n', '5')\n    return request, session\n",
    );
    assert_eq!(run_named(&plugin, "three").request.set_headers["n"], "api");
    assert_eq!(run_named(&plugin, "four").metadata["k"], "org");
    let five = run_named(&plugin, "five");
    assert!(five.response.is_none());
    assert_eq!(five.session.unwrap().metadata["k"], "v");
    let pair = run_named(&plugin, "five_as_pair");
    assert_eq!(pair.request.set_headers["n"], "5");
}

#[test]
fn another_arity_is_refused_at_load_with_the_place() {
    let plugin = load_functions(
        "@Hook\ndef two(request, session):\n    return request, session\n\
         @Event\ndef three(a, b, c):\n    pass\n",
    );
    for (name, found, parts) in [
        (
            "two",
            plugin.hook("two", HookType::Pre),
            ["2 positional", "plugin.py:3", "3 (request, session, spec)"],
        ),
        (
            "three",
            plugin.event_handler("three"),
            ["3 positional", "plugin.py:6", "(event, spec)"],
        ),
        (
            "two",
            plugin.event_handler("two"),
            ["is a hook", "plugin.py:3", "@Event"],
        ),
        (
            "three",
            plugin.hook("three", HookType::Pre),
            ["is an event handler", "plugin.py:6", "@Hook"],
        ),
    ] {
        match found {
            Err(LoadError::BadHook {
                name: refused,
                reason,
            }) => {
                assert_eq!(refused, name);
                assert!(parts.iter().all(|part| reason.contains(part)), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn older_decorators_are_hooks_and_other_functions_are_not() {
    let plugin = load_functions(
        "def plain(request, session, spec):\n    return request, session\n\
         @Pre\ndef pre(request, session, spec):\n    return request, session\n\
         @Post\ndef post(request, session, spec):\n    return request, session\n\
         @PostKeyAuth\ndef later(request, session, spec):\n    return request, session\n\
         @CustomKeyCheck\ndef check(request, session, metadata, spec):\n    return request, session, metadata\n",
    );
    for name in ["pre", "post", "later", "check"] {
        run_named(&plugin, name);
    }
    match plugin.hook("plain", HookType::Pre) {
        Err(LoadError::UnknownHook { known, .. }) => {
            assert_eq!(known, ["check", "later", "post", "pre"]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn returns_of_the_wrong_shape_name_function_and_place() {
    let cases = [
        (
            "return request",
            "request, session",
            "MiniRequestObject object",
        ),
        (
            "return request, session, spec",
            "request, session",
            "a tuple of 3",
        ),
        (
            "return session, request",
            "request, session",
            "a tuple of 2",
        ),
        ("return None", "request, session", "None"),
    ];
    for (body, expected, got) in cases {
        let message = raised(run_body(body));
        for part in ["`hook`", "plugin.py:3", expected, got] {
            assert!(message.contains(part), "{body}: {message}");
        }
    }
}

#[test]
fn objects_that_a_hook_made_itself_are_honoured() {
    let object = run_body(
        "from tyk.session import TykSession\n\
         from tyk.request import TykCoProcessRequest\n\
         fresh = TykCoProcessRequest(url='/new', set_headers={'a': 'b'})\n\
         return fresh, TykSession(rate=3, metadata={'token': 't'}, tags=['x'])",
    )
    .unwrap();
    assert_eq!(object.request.url(), "/new");
    assert_eq!(object.request.set_headers["a"], "b");
    assert_eq!(object.request.headers["host"], "api.example.com");
    let session = object.session.unwrap();
    assert_eq!((session.rate, session.tags.len()), (3.0, 1));
    assert_eq!(object.metadata["token"], "t");
}

#[test]
fn a_session_that_is_returned_again_and_again_stays_whole() {
    let plugin = load_functions(
        "from tyk.session import TykSession\nshared = TykSession(alias='mine')\n\
         @Hook\ndef hook(request, session, spec):\n    return request, shared\n",
    );
    for _ in 0..2 {
        assert_eq!(run_named(&plugin, "hook").session.unwrap().alias, "mine");
    }
}

#[test]
fn a_returned_dict_is_merged_into_the_metadata() {
    let plugin = load_functions(
        "@Hook\ndef hook(request, session, metadata, spec):\n    session.metadata['own'] = '1'\n    return request, session, {'token': 'abc'}\n",
    );
    let object = run_named(&plugin, "hook");
    assert_eq!(object.metadata["token"], "abc");
    assert_eq!(object.session.unwrap().metadata["own"], "1");
}

#[test]
fn metadata_without_a_session_is_shown_and_changes_come_back() {
    let plugin = load_functions(
        "@Hook\ndef hook(request, session, metadata, spec):\n    assert metadata['a'] == '1'\n    del metadata['a']\n    metadata['b'] = '2'\n    return request, session, metadata\n",
    );
    let mut given = object(plugin.as_ref(), "hook");
    given.metadata = StringMap::from_iter([("a".to_owned(), "1".to_owned())]);
    let after = run(shared(), given).unwrap();
    assert_eq!(after.metadata.keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_session_that_was_not_there_and_not_filled_stays_away() {
    let untouched = run_body("pass").unwrap();
    assert!(untouched.session.is_none());
    let looked_at = run_body("assert session.rate == 0 and not session.tags").unwrap();
    assert!(looked_at.session.is_none());
    let filled = run_body("session.rate = 1").unwrap();
    assert_eq!(filled.session.unwrap().rate, 1.0);
}

#[test]
fn a_session_comes_back_as_it_was_when_nobody_looks() {
    let plugin = load(shared(), &hook_file("pass"));
    let mut given = object(plugin.as_ref(), "hook");
    let session = Session {
        alias: "x".to_owned(),
        tags: vec!["a".to_owned()],
        ..Session::default()
    };
    given.session = Some(Box::new(session.clone()));
    let after = run(shared(), given).unwrap();
    assert_eq!(*after.session.unwrap(), session);
}

#[test]
fn a_hook_without_the_response_leaves_it_as_it_is() {
    let plugin = load(shared(), &hook_file("pass"));
    let mut given = object(plugin.as_ref(), "hook");
    given.response = Some(Box::new(Response {
        status_code: 204,
        headers: http::HeaderMap::new(),
        edited_headers: None,
        header_edits: Vec::new(),
        raw_body: bytes::Bytes::new(),
        raw_body_only: false,
    }));
    let response = run(shared(), given).unwrap().response.unwrap();
    assert_eq!(response.status_code, 204);
    assert_eq!(response.edited_headers, None);
}

#[test]
fn response_headers_are_one_whatever_the_case_of_their_names() {
    let plugin = load_functions(
        "@Hook\ndef edit(request, response, session, metadata, spec):\n    headers = response.headers\n    headers['content-type'] = headers['CONTENT-TYPE'] + '; charset=utf-8'\n    del headers['x-remove']\n    headers.pop('X-remove-Too')\n    headers.update({'x-NEW': 'new'})\n    assert 'x-new' in headers and headers.get('X-new') == 'new'\n    response.multivalue_headers.add(key='x-many', values=['1', '2'])\n    return response\n",
    );
    let mut headers = http::HeaderMap::new();
    for name in ["content-type", "x-remove", "x-remove-too"] {
        headers.append(name, http::HeaderValue::from_static("text/plain"));
    }
    let mut given = object(plugin.as_ref(), "edit");
    given.response = Some(Box::new(Response {
        status_code: 200,
        headers,
        edited_headers: None,
        header_edits: Vec::new(),
        raw_body: bytes::Bytes::new(),
        raw_body_only: false,
    }));
    let response = run(shared(), given).unwrap().response.unwrap();
    let edited = response.edited_headers.unwrap();
    let left: Vec<_> = edited.headers.iter().collect();
    let expected = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("X-New", "new"),
    ];
    assert!(
        left.iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .eq(expected),
        "{left:?}"
    );
    let last = edited.multivalue_headers.last().unwrap();
    assert_eq!(last.key, "X-Many");
}

#[test]
fn response_headers_that_are_only_set_are_changed_where_they_are() {
    let plugin = load_functions(
        "@Hook\ndef edit(request, response, session, metadata, spec):\n    response.headers['X-One'] += 'st'\n    response.headers['X-New'] = request.get_header('x-new')\n    return response\n",
    );
    let edited_by = |value: &'static str| {
        let mut headers = http::HeaderMap::new();
        headers.append("x-one", http::HeaderValue::from_static("1"));
        headers.append("x-one", http::HeaderValue::from_static("2"));
        let mut given = object(plugin.as_ref(), "edit");
        let value = http::HeaderValue::from_static(value);
        given.request.headers.insert("x-new", value);
        given.response = Some(Box::new(Response {
            status_code: 200,
            headers,
            edited_headers: None,
            header_edits: Vec::new(),
            raw_body: bytes::Bytes::new(),
            raw_body_only: false,
        }));
        run(shared(), given).unwrap().response.unwrap()
    };
    let response = edited_by("new");
    assert_eq!(response.edited_headers, None);
    let values: Vec<_> = response.headers.get_all("x-one").iter().collect();
    assert_eq!(values, ["1st", "2"]);
    assert_eq!(response.headers["x-new"], "new");
}

#[test]
fn response_headers_that_cannot_be_are_left_to_the_gateway() {
    let plugin = load_functions(
        "@Hook\ndef value(request, response, session, metadata, spec):\n    response.headers['X-New'] = '\\n'\n    return response\n\
         @Hook\ndef name(request, response, session, metadata, spec):\n    response.headers['no name'] = ''\n    return response\n",
    );
    for (hook, key, value) in [("value", "X-New", "\n"), ("name", "no name", "")] {
        let mut given = object(plugin.as_ref(), hook);
        given.response = Some(Box::new(Response {
            status_code: 200,
            headers: http::HeaderMap::new(),
            edited_headers: None,
            header_edits: Vec::new(),
            raw_body: bytes::Bytes::new(),
            raw_body_only: false,
        }));
        let response = run(shared(), given).unwrap().response.unwrap();
        assert!(response.headers.is_empty());
        assert_eq!(response.edited_headers.unwrap().headers[key], value);
    }
}

#[test]
fn async_hooks_may_wait() {
    let plugin = load_functions(
        "import asyncio, threading\n\
         async def inner():\n    await asyncio.sleep(0.001)\n    return 'on'\n\
         @Hook\nasync def waits(request, session, spec):\n    \
         first, second = await asyncio.gather(inner(), inner())\n    \
         request.add_header('a', first + second)\n    return request, session\n\
         @Hook\nasync def raises(request, session, spec):\n    raise KeyError('lost')\n\
         @Hook\nasync def leaves(request, session, spec):\n    \
         asyncio.ensure_future(asyncio.sleep(3600))\n    return request, session\n\
         @Hook\nasync def cancels(request, session, spec):\n    \
         raise asyncio.CancelledError()\n",
    );
    for _ in 0..3 {
        for name in ["waits", "leaves", "waits"] {
            let object = run_named(&plugin, name);
            if name == "waits" {
                assert_eq!(object.request.set_headers["a"], "onon");
            }
        }
        let outcome = run(shared(), object(plugin.as_ref(), "raises"));
        assert!(raised(outcome).starts_with("KeyError: 'lost'"));
        let outcome = run(shared(), object(plugin.as_ref(), "cancels"));
        assert!(raised(outcome).contains("CancelledError"));
    }
}

#[test]
fn async_hooks_without_a_loop_fail_as_others_do() {
    let plugin = load_functions(
        "class Alien:\n    def __await__(self):\n        yield 'a future'\n\
         @Hook\nasync def raises(request, session, spec):\n    raise KeyError('lost')\n\
         @Hook\nasync def awaits(request, session, spec):\n    await Alien()\n\
         @Hook\nasync def stops(request, session, spec):\n    raise StopIteration(1)\n\
         @Hook\nasync def spins(request, session, spec):\n    while True:\n        pass\n",
    );
    for (name, expected) in [
        ("raises", "KeyError: 'lost'"),
        (
            "awaits",
            "RuntimeError: nothing runs that could wait for 'a future'",
        ),
        ("stops", "RuntimeError: coroutine raised StopIteration"),
    ] {
        let message = raised(run(shared(), object(plugin.as_ref(), name)));
        assert!(message.starts_with(expected), "{message}");
    }
    let mut spinning = object(plugin.as_ref(), "spins");
    spinning.time_limit = Duration::from_millis(200);
    let outcome = run(shared(), spinning);
    assert!(matches!(outcome, Err(DispatchError::TimeLimit { .. })));
}

#[test]
fn async_hooks_that_wait_too_long_end_at_their_limit() {
    let plugin = load_functions(
        "import asyncio\n\
         @Hook\nasync def sleeps(request, session, spec):\n    await asyncio.sleep(3600)\n\
         @Hook\nasync def holds_on(request, session, spec):\n    while True:\n        \
         try:\n            await asyncio.sleep(3600)\n        except asyncio.CancelledError:\n            pass\n\
         @Hook\nasync def spins(request, session, spec):\n    while True:\n        \
         await asyncio.sleep(0)\n\
         @Hook\nasync def fine(request, session, spec):\n    await asyncio.sleep(0)\n    \
         return request, session\n",
    );
    for name in ["sleeps", "holds_on", "spins"] {
        let mut object = object(plugin.as_ref(), name);
        object.time_limit = Duration::from_millis(50);
        let outcome = run(shared(), object);
        assert!(
            matches!(outcome, Err(DispatchError::TimeLimit { .. })),
            "{name}: {outcome:?}"
        );
        run_named(&plugin, "fine");
    }
}

#[test]
fn changing_the_body_counts_for_raw_body_only() {
    let object =
        run_body("request.object.body = 'ignored'\nassert request.object.body == 'ignored'")
            .unwrap();
    assert_eq!(object.request.raw_body, "body");
    let object = run_body("request.object.raw_body = b'new'").unwrap();
    assert_eq!(object.request.raw_body, "new");
}

#[test]
fn a_view_that_is_kept_is_no_view_of_a_later_call() {
    let plugin = load_functions(
        "KEPT = []\n\
         @Hook\ndef keep(request, response, session, metadata, spec):\n    \
         views = (request, response, session, metadata, spec)\n    \
         assert not any(new is old for new in views for old in KEPT)\n    \
         for old in KEPT[:4]:\n        \
         try: str(old.get_header('x') if old is KEPT[0] else len(old) if old is KEPT[3] else old)\n        \
         except RuntimeError: continue\n        \
         raise AssertionError('it is still a view')\n    \
         metadata['seen'] = str(len(KEPT))\n    \
         KEPT.extend(views)\n    \
         return response\n",
    );
    for seen in ["0", "5", "10"] {
        let object = run(shared(), object(plugin.as_ref(), "keep")).unwrap();
        assert_eq!(object.metadata["seen"], seen);
    }
}
