//! Numbers with a sign, as people read them: the sign is a minus and no hyphen, and what rounds to
//! 0 has none.

/// Returns a number with so many decimals: `0.42`, `−0.13`, `0.00`.
pub fn decimal(number: f64, decimals: usize) -> String {
    with_sign(number, decimals, "")
}

/// Returns a difference with its sign: `+1.2`, `−0.3`, `0.0`.
pub fn signed(difference: f64, decimals: usize) -> String {
    with_sign(difference, decimals, "+")
}

fn with_sign(number: f64, decimals: usize, above: &str) -> String {
    let size = format!("{:.decimals$}", number.abs());
    match number {
        _ if size.bytes().all(|byte| matches!(byte, b'0' | b'.')) => size,
        below if below < 0.0 => format!("−{size}"),
        _ => format!("{above}{size}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_has_no_sign_and_others_have_theirs() {
        assert_eq!((signed(0.04, 1), signed(-0.26, 1), signed(2.0, 0)), ("0.0".into(), "−0.3".into(), "+2".into()));
        assert_eq!(
            (decimal(-0.004, 2), decimal(-0.13, 2), decimal(0.42, 2)),
            ("0.00".into(), "−0.13".into(), "0.42".into())
        );
    }
}
