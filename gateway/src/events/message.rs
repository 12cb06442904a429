//! The envelope that every handler gets: what happened, and when.

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::meta::Meta;

/// An event, ready to be told.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) name: String,
    pub(super) meta: Meta,
    pub(super) time: SystemTime,
}

impl Message {
    /// About as many bytes as it takes.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.meta.size()
    }

    /// `TimeStamp`: the original's default form, in the local time zone.
    pub(super) fn time_text(&self) -> String {
        let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
        time_text(self.time, zone)
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut envelope = serializer.serialize_struct("Message", 3)?;
        envelope.serialize_field("Type", &self.name)?;
        envelope.serialize_field("Meta", &self.meta)?;
        envelope.serialize_field("TimeStamp", &self.time_text())?;
        envelope.end()
    }
}

fn time_text(time: SystemTime, zone: TimeZone) -> String {
    // The system's clock does not leave the calendar.
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_zoned(zone)
        .strftime("%Y-%m-%d %H:%M:%S%.f %z %Z")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn time_is_written_as_the_original_writes_it() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let sao_paulo = TimeZone::posix("<-03>3").unwrap();
        for (zone, nanoseconds, expected) in [
            (
                TimeZone::UTC,
                123_456_789,
                "2016-08-15 12:00:00.123456789 +0000 UTC",
            ),
            (
                TimeZone::UTC,
                120_000_000,
                "2016-08-15 12:00:00.12 +0000 UTC",
            ),
            (TimeZone::UTC, 0, "2016-08-15 12:00:00 +0000 UTC"),
            (berlin, 5, "2016-08-15 14:00:00.000000005 +0200 CEST"),
            (sao_paulo, 0, "2016-08-15 09:00:00 -0300 -03"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::new(1_471_262_400, nanoseconds);
            assert_eq!(time_text(time, zone), expected);
        }
    }

    #[test]
    fn envelopes_have_the_contracts_keys_in_its_order() {
        let message = Message {
            name: "AuthFailure".into(),
            meta: Meta::new("Auth \"Failure\"")
                .with("Path", "/p")
                .with("Key", "k"),
            time: SystemTime::now(),
        };
        let text = serde_json::to_string(&message).unwrap();
        let expected = r#"{"Type":"AuthFailure","Meta":{"Message":"Auth \"Failure\"","OriginatingRequest":"","Path":"/p","Key":"k"},"TimeStamp":""#;
        assert!(text.starts_with(expected), "{text}");
    }
}
