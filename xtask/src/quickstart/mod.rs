//! To be written next.
use crate::Result;
use crate::metadata::Metadata;
pub(crate) fn run(_: &Metadata, _: bool, _: Option<u16>) -> Result {
    Err("not yet".into())
}
