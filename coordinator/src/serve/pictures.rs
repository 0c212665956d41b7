//! Keyframes out of their archives in the store, as they are, or small as the poster of a trailer.

use bytes::{Bytes, BytesMut};
use jhalak_common::artifact::{self, ArtifactKey, CommitRecord, Recipe, Subject};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};
use jhalak_worker::blocking;
use jhalak_worker::media::keyframes::archive::FILE_NAME;
use jhalak_worker::media::picture::resample::{self, Filter};
use jhalak_worker::media::picture::{Picture, jpeg_decoder, jpeg_encoder};

use super::site::{Site, Which};

/// The size of posters.
const THUMB_WIDTH: u32 = 320;
const THUMB_HEIGHT: u32 = 180;
const THUMB_QUALITY: u8 = 80;

/// Bytes that are read of an archive at a time, until the picture is found.
const PIECE: u64 = 256 << 10;

/// Bytes of an archive among whose pictures the poster is chosen.
const POSTER_BYTES: u64 = 4 << 20;

/// A member of a tar starts with a block of this size and fills whole blocks.
const BLOCK: usize = 512;

/// Largest archive that is read.
const MAX_ARCHIVE_BYTES: u64 = 128 << 20;

/// Returns a picture of an artifact of keyframes in `store` as JPEG.
///
/// # Errors
/// NotFound where the artifact or the picture does not exist.
pub async fn keyframe(
    site: &Site,
    store: &dyn ObjectStore,
    recipe: &Recipe,
    subject: &Subject,
    which: Which,
) -> Result<Bytes> {
    let key = ArtifactKey::new(recipe, subject);
    let cached = |which| (key.folder(), which);
    if let Some(bytes) = site.pictures.get(&cached(which)) {
        return Ok(bytes);
    }
    let record = artifact::committed(store, &key)
        .await?
        .ok_or_else(|| Error::not_found(format!("{} has no keyframes yet", subject.id)))?;
    let bytes = match which {
        // A reader of one keyframe soon asks for the others.
        Which::Number(number) => {
            let passed = |number, bytes| site.pictures.put(cached(Which::Number(number)), bytes);
            of_record(store, &record, number, passed).await?
        }
        Which::Poster => {
            let whole = poster(store, &record).await?;
            let closed = |e| Error::bug("the server is closing").with_source(e);
            let _permit = site.scaling.acquire().await.map_err(closed)?;
            blocking::compute(move || scaled(&whole)).await?
        }
    };
    site.pictures.put(cached(which), bytes.clone());
    Ok(bytes)
}

/// Returns the picture that shows most: the longest JPEG of the archive's first bytes. Trailers
/// begin with black, and black pictures complete a set.
async fn poster(store: &dyn ObjectStore, record: &CommitRecord) -> Result<Bytes> {
    let key = ArtifactKey::new(&record.recipe, &record.subject);
    let file = record.files.iter().find(|file| file.name == FILE_NAME && file.size > 0);
    let missing = || Error::not_found(format!("{} has no keyframes", key.subject.id));
    let file = file.ok_or_else(missing)?;
    let read = store.get_range(&file.key(&key), 0..file.size.min(POSTER_BYTES)).await?;
    let pictures = record.facts["keyframes"].as_array().map_or(0, Vec::len);
    let longest = (0..pictures)
        .filter_map(|number| match find(&read, number) {
            Found::At(start, end) => Some((end - start, number, start)),
            _ => None,
        })
        .max_by_key(|(length, number, _)| (*length, std::cmp::Reverse(*number)));
    let (length, _, start) = longest.ok_or_else(missing)?;
    Ok(read.slice(start..start + length))
}

/// Reads keyframe `number` of a committed archive. `passed` receives the pictures before it.
pub async fn of_record(
    store: &dyn ObjectStore,
    record: &CommitRecord,
    number: usize,
    passed: impl Fn(usize, Bytes),
) -> Result<Bytes> {
    let key = ArtifactKey::new(&record.recipe, &record.subject);
    let missing = || Error::not_found(format!("{} has no keyframe {number}", key.subject.id));
    let file = record.files.iter().find(|file| file.name == FILE_NAME).ok_or_else(missing)?;
    if file.size > MAX_ARCHIVE_BYTES {
        return Err(Error::invalid(format!("{} is larger than {MAX_ARCHIVE_BYTES} bytes", file.key(&key))));
    }
    let mut read = BytesMut::new();
    loop {
        match find(&read, number) {
            Found::At(start, end) => {
                for before in 0..number {
                    if let Found::At(start, end) = find(&read, before) {
                        passed(before, Bytes::copy_from_slice(&read[start..end]));
                    }
                }
                return Ok(Bytes::copy_from_slice(&read[start..end]));
            }
            Found::No => return Err(missing()),
            Found::Beyond => {}
        }
        let start = read.len() as u64;
        if start >= file.size {
            return Err(missing());
        }
        let end = (start + PIECE).min(file.size);
        read.extend_from_slice(&store.get_range(&file.key(&key), start..end).await?);
    }
}

/// The position of a picture in the bytes of an archive that were read.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    At(usize, usize),
    /// Not within these bytes.
    Beyond,
    /// The archive ends before it, or is not an archive.
    No,
}

/// Finds picture `number`: pictures and their descriptions alternate.
fn find(tar: &[u8], number: usize) -> Found {
    let (mut at, mut files) = (0usize, 0usize);
    loop {
        let Some(header) = tar.get(at..at + BLOCK) else { return Found::Beyond };
        let Some(size) = octal(&header[124..136]) else { return Found::No };
        let is_file = matches!(header[156], b'0' | 0);
        if header[0] == 0 {
            return Found::No;
        }
        let start = at + BLOCK;
        let Some(end) = start.checked_add(size) else { return Found::No };
        if is_file && files == 2 * number {
            return if end <= tar.len() { Found::At(start, end) } else { Found::Beyond };
        }
        files += usize::from(is_file);
        at = match end.checked_next_multiple_of(BLOCK) {
            Some(next) => next,
            None => return Found::No,
        };
    }
}

fn octal(field: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if text.is_empty() { Some(0) } else { usize::from_str_radix(text, 8).ok() }
}

/// Returns the middle of a picture in the size of posters.
fn scaled(jpeg: &[u8]) -> Result<Bytes> {
    let picture = jpeg_decoder::decode(jpeg)?;
    let part = resample::middle(&picture, THUMB_WIDTH, THUMB_HEIGHT);
    let rgb = resample::resize(&picture, part, THUMB_WIDTH, THUMB_HEIGHT, Filter::Bilinear);
    let mut small = Picture { width: THUMB_WIDTH, height: THUMB_HEIGHT, ..Picture::default() };
    small.rgb = rgb.into();
    Ok(jpeg_encoder::encode(&small, THUMB_QUALITY)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let mut tar = Vec::new();
        for (i, bytes) in [&b"first"[..], b"{}", &[7; 1_000], b"{\"index\":1}"].into_iter().enumerate() {
            let mut header = [0u8; BLOCK];
            header[..4].copy_from_slice(format!("k-{i:02}").as_bytes());
            header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
            header[156] = b'0';
            tar.extend_from_slice(&header);
            tar.extend_from_slice(bytes);
            tar.resize(tar.len().next_multiple_of(BLOCK), 0);
        }
        tar.resize(tar.len() + 2 * BLOCK, 0);
        tar
    }

    #[test]
    fn pictures_are_found_as_soon_as_they_were_read() {
        let tar = archive();
        assert_eq!(find(&tar, 0), Found::At(512, 517));
        let Found::At(start, end) = find(&tar, 1) else { panic!("the second picture") };
        assert_eq!(&tar[start..end], &[7; 1_000]);
        assert_eq!(find(&tar, 2), Found::No);
        assert_eq!(find(&tar[..700], 0), Found::At(512, 517));
        assert_eq!(find(&tar[..end - 1], 1), Found::Beyond);
        assert_eq!(find(&[], 0), Found::Beyond);
    }

    #[test]
    fn bytes_that_are_not_an_archive_hold_no_picture() {
        assert_eq!(find(&[0xff; 2_048], 0), Found::No);
        let mut huge = archive();
        huge[124..135].copy_from_slice(b"77777777777");
        assert_eq!(find(&huge, 0), Found::Beyond);
        huge[124..136].copy_from_slice(&[0xff; 12]);
        assert_eq!(find(&huge, 0), Found::No);
    }
}
