//! Baseline JPEG encoder, 4:4:4, with the tables of annex K of the standard.
//!
//! Encoding keyframes is a large part of the cost of a decode, and their bytes must not depend on
//! the machine. All arithmetic is on integers and 32-bit floats without fused operations, compiled
//! a second time for AVX2: the same bytes, several times faster.

use crate::error::MediaError;
use crate::picture::Picture;
use crate::picture::jpeg_tables::{
    CHROMA_STEPS, CODES, HUFFMAN, LUMA_STEPS, PLACES_TRANSPOSED, ZIGZAG, ZIGZAG_TRANSPOSED,
};

/// Pixels per row of a block.
const SIDE: usize = 8;
/// 8 x 8 numbers, row by row.
type Block = [[f32; SIDE]; SIDE];
/// Eight rows of numbers.
type Rows<T> = [Vec<T>; SIDE];

/// Encodes a picture with `quality` 1 to 100 on libjpeg's scale. No side may exceed 65,535 pixels.
pub fn encode(picture: &Picture, quality: u8) -> Result<Vec<u8>, MediaError> {
    encode_by(picture, quality, eight_rows)
}

/// Encodes eight rows of pixels.
type EightRows = fn([&[u8]; SIDE], &mut Strip, &mut Scan);

fn encode_by(picture: &Picture, quality: u8, eight_rows: EightRows) -> Result<Vec<u8>, MediaError> {
    let side = |n: u32| u16::try_from(n).map_err(|_| MediaError::bug(format!("a JPEG side of {n} pixels")));
    let (width, height) = (side(picture.width)?, side(picture.height)?);
    let tables = [scaled(&LUMA_STEPS, quality), scaled(&CHROMA_STEPS, quality)];
    let mut jpeg = Vec::with_capacity(picture.rgb.len() / 16 + 1024);
    head(&mut jpeg, width, height, &tables);
    let mut scan = Scan { bits: Bits { to: jpeg, pending: 0, count: 0 }, dc: [0; 3] };
    let mut strip = Strip::new(usize::from(width), &tables);
    let row = usize::from(width) * 3;
    for top in (0..usize::from(height)).step_by(SIDE) {
        // Repeats the last row below the picture.
        let line = |n: usize| &picture.rgb[(top + n).min(usize::from(height) - 1) * row..][..row];
        eight_rows(std::array::from_fn(line), &mut strip, &mut scan);
    }
    let mut jpeg = scan.bits.finish();
    jpeg.extend([0xff, 0xd9]);
    Ok(jpeg)
}

/// The fastest [`EightRows`] for this processor.
fn eight_rows(lines: [&[u8]; SIDE], strip: &mut Strip, scan: &mut Scan) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
        fn fast(lines: [&[u8]; SIDE], strip: &mut Strip, scan: &mut Scan) {
            eight_rows_by(lines, strip, scan, |block| transposed_by_shuffles(block));
        }
        let has = std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("bmi1")
            && std::arch::is_x86_feature_detected!("bmi2")
            && std::arch::is_x86_feature_detected!("lzcnt");
        if has {
            #[expect(unsafe_code, reason = "code compiled for a processor's features may run only where it has them")]
            // SAFETY: the features were just detected.
            unsafe {
                fast(lines, strip, scan)
            }
            return;
        }
    }
    eight_rows_anywhere(lines, strip, scan);
}

/// [`EightRows`] for any processor.
fn eight_rows_anywhere(lines: [&[u8]; SIDE], strip: &mut Strip, scan: &mut Scan) {
    eight_rows_by(lines, strip, scan, transposed);
}

#[inline(always)]
fn eight_rows_by(lines: [&[u8]; SIDE], strip: &mut Strip, scan: &mut Scan, transpose: impl Fn(&Block) -> Block) {
    for (y, line) in lines.into_iter().enumerate() {
        strip.convert(y, line);
    }
    for component in 0..3 {
        strip.transform(component, &transpose);
    }
    for block in 0..strip.padded / SIDE {
        for component in 0..3 {
            scan.block(component, &strip.steps[component], block * SIDE);
        }
    }
}

/// Converts eight rows of pixels to coefficients. Every loop runs over whole rows, so that
/// compilers vectorize it.
struct Strip {
    /// Pixels per row, rounded up to a multiple of eight.
    padded: usize,
    /// Y, Cb and Cr around zero.
    planes: [Rows<f32>; 3],
    /// Buffer for one component.
    spectrum: Rows<f32>,
    /// Buffer for one component, every block transposed.
    transposed: Rows<f32>,
    /// For luma and chroma: factors from scaled coefficients to quantization steps, in transposed
    /// blocks.
    factors: [Rows<f32>; 2],
    /// Quantized coefficients of each component, in transposed blocks.
    steps: [Rows<i32>; 3],
}

impl Strip {
    fn new(width: usize, tables: &[[u8; 64]; 2]) -> Self {
        let padded = width.next_multiple_of(SIDE);
        let rows = || std::array::from_fn(|_| vec![0.0; padded]);
        let tiled = |table: &[u8; 64]| factors(table).map(|row| row.repeat(padded / SIDE));
        Self {
            padded,
            planes: std::array::from_fn(|_| rows()),
            spectrum: rows(),
            transposed: rows(),
            factors: tables.each_ref().map(tiled),
            steps: std::array::from_fn(|_| std::array::from_fn(|_| vec![0; padded])),
        }
    }

    /// Takes row `y`: packed RGB.
    #[inline(always)]
    fn convert(&mut self, y: usize, rgb: &[u8]) {
        let [luma, blue, red] = &mut self.planes;
        let planes = luma[y].iter_mut().zip(&mut blue[y]).zip(&mut red[y]);
        for (pixel, ((luma, blue), red)) in rgb.as_chunks::<3>().0.iter().zip(planes) {
            let [r, g, b] = pixel.map(f32::from);
            *luma = 0.299 * r + 0.587 * g + 0.114 * b - 128.0;
            *blue = -0.168_735_9 * r - 0.331_264_1 * g + 0.5 * b;
            *red = 0.5 * r - 0.418_687_6 * g - 0.081_312_4 * b;
        }
        let pixels = rgb.len() / 3;
        for plane in &mut self.planes {
            // Repeats the last pixel to the right of the picture.
            let (row, beyond) = plane[y].split_at_mut(pixels);
            beyond.fill(row[pixels - 1]);
        }
    }

    /// Transforms and quantizes a component.
    #[inline(always)]
    fn transform(&mut self, component: usize, transpose: impl Fn(&Block) -> Block) {
        cosine_transform(&self.planes[component], &mut self.spectrum, self.padded);
        for at in (0..self.padded).step_by(SIDE) {
            let mut block = [[0.0; SIDE]; SIDE];
            for (to, row) in block.iter_mut().zip(&self.spectrum) {
                to.copy_from_slice(&row[at..at + SIDE]);
            }
            for (row, from) in self.transposed.iter_mut().zip(&transpose(&block)) {
                row[at..at + SIDE].copy_from_slice(from);
            }
        }
        cosine_transform(&self.transposed, &mut self.spectrum, self.padded);
        let rows = self.spectrum.iter().zip(&self.factors[component.min(1)]).zip(&mut self.steps[component]);
        for ((values, factors), steps) in rows {
            for ((value, factor), step) in values.iter().zip(factors).zip(steps) {
                let value = (value * factor).clamp(-1023.0, 1023.0);
                // Adding 1.5 x 2^23 leaves the value, rounded half to even, in the low bits.
                *step = ((value + 12_582_912.0).to_bits() as i32).wrapping_sub(0x4b40_0000);
            }
        }
    }
}

/// Transposes a block.
#[inline(always)]
fn transposed(block: &Block) -> Block {
    std::array::from_fn(|y| std::array::from_fn(|x| block[x][y]))
}

/// Transposes a block with AVX; compilers do not find these shuffles.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn transposed_by_shuffles(block: &Block) -> Block {
    use std::arch::x86_64::*;
    let [a, b, c, d, e, f, g, h] =
        block.each_ref().map(|row| _mm256_setr_ps(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7]));
    // Pairs of neighbours, then fours, in the lower and in the upper half of each vector; then the
    // halves.
    let pairs = |a, b, c, d| {
        let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let (next_low, next_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        [
            _mm256_shuffle_ps::<0b01_00_01_00>(low, next_low),
            _mm256_shuffle_ps::<0b11_10_11_10>(low, next_low),
            _mm256_shuffle_ps::<0b01_00_01_00>(high, next_high),
            _mm256_shuffle_ps::<0b11_10_11_10>(high, next_high),
        ]
    };
    let (upper, lower) = (pairs(a, b, c, d), pairs(e, f, g, h));
    let mut columns = [[0.0; SIDE]; SIDE];
    for n in 0..SIDE / 2 {
        columns[n] = floats(_mm256_permute2f128_ps::<0x20>(upper[n], lower[n]));
        columns[n + 4] = floats(_mm256_permute2f128_ps::<0x31>(upper[n], lower[n]));
    }
    columns
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
#[expect(unsafe_code, reason = "vector store")]
fn floats(vector: std::arch::x86_64::__m256) -> [f32; SIDE] {
    let mut floats = [0.0; SIDE];
    // SAFETY: 32 bytes of our own; the store needs no alignment.
    unsafe { std::arch::x86_64::_mm256_storeu_ps(floats.as_mut_ptr(), vector) };
    floats
}

/// The cosine transform of eight values, one in each row, for all columns (Arai, Agui and Nakajima:
/// scaled results, see [`factors`]).
#[inline(always)]
fn cosine_transform(from: &Rows<f32>, to: &mut Rows<f32>, columns: usize) {
    let v: [&[f32]; SIDE] = from.each_ref().map(|row| &row[..columns]);
    let t: [&mut [f32]; SIDE] = to.each_mut().map(|row| &mut row[..columns]);
    for x in 0..columns {
        let (s07, s16, s25, s34) = (v[0][x] + v[7][x], v[1][x] + v[6][x], v[2][x] + v[5][x], v[3][x] + v[4][x]);
        let (d07, d16, d25, d34) = (v[0][x] - v[7][x], v[1][x] - v[6][x], v[2][x] - v[5][x], v[3][x] - v[4][x]);
        // Even.
        let (outer, inner) = (s07 + s34, s16 + s25);
        let (outer_difference, inner_difference) = (s07 - s34, s16 - s25);
        let rotated = (inner_difference + outer_difference) * 0.707_106_77;
        t[0][x] = outer + inner;
        t[4][x] = outer - inner;
        t[2][x] = outer_difference + rotated;
        t[6][x] = outer_difference - rotated;
        // Odd.
        let (low, middle, high) = (d34 + d25, (d25 + d16) * 0.707_106_77, d16 + d07);
        let common = (low - high) * 0.382_683_43;
        let (low, high) = (low * 0.541_196_1 + common, high * 1.306_563 + common);
        let (plus, minus) = (d07 + middle, d07 - middle);
        t[5][x] = minus + low;
        t[3][x] = minus - low;
        t[1][x] = plus + high;
        t[7][x] = plus - high;
    }
}

/// The entropy-coded part of the file.
struct Scan {
    bits: Bits,
    /// First coefficient of the last block, for each component.
    dc: [i32; 3],
}

impl Scan {
    /// Writes the block that starts at a column.
    #[inline(always)]
    fn block(&mut self, component: usize, steps: &Rows<i32>, column: usize) {
        let mut block = [0i32; 64];
        for (to, row) in block.chunks_exact_mut(SIDE).zip(steps) {
            to.copy_from_slice(&row[column..column + SIDE]);
        }
        // Marks the nonzero coefficients in the order of frequency. Most rows are all zero.
        let mut nonzero = 0u64;
        for (row, places) in block.as_chunks::<SIDE>().0.iter().zip(PLACES_TRANSPOSED.as_chunks::<SIDE>().0) {
            if row.iter().fold(0, |any, value| any | value) != 0 {
                for (value, place) in row.iter().zip(places) {
                    nonzero |= u64::from(*value != 0) << place;
                }
            }
        }
        let codes = &CODES[component.min(1)];
        let difference = block[0] - std::mem::replace(&mut self.dc[component], block[0]);
        self.bits.put(codes.dc[magnitude(difference) as usize], difference);
        let (mut rest, mut before) = (nonzero & !1, 0);
        while rest != 0 {
            let at = rest.trailing_zeros();
            rest &= rest - 1;
            let mut zeros = at - before - 1;
            before = at;
            while zeros > 15 {
                self.bits.put(codes.ac[0xf0], 0);
                zeros -= 16;
            }
            let value = block[usize::from(ZIGZAG_TRANSPOSED[at as usize])];
            self.bits.put(codes.ac[(zeros << 4 | magnitude(value)) as usize], value);
        }
        if before != 63 {
            self.bits.put(codes.ac[0], 0);
        }
    }
}

/// Returns the bits that a value needs.
#[inline(always)]
fn magnitude(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}

/// Collects bits into bytes.
struct Bits {
    to: Vec<u8>,
    pending: u64,
    count: u32,
}

impl Bits {
    /// Writes a code and its value in as many bits as its magnitude; negative values in ones'
    /// complement.
    #[inline(always)]
    fn put(&mut self, (code, length): (u16, u8), value: i32) {
        let size = magnitude(value);
        let value = (value + (value >> 31)) as u32 & ((1 << size) - 1);
        self.push(u32::from(code) << size | value, u32::from(length) + size);
    }

    /// Writes at most 32 bits.
    #[inline(always)]
    fn push(&mut self, bits: u32, count: u32) {
        self.pending = self.pending << count | u64::from(bits);
        self.count += count;
        if self.count >= 32 {
            self.count -= 32;
            self.bytes(((self.pending >> self.count) as u32).to_be_bytes());
        }
    }

    /// Writes four bytes, with a zero after each 0xff.
    #[inline(always)]
    fn bytes(&mut self, bytes: [u8; 4]) {
        if bytes.contains(&0xff) {
            for byte in bytes {
                self.to.push(byte);
                if byte == 0xff {
                    self.to.push(0);
                }
            }
        } else {
            self.to.extend(bytes);
        }
    }

    /// Fills the last byte with ones.
    fn finish(mut self) -> Vec<u8> {
        while !self.count.is_multiple_of(8) {
            self.push(1, 1);
        }
        for n in (0..self.count / 8).rev() {
            let byte = (self.pending >> (8 * n)) as u8;
            self.to.push(byte);
            if byte == 0xff {
                self.to.push(0);
            }
        }
        self.to
    }
}

/// Scales a quantization table to a quality, on the scale of the Independent JPEG Group, in natural
/// order.
fn scaled(table: &[u8; 64], quality: u8) -> [u8; 64] {
    let quality = i32::from(quality.clamp(1, 100));
    let percent = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    table.map(|step| ((i32::from(step) * percent + 50) / 100).clamp(1, 255) as u8)
}

/// Returns the reciprocals of the steps and of the transform's scale, transposed.
fn factors(table: &[u8; 64]) -> [[f32; SIDE]; SIDE] {
    const SCALE: [f64; SIDE] =
        [1.0, 1.387_039_845, 1.306_562_965, 1.175_875_602, 1.0, 0.785_694_958, 0.541_196_1, 0.275_899_379];
    let factor = |x: usize, y: usize| 1.0 / (f64::from(table[y * SIDE + x]) * SCALE[x] * SCALE[y] * 8.0);
    std::array::from_fn(|x| std::array::from_fn(|y| factor(x, y) as f32))
}

/// Writes the headers before the entropy-coded part.
fn head(jpeg: &mut Vec<u8>, width: u16, height: u16, tables: &[[u8; 64]; 2]) {
    jpeg.extend([0xff, 0xd8]);
    let mut segment = |marker: u8, parts: &[&[u8]]| {
        let length: usize = parts.iter().map(|part| part.len()).sum::<usize>() + 2;
        jpeg.extend([0xff, marker]);
        jpeg.extend((length as u16).to_be_bytes());
        parts.iter().for_each(|part| jpeg.extend_from_slice(part));
    };
    segment(0xe0, &[b"JFIF\0", &[1, 1, 0, 0, 1, 0, 1, 0, 0]]);
    for (number, table) in tables.iter().enumerate() {
        segment(0xdb, &[&[number as u8], &ZIGZAG.map(|at| table[usize::from(at)])]);
    }
    let ([h0, h1], [w0, w1]) = (height.to_be_bytes(), width.to_be_bytes());
    segment(0xc0, &[&[8, h0, h1, w0, w1, 3], &[1, 0x11, 0], &[2, 0x11, 1], &[3, 0x11, 1]]);
    for (number, kind) in HUFFMAN.iter().enumerate() {
        let number = number as u8;
        segment(0xc4, &[&[number], &kind.dc.lengths, kind.dc.symbols]);
        segment(0xc4, &[&[0x10 | number], &kind.ac.lengths, kind.ac.symbols]);
    }
    // The scan: all three components, all coefficients at once.
    jpeg.extend([0xff, 0xda, 0, 12, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::jpeg_decoder;

    /// Smooth colours with some sharp edges and noise.
    fn picture(width: u32, height: u32) -> Picture {
        let mut noise = 7u32;
        let mut pixel = |x: u32, y: u32| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let edge = if (x / 13 + y / 9).is_multiple_of(4) { 70 } else { 0 };
            [x * 255 / width, y * 255 / height, 128 + edge].map(|c| (c + (noise >> 29)).min(255) as u8)
        };
        let rgb: Vec<u8> = (0..width * height).flat_map(|n| pixel(n % width, n / width)).collect();
        Picture { width, height, rgb: rgb.into() }
    }

    #[test]
    fn a_decoder_reproduces_the_picture_at_every_size() {
        for (width, height) in [(1, 1), (7, 9), (8, 8), (16, 17), (33, 5), (320, 180), (427, 239)] {
            let picture = picture(width, height);
            for (quality, allowed) in [(100, 0.8), (95, 2.0), (50, 8.0), (1, 60.0)] {
                let jpeg = encode(&picture, quality).expect("a small picture");
                let seen = jpeg_decoder::decode(&jpeg).expect("a valid file");
                assert_eq!((seen.width, seen.height), (width, height));
                let seen = &seen.rgb;
                let error: u64 = seen.iter().zip(&picture.rgb[..]).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
                let mean = error as f64 / seen.len() as f64;
                assert!(mean <= allowed, "{width}x{height} at {quality}: mean error {mean}");
            }
        }
    }

    #[test]
    fn extreme_values_stay_within_the_codes() {
        let checks = |x: usize, y: usize| [255u8, 0][(x + y) % 2];
        for pixel in [&checks as &dyn Fn(usize, usize) -> u8, &|x, _| [0, 255][x / 4 % 2], &|_, _| 0, &|_, _| 255] {
            let rgb: Vec<u8> =
                (0..64 * 64).flat_map(|n| [pixel(n % 64, n / 64), 255 - pixel(n % 64, n / 64), 128]).collect();
            let picture = Picture { width: 64, height: 64, rgb: rgb.into() };
            let jpeg = encode(&picture, 100).expect("a small picture");
            let seen = jpeg_decoder::decode(&jpeg).expect("a valid file");
            assert!(seen.rgb.iter().zip(&picture.rgb[..]).all(|(a, b)| a.abs_diff(*b) <= 4));
        }
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_processor() {
        for (width, height) in [(320, 180), (61, 33)] {
            let picture = picture(width, height);
            for quality in [1, 30, 95, 100] {
                let portable = encode_by(&picture, quality, eight_rows_anywhere).expect("a small picture");
                assert!(portable == encode(&picture, quality).expect("a small picture"), "{width}x{height} {quality}");
            }
        }
    }
}
