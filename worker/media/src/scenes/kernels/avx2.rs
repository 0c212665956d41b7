//! The loops for AVX2, 16 pixels at a time. `portable` defines what they compute; a test compares
//! both.
//!
//! Arithmetic intrinsics are safe where AVX2 is enabled. Only these are unsafe: loads and stores of
//! whole vectors, each behind a reference to exactly as many bytes, and calls from code without
//! AVX2.

use crate::scenes::kernels::rows::{LANES, Planes, PlanesMut, WeighedRow, YuvRow};
use crate::scenes::resize::Tap;
use crate::scenes::yuv::{CHROMA_OFFSET, Matrix};
use std::arch::x86_64::*;

/// Columns per shuffled vector of pairs.
const GROUP: usize = 8;

/// How to gather pairs of neighbouring samples: for every group of columns, load consecutive
/// vectors and pick the samples in each with a shuffle.
#[derive(Debug, Clone)]
struct PairPlan {
    /// Vectors loaded per group.
    vectors: usize,
    /// Fewest samples of a row.
    length: usize,
    /// Start of the first vector of each group.
    begins: Vec<usize>,
    /// For each group and each vector: the bytes to pick; a set high bit picks none.
    shuffles: Vec<[u8; 16]>,
}

impl PairPlan {
    /// Plans the gathering of these pairs of samples, two groups per step.
    fn new(pairs: &[[usize; 2]]) -> Self {
        let length = pairs.iter().flatten().max().map_or(0, |last| last + 1);
        let span = |group: &[[usize; 2]]| group[group.len() - 1][1] + 1 - group[0][0];
        let vectors = pairs.chunks(GROUP).map(span).max().unwrap_or(0).div_ceil(16).max(1);
        let (mut begins, mut shuffles) = (Vec::new(), Vec::new());
        for group in pairs.chunks(GROUP) {
            // Near the end of a row the vectors start earlier, so that they end inside.
            let begin = group[0][0].min(length.saturating_sub(vectors * 16));
            begins.push(begin);
            for vector in 0..vectors {
                let mut shuffle = [0x80; 16];
                for (pick, sample) in shuffle.iter_mut().zip(group.iter().flatten()) {
                    let at = sample - begin;
                    if at / 16 == vector {
                        *pick = (at % 16) as u8;
                    }
                }
                shuffles.push(shuffle);
            }
        }
        Self { vectors, length: length.max(vectors * 16), begins, shuffles }
    }

    /// Gathers the pairs of two groups, the first of a pair in the low byte of its lane.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn gather(&self, row: &[u8], step: usize) -> __m256i {
        _mm256_set_m128i(self.group(row, 2 * step + 1), self.group(row, 2 * step))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn group(&self, row: &[u8], group: usize) -> __m128i {
        let begin = self.begins[group];
        let (samples, _) = row[begin..begin + 16 * self.vectors].as_chunks();
        let shuffles = &self.shuffles[group * self.vectors..(group + 1) * self.vectors];
        let mut pairs = _mm_setzero_si128();
        for (samples, shuffle) in samples.iter().zip(shuffles) {
            pairs = _mm_or_si128(pairs, _mm_shuffle_epi8(load128(samples), load128(shuffle)));
        }
        pairs
    }
}

/// The columns of the small picture, prepared for vectors.
#[derive(Debug, Clone)]
pub struct Gather {
    luma: PairPlan,
    chroma: PairPlan,
    /// Weights of 16 columns in the order of unpacked pairs: 0-3, 8-11, 4-7, 12-15.
    weights: Vec<[i16; 4 * GROUP]>,
}

impl Gather {
    /// Prepares these columns.
    pub fn new(columns: &[Tap]) -> Self {
        let padded = columns.len().next_multiple_of(LANES);
        // Columns beyond the last repeat it with weights of zero.
        let last = columns.last().copied().unwrap_or(Tap { low: 0, high: 0, weights: [0; 2] });
        let column = |n: usize| columns.get(n).copied().unwrap_or(Tap { weights: [0; 2], ..last });
        let columns: Vec<Tap> = (0..padded).map(column).collect();
        let pairs = |shift: usize| -> Vec<[usize; 2]> {
            columns.iter().map(|column| [column.low >> shift, column.high >> shift]).collect()
        };
        let order = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15];
        let weights = columns.chunks_exact(LANES).map(|columns| {
            let mut ordered = [0; 4 * GROUP];
            for (to, from) in ordered.chunks_exact_mut(2).zip(order) {
                to.copy_from_slice(&columns[from].weights);
            }
            ordered
        });
        Self { luma: PairPlan::new(&pairs(0)), chroma: PairPlan::new(&pairs(1)), weights: weights.collect() }
    }

    /// Returns the samples of Y that a row must have.
    pub fn luma_bytes(&self) -> usize {
        self.luma.length
    }

    /// Returns the samples of U and of V that a row must have.
    pub fn chroma_bytes(&self) -> usize {
        self.chroma.length
    }
}

#[target_feature(enable = "avx2")]
fn weigh_columns(gather: &Gather, matrix: Matrix, row: YuvRow<'_>, [blue, green, red]: &mut WeighedRow) {
    let planes = blue.as_chunks_mut().0.iter_mut().zip(green.as_chunks_mut().0).zip(red.as_chunks_mut().0);
    for ((step, weights), ((blue, green), red)) in gather.weights.iter().enumerate().zip(planes) {
        let luma = {
            let [low, high] = widen(gather.luma.gather(row.y, step));
            let offset = _mm256_set1_epi16(matrix.luma_offset);
            let weight = _mm256_set1_epi16(matrix.luma);
            [low, high].map(|y| _mm256_mulhi_epi16(_mm256_sub_epi16(y, offset), weight))
        };
        let chroma = |row: &[u8]| {
            let offset = _mm256_set1_epi16(CHROMA_OFFSET);
            widen(gather.chroma.gather(row, step)).map(|c| _mm256_sub_epi16(c, offset))
        };
        let (u, v) = (chroma(row.u), chroma(row.v));
        let times = |c: [__m256i; 2], weight: i16| c.map(|c| _mm256_mulhi_epi16(c, _mm256_set1_epi16(weight)));
        let add = |a: [__m256i; 2], b: [__m256i; 2]| [_mm256_add_epi16(a[0], b[0]), _mm256_add_epi16(a[1], b[1])];
        let (weights, _) = weights.as_chunks();
        let [first, second] = [load256(&weights[0]), load256(&weights[1])];
        let weigh = |colour: [__m256i; 2]| {
            // Both pixels of eight columns in each half, as bytes; then pairs of words.
            let bytes = _mm256_packus_epi16(colour[0], colour[1]);
            let pairs = |picks: __m256i, weights| {
                _mm256_srai_epi32::<4>(_mm256_madd_epi16(_mm256_shuffle_epi8(bytes, picks), weights))
            };
            _mm256_packs_epi32(pairs(pick(0), first), pairs(pick(4), second))
        };
        store256(blue, weigh(add(luma, times(u, matrix.blue_u))));
        let chroma = add(times(u, matrix.green_u), times(v, matrix.green_v));
        store256(green, weigh(add(luma, chroma)));
        store256(red, weigh(add(luma, times(v, matrix.red_v))));
    }
}

/// Returns the two samples of each pair, times 8.
#[inline]
#[target_feature(enable = "avx2")]
fn widen(pairs: __m256i) -> [__m256i; 2] {
    let low = _mm256_and_si256(pairs, _mm256_set1_epi16(0xff));
    [_mm256_slli_epi16::<3>(low), _mm256_slli_epi16::<3>(_mm256_srli_epi16::<8>(pairs))]
}

/// Picks bytes `n` to `n + 3` and `n + 8` to `n + 11` of each half as pairs of words.
#[inline]
#[target_feature(enable = "avx2")]
fn pick(n: i8) -> __m256i {
    let pair = |n: i32| n | 0x8000 | (n + 8) << 16 | 0x80 << 24;
    let n = i32::from(n);
    let four = _mm_setr_epi32(pair(n), pair(n + 1), pair(n + 2), pair(n + 3));
    _mm256_broadcastsi128_si256(four)
}

#[target_feature(enable = "avx2")]
fn weigh_rows(upper: &WeighedRow, lower: &WeighedRow, weights: [i16; 2], bgr: PlanesMut<'_>) {
    let [above, below] = weights.map(|weight| _mm256_set1_epi16(weight));
    for ((upper, lower), plane) in upper.iter().zip(lower).zip(bgr) {
        let rows = upper.as_chunks().0.iter().zip(lower.as_chunks().0);
        for ((upper, lower), to) in rows.zip(plane.as_chunks_mut().0) {
            let upper = _mm256_mulhi_epi16(load256(upper), above);
            let lower = _mm256_mulhi_epi16(load256(lower), below);
            let sum = _mm256_add_epi16(_mm256_add_epi16(upper, lower), _mm256_set1_epi16(2));
            store128(to, bytes(_mm256_srai_epi16::<2>(sum)));
        }
    }
}

#[target_feature(enable = "avx2")]
fn compare([blue, green, red]: Planes<'_>, before: Planes<'_>, [hue, saturation, value]: PlanesMut<'_>) -> [u64; 3] {
    let mut sums = [_mm_setzero_si128(); 3];
    let pixels = blue.as_chunks().0.iter().zip(green.as_chunks().0).zip(red.as_chunks().0);
    let before = before.map(|plane| plane.as_chunks().0);
    let before = before[0].iter().zip(before[1]).zip(before[2]);
    let now = hue.as_chunks_mut().0.iter_mut().zip(saturation.as_chunks_mut().0).zip(value.as_chunks_mut().0);
    for ((((b, g), r), ((hue, saturation), value)), ((hue_before, saturation_before), value_before)) in
        pixels.zip(now).zip(before)
    {
        let [b, g, r] = [b, g, r].map(|colour| _mm256_cvtepu8_epi16(load128(colour)));
        let largest = _mm256_max_epi16(_mm256_max_epi16(b, g), r);
        let spread = _mm256_sub_epi16(largest, _mm256_min_epi16(_mm256_min_epi16(b, g), r));
        let twice = _mm256_add_epi16(spread, spread);
        let from_red = _mm256_sub_epi16(g, b);
        let from_green = _mm256_add_epi16(_mm256_sub_epi16(b, r), twice);
        let from_blue = _mm256_add_epi16(_mm256_sub_epi16(r, g), _mm256_add_epi16(twice, twice));
        let sixths = _mm256_blendv_epi8(from_blue, from_green, _mm256_cmpeq_epi16(largest, g));
        let sixths = _mm256_blendv_epi8(sixths, from_red, _mm256_cmpeq_epi16(largest, r));

        // If the divisor is 0, so is the factor, and the product is 0.
        let share = |factor, numerator: f32, divisor| {
            let part = |factor: __m128i, divisor: __m128i| {
                let divisor = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(divisor));
                let quotient = _mm256_cvtps_epi32(_mm256_div_ps(_mm256_set1_ps(numerator), divisor));
                let product = _mm256_mullo_epi32(_mm256_cvtepi16_epi32(factor), quotient);
                _mm256_srai_epi32::<12>(_mm256_add_epi32(product, _mm256_set1_epi32(2048)))
            };
            let low = part(_mm256_castsi256_si128(factor), _mm256_castsi256_si128(divisor));
            let high = part(_mm256_extracti128_si256::<1>(factor), _mm256_extracti128_si256::<1>(divisor));
            _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high))
        };
        let turns = share(sixths, (180 << 12) as f32 / 6.0, spread);
        let below = _mm256_cmpgt_epi16(_mm256_setzero_si256(), turns);
        let turns = _mm256_add_epi16(turns, _mm256_and_si256(below, _mm256_set1_epi16(180)));
        let results = [
            (bytes(turns), hue, hue_before),
            (bytes(share(spread, (255 << 12) as f32, largest)), saturation, saturation_before),
            (bytes(largest), value, value_before),
        ];
        for (sum, (result, now, before)) in sums.iter_mut().zip(results) {
            *sum = _mm_add_epi64(*sum, _mm_sad_epu8(result, load128(before)));
            store128(now, result);
        }
    }
    sums.map(|sum| (_mm_cvtsi128_si64(sum) + _mm_extract_epi64::<1>(sum)) as u64)
}

/// Packs 16 words of 0 to 255 to bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn bytes(words: __m256i) -> __m128i {
    _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words))
}

#[inline]
#[target_feature(enable = "avx2")]
#[expect(unsafe_code, reason = "vector load")]
fn load128(from: &[u8; 16]) -> __m128i {
    // SAFETY: 16 bytes behind a reference; the load needs no alignment.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
#[expect(unsafe_code, reason = "vector load")]
fn load256(from: &[i16; 16]) -> __m256i {
    // SAFETY: 32 bytes behind a reference; the load needs no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
#[expect(unsafe_code, reason = "vector store")]
fn store128(to: &mut [u8; 16], vector: __m128i) {
    // SAFETY: 16 bytes behind a reference; the store needs no alignment.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), vector) }
}

#[inline]
#[target_feature(enable = "avx2")]
#[expect(unsafe_code, reason = "vector store")]
fn store256(to: &mut [i16; 16], vector: __m256i) {
    // SAFETY: 32 bytes behind a reference; the store needs no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), vector) }
}

/// [`weigh_columns`] for the version `Avx2`.
#[expect(unsafe_code, reason = "code for AVX2 may run only where AVX2 is")]
pub fn run_weigh_columns(gather: &Gather, matrix: Matrix, row: YuvRow<'_>, weighed: &mut WeighedRow) {
    // SAFETY: the version `Avx2` exists only where AVX2 was detected.
    unsafe { weigh_columns(gather, matrix, row, weighed) }
}

/// [`weigh_rows`] for the version `Avx2`.
#[expect(unsafe_code, reason = "code for AVX2 may run only where AVX2 is")]
pub fn run_weigh_rows(upper: &WeighedRow, lower: &WeighedRow, weights: [i16; 2], bgr: PlanesMut<'_>) {
    // SAFETY: as above.
    unsafe { weigh_rows(upper, lower, weights, bgr) }
}

/// [`compare`] for the version `Avx2`.
#[expect(unsafe_code, reason = "code for AVX2 may run only where AVX2 is")]
pub fn run_compare(bgr: Planes<'_>, before: Planes<'_>, now: PlanesMut<'_>) -> [u64; 3] {
    // SAFETY: as above.
    unsafe { compare(bgr, before, now) }
}
