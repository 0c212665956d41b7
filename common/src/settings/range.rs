//! The range check of all sections of the settings.

use std::fmt;

use serde::Deserializer;
use serde::de::{self, SeqAccess, Visitor};

use crate::error::{Error, Result};

/// Refuses the setting `key` unless it is `valid`; `range` says which values are.
pub(super) fn require(valid: bool, key: &str, range: &str) -> Result<()> {
    if valid {
        return Ok(());
    }
    Err(Error::invalid(format!("the setting {key} is out of range: it must be {range}")))
}

/// Reads a list, or one value as a list of one: a variable of the environment that holds one number
/// is not a list.
pub(super) fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<u64>, D::Error> {
    struct OneOrMore;

    impl<'de> Visitor<'de> for OneOrMore {
        type Value = Vec<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number, or a list of numbers separated by commas")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Vec<u64>, A::Error> {
            let mut values = Vec::new();
            while let Some(value) = seq.next_element()? {
                values.push(value);
            }
            Ok(values)
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> std::result::Result<Vec<u64>, E> {
            Ok(vec![value])
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> std::result::Result<Vec<u64>, E> {
            let value = u64::try_from(value).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))?;
            Ok(vec![value])
        }

        fn visit_str<E: de::Error>(self, value: &str) -> std::result::Result<Vec<u64>, E> {
            let value = value.trim().parse().map_err(|_| E::invalid_value(de::Unexpected::Str(value), &self))?;
            Ok(vec![value])
        }
    }

    deserializer.deserialize_any(OneOrMore)
}
