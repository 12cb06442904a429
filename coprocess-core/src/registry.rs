//! Which languages are linked into this binary.

use crate::{CoProcessLanguage, RegistryError};

/// What a language crate says of itself. Data only: the gateway makes the instance.
#[derive(Debug, Clone, Copy)]
pub struct LanguageRegistration {
    /// The language's name, for logs and `gateway version`.
    pub name: &'static str,
    /// The `driver` strings that it serves. The null language serves none.
    pub drivers: &'static [&'static str],
    /// The keys of `coprocess_options` that it reads; others are reported as unknown.
    pub options: &'static [&'static str],
    /// Makes the one instance.
    pub new: fn() -> Box<dyn CoProcessLanguage>,
}

inventory::collect!(LanguageRegistration);

/// Registers a language with the binary that links this crate.
///
/// ```
/// # use coprocess_core::*;
/// struct Null;
/// impl CoProcessLanguage for Null {
///     fn init(&self, _: InitContext) -> Result<(), InitError> { Ok(()) }
///     fn dispatch(&self, object: Object) -> DispatchFuture<'_> { DispatchFuture::ready(Ok(object)) }
///     fn trigger_event(&self, _: Event) {}
/// }
/// register_language! {
///     name: "null",
///     drivers: &["null"],
///     options: &[],
///     new: || Box::new(Null),
/// }
/// assert!(LanguageRegistry::collect().unwrap().registrations().iter().any(|r| r.name == "null"));
/// ```
#[macro_export]
macro_rules! register_language {
    ($($field:ident : $value:expr),+ $(,)?) => {
        $crate::private::inventory::submit! {
            $crate::LanguageRegistration { $($field: $value),+ }
        }
    };
}

/// The languages of this binary, in name order.
#[derive(Debug)]
pub struct LanguageRegistry(Vec<LanguageRegistration>);

impl LanguageRegistry {
    /// Collects what the linker kept. An empty set is an error: it means that a binary
    /// forgot to name its language crate, and every hook would be refused without a reason.
    pub fn collect() -> Result<Self, RegistryError> {
        Self::from_registrations(inventory::iter::<LanguageRegistration>().copied())
    }

    fn from_registrations(
        registrations: impl Iterator<Item = LanguageRegistration>,
    ) -> Result<Self, RegistryError> {
        let mut found: Vec<_> = registrations.collect();
        // The linker promises no order; logs and tests want one.
        found.sort_by_key(|registration| registration.name);
        if found.is_empty() {
            return Err(RegistryError::Empty);
        }
        let mut claims: Vec<(&'static str, &'static str)> = Vec::new();
        for registration in &found {
            for &driver in registration.drivers {
                if let Some((_, first)) = claims.iter().find(|(claimed, _)| *claimed == driver) {
                    return Err(RegistryError::Duplicate {
                        driver,
                        first,
                        second: registration.name,
                    });
                }
                claims.push((driver, registration.name));
            }
        }
        Ok(Self(found))
    }

    /// What is linked, in name order.
    pub fn registrations(&self) -> &[LanguageRegistration] {
        &self.0
    }

    /// The drivers that an API may name, in name order.
    pub fn drivers(&self) -> Vec<&'static str> {
        let mut drivers: Vec<_> = self.0.iter().flat_map(|r| r.drivers).copied().collect();
        drivers.sort_unstable();
        drivers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DispatchFuture, Event, InitContext, InitError, Object};

    struct Null;

    impl CoProcessLanguage for Null {
        fn init(&self, _context: InitContext) -> Result<(), InitError> {
            Ok(())
        }

        fn dispatch(&self, object: Object) -> DispatchFuture<'_> {
            DispatchFuture::ready(Ok(object))
        }

        fn trigger_event(&self, _event: Event) {}
    }

    fn registration(name: &'static str, drivers: &'static [&'static str]) -> LanguageRegistration {
        LanguageRegistration {
            name,
            drivers,
            options: &[],
            new: || Box::new(Null),
        }
    }

    #[test]
    fn empty_registry_is_an_error() {
        let error = LanguageRegistry::from_registrations(std::iter::empty()).unwrap_err();
        assert!(matches!(error, RegistryError::Empty));
    }

    #[test]
    fn two_languages_cannot_share_a_driver() {
        let both = [registration("b", &["x"]), registration("a", &["x"])];
        let error = LanguageRegistry::from_registrations(both.into_iter()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "driver `x` is registered by both `a` and `b`"
        );
    }

    #[test]
    fn drivers_come_in_name_order() {
        let all = [
            registration("z", &["one", "two"]),
            registration("a", &["three"]),
        ];
        let registry = LanguageRegistry::from_registrations(all.into_iter()).unwrap();
        assert_eq!(registry.drivers(), ["one", "three", "two"]);
        assert_eq!(registry.registrations()[0].name, "a");
    }
}
