//! JPEG photographs, decoded as libjpeg decodes them, and how any photograph is turned.
//!
//! FFmpeg leaves the colours of a JPEG at half the picture's resolution and swscale enlarges them otherwise than libjpeg does, by which
//! OpenCV, Pillow and most other programs read pictures: enough to move the boxes of a detector. (Mean difference to libjpeg on ordinary
//! photographs: swscale 0.6 to 0.8 of 255, zune-jpeg 0.1 and less.)

use super::error::MediaError;
use super::orientation::Orientation;
use super::picture::{Picture, check_size};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// The longest file that is read as a JPEG.
const LONGEST: u64 = 256 << 20;

/// What a file is as a JPEG.
pub enum Photograph {
    /// Decoded to its end, as stored: not yet turned.
    Whole(Picture),
    /// A JPEG that ends too early or breaks its own rules, with the decoder's words: FFmpeg shows what can be seen of it.
    Damaged(String),
    /// Not one of those that are read here (another format, or inks in place of colours).
    Other,
}

/// Decodes a JPEG.
///
/// # Errors
/// A picture beyond the limits on pictures, or a file that cannot be read.
pub fn read(path: &Path) -> Result<Photograph, MediaError> {
    let cannot = |error: std::io::Error| MediaError::from_io("cannot read", path, &error);
    if std::fs::metadata(path).map_err(cannot)?.len() > LONGEST {
        return Ok(Photograph::Other);
    }
    let bytes = std::fs::read(path).map_err(cannot)?;
    if !bytes.starts_with(b"\xff\xd8\xff") {
        return Ok(Photograph::Other);
    }
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes.as_slice()), options);
    if let Err(error) = decoder.decode_headers() {
        return Ok(Photograph::Damaged(error.to_string()));
    }
    let Some((info, stored)) = decoder.info().zip(decoder.input_colorspace()) else { return Ok(Photograph::Other) };
    if !matches!(stored, ColorSpace::YCbCr | ColorSpace::Luma | ColorSpace::RGB) {
        return Ok(Photograph::Other);
    }
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    check_size(width, height)?;
    match decoder.decode() {
        Ok(rgb) if rgb.len() == width as usize * height as usize * 3 => {
            Ok(Photograph::Whole(Picture { width, height, rgb: rgb.into() }))
        }
        Ok(_) => Ok(Photograph::Other),
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
