//! Pictures as files for people: JPEG or PNG by the ending of the name.

use super::{Picture, jpeg_encoder};
use crate::error::MediaError;
use std::path::Path;

/// JPEG quality on libjpeg's scale.
const QUALITY: u8 = 90;

/// The formats that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// `.jpg`, `.jpeg`.
    Jpeg,
    /// `.png`.
    Png,
}

impl ImageFormat {
    /// Returns the format that the ending of a name stands for.
    ///
    /// # Errors
    /// A sentence with the endings that are written, for any other ending.
    pub fn of(path: &Path) -> Result<ImageFormat, String> {
        match path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).as_deref() {
            Some("jpg" | "jpeg") => Ok(ImageFormat::Jpeg),
            Some("png") => Ok(ImageFormat::Png),
            _ => Err("must end in .jpg, .jpeg or .png".to_owned()),
        }
    }
}

/// Writes a picture in the format of the name's ending.
///
/// # Errors
/// Another ending, a picture without pixels or too large for the format, or a file that cannot be
/// written.
pub fn write(picture: &Picture, path: &Path) -> Result<(), MediaError> {
    let format = ImageFormat::of(path)
        .map_err(|must| MediaError::permanent(format!("the name of the picture {} {must}", path.display())))?;
    let bytes = match format {
        ImageFormat::Jpeg => jpeg_encoder::encode(picture, QUALITY)?,
        ImageFormat::Png => png(picture)?,
    };
    std::fs::write(path, bytes).map_err(|error| MediaError::from_io("cannot write", path, &error))
}

/// Encodes a picture as PNG of 8-bit RGB.
fn png(picture: &Picture) -> Result<Vec<u8>, MediaError> {
    let failed =
        |error: png::EncodingError| MediaError::permanent(format!("cannot encode the picture as PNG: {error}"));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, picture.width, picture.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&picture.rgb).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_decides_the_format_and_others_are_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let picture = Picture { width: 2, height: 1, rgb: vec![255, 0, 0, 0, 0, 255].into() };
        for (name, begin) in
            [("a.jpg", &b"\xff\xd8\xff"[..]), ("a.JPEG", b"\xff\xd8\xff"), ("a.png", b"\x89PNG\r\n\x1a\n")]
        {
            let path = folder.path().join(name);
            write(&picture, &path).expect("room on disk");
            assert!(std::fs::read(&path).expect("just written").starts_with(begin), "{name}");
        }
        let decoder =
            png::Decoder::new(std::io::Cursor::new(std::fs::read(folder.path().join("a.png")).expect("written")));
        let mut reader = decoder.read_info().expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a small picture")];
        reader.next_frame(&mut pixels).expect("a frame");
        assert_eq!(pixels, &picture.rgb[..]);
        for name in ["a.bmp", "a", "jpg"] {
            let error = write(&picture, &folder.path().join(name)).expect_err(name).to_string();
            assert!(error.contains(".png"), "{error}");
            assert!(!folder.path().join(name).exists());
        }
    }
}
