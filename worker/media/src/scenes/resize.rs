//! The downscale before scoring: OpenCV's bilinear resize of 8-bit pictures in fixed point.
//!
//! Weights have 11 bits. A column's result is the exact sum of two products. Rows are then combined
//! with each product truncated to 16 bits, so every step here affects the result.

/// Longest side in pixels that is scored without a downscale.
const LONGEST_SIDE: u32 = 256;
/// One, as a weight.
const ONE: f32 = 2048.0;

/// Returns the size after the downscale: no side over 256 pixels except by rounding, no side under
/// 1.
pub fn small_size(width: u32, height: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= LONGEST_SIDE {
        return (width, height);
    }
    let factor = f64::from(longest) / f64::from(LONGEST_SIDE);
    let side = |n: u32| ((f64::from(n) / factor).round_ties_even() as u32).max(1);
    (side(width), side(height))
}

/// Two neighbouring source pixels (rows) and their weights, in 1/2048.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tap {
    /// Index of the first.
    pub low: usize,
    /// Index of the second: the next one, or the first again at the border and if the second has no
    /// weight.
    pub high: usize,
    /// The weight of each.
    pub weights: [i16; 2],
}

/// How to reduce a picture to a smaller size, or to the same size.
///
/// At the same size one pixel has all the weight. At a factor of exactly 2, where OpenCV takes the
/// mean of 2x2 pixels, the weights give that mean. The fixed-point steps are exact in both cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// For every column of the small picture.
    pub columns: Vec<Tap>,
    /// For every row of the small picture.
    pub rows: Vec<Tap>,
}

impl Plan {
    /// Plans the reduction from `width` x `height` to a size that is not larger.
    pub fn new((width, height): (u32, u32), small: (u32, u32)) -> Self {
        Self { columns: taps(width, small.0, true), rows: taps(height, small.1, false) }
    }
}

/// At the border, columns give all weight to one pixel; rows keep both weights for the same row.
fn taps(from: u32, to: u32, is_column: bool) -> Vec<Tap> {
    let scale = 1.0 / (f64::from(to) / f64::from(from));
    let last = i64::from(from) - 1;
    let weight = |share: f32| (share * ONE).round_ties_even() as i16;
    let tap = |n: u32| {
        let position = ((f64::from(n) + 0.5) * scale - 0.5) as f32;
        let (mut low, mut share) = (position.floor() as i64, position - position.floor());
        if is_column && !(0..last).contains(&low) {
            (low, share) = (low.clamp(0, last), 0.0);
        }
        let within = |n: i64| n.clamp(0, last) as usize;
        let weights = [weight(1.0 - share), weight(share)];
        let high = if weights[1] == 0 { low } else { low + 1 };
        Tap { low: within(low), high: within(high), weights }
    };
    (0..to).map(tap).collect()
}

/// Weights two neighbours in a row; the result is in 1/128 of a step.
#[inline(always)]
pub fn weigh_columns(low: u8, high: u8, [a, b]: [i16; 2]) -> i16 {
    ((i32::from(low) * i32::from(a) + i32::from(high) * i32::from(b)) >> 4) as i16
}

/// Weights two rows of [`weigh_columns`] and rounds.
#[inline(always)]
pub fn weigh_rows(upper: i16, lower: i16, [a, b]: [i16; 2]) -> u8 {
    let part = |value: i16, weight: i16| (i32::from(value) * i32::from(weight)) >> 16;
    ((part(upper, a) + part(lower, b) + 2) >> 2) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_half_to_even_and_are_at_least_one() {
        assert_eq!(small_size(1280, 720), (256, 144));
        assert_eq!(small_size(848, 480), (256, 145));
        assert_eq!(small_size(512, 287), (256, 144));
        assert_eq!(small_size(512, 285), (256, 142));
        assert_eq!(small_size(256, 256), (256, 256));
        assert_eq!(small_size(16_000, 2), (256, 1));
        assert_eq!(small_size(80, 600), (34, 256));
    }

    #[test]
    fn taps_are_neighbours_inside_the_picture_with_weights_that_add_up() {
        for (from, to) in [(1280, 256), (427, 256), (300, 256), (257, 256), (239, 143), (3, 1), (1, 1)] {
            for is_column in [true, false] {
                for tap in taps(from, to, is_column) {
                    let sum = i32::from(tap.weights[0]) + i32::from(tap.weights[1]);
                    assert!((2047..=2049).contains(&sum), "{from} to {to}: {tap:?}");
                    assert!(tap.low <= tap.high && tap.high <= tap.low + 1 && tap.high < from as usize, "{tap:?}");
                }
            }
        }
        assert_eq!(taps(1280, 256, true)[1], Tap { low: 7, high: 7, weights: [2048, 0] });
    }

    #[test]
    fn one_pixel_and_the_mean_of_four_are_exact() {
        for (from, weights) in [(256, [2048, 0]), (512, [1024, 1024])] {
            assert!(taps(from, 256, true).iter().all(|tap| tap.weights == weights));
        }
        for value in 0..=255u8 {
            let row = weigh_columns(value, 7, [2048, 0]);
            assert_eq!(weigh_rows(row, 99, [2048, 0]), value);
            let (a, b, c, d) = (value, value ^ 0x5a, value.rotate_left(3), 255 - value);
            let halves = [weigh_columns(a, b, [1024, 1024]), weigh_columns(c, d, [1024, 1024])];
            let mean = (u16::from(a) + u16::from(b) + u16::from(c) + u16::from(d) + 2) >> 2;
            assert_eq!(u16::from(weigh_rows(halves[0], halves[1], [1024, 1024])), mean);
        }
    }

    #[test]
    fn a_flat_picture_stays_flat_with_any_weights() {
        for tap in [taps(1280, 256, true), taps(427, 256, true), taps(239, 143, false)].concat() {
            for value in [0, 1, 127, 254, 255] {
                let row = weigh_columns(value, value, tap.weights);
                assert!(weigh_rows(row, row, tap.weights).abs_diff(value) <= 1, "{tap:?} {value}");
            }
        }
    }
}
