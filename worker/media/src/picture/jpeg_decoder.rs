//! JPEGs, decoded by libjpeg-turbo, and how any photograph is turned.
//!
//! FFmpeg leaves the colours of a JPEG at half the picture's resolution and swscale enlarges them otherwise than libjpeg does, by which
//! OpenCV, Pillow and most other programs read pictures: enough to move the boxes of a detector. libjpeg-turbo gives the very pixels of those
//! programs (mean difference on ordinary photographs: swscale 0.6 to 0.8 of 255, libjpeg-turbo 0).

use crate::error::MediaError;
use crate::picture::orientation::Orientation;
use crate::picture::{Picture, check_size};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use turbojpeg::{Colorspace, Decompressor, Image, PixelFormat};

/// The longest file that is read as a JPEG.
const LONGEST: u64 = 256 << 20;

/// What a file is as a JPEG.
pub enum Photograph {
    /// Decoded to its end, as stored: not yet turned.
    Whole(Picture),
    /// A JPEG that ends too early or is damaged, with the decoder's words: FFmpeg shows what can be seen of it.
    Damaged(String),
    /// Not one of those that are read here (another format, or inks in place of colours).
    Other,
}

/// Decodes the JPEG in a file.
///
/// # Errors
/// A picture beyond the limits on pictures, or a file that cannot be read.
pub fn read(path: &Path) -> Result<Photograph, MediaError> {
    let cannot = |error: std::io::Error| MediaError::from_io("cannot read", path, &error);
    if std::fs::metadata(path).map_err(cannot)?.len() > LONGEST {
        return Ok(Photograph::Other);
    }
    look(&std::fs::read(path).map_err(cannot)?)
}

/// Decodes a JPEG that must be whole, as keyframes are.
///
/// # Errors
/// Bytes that are no JPEG, a damaged one, a picture beyond the limits on pictures.
pub fn decode(jpeg: &[u8]) -> Result<Picture, MediaError> {
    match look(jpeg)? {
        Photograph::Whole(picture) => Ok(picture),
        Photograph::Damaged(words) => Err(MediaError::permanent(format!("the JPEG cannot be decoded: {words}"))),
        Photograph::Other => Err(MediaError::permanent("a picture that is no JPEG of colours or greys")),
    }
}

fn look(bytes: &[u8]) -> Result<Photograph, MediaError> {
    if !bytes.starts_with(b"\xff\xd8\xff") {
        return Ok(Photograph::Other);
    }
    let mut decoder =
        Decompressor::new().map_err(|error| MediaError::bug(format!("libjpeg-turbo does not start: {error}")))?;
    let header = match decoder.read_header(bytes) {
        Ok(header) => header,
        Err(error) => return Ok(Photograph::Damaged(error.to_string())),
    };
    if !matches!(header.colorspace, Colorspace::YCbCr | Colorspace::Gray | Colorspace::RGB) {
        return Ok(Photograph::Other);
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
    // Warnings are errors here: a picture that libjpeg had to guess at is damaged.
    match decoder.decompress(bytes, image) {
        Ok(()) => Ok(Photograph::Whole(Picture { width, height, rgb: rgb.into() })),
        Err(error) => Ok(Photograph::Damaged(error.to_string())),
    }
}

/// The turn that the EXIF data of a picture's file asks for, whatever the format; as stored without such data.
pub fn turn(path: &Path) -> Orientation {
    let read = || {
        let file = BufReader::new(File::open(path).ok()?);
        let exif = exif::Reader::new().read_from_container(&mut { file }).ok()?;
        exif.get_field(exif::Tag::Orientation, exif::In::PRIMARY)?.value.get_uint(0)
    };
    read().map_or_else(Orientation::default, Orientation::of_exif)
}
