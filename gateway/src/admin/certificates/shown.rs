//! What the admin API tells of a certificate: keys and order are the original's.

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use crate::certificates::Material;

/// What a list with `mode=detailed` has.
#[derive(Serialize)]
pub(super) struct Basics {
    id: String,
    issuer_cn: String,
    subject_cn: String,
    dns_names: Option<Vec<String>>,
    has_private: bool,
    not_before: Time,
    not_after: Time,
    is_ca: bool,
}

/// What one certificate has.
#[derive(Serialize)]
pub(super) struct Meta {
    id: String,
    fingerprint: String,
    has_private: bool,
    issuer: Name,
    subject: Name,
    not_before: Time,
    not_after: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns_names: Option<Vec<String>>,
    is_ca: bool,
}

/// A distinguished name, as the original's library writes it.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Name {
    country: Option<Vec<String>>,
    organization: Option<Vec<String>>,
    organizational_unit: Option<Vec<String>>,
    locality: Option<Vec<String>>,
    province: Option<Vec<String>>,
    street_address: Option<Vec<String>>,
    postal_code: Option<Vec<String>>,
    serial_number: String,
    common_name: String,
    names: Option<Vec<Attribute>>,
    /// Nothing that is read has any.
    extra_names: Option<()>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    r#type: Vec<u64>,
    value: String,
}

/// A time; the original's zero time where there is none.
#[derive(Default)]
struct Time(Option<i64>);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = self
            .0
            .and_then(|seconds| Timestamp::from_second(seconds).ok());
        match time {
            Some(time) => serializer.collect_str(&time),
            None => serializer.serialize_str("0001-01-01T00:00:00Z"),
        }
    }
}

impl From<ASN1Time> for Time {
    fn from(time: ASN1Time) -> Self {
        Self(Some(time.timestamp()))
    }
}

/// The short form; nothing for what cannot be read.
pub(super) fn basics(material: &Material) -> Option<Basics> {
    let meta = meta(material)?;
    Some(Basics {
        id: meta.id,
        issuer_cn: meta.issuer.common_name,
        subject_cn: meta.subject.common_name,
        dns_names: meta.dns_names,
        has_private: meta.has_private,
        not_before: meta.not_before,
        not_after: meta.not_after,
        is_ca: meta.is_ca,
    })
}

/// The long form.
pub(super) fn meta(material: &Material) -> Option<Meta> {
    let fingerprint = material.fingerprint();
    let Some(certificate) = material.chain.first() else {
        let subject = Name {
            common_name: format!("Public Key: {fingerprint}"),
            ..Name::default()
        };
        return Some(Meta {
            id: material.name.clone(),
            fingerprint: String::new(),
            has_private: false,
            issuer: Name::default(),
            subject,
            not_before: Time::default(),
            not_after: Time::default(),
            dns_names: None,
            is_ca: false,
        });
    };
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = parsed.validity();
    Some(Meta {
        id: material.name.clone(),
        fingerprint,
        has_private: material.has_key(),
        issuer: name(parsed.issuer()),
        subject: name(parsed.subject()),
        not_before: validity.not_before.into(),
        not_after: validity.not_after.into(),
        dns_names: dns_names(&parsed),
        is_ca: parsed.is_ca(),
    })
}

fn dns_names(certificate: &X509Certificate<'_>) -> Option<Vec<String>> {
    let names = certificate.subject_alternative_name().ok()??;
    let names = names.value.general_names.iter();
    let names: Vec<_> = names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect();
    (!names.is_empty()).then_some(names)
}

fn name(name: &X509Name<'_>) -> Name {
    let mut shown = Name::default();
    for attribute in name.iter_attributes() {
        let Some(kind) = attribute
            .attr_type()
            .iter()
            .map(Iterator::collect::<Vec<_>>)
        else {
            continue;
        };
        let value = attribute.as_str().unwrap_or_default().to_owned();
        if let [2, 5, 4, last] = kind[..] {
            let list = match last {
                3 => {
                    shown.common_name.clone_from(&value);
                    None
                }
                5 => {
                    shown.serial_number.clone_from(&value);
                    None
                }
                6 => Some(&mut shown.country),
                7 => Some(&mut shown.locality),
                8 => Some(&mut shown.province),
                9 => Some(&mut shown.street_address),
                10 => Some(&mut shown.organization),
                11 => Some(&mut shown.organizational_unit),
                17 => Some(&mut shown.postal_code),
                _ => None,
            };
            if let Some(list) = list {
                list.get_or_insert_default().push(value.clone());
            }
        }
        let names = shown.names.get_or_insert_default();
        names.push(Attribute {
            r#type: kind,
            value,
        });
    }
    shown
}
