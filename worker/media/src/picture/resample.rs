//! Resizes pictures bit for bit like Pillow (`libImaging/Resample.c`; `ImageOps.fit` for crops):
//! first rows, then columns, with coefficients of 22 fractional bits and rounding to whole values
//! after each step.
//!
//! Most models were trained on pictures prepared by Pillow, and a few different roundings change an
//! embedding by 0.01.

use crate::picture::Picture;

/// Fractional bits of a coefficient: 32 less 8 for the value and 2 for sums above it.
const BITS: u32 = 22;
const HALF: i32 = 1 << (BITS - 1);
/// Coefficients of a target pixel are padded with zeros to a multiple of this.
const GROUP: usize = 4;
/// Bytes that may be read beyond a row's last pixel.
const BEYOND: usize = 16;

/// The weight of a source pixel by its distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// A triangle: Pillow's `BILINEAR`.
    Bilinear,
    /// Cubic, a = -0.5: Pillow's `BICUBIC`.
    Bicubic,
    /// The pixel itself: Pillow's `NEAREST`.
    Nearest,
}

/// A part of a picture: left, top, right and bottom edge in pixels. Fractions are as precise as in
/// Pillow.
pub type Part = [f32; 4];

/// Returns the whole picture as a part.
#[inline]
pub fn whole(picture: &Picture) -> Part {
    [0.0, 0.0, picture.width as f32, picture.height as f32]
}

/// Returns the largest centred part with the aspect ratio of `width` x `height`, like Pillow's
/// `ImageOps.fit`.
pub fn middle(picture: &Picture, width: u32, height: u32) -> Part {
    let (w, h) = (f64::from(picture.width), f64::from(picture.height));
    let (own, wanted) = (w / h, f64::from(width) / f64::from(height));
    let (cw, ch) = if own == wanted {
        (w, h)
    } else if own >= wanted {
        (wanted * h, h)
    } else {
        (w, w / wanted)
    };
    let (left, top) = ((w - cw) * 0.5, (h - ch) * 0.5);
    [left, top, left + cw, top + ch].map(|edge| edge as f32)
}

/// Resizes `part` of `picture` to `width` x `height` pixels of RGB. Neither may be empty.
pub fn resize(picture: &Picture, part: Part, width: u32, height: u32, filter: Filter) -> Vec<u8> {
    resize_by(picture, part, (width as usize, height as usize), filter, across)
}

/// Resizes rows horizontally.
type Across = fn(&[u8], &Axis, &mut [u8]);

fn resize_by(
    picture: &Picture,
    part: Part,
    (width, height): (usize, usize),
    filter: Filter,
    across: Across,
) -> Vec<u8> {
    let (columns, rows) = (picture.width as usize, picture.height as usize);
    let [left, top] = [part[0], part[1]].map(f64::from);
    let [wide, high] = [part[2] - part[0], part[3] - part[1]].map(f64::from);
    if filter == Filter::Nearest {
        // Adds up step by step like Pillow: at a pixel's edge, the rounding of the sum decides.
        let places = |from: f64, length: f64, target: usize, source: usize| -> Vec<usize> {
            let step = length / target as f64;
            let places = std::iter::successors(Some(from + step * 0.5), |at| Some(at + step));
            places.map(|at| (at as usize).min(source - 1)).take(target).collect()
        };
        let (xs, ys) = (places(left, wide, width, columns), places(top, high, height, rows));
        let row = |y: &usize| &picture.rgb[y * columns * 3..][..columns * 3];
        return ys.iter().map(row).flat_map(|row| xs.iter().flat_map(|x| &row[x * 3..x * 3 + 3])).copied().collect();
    }
    let x = Axis::new(left, wide, columns, width, filter);
    let y = Axis::new(top, high, rows, height, filter);
    // Taps of coefficient zero may lie beyond the last row.
    let mut narrow = vec![0; (rows + y.taps) * width * 3];
    across(&picture.rgb, &x, &mut narrow[..rows * width * 3]);
    let mut out = vec![0; width * height * 3];
    let mut sums = vec![0; width * 3];
    let lines = out.chunks_exact_mut(width * 3).zip(&y.first).zip(y.coefficients.chunks_exact(y.taps));
    for ((line, first), coefficients) in lines {
        down::run(&narrow[first * width * 3..], coefficients, &mut sums, line);
    }
    out
}

/// How the target pixels of one direction are computed from the source.
struct Axis {
    /// Number of source pixels.
    source: usize,
    /// For each target pixel the first source pixel used.
    first: Vec<usize>,
    /// Coefficients per target pixel, a multiple of [`GROUP`].
    taps: usize,
    /// For each target pixel the coefficients, from its first source pixel.
    coefficients: Vec<i32>,
}

impl Axis {
    fn new(from: f64, length: f64, source: usize, target: usize, filter: Filter) -> Axis {
        let scale = length / target as f64;
        let widened = scale.max(1.0);
        let reach = widened * if filter == Filter::Bicubic { 2.0 } else { 1.0 };
        let (mut first, mut all) = (Vec::with_capacity(target), Vec::with_capacity(target));
        for place in 0..target {
            let centre = from + (place as f64 + 0.5) * scale;
            let low = (centre - reach + 0.5).max(0.0) as usize;
            let high = ((centre + reach + 0.5) as usize).min(source);
            let weigh = |x: usize| weight(filter, (x as f64 - centre + 0.5) * (1.0 / widened));
            let weights: Vec<f64> = (low..high).map(weigh).collect();
            let sum: f64 = weights.iter().sum();
            let fixed = |weight: &f64| (weight / sum * f64::from(1 << BITS)).round() as i32;
            first.push(low);
            all.push(weights.iter().map(fixed).collect::<Vec<i32>>());
        }
        let taps = all.iter().map(Vec::len).max().unwrap_or(0).next_multiple_of(GROUP);
        all.iter_mut().for_each(|coefficients| coefficients.resize(taps, 0));
        Axis { source, first, taps, coefficients: all.concat() }
    }
}

fn weight(filter: Filter, distance: f64) -> f64 {
    const A: f64 = -0.5;
    let x = distance.abs();
    match filter {
        Filter::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        Filter::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        Filter::Bicubic => 0.0,
        Filter::Bilinear | Filter::Nearest => (1.0 - x).max(0.0),
    }
}

/// Converts a sum to a value.
#[inline(always)]
fn value(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// [`Across`] for this processor.
fn across(rgb: &[u8], axis: &Axis, out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "code compiled for AVX2 may run only where AVX2 is")]
        // SAFETY: AVX2 was just detected.
        return unsafe { avx2::across(rgb, axis, out) };
    }
    across_anywhere(rgb, axis, out);
}

/// [`Across`] for any processor.
fn across_anywhere(rgb: &[u8], axis: &Axis, out: &mut [u8]) {
    each_row(rgb, axis, out, |row, out| {
        let pixels = out.as_chunks_mut::<3>().0.iter_mut();
        for ((pixel, &first), coefficients) in pixels.zip(&axis.first).zip(axis.coefficients.chunks_exact(axis.taps)) {
            let mut sums = [HALF; 3];
            for (source, &coefficient) in row[first * 3..].as_chunks::<3>().0.iter().zip(coefficients) {
                (0..3).for_each(|c| sums[c] += i32::from(source[c]) * coefficient);
            }
            *pixel = sums.map(value);
        }
    });
}

/// Calls `each` with every row, padded for taps beyond its end, and its target.
#[inline(always)]
fn each_row(rgb: &[u8], axis: &Axis, out: &mut [u8], mut each: impl FnMut(&[u8], &mut [u8])) {
    let length = axis.source * 3;
    let mut row = vec![0; length + axis.taps * 3 + BEYOND];
    for (source, out) in rgb.chunks_exact(length).zip(out.chunks_exact_mut(axis.first.len() * 3)) {
        row[..length].copy_from_slice(source);
        each(&row, out);
    }
}

jhalak_simd::dispatched! {
    /// Computes one target row from `rows`, starting at the first one used.
    down(rows: &[u8], coefficients: &[i32], sums: &mut [i32], out: &mut [u8]) {
        sums.fill(super::HALF);
        for (row, &coefficient) in rows.chunks_exact(out.len()).zip(coefficients) {
            sums.iter_mut().zip(row).for_each(|(sum, &v)| *sum += i32::from(v) * coefficient);
        }
        out.iter_mut().zip(sums.iter()).for_each(|(out, &sum)| *out = super::value(sum));
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{Axis, GROUP, HALF, each_row};
    use std::arch::x86_64::*;

    /// Bits of a coefficient's lower half, so that each half fits 16 bits.
    const LOW: i32 = 11;

    /// The coefficients of four source pixels in halves, in the order of the pixels.
    struct Four {
        high: __m256i,
        low: __m256i,
    }

    #[target_feature(enable = "avx2")]
    fn four(coefficients: &[i32]) -> Four {
        let placed = |half: &dyn Fn(i32) -> i32| {
            let pair = |a: i32, b: i32| half(a) & 0xffff | half(b) << 16;
            let one = pair(coefficients[0], coefficients[1]);
            let other = pair(coefficients[2], coefficients[3]);
            _mm256_setr_epi32(one, one, one, 0, other, other, other, 0)
        };
        Four { high: placed(&|k| k >> LOW), low: placed(&|k| k & ((1 << LOW) - 1)) }
    }

    /// See [`super::across_anywhere`]. Turns four pixels at a time into pairs of 16 bits (red of
    /// two pixels, green of two, blue of two), which one instruction multiplies and adds. Integers,
    /// so the order of sums does not matter.
    #[target_feature(enable = "avx2")]
    pub(super) fn across(rgb: &[u8], axis: &Axis, out: &mut [u8]) {
        let order = _mm_setr_epi8(0, 3, 1, 4, 2, 5, -1, -1, 6, 9, 7, 10, 8, 11, -1, -1);
        let mut fours = Vec::with_capacity(axis.coefficients.len() / GROUP);
        for coefficients in axis.coefficients.chunks_exact(GROUP) {
            fours.push(four(coefficients));
        }
        let steps = axis.taps / GROUP;
        each_row(rgb, axis, out, |row, out| {
            for ((out, &first), fours) in out.chunks_exact_mut(3).zip(&axis.first).zip(fours.chunks_exact(steps)) {
                let (mut high, mut low) = (_mm256_setzero_si256(), _mm256_setzero_si256());
                for (pixels, four) in row[first * 3..].windows(16).step_by(3 * GROUP).zip(fours) {
                    let half = |from: usize| i64::from_le_bytes(std::array::from_fn(|n| pixels[from + n]));
                    let pixels = _mm_set_epi64x(half(8), half(0));
                    let pairs = _mm256_cvtepu8_epi16(_mm_shuffle_epi8(pixels, order));
                    high = _mm256_add_epi32(high, _mm256_madd_epi16(pairs, four.high));
                    low = _mm256_add_epi32(low, _mm256_madd_epi16(pairs, four.low));
                }
                let sum = _mm256_add_epi32(_mm256_slli_epi32::<LOW>(high), low);
                let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
                let sum = _mm_srai_epi32::<{ super::BITS as i32 }>(_mm_add_epi32(sum, _mm_set1_epi32(HALF)));
                let bytes = _mm_packus_epi16(_mm_packs_epi32(sum, sum), sum);
                out.copy_from_slice(&_mm_cvtsi128_si32(bytes).to_le_bytes()[..3]);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_detected_and_the_portable_code_give_the_same_bytes(
            (columns, rows, width, height) in (1u32..90, 1u32..40, 1usize..60, 1usize..30),
            seed: u32,
            is_cubic: bool,
        ) {
            let mut state = seed;
            let mut byte = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Extremes occur more often than by chance.
                match state >> 30 { 0 => 0, 1 => 255, _ => (state >> 16) as u8 }
            };
            let rgb: Vec<u8> = (0..columns * rows * 3).map(|_| byte()).collect();
            let picture = Picture { width: columns, height: rows, rgb: rgb.into() };
            let filter = if is_cubic { Filter::Bicubic } else { Filter::Bilinear };
            for part in [whole(&picture), middle(&picture, width as u32, height as u32)] {
                let ours = resize_by(&picture, part, (width, height), filter, across);
                prop_assert_eq!(ours, resize_by(&picture, part, (width, height), filter, across_anywhere));
            }
        }
    }
}
