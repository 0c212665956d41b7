//! Number formats: shares as percent with one decimal, counts with a comma between groups of three
//! digits.

pub(super) use jhalak_common::counted::{count, counted};
use jhalak_common::evaluation::metrics::MeanSd;

/// A share from 0 to 1 in percent: `74.7`.
pub(super) fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1}", 100.0 * share) } else { "n/a".to_owned() }
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
