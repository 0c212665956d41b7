//! Files that begin like an image: which demuxer reads them, and those that are something else.

use crate::error::MediaError;
use ffmpeg::ffi;
use ffmpeg_next as ffmpeg;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Accepted image formats where frames are requested: the first bytes, and the demuxer for a single
/// image. FFmpeg's own choice by file name could read a sequence of files.
const PICTURES: [(&[u8], &std::ffi::CStr); 5] = [
    (b"\xff\xd8\xff", c"jpeg_pipe"),
    (PNG, c"png_pipe"),
    (b"BM", c"bmp_pipe"),
    (b"II*\0", c"tiff_pipe"),
    (b"MM\0*", c"tiff_pipe"),
];
/// Images that are not read: the first bytes, and the format.
const UNREAD: [(&[u8], &str); 10] = [
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"P1", PNM),
    (b"P2", PNM),
    (b"P3", PNM),
    (b"P4", PNM),
    (b"P5", PNM),
    (b"P6", PNM),
];
const PNM: &str = "a PNM image (PBM, PGM, PPM)";
/// The end of a TGA of version 2.
const TGA: &[u8] = b"TRUEVISION-XFILE.\0";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Chunks of a PNG that are looked at before its first picture.
const MAX_CHUNKS: usize = 1_000;

/// Returns the demuxer for a file that begins like a single image; none for all other files.
///
/// # Errors
/// Permanent for images that FFmpeg would read wrongly: animated WebP, JPEG in TIFF; and for
/// images of formats that are not read, which have no other meaning.
#[expect(unsafe_code, reason = "ffmpeg-next cannot look a demuxer up by its name")]
pub fn demuxer(path: &Path) -> Result<Option<ffmpeg::format::Input>, MediaError> {
    let mut head = [0; 32];
    // A file that cannot be read gets its error when it is opened.
    let Ok(mut file) = File::open(path) else { return Ok(None) };
    let Ok(read) = file.read(&mut head) else { return Ok(None) };
    let head = &head[..read];
    let refuse = |what: &str, way: &str| {
        Err(MediaError::permanent(format!("the file is {what}, which cannot be read here: {way}")))
    };
    let is_pnm = |format: &str| format != PNM || head.get(2).is_some_and(u8::is_ascii_whitespace);
    let unread =
        UNREAD.iter().find(|(magic, format)| head.starts_with(magic) && is_pnm(format)).map(|(_, format)| *format);
    if let Some(format) = unread.or_else(|| is_tga(&mut file, path).then_some("a TGA image")) {
        return refuse(format, "convert it to PNG or JPEG");
    }
    let is_webp = head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP");
    // The extended header has flags: bit 1 is animation.
    if is_webp && head.get(12..16) == Some(b"VP8X") && head.get(20).is_some_and(|flags| flags & 2 != 0) {
        return refuse("an animated WebP", "convert it to a video (MP4, WebM) or an animated PNG or GIF");
    }
    if head.starts_with(PNG) && is_animated(&mut file).unwrap_or(false) {
        return Ok(None);
    }
    let is_tiff = head.starts_with(b"II*\0") || head.starts_with(b"MM\0*");
    if is_tiff && matches!(tiff_compression(&mut file, head), Some(6 | 7)) {
        return refuse(
            "a TIFF with JPEG compression",
            "store it as JPEG or PNG, or as TIFF with LZW or no compression",
        );
    }
    let known = PICTURES.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| *name);
    let Some(name) = known.or(is_webp.then_some(c"webp_pipe")) else { return Ok(None) };
    // SAFETY: the name ends in a zero; the demuxer that is found is static and never freed.
    let format = unsafe { ffi::av_find_input_format(name.as_ptr()) };
    // SAFETY: as above; the wrapper only reads.
    Ok((!format.is_null()).then(|| unsafe { ffmpeg::format::Input::wrap(format.cast_mut()) }))
}

/// Whether a file ends as a TGA, or is one by its name and header.
fn is_tga(file: &mut File, path: &Path) -> bool {
    let mut end = [0; TGA.len()];
    let has_end = file.seek(SeekFrom::End(-(TGA.len() as i64))).and_then(|_| file.read_exact(&mut end)).is_ok();
    if has_end && end == TGA {
        return true;
    }
    let mut head = [0; 18];
    let is_named = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tga"));
    let is_read = is_named && file.rewind().and_then(|()| file.read_exact(&mut head)).is_ok();
    // Colour map or not, a known type, 8 to 32 bits for a pixel.
    is_read && head[1] <= 1 && matches!(head[2], 1..=3 | 9..=11) && matches!(head[16], 8 | 15 | 16 | 24 | 32)
}

/// Whether a PNG announces an animation before its first picture.
fn is_animated(file: &mut File) -> std::io::Result<bool> {
    file.seek(SeekFrom::Start(PNG.len() as u64))?;
    for _ in 0..MAX_CHUNKS {
        let mut header = [0; 8];
        file.read_exact(&mut header)?;
        let (length, kind) = header.split_at(4);
        match kind {
            b"acTL" => return Ok(true),
            b"IDAT" | b"IEND" => return Ok(false),
            _ => {
                let length = length.iter().fold(0i64, |sum, &byte| sum << 8 | i64::from(byte));
                file.seek(SeekFrom::Current(length + 4))?;
            }
        }
    }
    Ok(false)
}

/// Returns the compression of a TIFF's first picture.
fn tiff_compression(file: &mut File, head: &[u8]) -> Option<u32> {
    let is_little = head.starts_with(b"II");
    let number = |bytes: &[u8]| {
        let fold = |sum: u32, &byte: &u8| sum << 8 | u32::from(byte);
        if is_little { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) }
    };
    file.seek(SeekFrom::Start(number(head.get(4..8)?).into())).ok()?;
    let mut count = [0; 2];
    file.read_exact(&mut count).ok()?;
    for _ in 0..number(&count) {
        let mut entry = [0; 12];
        file.read_exact(&mut entry).ok()?;
        if number(&entry[..2]) == 259 {
            return Some(number(&entry[8..10]));
        }
    }
    None
}
