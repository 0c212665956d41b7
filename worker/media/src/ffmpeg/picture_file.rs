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
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Chunks of a PNG that are looked at before its first picture.
const MAX_CHUNKS: usize = 1_000;

/// Returns the demuxer for a file that begins like a single image; none for all other files.
///
/// # Errors
/// Permanent for images that FFmpeg would read wrongly: animated WebP, JPEG in TIFF.
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
