//! Python handlers: decorators, numbers of parameters, what they return.

use test_harness::{Definition, Upstream};

use crate::gateway;

/// Every way to write the same hook. Each adds `X-Ran`.
const FORMS: &str = r#"
from tyk.decorators import *
from gateway import TykGateway as tyk
import os

@Hook
def Three(request, session, spec):
    request.add_header("X-Ran", "Three")
    return request, session

@Hook
def Four(request, session, metadata, spec):
    request.add_header("X-Ran", "Four")
    return request, session, metadata

@Hook
def Five(request, response, session, metadata, spec):
    request.add_header("X-Ran", "Five")
    return request, session

@Pre
def OldPre(request, session, spec):
    request.add_header("X-Ran", "OldPre")
    return request, session

@Post
def OldPost(request, session, spec):
    request.add_header("X-Ran", "OldPost")
    return request, session

@Hook
def Printing(request, session, spec):
    print("printed by a plugin")
    tyk.log_error("an error of a plugin")
    request.add_header("X-Ran", "Printing")
    return request, session

@Hook
def File(request, session, spec):
    assert os.path.isfile(__file__), __file__
    request.add_header("X-Ran", "File")
    return request, session

@Hook
def ReadsObject(request, session, spec):
    assert request.object.headers["X-Nothing"] == ""
    assert request.get_header("X-Nothing") is None
    assert "token" not in session.metadata.keys()
    assert str(request.object)
    request.object.set_headers["X-Ran"] = "ReadsObject"
    return request, session
"#;

const AUTH: &str = r#"
from tyk.decorators import *
from tyk.session import AccessDefinition, TykSession

@CustomKeyCheck
def OldAuth(request, session, metadata, spec):
    metadata["token"] = "t"
    return request, session, metadata

@Hook
def PlainDict(request, session, metadata, spec):
    return request, session, {"token": "t", "kind": "dict"}

@Hook
def NewSession(request, session, metadata, spec):
    fresh = TykSession()
    fresh.metadata["token"] = "t"
    fresh.metadata["kind"] = "fresh"
    return request, fresh, fresh.metadata

@Hook
def Full(request, session, metadata, spec):
    session.rate = 1000.0
    session.per = 1
    session.quota_max = -1
    session.expires = 0
    session.apply_policies.extend([])
    session.tags.append("tag")
    session.access_rights[spec["APIID"]].api_id = spec["APIID"]
    session.metadata["token"] = "t"
    session.metadata["kind"] = "full"
    return request, session, metadata

@PostKeyAuth
def Kind(request, session, spec):
    request.add_header("X-Kind", session.metadata["kind"] or "none")
    return request, session
"#;

#[test]
fn every_form_of_a_handler_runs() {
    let upstream = Upstream::echo();
    let mut builder = gateway().python("forms.py", FORMS);
    let forms = [
        "Three",
        "Four",
        "Five",
        "OldPre",
        "OldPost",
        "Printing",
        "File",
        "ReadsObject",
    ];
    for form in forms {
        builder = builder.api(
            Definition::new(form)
                .driver("python")
                .upstream(&upstream)
                .post(form),
        );
    }
    let gateway = builder.start();
    for form in forms {
        let response = gateway.get(&format!("/{form}/"));
        assert_eq!(response.status, 200, "{form}: {response:?}");
        assert_eq!(upstream.take_one().header("X-Ran"), Some(form));
    }
    gateway.wait_for_log("printed by a plugin");
    gateway.wait_for_log_with(&["ERROR", "an error of a plugin"]);
}

#[test]
fn every_form_of_an_auth_handler_opens_its_api() {
    let upstream = Upstream::echo();
    let mut builder = gateway().python("auth.py", AUTH);
    let forms = [
        ("OldAuth", "none"),
        ("PlainDict", "dict"),
        ("NewSession", "fresh"),
        ("Full", "full"),
    ];
    for (form, _) in forms {
        let api = Definition::new(form).driver("python").upstream(&upstream);
        builder = builder.api(api.auth_check(form).post_key_auth("Kind"));
    }
    let gateway = builder.start();
    for (form, kind) in forms {
        let response = gateway.get(&format!("/{form}/"));
        assert_eq!(response.status, 200, "{form}: {response:?}");
        assert_eq!(upstream.take_one().header("X-Kind"), Some(kind), "{form}");
    }
}

#[test]
fn a_handler_that_can_never_be_called_refuses_its_api_and_says_so() {
    let upstream = Upstream::echo();
    let source = "from tyk.decorators import *\n\n@Hook\ndef Two(request, session):\n    return request, session\n";
    let gateway = gateway()
        .python("two.py", source)
        .api(
            Definition::new("api")
                .driver("python")
                .upstream(&upstream)
                .pre("Two"),
        )
        .start();
    gateway.get("/api/").assert_error(500, "Middleware error");
    gateway.wait_for_log_with(&["Two", "parameters"]);
}

/// Exceptions that ask for more than a refusal, or cannot even be shown.
const RAISING: &str = r#"
from tyk.decorators import *
import sys

class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")

@Hook
def Exits(request, session, spec):
    sys.exit(3)

@Hook
def Interrupts(request, session, spec):
    raise KeyboardInterrupt()

@Hook
def Base(request, session, spec):
    raise BaseException("base")

@Hook
def NotUtf8(request, session, spec):
    raise ValueError("bad \udcff text")

@Hook
def NoText(request, session, spec):
    raise Unprintable()

@Hook
def WrongType(request, session, spec):
    request.object.raw_body = "text is no bytes"
    return request, session
"#;

#[test]
fn exceptions_of_every_kind_are_refusals_and_nothing_ends() {
    let upstream = Upstream::echo();
    let mut builder = gateway().python("raising.py", RAISING);
    let functions = [
        "Exits",
        "Interrupts",
        "Base",
        "NotUtf8",
        "NoText",
        "WrongType",
    ];
    for function in functions {
        builder = builder.api(
            Definition::new(function)
                .driver("python")
                .upstream(&upstream)
                .pre(function),
        );
    }
    let mut gateway = builder.start();
    for _ in 0..2 {
        for function in functions {
            let response = gateway.get(&format!("/{function}/"));
            assert_eq!(response.status, 500, "{function}: {response:?}");
            response.assert_error(500, "Middleware error");
        }
    }
    assert!(gateway.is_running());
    assert!(upstream.take().is_empty());
}

#[test]
fn modules_beside_a_plugin_can_be_imported() {
    let upstream = Upstream::echo();
    let source = "from tyk.decorators import *\nfrom helper import value\n\n\
                  @Hook\ndef Uses(request, session, spec):\n    \
                  import late_helper\n    \
                  request.add_header('X-Ran', value + late_helper.value)\n    \
                  return request, session\n";
    let gateway = gateway()
        .python("uses.py", source)
        .python("helper.py", "value = 'top'\n")
        .python("late_helper.py", "value = '+late'\n")
        .api(
            Definition::new("api")
                .driver("python")
                .upstream(&upstream)
                .pre("Uses"),
        )
        .start();
    assert_eq!(gateway.get("/api/").status, 200);
    assert_eq!(upstream.take_one().header("X-Ran"), Some("top+late"));
}

#[test]
fn an_import_that_fails_refuses_only_its_own_functions() {
    let upstream = Upstream::echo();
    let sound = "from tyk.decorators import *\n\n@Hook\ndef Sound(request, session, spec):\n    \
                 return request, session\n";
    let gateway = gateway()
        .python("failing.py", "import no_such_module\n")
        .python("exiting.py", "import sys\nsys.exit(7)\n")
        .python("sound.py", sound)
        .api(
            Definition::new("bad")
                .driver("python")
                .upstream(&upstream)
                .pre("Missing"),
        )
        .api(
            Definition::new("good")
                .driver("python")
                .upstream(&upstream)
                .pre("Sound"),
        )
        .start();
    gateway.get("/bad/").assert_error(500, "Middleware error");
    assert_eq!(gateway.get("/good/").status, 200);
    gateway.wait_for_log("no_such_module");
}
