//! The scale of an axis.

/// The largest number of ticks.
const TICKS: f64 = 6.0;

/// An axis from `low` to `high` with ticks at round numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) ticks: Vec<f64>,
    decimals: usize,
}

impl Axis {
    /// Returns an axis that holds all finite `values` and begins and ends at ticks; from 0 to 1
    /// when there are none.
    pub(super) fn around(values: impl IntoIterator<Item = f64>) -> Axis {
        let (mut low, mut high, mut are_whole) = (f64::INFINITY, f64::NEG_INFINITY, true);
        for value in values.into_iter().filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
            are_whole &= value.fract() == 0.0;
        }
        let values = low <= high;
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // One value, or values that are hardly apart, still need an extent.
        if high - low < 1e-9 * high.abs().max(1e-3) {
            let room = (high.abs() * 0.1).max(1e-3);
            (low, high) = (low - room, high + room);
        }
        let step = step((high - low) / TICKS);
        // Between counts there is nothing.
        let step = if values && are_whole { step.max(1.0) } else { step };
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let count = (last - first).clamp(1.0, 4.0 * TICKS) as usize;
        let ticks: Vec<f64> = (0..=count).map(|i| (first + i as f64) * step).collect();
        let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
        Axis { low: first * step, high: (first + count as f64) * step, ticks, decimals }
    }

    /// Returns the place of `value` on the axis, from 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// Formats a tick with the decimals that its step needs.
    pub(super) fn text(&self, tick: f64) -> String {
        // -0 has no sign.
        format!("{:.*}", self.decimals, tick + 0.0)
    }
}

/// Returns the smallest of 1, 2, 5 times a power of ten that is at least `width`.
fn step(width: f64) -> f64 {
    let power = 10f64.powf(width.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|of| of * power).find(|step| *step >= width * 0.999).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_holds_its_values_between_round_ticks() {
        let axis = Axis::around([0.334, 0.766]);
        assert_eq!((axis.text(axis.low), axis.text(axis.high)), ("0.3".to_owned(), "0.8".to_owned()));
        assert_eq!(axis.ticks.len(), 6);
        assert_eq!(Axis::around([]).place(0.5), 0.5);
        let counts = Axis::around([1.0, 4.0]);
        let texts: Vec<String> = counts.ticks.iter().map(|tick| counts.text(*tick)).collect();
        assert_eq!(texts, ["1", "2", "3", "4"], "counts have no fractions");
        for one in [0.0, 7.0, -3.0, 1e9] {
            let axis = Axis::around([one, f64::NAN]);
            assert!(axis.low < axis.high && axis.low <= one && one <= axis.high, "{one}: {axis:?}");
            assert!(axis.ticks.len() < 30, "{one}");
        }
    }
}
