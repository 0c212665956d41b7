//! The range check of all sections of the settings.

use crate::error::{Error, Result};

/// Refuses the setting `key` unless it is `valid`; `range` says which values are.
pub(super) fn require(valid: bool, key: &str, range: &str) -> Result<()> {
    if valid {
        return Ok(());
    }
    Err(Error::invalid(format!("the setting {key} is out of range: it must be {range}")))
}
