//! Number formats: shares as percent with one decimal, counts with a comma between groups of three
//! digits.

pub(super) use jhalak_common::counted::{count, counted};
use jhalak_common::evaluation::metrics::MeanSd;

/// A share from 0 to 1 in percent: `74.7`.
pub(super) fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1}", 100.0 * share) } else { "n/a".to_owned() }
}

/// A number with so many decimals: `0.42`, `−0.13`, and `0.00` where it rounds to 0.
pub(super) fn decimal(number: f64, decimals: usize) -> String {
    let size = format!("{:.decimals$}", number.abs());
    let is_zero = size.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    if number < 0.0 && !is_zero { format!("−{size}") } else { size }
}

/// A difference in points with its sign: `+1.2`, `−0.3`, `0.0`.
pub(super) fn signed(points: f64) -> String {
    let size = format!("{:.1}", points.abs());
    match points {
        _ if size == "0.0" => size,
        below if below < 0.0 => format!("−{size}"),
        _ => format!("+{size}"),
    }
}

/// Mean and standard deviation in percent: `74.7 ± 0.3`.
pub(super) fn mean_sd(figure: MeanSd) -> String {
    format!("{} ± {}", percent(figure.mean), percent(figure.sd))
}

/// Seconds as people say them: `4.2 s`, `3 min 20 s`, `2 h 5 min`.
pub(super) fn span(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_owned();
    }
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 9.95 => format!("{seconds:.1} s"),
        0..100 => format!("{whole} s"),
        100..6000 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `part` as a share of `whole`; 0 when `whole` is 0.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
