//! JPEG files, decoded by libjpeg-turbo.
//!
//! FFmpeg leaves the chroma of a JPEG at half resolution, and swscale upsamples it differently from
//! libjpeg, which OpenCV, Pillow and most other programs use: enough to move a detector's boxes.
//! libjpeg-turbo returns exactly the pixels of those programs (mean difference on ordinary
//! photographs: swscale 0.6 to 0.8 of 255, libjpeg-turbo 0).

use crate::error::MediaError;
use crate::picture::{Picture, check_size};
use std::path::Path;
use turbojpeg::{Colorspace, Decompressor, Image, PixelFormat};

/// The largest file that is read as a JPEG, in bytes.
const MAX_JPEG_BYTES: u64 = 256 << 20;

/// The result of reading a file as a JPEG.
pub enum JpegFile {
    /// A complete picture, as stored: not yet rotated.
    Whole(Picture),
    /// A JPEG that is truncated or damaged, with the decoder's message. FFmpeg decodes what is left
    /// of it.
    Damaged(String),
    /// Not supported here: another format, or CMYK colours.
    Other,
}

/// Reads and decodes a JPEG file.
///
/// # Errors
/// A picture that exceeds the size limits, or a file that cannot be read.
pub fn read(path: &Path) -> Result<JpegFile, MediaError> {
    let cannot = |error: std::io::Error| MediaError::from_io("cannot read", path, &error);
    if std::fs::metadata(path).map_err(cannot)?.len() > MAX_JPEG_BYTES {
        return Ok(JpegFile::Other);
    }
    decode_any(&std::fs::read(path).map_err(cannot)?)
}

/// Decodes a JPEG that must be complete, such as a keyframe.
///
/// # Errors
/// Bytes that are not a JPEG, a damaged JPEG, or a picture that exceeds the size limits.
pub fn decode(jpeg: &[u8]) -> Result<Picture, MediaError> {
    match decode_any(jpeg)? {
        JpegFile::Whole(picture) => Ok(picture),
        JpegFile::Damaged(message) => Err(MediaError::permanent(format!("cannot decode the JPEG: {message}"))),
        JpegFile::Other => Err(MediaError::permanent("the image is not a JPEG in colour or greyscale")),
    }
}

fn decode_any(bytes: &[u8]) -> Result<JpegFile, MediaError> {
    if !bytes.starts_with(b"\xff\xd8\xff") {
        return Ok(JpegFile::Other);
    }
    let mut decoder =
        Decompressor::new().map_err(|error| MediaError::bug(format!("libjpeg-turbo does not start: {error}")))?;
    let header = match decoder.read_header(bytes) {
        Ok(header) => header,
        Err(error) => return Ok(JpegFile::Damaged(error.to_string())),
    };
    if !matches!(header.colorspace, Colorspace::YCbCr | Colorspace::Gray | Colorspace::RGB) {
        return Ok(JpegFile::Other);
    }
    let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let (width, height) = (side(header.width), side(header.height));
    check_size(width, height)?;
    let pitch = header.width * PixelFormat::RGB.size();
    let mut rgb = vec![0; pitch * header.height];
    let image = Image {
        pixels: rgb.as_mut_slice(),
        width: header.width,
        pitch,
        height: header.height,
        format: PixelFormat::RGB,
    };
    // Warnings are errors here: a picture that libjpeg had to guess is damaged.
    match decoder.decompress(bytes, image) {
        Ok(()) => Ok(JpegFile::Whole(Picture { width, height, rgb: rgb.into() })),
        Err(error) => Ok(JpegFile::Damaged(error.to_string())),
    }
}
