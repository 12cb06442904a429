//! Plugin scenarios that know no language: a driver's name picks the fixture, and every language
//! has to do the same.

pub(crate) mod auth;
pub(crate) mod bodies;
pub(crate) mod bundles;
pub(crate) mod certificates;
pub(crate) mod documents;
pub(crate) mod edits;
pub(crate) mod event_handlers;
pub(crate) mod events;
pub(crate) mod examples;
pub(crate) mod extractor;
pub(crate) mod fail_closed;
pub(crate) mod failures;
#[allow(
    dead_code,
    reason = "a binary whose plugins all live elsewhere has no use for it"
)]
pub(crate) mod faults;
pub(crate) mod fired;
pub(crate) mod framing;
pub(crate) mod hooks;
pub(crate) mod limits;
#[allow(
    dead_code,
    reason = "a binary whose plugins all live elsewhere has no use for it"
)]
pub(crate) mod native;
pub(crate) mod overrides;
pub(crate) mod plugin_run;
pub(crate) mod policies;
pub(crate) mod reload;
pub(crate) mod responses;
pub(crate) mod seed;
pub(crate) mod sessions;
pub(crate) mod shared_sessions;
pub(crate) mod storage;
pub(crate) mod time_limit;
pub(crate) mod traffic;

use test_harness::{Definition, Gateway, Upstream};

use crate::gateway;

/// The name of a language, as API definitions say it.
pub(crate) type Driver = &'static str;

/// A gateway with one scenario's plugins, one API and an upstream that describes what it saw.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The gateway.
    pub(crate) gateway: Gateway,
    /// The upstream of its APIs.
    pub(crate) upstream: Upstream,
}

/// Starts a gateway whose API `api` (listening at `/api/`) is changed by `change`.
#[track_caller]
pub(crate) fn start(
    driver: Driver,
    scenario: &str,
    change: impl Fn(Definition) -> Definition,
) -> Setup {
    start_with(driver, scenario, Upstream::echo(), change)
}

/// The same with an upstream of one's own.
#[track_caller]
pub(crate) fn start_with(
    driver: Driver,
    scenario: &str,
    upstream: Upstream,
    change: impl Fn(Definition) -> Definition,
) -> Setup {
    let api = change(Definition::new("api").driver(driver).upstream(&upstream));
    let gateway = gateway().fixture(scenario, driver).api(api).start();
    Setup { gateway, upstream }
}

/// Makes every scenario a test of the language module that calls this, or those that it lists
/// of one module. A scenario that is missing here is dead code, which the compiler tells.
macro_rules! scenarios {
    ($driver:literal) => {
        scenarios!(@all scenarios, $driver);
    };
    (@all $then:ident, $driver:literal) => {
        $then!($driver, hooks: [
            every_hook_leaves_its_mark_in_order,
            hooks_of_one_kind_run_in_the_order_of_their_list,
            a_disabled_hook_does_not_run,
            a_keyless_api_runs_pre_post_and_response_only,
            an_api_without_hooks_is_not_touched,
            a_hook_sees_the_request_as_it_is,
            a_hook_sees_its_session_and_config,
            hooks_run_before_a_tunnel_opens,
        ]);
        $then!($driver, documents: [
            a_document_names_hooks_of_every_kind,
            a_document_names_a_bundle,
        ]);
        $then!($driver, edits: [
            headers_are_deleted_and_set,
            parameters_are_deleted_and_set,
            a_new_url_goes_to_the_upstream_to_the_byte,
            a_new_method_goes_to_the_upstream,
            bodies_are_replaced_with_their_length,
            a_binary_body_survives_a_hook_to_the_byte,
            a_chunked_body_is_shown_whole,
            editing_a_view_has_no_effect,
            a_hook_that_changes_nothing_changes_nothing,
            requests_at_the_same_time_are_not_mixed_up,
        ]);
        $then!($driver, overrides: [
            the_table_holds_for_pre_hooks,
            the_table_holds_for_every_request_hook,
            the_upstream_and_later_hooks_are_not_asked,
            an_xml_request_is_refused_in_xml,
            overrides_in_a_response_hook_have_no_effect,
        ]);
        $then!($driver, auth: [
            a_token_opens_the_api,
            no_token_is_forbidden,
            later_hooks_see_the_session,
            a_failing_check_is_not_authorised,
            a_check_is_ignored_on_a_keyless_api,
            the_older_switch_works_too,
        ]);
        $then!($driver, sessions: [
            every_field_is_shown_stored_and_listed,
            a_session_decides_whether_its_caller_may_pass,
            edits_in_later_hooks_are_not_stored,
            each_request_has_the_session_that_was_made_for_it,
            a_quota_goes_on_although_the_session_is_made_anew,
            a_key_is_deleted_once,
            keys_are_listed_by_their_beginning,
            hashed_keys_are_found_by_key_and_by_hash,
            hashes_are_listed_and_asked_for_only_where_that_is_allowed,
            sessions_end_with_their_lifetime,
            another_identity_leaves_no_session,
            sessions_survive_the_end_of_the_process,
        ]);
        $then!($driver, limits: [
            a_rate_holds_and_a_client_that_knocks_gets_in_again,
            a_quota_is_told_and_ends_with_its_own_text,
            limits_of_one_api_are_counted_by_themselves,
            switches_turn_limits_off,
            a_pattern_says_who_is_counted_together,
            the_rate_of_an_api_holds_for_all_its_keys,
            only_allowed_urls_pass,
            only_versions_of_the_key_pass,
            clients_are_told_their_rate_where_that_is_asked_for,
            gateways_with_one_store_admit_exactly_what_there_is,
            limits_hold_locally_while_the_store_is_away,
        ]);
        $then!($driver, policies: [
            a_session_is_that_of_its_policies,
            policies_that_cannot_be_applied_refuse_the_caller,
            a_key_may_be_asked_for_beside_the_plugin,
        ]);
        $then!($driver, shared_sessions: [
            gateways_share_sessions_and_their_end,
            a_store_that_is_away_is_told_and_keeps_nobody_out,
            a_stored_session_that_is_none_lets_nobody_in,
            a_session_of_the_original_is_used,
        ]);
        $then!($driver, extractor: [
            every_combination_spares_the_plugin_the_second_call,
            a_hit_brings_back_every_field,
            what_has_no_id_is_refused_before_the_plugin,
            a_session_without_a_deadline_to_come_asks_the_plugin_again,
            a_token_is_not_needed_where_the_session_has_a_deadline,
            another_identity_is_not_replaced_by_a_known_caller,
            a_colliding_id_does_not_let_its_caller_in,
            a_deleted_session_is_asked_for_again,
            a_session_says_no_without_the_plugin_too,
            ids_have_the_form_of_the_hash_function,
            bodies_go_on_to_the_byte,
            a_long_body_is_searched_as_well,
            settings_that_cannot_work_refuse_their_api_only,
            an_extractor_without_a_plugin_has_no_effect,
            a_broken_plugin_is_not_spared,
        ]);
        $then!($driver, bodies: [
            a_body_over_the_limit_is_refused_before_the_upstream_sees_it,
            a_hook_that_wants_no_body_lets_it_stream,
            a_malformed_body_is_the_clients_fault,
            a_client_gone_in_the_middle_of_its_body_runs_no_hook,
            a_client_that_waits_to_be_told_to_continue_is_told,
            an_upstream_that_breaks_off_is_not_shown_to_a_response_hook,
        ]);
        $then!($driver, responses: [
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
        $then!($driver, framing: [
            answers_without_a_body_stay_without_one,
            codes_that_are_no_final_status_are_refused,
            response_hooks_may_meet_responses_without_a_body,
            fields_of_one_hop_are_not_a_hooks_to_set,
            hooks_run_for_http_2_clients_too,
        ]);
        $then!($driver, failures: [
            a_hook_that_fails_is_a_middleware_error,
            the_log_has_the_traceback,
            a_failing_response_hook_is_a_middleware_error,
            a_hook_that_fails_harms_nobody_else,
            nothing_malformed_ever_leaves,
        ]);
        $then!($driver, fail_closed: [
            a_function_that_does_not_exist_refuses_its_api,
            an_auth_check_that_does_not_exist_lets_nobody_in,
            a_file_that_does_not_parse_refuses_only_who_needs_it,
            hooks_are_refused_while_plugins_are_off,
            a_driver_that_nobody_knows_refuses_its_api,
            a_missing_driver_refuses_its_api,
            plugins_can_be_turned_on_by_a_variable,
        ]);
        $then!($driver, time_limit: [
            an_endless_loop_ends_at_the_limit,
            an_endless_auth_check_lets_nobody_in,
            an_endless_response_hook_ends_at_the_limit,
            a_loop_that_swallows_the_cut_is_answered_in_time_too,
            an_entry_may_have_a_limit_of_its_own,
            an_endless_loop_slows_nobody_else,
        ]);
        $then!($driver, events: [
            an_event_reaches_the_log_and_a_web_hook,
            an_event_without_a_handler_is_no_error,
            payloads_arrive_as_they_are,
            the_same_web_hook_is_sent_once_in_its_window,
            a_web_hook_that_nobody_takes_slows_nobody_down,
            stored_data_is_there_for_later_requests,
            stored_data_expires,
            what_was_never_stored_reads_as_nothing,
            log_lines_have_the_level_that_was_asked_for,
        ]);
        $then!($driver, storage: [
            stored_data_survives_a_restart,
            a_gateway_that_is_killed_starts_again_with_its_data,
            a_full_store_refuses_and_names_the_key_to_raise,
            gateways_share_what_is_stored_in_redis,
            a_time_to_live_below_nothing_is_an_error_in_the_log,
            a_value_that_is_too_long_is_an_error_in_the_log,
            requests_go_on_while_redis_is_away,
            requests_go_on_while_redis_hangs,
        ]);
        $then!($driver, fired: [
            answers_from_400_are_auth_failures_whichever_hook_gives_them,
            a_response_hooks_override_is_no_event,
            refused_callers_and_keys_are_events,
            hooks_that_fail_are_events_of_both_levels,
        ]);
        $then!($driver, event_handlers: [
            a_handler_gets_the_whole_message,
            handlers_that_raise_loop_or_sleep_harm_nobody,
            a_handler_that_is_not_there_is_said_and_its_api_serves,
            handlers_are_not_made_while_plugins_are_off,
            handlers_lie_in_a_folder_of_their_own_too,
            handlers_come_with_bundles_too,
            a_handler_in_a_broken_file_is_told_with_the_reason,
            a_reload_brings_new_handlers,
            handlers_that_fire_events_do_not_go_in_circles,
            a_flood_of_events_is_bounded_and_slows_nobody_down,
        ]);
        $then!($driver, reload: [
            edited_code_is_picked_up,
            a_new_function_is_found_after_a_reload,
            a_request_in_flight_finishes_on_the_old_code,
            steady_load_through_hooks_sees_no_failure_during_reloads,
            code_broken_by_an_edit_refuses_its_api_only,
            requests_in_hooks_finish_on_sigterm,
            sigint_is_the_gateways_also_with_plugins,
        ]);
        $then!($driver, bundles: [
            files_of_a_bundle_find_each_other,
            a_manifest_takes_the_place_of_the_definitions_hooks,
            the_entry_of_a_bundle_need_not_be_called_middleware,
            code_that_did_not_change_is_not_loaded_again,
            a_bundle_whose_code_fails_refuses_its_api_only,
            a_bundle_is_refused_while_plugins_are_off,
            a_manifest_may_set_limits_hook_by_hook,
            the_last_good_version_serves_and_is_told,
            a_hundred_reloads_under_load_leave_nothing_behind,
        ]);
        $then!($driver, examples: [
            bearer_tokens_open_an_api_and_leave_a_session,
            bots_are_refused_and_people_are_not,
            one_id_goes_all_the_way_and_back,
            bodies_are_masked_and_framed,
            every_cookie_gets_its_flags,
            example_plugins_pass_their_cases,
        ]);
        $then!($driver, plugin_run: [
            the_same_comes_out_as_goes_to_an_upstream,
            an_auth_hook_accepts_or_rejects,
            a_later_hook_is_given_the_session_of_the_file,
            a_response_hook_is_given_a_response,
            a_hook_that_fails_ends_with_one_and_names_its_place,
            people_see_a_difference_without_colours_where_no_terminal_is,
            a_wrong_command_line_ends_with_two_and_says_why,
            a_request_that_cannot_be_used_ends_with_two_and_says_why,
            a_bundle_runs_from_its_folder_and_from_its_archive,
            cases_say_what_is_expected_and_what_there_was,
        ]);
        $then!($driver, certificates: [
            a_hook_sees_the_clients_certificate,
        ]);
        $then!($driver, traffic: [
            steps_run_in_their_order,
            limits_are_asked_for_past_all_hooks_but_the_one_that_authenticates,
            ignored_paths_run_the_other_hooks,
            answers_that_are_ready_run_no_hook,
            options_may_pass_every_hook,
            post_hooks_see_the_rewritten_url_and_method,
            kept_responses_stay_with_their_caller,
            a_hook_may_hand_over_to_another_api,
        ]);
        $then!($driver, seed: [
            the_first_plugin_is_seen_at_the_upstream,
        ]);
    };
    ($driver:literal, $module:ident: [$($scenario:ident),* $(,)?]) => {
        mod $module {
            $(
                #[test]
                fn $scenario() {
                    crate::coprocess::$module::$scenario($driver);
                }
            )*
        }
    };
}

/// Knows every scenario, so that a language which cannot run some of them leaves none unused.
macro_rules! known {
    ($driver:literal, $module:ident: [$($scenario:ident),* $(,)?]) => {
        const _: &[fn(Driver)] = &[$($module::$scenario),*];
    };
}

scenarios!(@all known, "");
