//! What a certificate says, as text.

use std::net::{Ipv4Addr, Ipv6Addr};

use coprocess_core::StringMap;
use jiff::Timestamp;
use pem::{EncodeConfig, LineEnding, Pem};
use rustls::pki_types::CertificateDer;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::fingerprint;
use crate::session::key::hex;

/// The fields that plugins are shown; nothing of a certificate that cannot be read.
pub fn fields_of(certificate: &CertificateDer<'_>) -> Option<StringMap> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = parsed.validity();
    let time = |seconds| Timestamp::from_second(seconds).map(|time| time.to_string());
    let names = serde_json::to_string(&names(&parsed)).ok()?;
    let pem = EncodeConfig::new().set_line_ending(LineEnding::LF);
    let pem = pem::encode_config(&Pem::new("CERTIFICATE", &**certificate), pem);
    let fields = [
        ("subject", distinguished(parsed.subject())),
        ("issuer", distinguished(parsed.issuer())),
        ("serial", serial(parsed.raw_serial())),
        ("fingerprint", fingerprint(certificate)),
        ("not_before", time(validity.not_before.timestamp()).ok()?),
        ("not_after", time(validity.not_after.timestamp()).ok()?),
        ("names", names),
        ("pem", pem),
    ];
    let fields = fields.into_iter();
    Some(fields.map(|(name, text)| (name.to_owned(), text)).collect())
}

/// A serial number in hex, without the zeros that only keep it positive.
fn serial(bytes: &[u8]) -> String {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    hex(&bytes[zeros.min(bytes.len().saturating_sub(1))..])
}

/// The subject's other names, each behind its kind.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = names.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(format!("DNS:{name}")),
            GeneralName::RFC822Name(name) => Some(format!("email:{name}")),
            GeneralName::URI(name) => Some(format!("URI:{name}")),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let short = <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
    let long = || <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).to_string());
    let text = short.or_else(|_| long()).ok()?;
    Some(format!("IP:{text}"))
}

/// A name in the form of RFC 4514: the most exact part first, and with everything escaped
/// that could pass for the beginning of another part.
fn distinguished(name: &X509Name<'_>) -> String {
    let parts = name.iter_rdn().map(|part| {
        let part = part.iter().map(attribute);
        part.collect::<Vec<_>>().join("+")
    });
    let mut parts: Vec<_> = parts.collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = attribute.attr_type();
    let known = oid2abbrev(kind, oid_registry());
    let kind = known.map_or_else(|_| kind.to_id_string(), str::to_owned);
    let value = match attribute.as_str() {
        Ok(text) => escaped(text),
        Err(_) => format!("#{}", hex(attribute.as_slice())),
    };
    format!("{kind}={value}")
}

fn escaped(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut made = String::with_capacity(text.len());
    for (place, letter) in text.chars().enumerate() {
        let at_an_end =
            (letter == ' ' && (place == 0 || place == last)) || (letter == '#' && place == 0);
        if at_an_end || matches!(letter, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            made.push('\\');
        }
        match letter {
            '\0' => made.push_str("\\00"),
            letter => made.push(letter),
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_pass_for_others() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a, O=b", "a\\, O=b"),
            (" a+b\"c\\ ", "\\ a\\+b\\\"c\\\\\\ "),
            ("#a#", "\\#a#"),
            ("a\0b;<>", "a\\00b\\;\\<\\>"),
            ("", ""),
        ] {
            assert_eq!(escaped(text), expected, "{text}");
        }
    }

    #[test]
    fn a_certificate_says_whose_it_is() {
        let names = ["a.example", "10.0.0.7", "::1"].map(str::to_owned);
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        let name = &mut params.distinguished_name;
        *name = rcgen::DistinguishedName::new();
        name.push(rcgen::DnType::OrganizationName, "A, Inc");
        name.push(rcgen::DnType::CommonName, "me");
        params.serial_number = Some(vec![0, 0xab, 1].into());
        params.not_after = rcgen::date_time_ymd(2099, 1, 2);
        let key = rcgen::KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let fields = fields_of(made.der()).unwrap();
        for (name, expected) in [
            ("subject", "CN=me,O=A\\, Inc"),
            ("issuer", "CN=me,O=A\\, Inc"),
            ("serial", "ab01"),
            ("not_after", "2099-01-02T00:00:00Z"),
            ("names", r#"["DNS:a.example","IP:10.0.0.7","IP:::1"]"#),
        ] {
            assert_eq!(fields[name], expected, "{name}");
        }
        let read = pem::parse(&fields["pem"]).unwrap();
        assert_eq!(read.contents(), &**made.der());
        assert_eq!(fields_of(&CertificateDer::from(vec![1, 2])), None);
    }
}
