//! Parameters of bodies and queries (`application/x-www-form-urlencoded`).

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// All values of one parameter, joined: those of the body, then those of the query.
pub(super) fn values(name: &str, body: &[u8], query: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    for pair in [body, query]
        .into_iter()
        .flat_map(|text| text.split(|&byte| byte == b'&'))
    {
        let mut parts = pair.splitn(2, |&byte| byte == b'=');
        let key = parts.next().unwrap_or_default();
        if *decode(key) == *name.as_bytes() {
            found.extend_from_slice(&decode(parts.next().unwrap_or_default()));
        }
    }
    found
}

fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let spaced: Vec<_> = text
        .iter()
        .map(|&byte| if byte == b'+' { b' ' } else { byte })
        .collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_joined() {
        for (body, query, expected) in [
            ("", "", ""),
            ("", "id=1", "1"),
            ("id=1", "id=2", "12"),
            ("a=b&id=1&id=2", "", "12"),
            ("i%64=a%2Bb+c", "", "a+b c"),
            ("id&id=&xid=3", "ID=4", ""),
            ("id=a=b", "", "a=b"),
            ("id=%zz", "", "%zz"),
        ] {
            let found = values("id", body.as_bytes(), query.as_bytes());
            assert_eq!(found, expected.as_bytes(), "{body} {query}");
        }
    }
}
