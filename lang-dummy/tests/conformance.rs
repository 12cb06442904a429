//! The null language keeps the contract's promises for a language that runs nothing.

coprocess_core::conformance_suite!(null: lang_dummy::Dummy);
