//! `/tyk/cache/{api_id}`: the responses that are kept of an API.

use axum::extract::State;
use axum::http::Method;
use axum::response::{IntoResponse as _, Response};

use super::Control;
use super::answer::Message;
use super::extract::Path;
use super::surface::{About, Surface};

pub(super) fn routes() -> Surface {
    let about = About {
        summary: "Forgets the responses that this gateway keeps of an API",
        answer: "Message",
        ..About::default()
    };
    Surface::default()
        .on(Method::DELETE, "/tyk/cache/{id}", &about, forget)
        .hidden(Method::DELETE, "/tyk/cache/{id}/", forget)
}

async fn forget(State(control): State<Control>, Path(id): Path<String>) -> Response {
    control.responses.forget(&id);
    let said = Message {
        status: "ok",
        message: "cache invalidated",
        detail: "",
    };
    axum::Json(said).into_response()
}
