//! The list of a bucket's objects in a file, in place of a listing: S3 Inventory (its
//! `manifest.json` with data files in CSV or Parquet), or a table in CSV or Parquet with a header.
//!
//! Columns, in any order and case: `key`, `size`, `etag` (or `e_tag`, `tag`) or `sha256` (64
//! hexadecimal digits) or both, and if present `bucket`, `is_latest`, `is_delete_marker`. Other
//! columns are not read.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::Type;
use serde::Deserialize;

use super::listed::Listed;
use super::open_to_read;
use crate::error::{Error, Result};
use crate::settings::S3Settings;

/// The most objects that are kept.
const MAX_OBJECTS: usize = 10_000_000;

const TABLE: &str = "a list of objects needs the columns key, size and etag or sha256";

/// The `manifest.json` of S3 Inventory.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inventory {
    source_bucket: String,
    destination_bucket: String,
    file_format: String,
    #[serde(default)]
    file_schema: String,
    files: Vec<DataFile>,
}

#[derive(Deserialize)]
struct DataFile {
    key: String,
    size: u64,
}

/// Reads the objects below `prefix`, `s3://bucket` or `s3://bucket/folder`, that the file
/// `manifest` lists: a path or `s3://bucket/key`.
///
/// # Errors
/// InvalidInput that names the file and the way out: a file that cannot be read, a row without size
/// or tag, a key that is listed twice with different tags, or no object below the prefix.
pub async fn read(manifest: &str, prefix: &str, s3: &S3Settings) -> Result<Listed> {
    let (bucket, folder) = bucket_of(prefix).ok_or_else(|| {
        Error::usage(format!("--manifest lists the objects of a bucket, and the dataset {prefix} is not in s3://"))
    })?;
    let folder = if folder.is_empty() || folder.ends_with('/') { folder.to_owned() } else { format!("{folder}/") };
    let mut objects = Objects { bucket: bucket.to_owned(), folder, listed: Listed::default(), others: 0 };
    let bytes = fetch(manifest, s3).await.map_err(|e| e.context(format!("the manifest {manifest}")))?;
    if manifest.to_ascii_lowercase().ends_with(".json") {
        let inventory: Inventory = serde_json::from_slice(&bytes).map_err(|e| {
            let way_out = "give the manifest.json of S3 Inventory, or a table in CSV or Parquet";
            Error::invalid(format!("{manifest} is not a manifest: {way_out}")).with_source(e)
        })?;
        if inventory.source_bucket != bucket {
            return Err(Error::invalid(format!(
                "{manifest} is an inventory of the bucket {}, and the dataset is in {bucket}",
                inventory.source_bucket
            )));
        }
        for file in &inventory.files {
            let bytes = fetch_part(manifest, &inventory, file, s3).await?;
            objects = blocking(bytes, file.key.clone(), Some(&inventory), objects).await?;
        }
    } else {
        objects = blocking(bytes, manifest.to_owned(), None, objects).await?;
    }
    if objects.listed.keys().is_empty() {
        return Err(Error::invalid(format!(
            "{manifest} lists no object below {prefix}, and {} others: is it of this bucket and folder?",
            objects.others
        )));
    }
    objects.listed.sorted().map_err(|e| e.context(format!("the manifest {manifest}")))
}

fn bucket_of(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("s3://")?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

async fn fetch(place: &str, s3: &S3Settings) -> Result<Bytes> {
    match place.strip_prefix("s3://").and_then(|rest| rest.rsplit_once('/')) {
        Some((folder, name)) => open_to_read(&format!("s3://{folder}"), s3).await?.get(name).await,
        None => Ok(tokio::fs::read(place).await?.into()),
    }
}

/// Reads a data file of an inventory: next to a local `manifest.json`, in the folder `data` beside
/// its folder, where S3 puts it, or in the bucket of the inventory.
async fn fetch_part(manifest: &str, inventory: &Inventory, file: &DataFile, s3: &S3Settings) -> Result<Bytes> {
    let name = file.key.rsplit('/').next().unwrap_or_default();
    let folder = Path::new(manifest).parent().unwrap_or(Path::new("."));
    let local = [folder.join(name), folder.join("data").join(name), folder.join("../data").join(name)];
    let local = local.iter().find(|path| !manifest.starts_with("s3://") && path.is_file());
    let bytes = match local {
        Some(path) => tokio::fs::read(path).await?.into(),
        None => {
            let bucket = inventory.destination_bucket.rsplit(':').next().unwrap_or_default();
            let store = open_to_read(&format!("s3://{bucket}"), s3).await?;
            store.get(&file.key).await.map_err(|e| e.context(format!("a file of the inventory {manifest}")))?
        }
    };
    if bytes.len() as u64 != file.size {
        return Err(Error::invalid(format!(
            "{name} has {} bytes, and {manifest} states {}: fetch the inventory again",
            bytes.len(),
            file.size
        )));
    }
    Ok(bytes)
}

/// Adds the objects of one table, on a thread for blocking work.
async fn blocking(bytes: Bytes, name: String, of: Option<&Inventory>, mut objects: Objects) -> Result<Objects> {
    let schema = of.map(|inventory| (inventory.file_format.clone(), inventory.file_schema.clone()));
    let read = tokio::task::spawn_blocking(move || {
        let is_parquet = bytes.starts_with(b"PAR1");
        match schema {
            Some((format, _)) if !is_parquet && !format.eq_ignore_ascii_case("csv") => {
                return Err(Error::invalid(format!(
                    "the inventory is written as {format}: configure CSV or Parquet as its format"
                )));
            }
            _ if is_parquet => objects.add_parquet(bytes)?,
            Some((_, schema)) => objects.add_csv(plain(&bytes), Some(&schema))?,
            None => objects.add_csv(plain(&bytes), None)?,
        }
        Ok(objects)
    });
    let read = read.await.map_err(|e| Error::bug("reading a manifest panicked").with_source(e))?;
    read.map_err(|e: Error| e.context(name))
}

/// Decompresses gzip while it is read.
fn plain(bytes: &Bytes) -> Box<dyn Read + '_> {
    if bytes.starts_with(b"\x1f\x8b") { Box::new(MultiGzDecoder::new(&bytes[..])) } else { Box::new(&bytes[..]) }
}

/// The positions of the columns that are read.
struct Columns {
    key: usize,
    size: usize,
    tag: Option<usize>,
    sha256: Option<usize>,
    bucket: Option<usize>,
    latest: Option<usize>,
    deleted: Option<usize>,
}

impl Columns {
    fn find<'a>(names: impl Iterator<Item = &'a str>) -> Result<Columns> {
        let names: Vec<String> = names
            .map(|name| name.trim_matches(['\u{feff}', ' ', '"']).to_lowercase().replace(['_', '-', ' '], ""))
            .collect();
        let place = |known: &[&str]| known.iter().find_map(|known| names.iter().position(|name| name == known));
        let needed = |known: &[&str], hint: &str| {
            place(known).ok_or_else(|| Error::invalid(format!("{TABLE}, and {} is missing{hint}", known[0])))
        };
        let (tag, sha256) = (place(&["etag", "tag"]), place(&["sha256", "trailersha256"]));
        if tag.is_none() && sha256.is_none() {
            needed(&["etag"], ": add ETag to the optional fields of the inventory, or a column sha256")?;
        }
        Ok(Columns {
            key: needed(&["key"], "")?,
            size: needed(&["size"], "")?,
            tag,
            sha256,
            bucket: place(&["bucket"]),
            latest: place(&["islatest"]),
            deleted: place(&["isdeletemarker"]),
        })
    }
}

/// What was listed so far.
struct Objects {
    bucket: String,
    /// Ends in `/` unless it is empty.
    folder: String,
    listed: Listed,
    /// Objects elsewhere.
    others: u64,
}

impl Objects {
    /// Adds the rows of a CSV. With `schema`, the columns of S3 Inventory, it has no header and its
    /// keys are percent-encoded.
    fn add_csv(&mut self, text: impl Read, schema: Option<&str>) -> Result<()> {
        let failed = |e: csv::Error| Error::invalid(format!("not a table: {e}"));
        let mut reader = csv::ReaderBuilder::new().has_headers(schema.is_none()).flexible(true).from_reader(text);
        let columns = match schema {
            Some(schema) => Columns::find(schema.split(','))?,
            None => Columns::find(reader.headers().map_err(failed)?.iter())?,
        };
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(failed)? {
            let line = record.position().map_or(0, csv::Position::line);
            let cell = |column: usize| record.get(column).unwrap_or_default();
            let key = match schema {
                Some(_) => percent_encoding::percent_decode_str(&cell(columns.key).replace('+', " "))
                    .decode_utf8()
                    .map_err(|e| Error::invalid(format!("line {line}: the key is not UTF-8")).with_source(e))?
                    .into_owned(),
                None => cell(columns.key).to_owned(),
            };
            self.add(&key, &cell, &columns).map_err(|e| e.context(format!("line {line}")))?;
        }
        Ok(())
    }

    fn add_parquet(&mut self, bytes: Bytes) -> Result<()> {
        let failed = |e: parquet::errors::ParquetError| {
            Error::invalid(
                "not a Parquet table that is read: write it with snappy, gzip, zstd, lz4 or without compression",
            )
            .with_source(e)
        };
        let reader = SerializedFileReader::new(bytes).map_err(failed)?;
        let schema = reader.metadata().file_metadata().schema_descr().root_schema().clone();
        let all = Columns::find(schema.get_fields().iter().map(|field| field.name()))?;
        // Other columns may have types that are not read by rows.
        let used = [Some(all.key), Some(all.size), all.tag, all.sha256, all.bucket, all.latest, all.deleted];
        let mut used: Vec<usize> = used.into_iter().flatten().collect();
        used.sort_unstable();
        let fields = used.iter().map(|&column| Arc::clone(&schema.get_fields()[column])).collect();
        let projected = Type::group_type_builder(schema.name()).with_fields(fields).build().map_err(failed)?;
        let columns = Columns::find(projected.get_fields().iter().map(|field| field.name()))?;
        for (number, row) in reader.get_row_iter(Some(projected.clone())).map_err(failed)?.enumerate() {
            let row = row.map_err(failed)?;
            let cells: Vec<String> = row
                .get_column_iter()
                .map(|(_, field)| match field {
                    parquet::record::Field::Null => String::new(),
                    parquet::record::Field::Str(text) => text.clone(),
                    parquet::record::Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into_owned(),
                    other => other.to_string(),
                })
                .collect();
            let cell = |column: usize| cells.get(column).map_or("", String::as_str);
            self.add(cell(columns.key), &cell, &columns).map_err(|e| e.context(format!("row {}", number + 1)))?;
        }
        Ok(())
    }

    fn add<'a>(&mut self, key: &str, cell: &dyn Fn(usize) -> &'a str, columns: &Columns) -> Result<()> {
        let is = |column: Option<usize>, word: &str| column.is_some_and(|c| cell(c).trim().eq_ignore_ascii_case(word));
        if is(columns.latest, "false") || is(columns.deleted, "true") {
            return Ok(());
        }
        let in_bucket = columns.bucket.is_none_or(|column| cell(column) == self.bucket);
        let Some(name) = key.strip_prefix(&self.folder).filter(|name| in_bucket && !name.is_empty()) else {
            self.others += 1;
            return Ok(());
        };
        let size = cell(columns.size).trim();
        let size: u64 = size.parse().map_err(|_| Error::invalid(format!("{key}: `{size}` is not a size in bytes")))?;
        // Listings state tags in quotes, inventories without.
        let tag = columns.tag.map_or("", |column| cell(column).trim().trim_matches('"'));
        let stated = columns.sha256.map_or("", |column| cell(column).trim().trim_start_matches("sha256:"));
        let sha256 = match stated {
            "" => None,
            stated => Some(stated.to_ascii_lowercase().parse().map_err(|_| {
                Error::invalid(format!("{key}: `{}` is not a SHA-256 of 64 hexadecimal digits", stated.escape_debug()))
            })?),
        };
        if tag.is_empty() && sha256.is_none() {
            return Err(Error::invalid(format!(
                "{key} has neither ETag nor SHA-256: add one to the list, or leave out --manifest"
            )));
        }
        if self.listed.keys().len() >= MAX_OBJECTS {
            return Err(Error::invalid(format!("more than {MAX_OBJECTS} objects below the dataset: split it")));
        }
        let tag = if tag.is_empty() { String::new() } else { format!("\"{tag}\"") };
        self.listed.push_hashed(name, size, &tag, sha256);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    async fn of(name: &str, bytes: &[u8], prefix: &str) -> Result<Listed> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("room on disk");
        read(path.to_str().expect("UTF-8"), prefix, &S3Settings::default()).await
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).expect("memory");
        encoder.finish().expect("memory")
    }

    #[tokio::test]
    async fn csv_with_a_header_lists_what_lies_below_the_dataset() {
        let text =
            "ETag,Key,Size\n\"\"\"aa\"\"\",films/trailers/m1.mp4,10\nbb,films2/m2.mp4,20\ncc,films/a b+c.mp4,0\n";
        for bytes in [text.as_bytes().to_vec(), gzip(text)] {
            for prefix in ["s3://bucket/films", "s3://bucket/films/"] {
                let listed = of("list.csv", &bytes, prefix).await.expect("a list");
                let object = |size, tag: &str| (size, tag.to_owned());
                let expected = [("a b+c.mp4", object(0, "\"cc\"")), ("trailers/m1.mp4", object(10, "\"aa\""))];
                let found: Vec<_> = listed.keys().iter().map(|key| (key, listed.get(key).expect("a key"))).collect();
                assert_eq!(found, expected);
            }
        }
    }

    #[tokio::test]
    async fn inventory_gives_the_latest_versions_of_its_bucket() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = gzip(
            "\"b\",\"films/a%20%2B+b.mp4\",\"v2\",\"true\",\"false\",\"7\",\"t2\"\n\
             \"b\",\"films/a%20%2B+b.mp4\",\"v1\",\"false\",\"false\",\"5\",\"t1\"\n\
             \"b\",\"films/gone.mp4\",\"v1\",\"true\",\"true\",\"\",\"\"\n",
        );
        std::fs::create_dir_all(folder.path().join("data")).expect("room on disk");
        std::fs::create_dir_all(folder.path().join("2026-11-29T01-00Z")).expect("room on disk");
        std::fs::write(folder.path().join("data/part.csv.gz"), &data).expect("room on disk");
        let mut manifest = serde_json::json!({
            "sourceBucket": "b", "destinationBucket": "arn:aws:s3:::elsewhere", "fileFormat": "CSV", "version": "2016-11-30",
            "fileSchema": "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, ETag",
            "files": [{ "key": "inventory/b/data/part.csv.gz", "size": data.len(), "MD5checksum": "0" }],
        });
        let path = folder.path().join("2026-11-29T01-00Z/manifest.json");
        let place = path.to_str().expect("UTF-8");
        std::fs::write(&path, manifest.to_string()).expect("room on disk");
        let listed = read(place, "s3://b/films", &S3Settings::default()).await.expect("an inventory");
        assert_eq!((listed.keys().len(), listed.get("a + b.mp4")), (1, Some((7, "\"t2\"".to_owned()))));

        let refused = async |manifest: &serde_json::Value, prefix: &str| {
            std::fs::write(&path, manifest.to_string()).expect("room on disk");
            read(place, prefix, &S3Settings::default()).await.expect_err("a refusal").chain()
        };
        assert!(refused(&manifest, "s3://other/films").await.contains("bucket b"));
        manifest["files"][0]["size"] = 1.into();
        assert!(refused(&manifest, "s3://b/films").await.contains("fetch the inventory again"));
        manifest["files"][0]["size"] = data.len().into();
        manifest["fileSchema"] = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size".into();
        assert!(refused(&manifest, "s3://b/films").await.contains("ETag"));
        manifest["fileFormat"] = "ORC".into();
        assert!(refused(&manifest, "s3://b/films").await.contains("CSV or Parquet"));
    }

    #[tokio::test]
    async fn what_a_list_does_not_say_one_way_is_refused() {
        for (text, word) in [
            ("key,size\nm.mp4,1\n", "etag is missing"),
            ("key,size,etag\nm.mp4,1,\n", "neither ETag nor SHA-256"),
            ("key,size,sha256\nm.mp4,1,abc\n", "`abc` is not a SHA-256"),
            ("key,size,etag\nm.mp4,one,aa\n", "`one`"),
            ("key,size,etag\nm.mp4,1,aa\nm.mp4,1,bb\n", "twice"),
            ("key,size,etag,bucket\nm.mp4,1,aa,another\n", "1 others"),
        ] {
            let error = of("list.csv", text.as_bytes(), "s3://b").await.expect_err(text).chain();
            assert!(error.contains(word), "{error}");
        }
        assert!(of("list.csv", b"key,size,etag\n", "/data").await.is_err(), "a folder has no bucket");
        let parquet = of("list.parquet", b"PAR1 no table", "s3://b").await.expect_err("no table").chain();
        assert!(parquet.contains("snappy"), "{parquet}");
    }

    #[tokio::test]
    async fn hashes_stand_in_a_list_next_to_tags_or_alone() {
        let hash = crate::hash::of_bytes(b"video");
        let both = format!("key,size,etag,SHA-256\na.mp4,5,t,{hash}\nb.mp4,6,u,\n");
        let listed = of("list.csv", both.as_bytes(), "s3://b").await.expect("a list");
        assert_eq!((listed.sha256("a.mp4"), listed.sha256("b.mp4"), listed.sha256("c.mp4")), (Some(hash), None, None));
        assert_eq!(listed.get("a.mp4"), Some((5, "\"t\"".to_owned())));
        let upper = hash.to_string().to_uppercase();
        let alone = format!("size,key,sha256\n5,b.mp4,sha256:{upper}\n5,a.mp4,{hash}\n");
        let listed = of("list.csv", alone.as_bytes(), "s3://b").await.expect("sorted");
        assert_eq!((listed.get("b.mp4"), listed.sha256("b.mp4")), (Some((5, String::new())), Some(hash)));
    }

    #[tokio::test]
    async fn parquet_is_read_by_its_columns() {
        use parquet::data_type::{ByteArrayType, Int64Type};
        let schema = "message schema { required binary bucket (STRING); required binary key (STRING);
            optional int64 size; optional binary e_tag (STRING); }";
        let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).expect("a schema"));
        let mut bytes = Vec::new();
        let mut writer =
            parquet::file::writer::SerializedFileWriter::new(&mut bytes, schema, Default::default()).expect("memory");
        let mut group = writer.next_row_group().expect("memory");
        let texts = [["b", "b"], ["films/m1.mp4", "films/m2.mp4"], ["", ""], ["aa", "bb"]];
        for (number, texts) in texts.iter().enumerate() {
            let mut column = group.next_column().expect("memory").expect("four columns");
            if number == 2 {
                column.typed::<Int64Type>().write_batch(&[3, 4], Some(&[1, 1]), None).expect("memory");
            } else {
                let texts = texts.map(|text| text.into());
                let levels = [1, 1];
                let levels = (number == 3).then_some(&levels[..]);
                column.typed::<ByteArrayType>().write_batch(&texts, levels, None).expect("memory");
            }
            column.close().expect("memory");
        }
        group.close().expect("memory");
        writer.close().expect("memory");
        let listed = of("list.parquet", &bytes, "s3://b/films").await.expect("a list");
        assert_eq!((listed.keys().len(), listed.get("m2.mp4")), (2, Some((4, "\"bb\"".to_owned()))));
    }
}
