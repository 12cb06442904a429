//! Numbers with a fraction, written as `float.__repr__` writes them.

use std::io::Write;

/// Writes a finite number: the shortest digits that read as the same number, in Python's form.
/// Nothing where the digits come in another form than is known here.
pub(super) fn write(out: &mut Vec<u8>, number: f64) -> Option<()> {
    let mut buffer = zmij::Buffer::new();
    let shortest = buffer.format_finite(number);
    if matches!(number.abs(), 1e-4..1e16) || number == 0.0 {
        // Without an exponent, there is but one form.
        if shortest.contains('e') || !shortest.contains('.') {
            return None;
        }
        out.extend_from_slice(shortest.as_bytes());
        return Some(());
    }
    if number.is_sign_negative() {
        out.push(b'-');
    }
    let shortest = shortest.trim_start_matches('-');
    if let Some(digits) = shortest.strip_prefix("0.0000") {
        // One more zero than Python writes.
        let (first, others) = digits.split_at_checked(1)?;
        let point = if others.is_empty() { "" } else { "." };
        return write!(out, "{first}{point}{others}e-05").ok();
    }
    let (digits, exponent) = shortest.split_once('e')?;
    let digits = digits.strip_suffix(".0").unwrap_or(digits);
    let exponent: i32 = exponent.parse().ok()?;
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(out, "{digits}e{sign}{:02}", exponent.abs()).ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_form_is_pythons() {
        for (number, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (12.5, "12.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-0.000_012_5, "-1.25e-05"),
            (0.000_001, "1e-06"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (-1.5e16, "-1.5e+16"),
            (1e22, "1e+22"),
            (1e100, "1e+100"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            let mut out = Vec::new();
            super::write(&mut out, number).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
