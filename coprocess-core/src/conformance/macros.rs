//! The list of cases, and the macro that makes a test of each.

/// Makes the conformance tests of one language; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! conformance_suite {
    (language: $language:expr, driver: $driver:expr, plugins: $plugins:expr
     $(, options: $options:expr)? $(,)?) => {
        /// The language under test, started once for all cases.
        fn suite() -> &'static $crate::conformance::Suite {
            static SUITE: ::std::sync::OnceLock<$crate::conformance::Suite> =
                ::std::sync::OnceLock::new();
            SUITE.get_or_init(|| {
                let options: &[&str] = &[$($options)?];
                $crate::conformance::Suite::start(
                    ::std::boxed::Box::new($language),
                    $driver,
                    ::std::path::Path::new($plugins),
                    options.first().copied().unwrap_or("{}"),
                )
            })
        }
        $crate::conformance_cases!($crate::conformance_tests);
    };
    (null: $language:expr $(,)?) => {
        #[test]
        fn null_language_answers_init() {
            $crate::conformance::null_language_answers_init(&$language);
        }

        #[test]
        fn null_language_changes_nothing() {
            $crate::conformance::null_language_changes_nothing(&$language);
        }
    };
}

/// All cases by the module that holds them, handed to the macro that is named.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($($then:tt)+) => {
        $($then)+! {
            request::a_set_header_is_in_the_object,
            request::a_deleted_header_is_gone,
            request::setting_a_header_wins_over_deleting_it,
            request::headers_are_found_in_any_case,
            request::headers_are_listed_under_canonical_names,
            request::what_the_gateway_knows_of_the_request_is_shown,
            request::query_parameters_are_read_added_and_deleted,
            request::the_url_can_be_replaced,
            request::the_method_can_be_replaced,
            request::an_untouched_request_comes_back_as_it_was,
            request::a_hook_can_answer_in_place_of_the_upstream,
            request::a_hook_can_answer_with_an_error,
            request::a_binary_body_is_exact_and_empty_as_text,
            request::a_text_body_can_be_replaced,
            request::a_body_can_be_emptied,
            request::raw_body_only_hides_the_text,
            session::an_auth_hook_fills_token_and_session,
            session::an_auth_hook_that_names_no_token_rejects,
            session::a_later_hook_reads_the_session,
            session::spec_entries_are_shown,
            session::config_data_is_absent_when_there_is_none,
            response::a_response_hook_rewrites_status_body_and_headers,
            response::one_of_two_cookies_can_be_edited,
            response::a_binary_response_body_is_empty_as_text,
            host::lines_are_logged_at_each_level,
            host::a_plugin_fires_an_event,
            host::data_is_kept_with_its_ttl,
            host::an_event_reaches_its_handler,
            faults::a_raised_error_names_file_and_line,
            faults::a_wrong_return_value_is_an_error,
            faults::an_endless_loop_ends_at_the_time_limit,
            faults::a_loop_that_swallows_the_cut_ends_too,
            faults::deep_recursion_is_an_error,
            faults::a_kept_request_is_an_error_not_a_crash,
            loading::an_unknown_function_is_refused_with_those_that_exist,
            loading::a_broken_file_is_a_problem_not_the_end,
            loading::a_bundle_finds_its_sibling_module,
            loading::plugins_do_not_see_each_other,
            loading::a_reload_gives_new_code_and_keeps_the_old,
        }
    };
}

/// Turns the list into tests.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($($module:ident :: $case:ident,)+) => {
        $(
            #[test]
            fn $case() {
                $crate::conformance::run_case(suite(), $crate::conformance::cases::$case);
            }
        )+
    };
}

/// Makes the cases public from the same list, so that the compiler reports a case that the
/// list forgets as dead code.
macro_rules! publish {
    ($($module:ident :: $case:ident,)+) => {
        $(
            pub fn $case(suite: &'static super::super::Suite) {
                super::super::$module::$case(suite);
            }
        )+
    };
}

/// The cases, for the tests that [`conformance_suite!`] makes.
#[doc(hidden)]
pub mod cases {
    crate::conformance_cases!(publish);
}
