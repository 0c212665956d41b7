//! JPEG files, encoded by libjpeg-turbo: baseline, 4:4:4, standard Huffman tables.
//!
//! The bytes must not depend on the machine. libjpeg-turbo's accurate integer cosine transform, the
//! default of its TurboJPEG 3 interface, gives the same bytes in vector and in portable code; its
//! fast transform does not.

use crate::error::MediaError;
use crate::picture::Picture;
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

/// Longest side of a JPEG that libjpeg writes, in pixels.
const MAX_JPEG_SIDE: u32 = 65_500;

/// Encodes a picture with `quality` 1 to 100 on libjpeg's scale.
///
/// # Errors
/// A picture without pixels or with a side over 65,500 pixels, or not enough memory.
pub fn encode(picture: &Picture, quality: u8) -> Result<Vec<u8>, MediaError> {
    let (width, height) = (picture.width, picture.height);
    if width.min(height) == 0 || width.max(height) > MAX_JPEG_SIDE {
        let message = format!(
            "a JPEG cannot hold a picture of {width}x{height} pixels: each side must have 1 to {MAX_JPEG_SIDE} pixels"
        );
        return Err(MediaError::permanent(message));
    }
    let pitch = width as usize * PixelFormat::RGB.size();
    let image = Image {
        pixels: &picture.rgb[..],
        width: width as usize,
        pitch,
        height: height as usize,
        format: PixelFormat::RGB,
    };
    compress(image, quality).map_err(|error| failed(&error, width, height))
}

fn compress(image: Image<&[u8]>, quality: u8) -> turbojpeg::Result<Vec<u8>> {
    let mut compressor = Compressor::new()?;
    compressor.set_quality(i32::from(quality.clamp(1, 100)))?;
    compressor.set_subsamp(Subsamp::None)?;
    compressor.compress_to_vec(image)
}

/// Classifies an error for a picture of valid size: libjpeg then fails only for want of memory.
fn failed(error: &turbojpeg::Error, width: u32, height: u32) -> MediaError {
    let message = format!("cannot encode a picture of {width}x{height} pixels as JPEG: {error}");
    if matches!(error, turbojpeg::Error::Null) || message.to_lowercase().contains("memory") {
        return MediaError::MemoryExceeded { limit_mb: 0, message };
    }
    MediaError::bug(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::jpeg_decoder;
    use jhalak_common::hash;
    use std::process::Command;

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

    fn mean_squared_error(a: &[u8], b: &[u8]) -> f64 {
        assert_eq!(a.len(), b.len());
        let squares: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
        squares as f64 / a.len() as f64
    }

    #[test]
    fn decoded_picture_is_near_the_original_at_every_size() {
        for (width, height) in [(1, 1), (7, 9), (8, 8), (16, 17), (33, 5), (320, 180), (427, 239)] {
            let picture = picture(width, height);
            for (quality, allowed) in [(100, 1.0), (95, 7.0), (50, 60.0), (1, 1500.0)] {
                let jpeg = encode(&picture, quality).expect("a small picture");
                let seen = jpeg_decoder::decode(&jpeg).expect("a valid file");
                assert_eq!((seen.width, seen.height), (width, height));
                let error = mean_squared_error(&seen.rgb, &picture.rgb);
                assert!(error <= allowed, "{width}x{height} at {quality}: mean squared error {error}");
            }
        }
    }

    #[test]
    fn extreme_values_survive_the_highest_quality() {
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

    /// Other bytes for the same picture need a new contract of `ArtifactKind::Keyframes`.
    #[test]
    fn bytes_are_those_of_the_contract() {
        let jpegs: Vec<Vec<u8>> = [(320, 180), (61, 33)]
            .into_iter()
            .flat_map(|(width, height)| [1, 30, 95, 100].map(|quality| (picture(width, height), quality)))
            .map(|(picture, quality)| encode(&picture, quality).expect("a small picture"))
            .collect();
        assert_eq!(
            hash::of_bytes(&jpegs.concat()).to_string(),
            "63e2ccd8582fe076e72e1270110c2d57b2f4b81fa25d24498ae30889c455eedd"
        );
    }

    #[test]
    fn bytes_do_not_depend_on_the_processor() {
        let name = "picture::jpeg_encoder::tests::bytes_are_those_of_the_contract";
        let tests = std::env::current_exe().expect("the path of the tests");
        for variable in ["JSIMD_FORCENONE", "JSIMD_FORCESSE2", "JSIMD_NOHUFFENC"] {
            let output = Command::new(&tests).args(["--exact", name]).env(variable, "1").output().expect("it starts");
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && printed.contains("1 passed"), "{variable}: {printed}");
        }
    }

    #[test]
    fn bytes_do_not_depend_on_the_thread() {
        let picture = picture(427, 239);
        let jpegs: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| encode(&picture, 95))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic").expect("a small picture")).collect()
        });
        let here = encode(&picture, 95).expect("a small picture");
        assert!(jpegs.iter().all(|jpeg| *jpeg == here));
    }

    #[test]
    fn picture_that_no_jpeg_holds_is_refused() {
        for (width, height) in [(0, 0), (1, 65_501)] {
            let rgb = vec![0; width as usize * height as usize * 3];
            let error = encode(&Picture { width, height, rgb: rgb.into() }, 95).expect_err("its size");
            assert!(matches!(error, MediaError::Permanent { .. }), "{error}");
            assert!(error.to_string().contains("65500"), "{error}");
        }
    }
}
