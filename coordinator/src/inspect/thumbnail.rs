//! Small JPEGs of stored keyframes.

use jhalak_common::{Error, Result};
use turbojpeg::{Compressor, Decompressor, Image, PixelFormat, ScalingFactor, Subsamp};

/// Largest width and height of a stored keyframe that is read, in pixels.
const MAX_SIDE: usize = 16_384;
/// Most pixels of a stored keyframe that is read.
const MAX_PIXELS: usize = 8192 * 8192;

/// A small picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// Pixels per row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
    /// The JPEG.
    pub jpeg: Vec<u8>,
    /// Width and height of the picture that it was made from.
    pub of: [usize; 2],
}

/// Reduces a JPEG to at least `width` pixels, and to less than twice as many, in its longer side,
/// and encodes it with `quality` 1 to 100. A smaller picture keeps its size.
///
/// # Errors
/// InvalidInput for bytes that are not a JPEG, are damaged, or show a picture of more than
/// 8192 x 8192 pixels.
pub fn thumbnail(jpeg: &[u8], width: usize, quality: u8) -> Result<Thumbnail> {
    let failed = |error: turbojpeg::Error| Error::invalid("a stored keyframe is not a JPEG").with_source(error);
    let mut decoder = Decompressor::new().map_err(failed)?;
    let header = decoder.read_header(jpeg).map_err(failed)?;
    let (full_width, full_height) = (header.width, header.height);
    if full_width.max(full_height) > MAX_SIDE || full_width.saturating_mul(full_height) > MAX_PIXELS {
        return Err(Error::invalid(format!("a stored keyframe has {full_width}x{full_height} pixels")));
    }
    let longest = full_width.max(full_height);
    let eighths = (1..8).find(|n| ScalingFactor::new(*n, 8).scale(longest) >= width).unwrap_or(8);
    decoder.set_scaling_factor(ScalingFactor::new(eighths, 8)).map_err(failed)?;
    let scaled = header.scaled(decoder.scaling_factor());
    let mut picture = Image {
        pixels: vec![0; scaled.width * scaled.height * 3],
        width: scaled.width,
        pitch: scaled.width * 3,
        height: scaled.height,
        format: PixelFormat::RGB,
    };
    decoder.decompress(jpeg, picture.as_deref_mut()).map_err(failed)?;
    while picture.width.max(picture.height) >= 2 * width && picture.width.min(picture.height) >= 2 {
        picture = halved(&picture);
    }
    let mut encoder = Compressor::new().map_err(failed)?;
    encoder.set_quality(i32::from(quality.clamp(1, 100))).map_err(failed)?;
    encoder.set_subsamp(Subsamp::Sub2x2).map_err(failed)?;
    encoder.set_optimize(true).map_err(failed)?;
    let jpeg = encoder.compress_to_vec(picture.as_deref()).map_err(failed)?;
    Ok(Thumbnail { width: picture.width, height: picture.height, jpeg, of: [full_width, full_height] })
}

/// Averages blocks of four pixels; an odd last row or column is dropped.
fn halved(picture: &Image<Vec<u8>>) -> Image<Vec<u8>> {
    let (width, height) = (picture.width / 2, picture.height / 2);
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let at = |dx: usize, dy: usize| {
                    u16::from(picture.pixels[(2 * y + dy) * picture.pitch + (2 * x + dx) * 3 + channel])
                };
                pixels.push(((at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1) + 2) / 4) as u8);
            }
        }
    }
    Image { pixels, width, pitch: width * 3, height, format: PixelFormat::RGB }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg(width: usize, height: usize) -> Vec<u8> {
        let pixels: Vec<u8> = (0..width * height * 3).map(|n| (n % 251) as u8).collect();
        let image = Image { pixels: &pixels[..], width, pitch: width * 3, height, format: PixelFormat::RGB };
        turbojpeg::compress(image, 90, Subsamp::None).expect("a picture").to_vec()
    }

    #[test]
    fn pictures_of_any_size_become_small_and_damaged_ones_are_refused() {
        for (width, height, small) in
            [(640, 360, [240, 135]), (1920, 804, [240, 101]), (4000, 100, [250, 6]), (64, 48, [64, 48]), (1, 9, [1, 9])]
        {
            let found = thumbnail(&jpeg(width, height), 208, 60).expect("a JPEG");
            assert_eq!(([found.width, found.height], found.of), (small, [width, height]));
            assert!(found.jpeg.starts_with(b"\xff\xd8"));
        }
        assert!(thumbnail(b"not a jpeg", 208, 60).is_err());
        assert!(thumbnail(&jpeg(64, 64)[..30], 208, 60).is_err());
    }
}
