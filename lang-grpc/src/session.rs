//! Sessions as messages, and back.

use coprocess_core::{AccessDefinition, AccessSpec, BasicAuthData, JwtData, Monitor, Session};

use crate::convert::map;
use crate::proto;

/// The message for a session.
pub(crate) fn message(session: &Session) -> proto::SessionState {
    let rights = session.access_rights.iter();
    proto::SessionState {
        last_check: session.last_check,
        allowance: session.allowance,
        rate: session.rate,
        per: session.per,
        expires: session.expires,
        quota_max: session.quota_max,
        quota_renews: session.quota_renews,
        quota_remaining: session.quota_remaining,
        quota_renewal_rate: session.quota_renewal_rate,
        access_rights: rights
            .map(|(id, rights)| (id.clone(), access(rights)))
            .collect(),
        org_id: session.org_id.clone(),
        oauth_client_id: session.oauth_client_id.clone(),
        oauth_keys: map(&session.oauth_keys),
        basic_auth_data: session.basic_auth_data.as_ref().map(password),
        jwt_data: session.jwt_data.as_ref().map(|data| proto::JwtData {
            secret: data.secret.clone(),
        }),
        hmac_enabled: session.hmac_enabled,
        hmac_secret: session.hmac_secret.clone(),
        is_inactive: session.is_inactive,
        apply_policy_id: session.apply_policy_id.clone(),
        data_expires: session.data_expires,
        monitor: session.monitor.as_ref().map(|monitor| proto::Monitor {
            trigger_limits: monitor.trigger_limits.clone(),
        }),
        enable_detailed_recording: session.enable_detailed_recording,
        metadata: map(&session.metadata),
        tags: session.tags.clone(),
        alias: session.alias.clone(),
        last_updated: session.last_updated.clone(),
        id_extractor_deadline: session.id_extractor_deadline,
        session_lifetime: session.session_lifetime,
        apply_policies: session.apply_policies.clone(),
        certificate: session.certificate.clone(),
        max_query_depth: session.max_query_depth,
        key_id: session.key_id.clone(),
        post_expiry_action: session.post_expiry_action.clone(),
        post_expiry_grace_period: session.post_expiry_grace_period,
    }
}

fn password(data: &BasicAuthData) -> proto::BasicAuthData {
    proto::BasicAuthData {
        password: data.password.clone(),
        hash: data.hash.clone(),
    }
}

fn access(access: &AccessDefinition) -> proto::AccessDefinition {
    let urls = access.allowed_urls.iter();
    proto::AccessDefinition {
        api_name: access.api_name.clone(),
        api_id: access.api_id.clone(),
        versions: access.versions.clone(),
        allowed_urls: urls
            .map(|spec| proto::AccessSpec {
                url: spec.url.clone(),
                methods: spec.methods.clone(),
            })
            .collect(),
    }
}

/// The session that a message tells of.
pub(crate) fn session(message: proto::SessionState) -> Session {
    Session {
        last_check: message.last_check,
        allowance: message.allowance,
        rate: message.rate,
        per: message.per,
        expires: message.expires,
        quota_max: message.quota_max,
        quota_renews: message.quota_renews,
        quota_remaining: message.quota_remaining,
        quota_renewal_rate: message.quota_renewal_rate,
        access_rights: { message.access_rights }
            .into_iter()
            .map(|(id, rights)| (id, rights_of(rights)))
            .collect(),
        org_id: message.org_id,
        oauth_client_id: message.oauth_client_id,
        oauth_keys: message.oauth_keys.into_iter().collect(),
        basic_auth_data: message.basic_auth_data.map(|data| BasicAuthData {
            password: data.password,
            hash: data.hash,
        }),
        jwt_data: message.jwt_data.map(|data| JwtData {
            secret: data.secret,
        }),
        hmac_enabled: message.hmac_enabled,
        hmac_secret: message.hmac_secret,
        is_inactive: message.is_inactive,
        apply_policy_id: message.apply_policy_id,
        data_expires: message.data_expires,
        monitor: message.monitor.map(|monitor| Monitor {
            trigger_limits: monitor.trigger_limits,
        }),
        enable_detailed_recording: message.enable_detailed_recording,
        metadata: message.metadata.into_iter().collect(),
        tags: message.tags,
        alias: message.alias,
        last_updated: message.last_updated,
        id_extractor_deadline: message.id_extractor_deadline,
        session_lifetime: message.session_lifetime,
        apply_policies: message.apply_policies,
        certificate: message.certificate,
        max_query_depth: message.max_query_depth,
        key_id: message.key_id,
        post_expiry_action: message.post_expiry_action,
        post_expiry_grace_period: message.post_expiry_grace_period,
        // What no plugin is shown.
        ..Session::default()
    }
}

fn rights_of(message: proto::AccessDefinition) -> AccessDefinition {
    let spec = |proto::AccessSpec { url, methods }| AccessSpec { url, methods };
    AccessDefinition {
        api_name: message.api_name,
        api_id: message.api_id,
        versions: message.versions,
        allowed_urls: message.allowed_urls.into_iter().map(spec).collect(),
        ..AccessDefinition::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Session {
        let text = |text: &str| text.to_owned();
        let map = || [(text("k"), text("v"))].into_iter().collect();
        let rights = AccessDefinition {
            api_name: text("n"),
            api_id: text("i"),
            versions: vec![text("v1")],
            allowed_urls: vec![AccessSpec {
                url: text("/a"),
                methods: vec![text("GET")],
            }],
            ..AccessDefinition::default()
        };
        Session {
            last_check: 1,
            allowance: 2.5,
            rate: 3.5,
            per: 4.5,
            expires: 5,
            quota_max: 6,
            quota_renews: 7,
            quota_remaining: 8,
            quota_renewal_rate: 9,
            access_rights: [(text("i"), rights)].into_iter().collect(),
            org_id: text("11"),
            oauth_client_id: text("12"),
            oauth_keys: map(),
            basic_auth_data: Some(BasicAuthData {
                password: text("p"),
                hash: text("h"),
            }),
            jwt_data: Some(JwtData { secret: text("s") }),
            hmac_enabled: true,
            hmac_secret: text("17"),
            is_inactive: true,
            apply_policy_id: text("19"),
            data_expires: 20,
            monitor: Some(Monitor {
                trigger_limits: vec![21.5],
            }),
            enable_detailed_recording: true,
            metadata: map(),
            tags: vec![text("24")],
            alias: text("25"),
            last_updated: text("26"),
            id_extractor_deadline: 27,
            session_lifetime: 28,
            apply_policies: vec![text("29")],
            certificate: text("30"),
            max_query_depth: 31,
            key_id: text("32"),
            post_expiry_action: text("33"),
            post_expiry_grace_period: 34,
            ..Session::default()
        }
    }

    #[test]
    fn every_field_goes_there_and_back() {
        assert_eq!(session(message(&full())), full());
        assert_eq!(session(message(&Session::default())), Session::default());
    }
}
