//! How functions are called and what they may return.

use crate::harness::*;

#[test]
fn a_body_runs() {
    check_body("request.add_header('a', 'b')");
}
