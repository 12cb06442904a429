//! gRPC: the common scenarios that need no code in the gateway, on a server in Python, and what
//! only servers can do.
//!
//! What is about files of code, calls into the gateway or loops that have to be cut has no
//! meaning here. Keys, limits and the like come after the hook that is common to all.

scenarios!("grpc", hooks: [
    every_hook_leaves_its_mark_in_order,
    hooks_of_one_kind_run_in_the_order_of_their_list,
    a_disabled_hook_does_not_run,
    a_keyless_api_runs_pre_post_and_response_only,
    an_api_without_hooks_is_not_touched,
    a_hook_sees_the_request_as_it_is,
    a_hook_sees_its_session_and_config,
    hooks_run_before_a_tunnel_opens,
]);
scenarios!("grpc", edits: [
    headers_are_deleted_and_set,
    parameters_are_deleted_and_set,
    a_new_url_goes_to_the_upstream_to_the_byte,
    a_new_method_goes_to_the_upstream,
    a_binary_body_survives_a_hook_to_the_byte,
    a_chunked_body_is_shown_whole,
    editing_a_view_has_no_effect,
    a_hook_that_changes_nothing_changes_nothing,
    requests_at_the_same_time_are_not_mixed_up,
]);
scenarios!("grpc", overrides: [
    the_table_holds_for_pre_hooks,
    the_table_holds_for_every_request_hook,
    the_upstream_and_later_hooks_are_not_asked,
    an_xml_request_is_refused_in_xml,
    overrides_in_a_response_hook_have_no_effect,
]);
scenarios!("grpc", auth: [
    a_token_opens_the_api,
    no_token_is_forbidden,
    later_hooks_see_the_session,
    a_failing_check_is_not_authorised,
    a_check_is_ignored_on_a_keyless_api,
    the_older_switch_works_too,
]);
scenarios!("grpc", sessions: [
    every_field_is_shown_stored_and_listed,
    a_session_decides_whether_its_caller_may_pass,
    edits_in_later_hooks_are_not_stored,
    each_request_has_the_session_that_was_made_for_it,
    a_quota_goes_on_although_the_session_is_made_anew,
]);
scenarios!("grpc", bodies: [
    a_body_over_the_limit_is_refused_before_the_upstream_sees_it,
    a_hook_that_wants_no_body_lets_it_stream,
    a_malformed_body_is_the_clients_fault,
    a_client_gone_in_the_middle_of_its_body_runs_no_hook,
    a_client_that_waits_to_be_told_to_continue_is_told,
    an_upstream_that_breaks_off_is_not_shown_to_a_response_hook,
]);
scenarios!("grpc", responses: [
    status_body_and_headers_are_rewritten,
    repeated_cookies_are_edited_one_by_one,
    both_forms_of_headers_may_grow,
    a_binary_body_is_shown_and_rewritten_to_the_byte,
    a_body_can_be_emptied,
    only_the_raw_body_counts,
    a_pair_is_a_fine_answer_too,
    an_unusable_status_is_a_middleware_error,
    the_gateways_own_errors_are_not_shown,
    a_response_to_head_stays_without_a_body,
]);
scenarios!("grpc", framing: [
    answers_without_a_body_stay_without_one,
    codes_that_are_no_final_status_are_refused,
    response_hooks_may_meet_responses_without_a_body,
    fields_of_one_hop_are_not_a_hooks_to_set,
    hooks_run_for_http_2_clients_too,
]);
scenarios!("grpc", failures: [
    a_hook_that_fails_is_a_middleware_error,
    the_log_has_the_traceback,
    a_failing_response_hook_is_a_middleware_error,
    a_hook_that_fails_harms_nobody_else,
    nothing_malformed_ever_leaves,
]);
scenarios!("grpc", traffic: [
    steps_run_in_their_order,
    ignored_paths_run_the_other_hooks,
    answers_that_are_ready_run_no_hook,
    options_may_pass_every_hook,
    post_hooks_see_the_rewritten_url_and_method,
    kept_responses_stay_with_their_caller,
    a_hook_may_hand_over_to_another_api,
]);

mod servers;

#[test]
fn the_language_is_listed() {
    let linked = crate::gateway().linked_languages();
    assert!(linked.iter().any(|name| name == "grpc"), "{linked:?}");
}
