//! What replies change, from servers of all ages.

use coprocess_core::{DispatchError, Object};
use lang_grpc::proto;

use crate::harness::Gateway;
use crate::server::{Answer, Server};

/// Dispatches to a server that changes the object so.
fn changed(
    object: impl Fn(&Gateway) -> Object,
    change: impl Fn(&mut proto::Object) + Send + Sync + 'static,
) -> Result<Object, DispatchError> {
    let server = Server::start(move |object| {
        let mut object = object.clone();
        change(&mut object);
        Answer::Object(Box::new(object))
    });
    let gateway = Gateway::of(&server);
    gateway.dispatch(object(&gateway))
}

/// The same for the request of a post hook.
fn edited(change: impl Fn(&mut proto::MiniRequestObject) + Send + Sync + 'static) -> Object {
    changed(Gateway::object, move |object| {
        change(object.request.as_mut().unwrap());
    })
    .unwrap()
}

#[test]
fn edits_come_back() {
    let object = edited(|request| {
        request.set_headers.insert("X-New".into(), "n".into());
        request.delete_headers.push("X-Many".into());
        request.add_params.insert("p".into(), "v".into());
        request.delete_params.push("a".into());
        request.url = "/other".into();
        request.method = "PUT".into();
        request.raw_body = "new".into();
        let overrides = request.return_overrides.as_mut().unwrap();
        overrides.response_code = 418;
        overrides.response_body = "tea".into();
    });
    let request = object.request;
    assert_eq!(request.set_headers["X-New"], "n");
    assert_eq!(
        (&*request.delete_headers, &*request.delete_params),
        (&["X-Many".to_owned()][..], &["a".to_owned()][..])
    );
    assert_eq!(request.add_params["p"], "v");
    assert_eq!(request.url.as_deref(), Some("/other"));
    assert_eq!(
        (request.method.as_str(), &*request.raw_body),
        ("PUT", b"new".as_slice())
    );
    assert_eq!(request.return_overrides.response_code, 418);
    assert_eq!(request.headers["host"], "a.example");
}

#[test]
fn a_reply_that_says_nothing_changes_nothing() {
    let sent = |object: Object| {
        let request = object.request;
        assert_eq!(
            (request.url.as_deref(), request.method.as_str()),
            (None, "POST")
        );
        assert_eq!(&*request.raw_body, b"body");
        assert_eq!(request.return_overrides.response_code, -1);
    };
    sent(edited(|_| {}));
    sent(changed(Gateway::object, |object| *object = proto::Object::default()).unwrap());
    sent(edited(|request| request.return_overrides = None));
    sent(edited(|request| {
        *request = proto::MiniRequestObject::default()
    }));
    // From before there were `raw_body` and `method`.
    sent(edited(|request| {
        request.raw_body.clear();
        request.method.clear();
    }));
}

#[test]
fn a_body_is_emptied_by_emptying_both_forms() {
    let object = edited(|request| {
        request.raw_body.clear();
        request.body.clear();
    });
    assert!(object.request.raw_body.is_empty());
}

#[test]
fn a_method_that_is_none_is_an_error() {
    let outcome = changed(Gateway::object, |object| {
        object.request.as_mut().unwrap().method = "no method".into();
    });
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains("\"no method\""), "{text}");
}

#[test]
fn a_session_comes_back_beside_metadata() {
    let object = changed(Gateway::object, |object| {
        object.metadata.insert("token".into(), "t".into());
        object.session = Some(proto::SessionState {
            rate: 2.5,
            ..proto::SessionState::default()
        });
    });
    let object = object.unwrap();
    assert_eq!(object.metadata["token"], "t");
    assert_eq!(object.session.unwrap().rate, 2.5);
}

#[test]
fn response_hooks_always_have_a_session() {
    for make in [Gateway::object, Gateway::response_object] {
        let object = changed(make, |object| {
            let has_session = object.session.is_some().to_string();
            object.metadata.insert("has_session".into(), has_session);
        });
        let object = object.unwrap();
        let is_response = object.response.is_some();
        assert_eq!(object.metadata["has_session"], is_response.to_string());
    }
}

#[test]
fn a_response_is_rewritten_and_must_come_back() {
    let object = changed(Gateway::response_object, |object| {
        let response = object.response.as_mut().unwrap();
        response.status_code = 202;
        response.raw_body = "new".into();
        response.headers.insert("X-New".into(), "n".into());
    });
    let response = object.unwrap().response.unwrap();
    assert_eq!(
        (response.status_code, &*response.raw_body),
        (202, b"new".as_slice())
    );
    let edited = response.edited_headers.unwrap();
    assert_eq!(edited.headers["X-New"], "n");
    assert_eq!(edited.multivalue_headers[0].values, ["a=1", "b=2"]);

    let untouched = changed(Gateway::response_object, |_| {}).unwrap();
    assert_eq!(untouched.response.unwrap().edited_headers, None);

    let gone = changed(Gateway::response_object, |object| object.response = None);
    let text = gone.unwrap_err().to_string();
    assert!(text.contains("no response"), "{text}");
}

#[test]
fn a_server_that_knows_one_form_of_headers_loses_none() {
    let old = changed(Gateway::response_object, |object| {
        object.response.as_mut().unwrap().multivalue_headers.clear();
    });
    assert_eq!(old.unwrap().response.unwrap().edited_headers, None);
}
