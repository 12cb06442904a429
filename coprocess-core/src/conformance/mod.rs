//! The contract checks that every language crate runs against itself.
//!
//! A language crate has a file `tests/conformance.rs` with one line in it:
//!
//! ```ignore
//! coprocess_core::conformance_suite!(
//!     language: lang_foo::Foo::default(),
//!     driver: "foo",
//!     plugins: concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/plugins/conformance/foo"),
//!     options: r#"{"foo_option": 1}"#, // may be left out: the text of `coprocess_options`
//! );
//! ```
//!
//! It becomes one `#[test]` for each case. The language is started once for all of them,
//! with a host that remembers what plugins asked for; each case runs on a thread of its own
//! and fails when it has not ended after [`CASE_LIMIT`]. A null language, which runs
//! nothing, says `conformance_suite!(null: lang_dummy::Dummy);` instead.
//!
//! # What the fixture folder holds
//!
//! `<ext>` is the ending that the language knows.
//!
//! | path | content |
//! |---|---|
//! | `hooks.<ext>` | the functions below |
//! | `broken.<ext>` | a syntax error on line 3; loaded together with `hooks.<ext>` |
//! | `bundle/middleware.<ext>` | a function `set_header` that sets `X-Plugin` to the value of `greeting` in the sibling module `helper`, and nothing else |
//! | `bundle/helper.<ext>` | `greeting` = `from the bundle` |
//! | `reload/before.<ext>` | a function `version` that sets `X-Version` to `before` |
//! | `reload/after.<ext>` | the same, `after` |
//!
//! # The functions of `hooks.<ext>`
//!
//! "Sets `X-A`" means that the request header `X-A` is set (`set_headers`). All functions
//! are called as pre hooks unless the table says otherwise. "Text of" a number is its
//! shortest decimal form: `25`, `0.5`.
//!
//! | function | what it does |
//! |---|---|
//! | `set_header` | sets `X-Plugin` to `set` |
//! | `delete_header` | deletes the header `X-Remove` |
//! | `set_and_delete_header` | sets `X-Both` to `kept`, then deletes `X-Both` |
//! | `read_header` | sets `X-Seen` to what `get_header("x-rEQUEST-id")` gives; sets `X-Missing` to `none` if `get_header("X-Nothing")` gives nothing |
//! | `list_headers` | sets `X-Names` to the names in `request.headers`, sorted, joined with `,` |
//! | `read_additions` | sets `X-Client`, `X-Listen`, `X-Id` to `client_address`, `listen_path`, `request_id`; sets `X-Certificate` to `subject` of `client_certificate`; sets `X-All` to all values of the header `X-Many`, as `multivalue_headers` has them, joined with `\|` |
//! | `change_params` | adds the parameter `added` = `1 & 2`, deletes `removed`, sets `X-Param` to `params["kept"]` |
//! | `change_url` | sets `X-Was` to `url`, then `url` to `/rewritten?x=1` |
//! | `change_method` | sets `X-Was` to `method`, `X-Scheme` to `scheme`, `X-Uri` to `request_uri`, then `method` to `PUT` |
//! | `override_response` | return overrides: code 418, body `short and stout`, header `X-Reason` = `tea`, `override_error` true |
//! | `override_error` | return overrides: code 400, error `not like this` |
//! | `reverse_raw_body` | raises unless `body` is empty; replaces `raw_body` with its bytes in reverse order |
//! | `replace_text_body` | replaces `raw_body` with `body` followed by `!` |
//! | `empty_body` | replaces `raw_body` with nothing |
//! | `authenticate` | `auth_check`. Without header `Authorization`: returns without a token. Otherwise `metadata["token"]` = that header and in the session: `rate` 25, `per` 0.5, `quota_max` 100, `quota_remaining` 99, `quota_renewal_rate` 3600, `expires` 4102444800, `alias` `caller`, `is_inactive` true, `tags` `red` and `blue`, `apply_policies` `gold`, `metadata["plan"]` = `premium`, `access_rights["api-1"]` with `api_id` `api-1`, `api_name` `First`, `versions` `Default`, `allowed_urls` one of `url` `/a` and `methods` `GET` |
//! | `read_session` | post hook. Sets `X-Plan` to the session's `metadata["plan"]`, `X-Rate` to the text of `rate`, `X-Expires` to the text of `expires`, `X-Alias` to `alias`, `X-Tags` to `tags` joined with `,`, `X-Versions` to `access_rights["api-1"].versions` joined with `,` |
//! | `read_spec` | sets `X-Api`, `X-Org`, `X-Bundle` to `spec` entries `APIID`, `OrgID`, `bundle_hash`; `X-Config` to `config_data`, or `absent` when the entry is not there |
//! | `rewrite_response` | response hook. `status_code` = 202, `raw_body` = `body` followed by `!`, header `X-Added` = `yes` in `headers`, `X-Remove` taken out of `headers` |
//! | `edit_cookie` | response hook. The second value of `Set-Cookie` in `multivalue_headers` becomes `b=changed` |
//! | `read_response_body` | response hook. Header `X-Body` = `body`, or `empty` when that is empty |
//! | `log_levels` | logs `a debug line` at `debug`, `an info line` at `info`, `a warning line` at `warning`, `an error line` at `error` |
//! | `emit_event` | triggers the event `conformance` with payload `{"from":"plugin"}` |
//! | `keep_data` | stores `cool_value` under `cool_key` for 300 seconds; sets `X-Data` to what it gets back for `cool_key`, `X-Nothing` to `none` if it gets nothing for `no_such_key` |
//! | `raise_error` | raises an error with the text `deliberate` |
//! | `return_number` | returns 42 |
//! | `return_nothing` | returns nothing |
//! | `endless_loop` | loops for ever |
//! | `swallowing_loop` | loops for ever over a loop that is wrapped in a handler for every error |
//! | `deep_recursion` | calls itself without end |
//! | `keep_request` | keeps the request where the next call finds it |
//! | `use_kept_request` | reads header `Host` of the kept request and sets `X-Kept` to it on the current one |
//! | `on_event` | event handler, called `(event, spec)`: logs at `info` the words `event`, `event["Type"]`, `spec["APIID"]`, joined by blanks |

mod faults;
mod host;
mod loading;
mod macros;
mod null;
mod request;
mod response;
mod session;
mod suite;

pub use macros::cases;
pub use null::{null_language_answers_init, null_language_changes_nothing};
pub use suite::{CASE_LIMIT, Recorder, Suite, run_case};
