//! Ids that are whole numbers.

/// Returns an id without the decimals that data frames add to whole numbers: `7` for `7.0`.
pub(in crate::dataset) fn whole(id: &str) -> &str {
    match id.split_once('.') {
        Some((number, zeros))
            if !number.is_empty()
                && number.bytes().all(|c| c.is_ascii_digit())
                && !zeros.is_empty()
                && zeros.bytes().all(|c| c == b'0') =>
        {
            number
        }
        _ => id,
    }
}
