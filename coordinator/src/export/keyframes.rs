//! `keyframes/STRATEGY-NUMBER.tar`: shards for webdataset with the keyframes of many trailers, and
//! pictures as JPEG files on request.

use std::fs::File;
use std::io::{BufWriter, Read, Write};

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::{self, ArtifactKind, Recipe, Subject};
use jhalak_common::{Error, Result, hash};
use serde_json::{Value, json};

use super::context::{Context, file_word};
use super::manifest::{FileEntry, Written};

/// A shard is closed once it has this many bytes: many trailers a file, few files a dataset.
const SHARD_BYTES: u64 = 256 << 20;
/// Trailers that are read ahead.
const MAX_CONCURRENT_ARCHIVES: usize = 4;
/// The name of the file of an artifact of keyframes.
const KEYFRAMES_FILE: &str = "keyframes.tar";
/// The longest member of an archive that is read; a JPEG or its description.
const MAX_MEMBER_BYTES: u64 = 64 << 20;

/// Writes the shards of each strategy.
pub(super) async fn write(context: &Context<'_>) -> Result<Written> {
    let mut files = Vec::new();
    for recipe in context.recipes(ArtifactKind::Keyframes) {
        files.extend(strategy(context, recipe).await?);
    }
    Ok((files, Vec::new()))
}

/// A shard being written.
struct Shard {
    path: String,
    archive: tar::Builder<BufWriter<File>>,
    bytes: u64,
    samples: u64,
}

impl Shard {
    fn create(context: &Context<'_>, path: String) -> Result<Shard> {
        let file = File::create(context.path(&path)).map_err(|e| Error::from(e).context(path.clone()))?;
        Ok(Shard { path, archive: tar::Builder::new(BufWriter::new(file)), bytes: 0, samples: 0 })
    }

    fn member(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        self.bytes += bytes.len() as u64;
        self.archive.append_data(&mut header, name, bytes).map_err(|e| Error::from(e).context(self.path.clone()))
    }

    fn finish(self) -> Result<FileEntry> {
        let failed = |e: std::io::Error| Error::from(e).context(self.path.clone());
        self.archive.into_inner().and_then(|mut file| file.flush()).map_err(failed)?;
        let about = "keyframes of several trailers for webdataset: .jpg and .json of each sample";
        Ok(FileEntry::of(self.path, about, Some(self.samples), Vec::new()))
    }
}

async fn strategy(context: &Context<'_>, recipe: &Recipe) -> Result<Vec<FileEntry>> {
    let strategy = context.strategy(recipe);
    let read = async |subject: &Subject| {
        let Some(record) = context.committed(recipe, subject).await? else { return Ok(None) };
        let bytes = artifact::read_file(context.store, &record, KEYFRAMES_FILE).await?;
        Ok::<_, Error>(Some((subject.clone(), record.facts, bytes)))
    };
    let mut found = stream::iter(context.subjects()).map(read).buffered(MAX_CONCURRENT_ARCHIVES);
    let (mut files, mut open): (Vec<FileEntry>, Option<Shard>) = (Vec::new(), None);
    let (mut number, mut pictures) = (0, 0u64);
    while let Some(one) = found.try_next().await? {
        let Some((subject, facts, bytes)) = one else { continue };
        if let Some(full) = open.take_if(|shard| shard.bytes >= SHARD_BYTES) {
            files.push(full.finish()?);
        }
        let shard = match &mut open {
            Some(shard) => shard,
            none => {
                std::fs::create_dir_all(context.path("keyframes"))?;
                let path = format!("keyframes/{}-{number:06}.tar", file_word(&strategy));
                number += 1;
                none.insert(Shard::create(context, path)?)
            }
        };
        let (title, genres) = context.title(&subject.id);
        let key = sample_key(&subject.id);
        for (index, (jpeg, mut about)) in samples(&subject.id, &bytes)?.into_iter().enumerate() {
            // Scenes count from 1 wherever people or other tools read them.
            let scene = about["scene"]["index"].as_u64().map(|index| index + 1);
            let video = &facts["video"];
            let more = json!({
                "movie": subject.id, "name": title, "genres": genres, "trailer_sha256": subject.content,
                "keyframes": strategy, "scene": scene, "width": video["width"], "height": video["height"],
                "duration_s": video["duration_s"], "fps": video["fps"],
            });
            if let (Value::Object(about), Value::Object(more)) = (&mut about, more) {
                about.remove("file");
                if let Some(span) = about.remove("scene") {
                    about.insert("scene_frames".into(), json!([span["start"], span["end"]]));
                }
                about.extend(more);
            }
            let name = format!("{key}-{index:02}");
            shard.member(&format!("{name}.jpg"), &jpeg)?;
            shard.member(&format!("{name}.json"), about.to_string().as_bytes())?;
            shard.samples += 1;
            // Black pictures that complete a set are samples for training, and not pictures of a
            // trailer.
            if context.options.pictures && about["padding"] != Value::Bool(true) {
                let folder = context.path(&format!("pictures/{}/{key}", file_word(&strategy)));
                std::fs::create_dir_all(&folder)?;
                std::fs::write(folder.join(format!("{index:02}.jpg")), &jpeg)?;
                let about = "a keyframe as JPEG";
                files.push(FileEntry::of(
                    format!("pictures/{}/{key}/{index:02}.jpg", file_word(&strategy)),
                    about,
                    None,
                    Vec::new(),
                ));
                pictures += 1;
            }
        }
    }
    drop(found);
    tracing::debug!(pictures, "pictures written");
    files.extend(open.map(Shard::finish).transpose()?);
    Ok(files)
}

/// The key of a trailer's samples. webdataset ends a key at the first dot, and tar names are 100
/// bytes long: ids with other characters, and long ones, get a hash.
fn sample_key(id: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if id.chars().all(is_plain) && id.len() <= 80 {
        return id.to_owned();
    }
    let word: String = id.chars().map(|c| if is_plain(c) { c } else { '_' }).take(60).collect();
    format!("{word}-{}", &hash::of_bytes(id.as_bytes()).short()[..8])
}

/// The pictures of an archive with their descriptions.
fn samples(id: &str, archive: &[u8]) -> Result<Vec<(Vec<u8>, Value)>> {
    let damaged = |e: std::io::Error| {
        Error::invalid(format!("the keyframes of {id} are damaged: delete their folder and repeat the run"))
            .with_source(e)
    };
    let mut found = Vec::new();
    let mut jpeg = None;
    for member in tar::Archive::new(archive).entries().map_err(damaged)? {
        let mut bytes = Vec::new();
        member.and_then(|member| member.take(MAX_MEMBER_BYTES).read_to_end(&mut bytes)).map_err(damaged)?;
        // The description follows the picture.
        match jpeg.take() {
            None => jpeg = Some(bytes),
            Some(jpeg) => {
                let about = serde_json::from_slice(&bytes).map_err(|e| {
                    Error::invalid(format!("the keyframes of {id} are damaged: delete their folder and repeat the run"))
                        .with_source(e)
                })?;
                found.push((jpeg, about));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_keys_have_no_dot_and_tell_ids_apart() {
        assert_eq!(sample_key("tt0240200"), "tt0240200");
        let keys: std::collections::BTreeSet<String> =
            ["a.b", "a_b", "a b", "फिल्म", "फिल्मी", &"x".repeat(180), &"x".repeat(179)].map(sample_key).into();
        assert_eq!(keys.len(), 7, "{keys:?}");
        assert!(keys.iter().all(|key| key.is_ascii() && !key.contains(['.', '/']) && key.len() <= 80), "{keys:?}");
    }
}
