//! Bilinear resizing of two taps an axis, not widened when shrinking: what OpenCV's `resize` with `INTER_LINEAR` gives for 8-bit pictures, to
//! the byte, because that is what detectors were trained with.
//!
//! Positions in f32 with centres at half pixels, weights of 11 bits, a halving of both sides as the mean of four pixels.

use super::placement::Placement;

/// Bits of a weight.
const BITS: u32 = 11;
const ONE: i32 = 1 << BITS;

/// Where the pixels of an axis are taken from.
#[derive(Debug, Clone, PartialEq)]
struct Tap {
    /// The first source pixel; the second is the next one, or the same at the end.
    first: usize,
    second: usize,
    /// Their weights, together [`ONE`].
    weights: [i32; 2],
}

/// Resizes pictures; keeps its tables while sizes stay.
#[derive(Default)]
pub struct TwoTap {
    sizes: Option<((u32, u32), (u32, u32))>,
    columns: Vec<Tap>,
    rows: Vec<Tap>,
    /// Source rows resized across, and which they are.
    across: [(Option<usize>, Vec<i32>); 2],
    line: Vec<u8>,
}

impl TwoTap {
    /// Gives every row of `rgb` (of `size`, 3 bytes a pixel) resized to the placement's size, from the top.
    pub fn rows(&mut self, rgb: &[u8], size: (u32, u32), placement: &Placement, mut row: impl FnMut(usize, &[u8])) {
        let target = (placement.width, placement.height);
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
        self.across.iter_mut().for_each(|(which, _)| *which = None);
        for (y, tap) in self.rows.iter().enumerate() {
            // What was the lower source row is often the upper one of the next.
            if self.across[0].0 != Some(tap.first) && self.across[1].0 == Some(tap.first) {
                self.across.swap(0, 1);
            }
            for (slot, source) in [(0, tap.first), (1, tap.second)] {
                let (which, values) = &mut self.across[slot];
                if *which != Some(source) {
                    resize_across(&rgb[source * stride..(source + 1) * stride], &self.columns, values);
                    *which = Some(source);
                }
            }
            let [upper, lower] = tap.weights;
            let [(_, above), (_, below)] = &self.across;
            for ((out, &a), &b) in self.line.iter_mut().zip(above).zip(below) {
                *out = ((((upper * (a >> 4)) >> 16) + ((lower * (b >> 4)) >> 16) + 2) >> 2) as u8;
            }
            row(y, &self.line);
        }
    }
}

fn resize_across(source: &[u8], columns: &[Tap], values: &mut Vec<i32>) {
    values.resize(columns.len() * 3, 0);
    for (out, tap) in values.as_chunks_mut::<3>().0.iter_mut().zip(columns) {
        let [w0, w1] = tap.weights;
        let (a, b) = (&source[tap.first * 3..tap.first * 3 + 3], &source[tap.second * 3..tap.second * 3 + 3]);
        for channel in 0..3 {
            out[channel] = i32::from(a[channel]) * w0 + i32::from(b[channel]) * w1;
        }
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

/// The taps of an axis. Beyond the ends the last pixel counts alone; across, its weight is then whole.
fn taps(source: u32, target: u32, is_across: bool) -> Vec<Tap> {
    let scale = f64::from(source) / f64::from(target);
    let last = i64::from(source) - 1;
    let tap = |place: u32| {
        let at = ((f64::from(place) + 0.5) * scale - 0.5) as f32;
        let mut first = at.floor() as i64;
        let mut part = at - first as f32;
        if is_across && first < 0 {
            (first, part) = (0, 0.0);
        }
        if is_across && first >= last {
            (first, part) = (last, 0.0);
        }
        let weight = |share: f32| (share * ONE as f32).round_ties_even() as i32;
        let inside = |pixel: i64| pixel.clamp(0, last) as usize;
        Tap { first: inside(first), second: inside(first + 1), weights: [weight(1.0 - part), weight(part)] }
    };
    (0..target).map(tap).collect()
}
