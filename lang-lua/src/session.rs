//! The session's fields by name, as Lua values.

use coprocess_core::{AccessDefinition, AccessSpec, BasicAuthData, JwtData, Monitor, Session};
use mlua::{Error, FromLua, IntoLua, Lua, LuaString, Table, Value};

use crate::budget;
use crate::convert::{field, list_field, named, text_field, to_list, to_map, to_text};
use crate::raw::tables::{from_list, from_map};

/// The fields whose Lua value is the Rust value: numbers, texts, flags.
macro_rules! plain_fields {
    ($then:ident) => {
        $then! {
            last_check, allowance, rate, per, expires, quota_max, quota_renews, quota_remaining,
            quota_renewal_rate, org_id, oauth_client_id, hmac_enabled, hmac_secret, is_inactive,
            apply_policy_id, data_expires, enable_detailed_recording, alias, last_updated,
            id_extractor_deadline, session_lifetime, certificate, max_query_depth, key_id,
            post_expiry_action, post_expiry_grace_period,
        }
    };
}

macro_rules! names {
    ($($name:ident,)+) => { &[$(stringify!($name)),+] };
}

const PLAIN: &[&str] = plain_fields!(names);

const TABLES: &[&str] = &[
    "access_rights",
    "oauth_keys",
    "basic_auth_data",
    "jwt_data",
    "monitor",
    "metadata",
    "tags",
    "apply_policies",
];

/// The names of all fields.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    PLAIN.iter().chain(TABLES).copied()
}

/// The value of a field; nil when there is no such field.
pub(crate) fn get(lua: &Lua, session: &Session, name: &str) -> mlua::Result<Value> {
    macro_rules! get_plain {
        ($($name:ident,)+) => {
            match name {
                $(stringify!($name) => session.$name.clone().into_lua(lua),)+
                _ => get_table(lua, session, name),
            }
        };
    }
    plain_fields!(get_plain)
}

fn get_table(lua: &Lua, session: &Session, name: &str) -> mlua::Result<Value> {
    let table = match name {
        "metadata" => from_map(lua, &session.metadata)?,
        "oauth_keys" => from_map(lua, &session.oauth_keys)?,
        "tags" => from_list(lua, &session.tags)?,
        "apply_policies" => from_list(lua, &session.apply_policies)?,
        "access_rights" => from_access_rights(lua, &session.access_rights)?,
        // A part that is not there is shown empty, so that a plugin can fill it in.
        "basic_auth_data" => {
            let data = session.basic_auth_data.clone().unwrap_or_default();
            let table = lua.create_table()?;
            table.raw_set("password", data.password)?;
            table.raw_set("hash", data.hash)?;
            table
        }
        "jwt_data" => {
            let data = session.jwt_data.clone().unwrap_or_default();
            let table = lua.create_table()?;
            table.raw_set("secret", data.secret)?;
            table
        }
        "monitor" => {
            let limits = session.monitor.clone().unwrap_or_default().trigger_limits;
            let table = lua.create_table()?;
            table.raw_set("trigger_limits", lua.create_sequence_from(limits)?)?;
            table
        }
        _ => return Ok(Value::Nil),
    };
    Ok(Value::Table(table))
}

/// Sets a field to what a plugin left in it.
pub(crate) fn set(lua: &Lua, session: &mut Session, name: &str, value: Value) -> mlua::Result<()> {
    macro_rules! set_plain {
        ($($name:ident,)+) => {
            match name {
                $(stringify!($name) => session.$name = take(lua, value, name)?,)+
                _ if TABLES.contains(&name) => {
                    set_table(session, name, take(lua, value, name)?)?;
                }
                _ => {
                    let text = format!("session has no field `{name}`");
                    return Err(Error::RuntimeError(text));
                }
            }
        };
    }
    plain_fields!(set_plain);
    Ok(())
}

fn take<T: FromLua>(lua: &Lua, value: Value, name: &str) -> mlua::Result<T> {
    let size = match &value {
        Value::String(text) => text.as_bytes().len(),
        _ => 0,
    };
    let taken = budget::charge(size).and_then(|()| T::from_lua(value, lua));
    taken.map_err(|error| named(&format!("session.{name}"), &error))
}

fn set_table(session: &mut Session, name: &str, table: Table) -> mlua::Result<()> {
    let what = format!("session.{name}");
    match name {
        "metadata" => session.metadata = to_map(&table, &what)?,
        "oauth_keys" => session.oauth_keys = to_map(&table, &what)?,
        "tags" => session.tags = to_list(&table, &what)?,
        "apply_policies" => session.apply_policies = to_list(&table, &what)?,
        "access_rights" => {
            session.access_rights = to_access_rights(&table, &what)?.into_iter().collect();
        }
        "basic_auth_data" => {
            let data = BasicAuthData {
                password: text_field(&table, "password", &what)?,
                hash: text_field(&table, "hash", &what)?,
            };
            session.basic_auth_data = present(data);
        }
        "jwt_data" => {
            let secret = text_field(&table, "secret", &what)?;
            session.jwt_data = present(JwtData { secret });
        }
        "monitor" => {
            let trigger_limits = items(&table, "trigger_limits", &what)?;
            session.monitor = present(Monitor { trigger_limits });
        }
        // `set` has checked the name.
        _ => {}
    }
    Ok(())
}

/// A part that says nothing is a part that is not there.
fn present<T: Default + PartialEq>(part: T) -> Option<T> {
    (part != T::default()).then_some(part)
}

fn from_access_rights<'a>(
    lua: &Lua,
    rights: impl IntoIterator<Item = (&'a String, &'a AccessDefinition)>,
) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for (key, access) in rights {
        let entry = lua.create_table()?;
        entry.raw_set("api_name", access.api_name.as_str())?;
        entry.raw_set("api_id", access.api_id.as_str())?;
        entry.raw_set("versions", from_list(lua, &access.versions)?)?;
        let urls = lua.create_table()?;
        for allowed in &access.allowed_urls {
            let url = lua.create_table()?;
            url.raw_set("url", allowed.url.as_str())?;
            url.raw_set("methods", from_list(lua, &allowed.methods)?)?;
            urls.raw_push(url)?;
        }
        entry.raw_set("allowed_urls", urls)?;
        table.raw_set(key.as_str(), entry)?;
    }
    Ok(table)
}

fn to_access_rights(table: &Table, what: &str) -> mlua::Result<Vec<(String, AccessDefinition)>> {
    let mut rights = Vec::new();
    for pair in table.pairs::<LuaString, Table>() {
        let (key, entry) = pair.map_err(|error| named(what, &error))?;
        let key = to_text(&key).map_err(|error| named(what, &error))?;
        let allowed_urls = items(&entry, "allowed_urls", what)?
            .iter()
            .map(|url: &Table| {
                Ok(AccessSpec {
                    url: text_field(url, "url", what)?,
                    methods: list_field(url, "methods", what)?,
                })
            })
            .collect::<mlua::Result<_>>()?;
        let access = AccessDefinition {
            api_name: text_field(&entry, "api_name", what)?,
            api_id: text_field(&entry, "api_id", what)?,
            versions: list_field(&entry, "versions", what)?,
            allowed_urls,
            ..AccessDefinition::default()
        };
        rights.push((key, access));
    }
    Ok(rights)
}

/// The items of a list in a table that a plugin filled; none when it is not there.
fn items<T: FromLua>(table: &Table, name: &str, what: &str) -> mlua::Result<Vec<T>> {
    let list: Option<Table> = field(table, name, what)?;
    let Some(list) = list else {
        return Ok(Vec::new());
    };
    let items = list.sequence_values().map(|item| {
        budget::charge(size_of::<T>())?;
        item
    });
    let items: mlua::Result<Vec<T>> = items.collect();
    items.map_err(|error| named(&format!("{what}.{name}"), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Session {
        let text = |text: &str| (text.to_owned(), text.to_owned());
        Session {
            rate: 0.25,
            expires: 4_102_444_800,
            quota_max: -1,
            hmac_enabled: true,
            org_id: "org".to_owned(),
            metadata: [text("a")].into_iter().collect(),
            oauth_keys: [text("b")].into_iter().collect(),
            tags: vec!["x".to_owned(), "y".to_owned()],
            apply_policies: vec!["p".to_owned()],
            basic_auth_data: Some(BasicAuthData {
                password: "p".to_owned(),
                hash: "h".to_owned(),
            }),
            jwt_data: Some(JwtData {
                secret: "s".to_owned(),
            }),
            monitor: Some(Monitor {
                trigger_limits: vec![80.0, 99.5],
            }),
            access_rights: [(
                "api".to_owned(),
                AccessDefinition {
                    api_id: "api".to_owned(),
                    versions: vec!["v1".to_owned()],
                    allowed_urls: vec![AccessSpec {
                        url: "/a".to_owned(),
                        methods: vec!["GET".to_owned()],
                    }],
                    ..AccessDefinition::default()
                },
            )]
            .into_iter()
            .collect(),
            ..Session::default()
        }
    }

    #[test]
    fn each_field_survives_the_way_through_lua() {
        let lua = Lua::new();
        for before in [full(), Session::default()] {
            let mut after = Session::default();
            for name in names() {
                let value = get(&lua, &before, name).unwrap();
                assert!(!value.is_nil(), "{name}");
                set(&lua, &mut after, name, value).unwrap();
            }
            assert_eq!(after, before);
        }
    }

    #[test]
    fn wrong_values_are_named() {
        let lua = Lua::new();
        let mut session = Session::default();
        for (name, code) in [
            ("expires", "'soon'"),
            ("tags", "'red'"),
            ("tags", "{ {} }"),
            ("metadata", "{ a = {} }"),
        ] {
            let value = lua.load(format!("return {code}")).eval().unwrap();
            let error = set(&lua, &mut session, name, value)
                .unwrap_err()
                .to_string();
            assert!(error.contains(&format!("session.{name}: ")), "{error}");
        }
        let error = set(&lua, &mut session, "rates", Value::Integer(1)).unwrap_err();
        assert!(error.to_string().contains("session has no field `rates`"));
    }
}
