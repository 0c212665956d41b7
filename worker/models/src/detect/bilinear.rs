//! Bilinear resizing with two taps per axis, not widened when shrinking. Equal to the byte to
//! OpenCV's `resize` with `INTER_LINEAR` on 8-bit pictures, because detectors are trained with it.
//!
//! Positions are f32 with pixel centers at halves, weights have 11 bits, and halving both sides is
//! the mean of four pixels.

use super::letterbox::Letterbox;

/// Bits of a weight.
const BITS: u32 = 11;
const ONE: i16 = 1 << BITS;
/// Bits dropped between the two axes, so that a weighted pair fits 16 bits.
const DROPPED: u32 = 4;

/// The source pixels of one target pixel along an axis.
#[derive(Debug, Clone, PartialEq)]
struct Tap {
    /// The first source pixel; the second is the next one, or the same at the end.
    first: u32,
    second: u32,
    /// Their weights, which sum to [`ONE`]: the first in the lower half, the second in the upper
    /// half, as SIMD instructions multiply pairs.
    weights: u32,
}

impl Tap {
    fn weights(&self) -> [i16; 2] {
        [self.weights as i16, (self.weights >> 16) as i16]
    }
}

/// Resizes pictures; reuses its tables while the sizes stay the same.
#[derive(Default)]
pub struct BilinearResizer {
    sizes: Option<((u32, u32), (u32, u32))>,
    columns: Vec<Tap>,
    rows: Vec<Tap>,
    /// Horizontally resized source rows, with their indexes.
    horizontal: [(Option<usize>, Vec<i16>); 2],
    line: Vec<u8>,
}

impl BilinearResizer {
    /// Calls `row` with each row of `rgb` (of `size`, 3 bytes per pixel) resized to the size of the
    /// letterbox, from the top.
    pub fn rows(&mut self, rgb: &[u8], size: (u32, u32), letterbox: &Letterbox, mut row: impl FnMut(usize, &[u8])) {
        let target = (letterbox.width, letterbox.height);
        let stride = size.0 as usize * 3;
        if size == target {
            rgb.chunks_exact(stride).enumerate().for_each(|(y, line)| row(y, line));
            return;
        }
        self.line.resize(target.0 as usize * 3, 0);
        if size.0 == 2 * target.0 && size.1 == 2 * target.1 {
            for (y, pair) in rgb.chunks_exact(2 * stride).enumerate() {
                let (upper, lower) = pair.split_at(stride);
                halve(upper, lower, &mut self.line);
                row(y, &self.line);
            }
            return;
        }
        if self.sizes != Some((size, target)) {
            self.columns = taps(size.0, target.0, true);
            self.rows = taps(size.1, target.1, false);
            self.sizes = Some((size, target));
        }
        self.horizontal.iter_mut().for_each(|(which, _)| *which = None);
        for (y, tap) in self.rows.iter().enumerate() {
            // The lower source row is often the upper one of the next target row.
            let (first, second) = (tap.first as usize, tap.second as usize);
            if self.horizontal[0].0 != Some(first) && self.horizontal[1].0 == Some(first) {
                self.horizontal.swap(0, 1);
            }
            for (slot, source) in [(0, first), (1, second)] {
                let (which, values) = &mut self.horizontal[slot];
                if *which != Some(source) {
                    values.resize(self.columns.len() * 3, 0);
                    horizontal(&rgb[source * stride..(source + 1) * stride], &self.columns, values);
                    *which = Some(source);
                }
            }
            let [(_, above), (_, below)] = &self.horizontal;
            vertical::run(above, below, tap.weights(), &mut self.line);
            row(y, &self.line);
        }
    }
}

/// Resizes one row of 3-byte pixels horizontally.
fn horizontal(source: &[u8], columns: &[Tap], values: &mut [i16]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "code compiled for AVX2 may run only where AVX2 is present")]
        // SAFETY: the line above detected AVX2 on this processor.
        let done = unsafe { avx2::horizontal(source, columns, values) };
        return horizontal_portable(source, &columns[done..], &mut values[done * 3..]);
    }
    horizontal_portable(source, columns, values);
}

/// [`horizontal`] for any processor.
fn horizontal_portable(source: &[u8], columns: &[Tap], values: &mut [i16]) {
    for (out, tap) in values.as_chunks_mut::<3>().0.iter_mut().zip(columns) {
        let [w0, w1] = tap.weights().map(i32::from);
        let (a, b) = (&source[tap.first as usize * 3..], &source[tap.second as usize * 3..]);
        for channel in 0..3 {
            out[channel] = ((i32::from(a[channel]) * w0 + i32::from(b[channel]) * w1) >> DROPPED) as i16;
        }
    }
}

jhalak_simd::dispatched! {
    /// Computes one target row from two horizontally resized source rows and their weights.
    vertical(above: &[i16], below: &[i16], weights: [i16; 2], out: &mut [u8]) {
        let share = |weight: i16, value: i16| ((i32::from(weight) * i32::from(value)) >> 16) as i16;
        for ((out, &a), &b) in out.iter_mut().zip(above).zip(below) {
            *out = ((share(weights[0], a) + share(weights[1], b) + 2) >> 2) as u8;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{DROPPED, Tap};
    use std::arch::x86_64::*;

    /// See [`super::horizontal_portable`]. Computes two target pixels at a time: the two source
    /// pixels of each become pairs of 16 bits per channel, which one instruction multiplies and
    /// adds. Returns the number of computed pixels: near the end of the row, fewer than eight bytes
    /// are left to read at once.
    #[target_feature(enable = "avx2")]
    pub(super) fn horizontal(source: &[u8], columns: &[Tap], values: &mut [i16]) -> usize {
        let order = _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
        let order = _mm256_broadcastsi128_si256(order);
        let mut done = 0;
        for (out, two) in values.as_chunks_mut::<6>().0.iter_mut().zip(columns.as_chunks::<2>().0) {
            let pixels =
                |tap: &Tap| source.get(tap.first as usize * 3..)?.first_chunk().copied().map(i64::from_le_bytes);
            let (Some(one), Some(other)) = (pixels(&two[0]), pixels(&two[1])) else { return done };
            let pixels = _mm256_set_m128i(_mm_cvtsi64_si128(other), _mm_cvtsi64_si128(one));
            let weights = |tap: &Tap| _mm_set1_epi32(tap.weights.cast_signed());
            let weights = _mm256_set_m128i(weights(&two[1]), weights(&two[0]));
            let sums = _mm256_madd_epi16(_mm256_shuffle_epi8(pixels, order), weights);
            let sums = _mm256_srai_epi32::<{ DROPPED as i32 }>(sums);
            let sums = _mm256_packs_epi32(sums, sums);
            let (one, other) = (_mm256_extract_epi64::<0>(sums), _mm256_extract_epi64::<2>(sums));
            let third = |sums: i64, channel: usize| (sums >> (16 * channel)) as i16;
            *out = std::array::from_fn(|n| third(if n < 3 { one } else { other }, n % 3));
            done += 2;
        }
        done
    }
}

fn halve(upper: &[u8], lower: &[u8], line: &mut [u8]) {
    let pairs = upper.as_chunks::<6>().0.iter().zip(lower.as_chunks::<6>().0);
    for (out, (a, b)) in line.as_chunks_mut::<3>().0.iter_mut().zip(pairs) {
        for channel in 0..3 {
            let sum = [a[channel], a[channel + 3], b[channel], b[channel + 3]].map(u16::from).iter().sum::<u16>();
            out[channel] = ((sum + 2) >> 2) as u8;
        }
    }
}

/// Computes the taps of an axis. Beyond the ends only the last pixel counts; horizontally it then
/// has the full weight.
fn taps(source: u32, target: u32, is_horizontal: bool) -> Vec<Tap> {
    let scale = f64::from(source) / f64::from(target);
    let last = i64::from(source) - 1;
    let tap = |place: u32| {
        let at = ((f64::from(place) + 0.5) * scale - 0.5) as f32;
        let mut first = at.floor() as i64;
        let mut part = at - first as f32;
        if is_horizontal && first < 0 {
            (first, part) = (0, 0.0);
        }
        if is_horizontal && first >= last {
            (first, part) = (last, 0.0);
        }
        let weight = |share: f32| (share * f32::from(ONE)).round_ties_even() as u32;
        let inside = |pixel: i64| pixel.clamp(0, last) as u32;
        Tap { first: inside(first), second: inside(first + 1), weights: weight(1.0 - part) | weight(part) << 16 }
    };
    (0..target).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_avx2_and_portable_versions_give_the_same_bytes((columns, width) in (1u32..200, 1u32..90), seed: u32) {
            let mut state = seed;
            let mut byte = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Extreme values are more frequent than by chance.
                match state >> 30 { 0 => 0, 1 => 255, _ => (state >> 16) as u8 }
            };
            let row: Vec<u8> = (0..columns * 3).map(|_| byte()).collect();
            let taps = taps(columns, width, true);
            let (mut ours, mut theirs) = (vec![0; taps.len() * 3], vec![0; taps.len() * 3]);
            horizontal(&row, &taps, &mut ours);
            horizontal_portable(&row, &taps, &mut theirs);
            prop_assert_eq!(ours, theirs);
        }
    }
}
