//! The conformance suite of object stores: checks that run on every implementation.
//!
//! The checks start no server and know no implementation. Each returns an error with the broken
//! promise; a failed operation returns its own error.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt};

use super::interface::{ObjectStore, PutOutcome};
use crate::error::{Error, ErrorKind, Result};

/// The size of the object that is too large for memory's sake: 40 MB, and not a multiple of any
/// block.
pub const LARGE: u64 = 40_000_003;

/// Keys that are unusual and valid.
const ODD_KEYS: &[&str] = &[
    " leading space",
    "%41 percent",
    "(brackets) [and] {more}",
    "..hidden/...",
    "a b",
    "a#b=c&d?e",
    "a%2Fb",
    "a+b",
    "a,b;c:d@e!f$g'h*i~j^k`l|m<n>\"",
    "a-b",
    "a.",
    "a=b",
    "a~",
    "日本語/映画 予告編.mp4",
    "Amélie (2001).mp4",
    "\u{1f3ac}",
];

/// Runs all checks on objects below `base`, where nothing may lie yet. `scratch` is a folder for
/// files, `many` the number of objects of the long listing (more than 1,000 make several pages on
/// S3).
///
/// # Errors
/// The first promise that was broken, as a Bug; or the error of an operation that should have
/// succeeded.
pub async fn run(store: &Arc<dyn ObjectStore>, base: &str, scratch: &Path, many: usize) -> Result<()> {
    let at = |name: &str| format!("{base}/{name}");
    let failing = |name: &'static str| move |e: Error| e.context(format_args!("conformance, {name}"));
    put_get_head(store, &at("basic")).await.map_err(failing("put, get and head"))?;
    missing(store, &at("missing"), scratch).await.map_err(failing("what does not exist"))?;
    overwrite(store, &at("overwrite")).await.map_err(failing("overwriting"))?;
    overwrite_is_atomic(store, &at("atomic")).await.map_err(failing("overwriting while others read"))?;
    create_once(store, &at("once")).await.map_err(failing("put_if_absent"))?;
    create_once_among_many(store, &at("race"), false).await.map_err(failing("put_if_absent by 16 at once"))?;
    create_once_among_many(store, &at("race-same"), true)
        .await
        .map_err(failing("put_if_absent of the same bytes by 16 at once"))?;
    delete(store, &at("delete")).await.map_err(failing("delete"))?;
    odd_keys(store, &at("odd")).await.map_err(failing("odd but valid keys"))?;
    invalid_keys(store, scratch).await.map_err(failing("invalid keys"))?;
    list_order(store, &at("order")).await.map_err(failing("the order of listings"))?;
    list_many(store, &at("many"), many).await.map_err(failing("a long listing"))?;
    large(store, &at("large"), scratch).await.map_err(failing("a large file"))?;
    wrong_tag(store, &at("tag"), scratch).await.map_err(failing("download of a replaced object"))
}

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::bug(broken())) }
}

fn ensure_kind<T: Debug>(result: Result<T>, kind: ErrorKind, what: &str) -> Result<()> {
    match result {
        Err(e) if e.kind() == kind => Ok(()),
        other => Err(Error::bug(format!("{what} should be {kind:?}, not {other:?}"))),
    }
}

async fn keys(store: &Arc<dyn ObjectStore>, prefix: &str) -> Result<Vec<String>> {
    store.list(prefix).map_ok(|meta| meta.key).try_collect().await
}

/// An object is read as it was written, including an empty object and every byte value.
async fn put_get_head(store: &Arc<dyn ObjectStore>, base: &str) -> Result<()> {
    let binary: Vec<u8> = (0..=255).cycle().take(70_001).collect();
    for (name, bytes) in
        [("empty", Bytes::new()), ("text", Bytes::from_static(b"jhalak\r\n")), ("binary", binary.clone().into())]
    {
        let key = format!("{base}/{name}");
        store.put(&key, bytes.clone()).await?;
        ensure(store.get(&key).await? == bytes, || format!("{name}: other bytes came back"))?;
        let meta = store.head(&key).await?;
        ensure(meta.key == key && meta.size == bytes.len() as u64 && !meta.tag.is_empty(), || {
            format!("{name}: head says {meta:?}")
        })?;
        let listed: Vec<_> = store.list(&key).try_collect().await?;
        ensure(listed == [meta.clone()], || format!("{name}: list says {listed:?}, head {meta:?}"))?;
    }
    let key = format!("{base}/binary");
    for (start, end) in [(0, 1), (0, 70_001), (255, 70_000), (70_000, 70_001)] {
        let part = store.get_range(&key, start..end).await?;
        ensure(part == binary[start as usize..end as usize], || format!("bytes {start} to {end}: others came back"))?;
    }
    for (start, end) in [(5, 5), (70_001, 70_002), (70_000, 70_002), (90_000, 90_001)] {
        ensure_kind(store.get_range(&key, start..end).await, ErrorKind::InvalidInput, "a range beyond the end")?;
    }
    Ok(())
}

async fn missing(store: &Arc<dyn ObjectStore>, base: &str, scratch: &Path) -> Result<()> {
    let key = format!("{base}/none");
    let to = scratch.join("never");
    ensure_kind(store.get(&key).await, ErrorKind::NotFound, "get")?;
    ensure_kind(store.head(&key).await, ErrorKind::NotFound, "head")?;
    ensure_kind(store.download(&key, &to, None).await, ErrorKind::NotFound, "download")?;
    ensure(!to.exists(), || "a failed download left its file".into())?;
    store.put(&format!("{base}/folder/object"), Bytes::from_static(b"x")).await?;
    ensure_kind(store.get(&format!("{base}/folder")).await, ErrorKind::NotFound, "get of a folder")?;
    ensure_kind(store.head(&format!("{base}/folder")).await, ErrorKind::NotFound, "head of a folder")?;
    let found = keys(store, &format!("{base}/nothing/")).await?;
    ensure(found.is_empty(), || format!("an empty prefix lists {found:?}"))
}

/// A replaced object has the new bytes and another tag, also where the size is the same and no time
/// has passed.
async fn overwrite(store: &Arc<dyn ObjectStore>, base: &str) -> Result<()> {
    let key = format!("{base}/object");
    let mut tags = BTreeSet::new();
    for round in 0..20u8 {
        let bytes = Bytes::from(vec![round; 1_000]);
        store.put(&key, bytes.clone()).await?;
        ensure(store.get(&key).await? == bytes, || format!("round {round}: not the last bytes"))?;
        let meta = store.head(&key).await?;
        ensure(store.head(&key).await?.tag == meta.tag, || "the tag of an unchanged object changed".into())?;
        ensure(tags.insert(meta.tag.clone()), || {
            format!("round {round}: the tag {} stands for two contents", meta.tag)
        })?;
    }
    store.put(&key, Bytes::new()).await?;
    ensure(store.head(&key).await?.size == 0, || "the shorter object kept its length".into())
}

/// Readers see one whole version, whatever the writers do.
async fn overwrite_is_atomic(store: &Arc<dyn ObjectStore>, base: &str) -> Result<()> {
    let key = format!("{base}/object");
    let version = |n: u8| Bytes::from(vec![n; 300_000 + usize::from(n) * 1_000]);
    store.put(&key, version(0)).await?;
    let write = async {
        for n in 1..15 {
            store.put(&key, version(n)).await?;
        }
        Ok(())
    };
    let read = async {
        for _ in 0..30 {
            let bytes = store.get(&key).await?;
            let first = bytes.first().copied().unwrap_or(255);
            ensure(first < 15 && bytes == version(first), || {
                format!("a reader saw a mixture of {} bytes", bytes.len())
            })?;
        }
        Ok(())
    };
    futures::try_join!(write, read).map(|((), ())| ())
}

async fn create_once(store: &Arc<dyn ObjectStore>, base: &str) -> Result<()> {
    let key = format!("{base}/commit.json");
    let (first, second) = (Bytes::from_static(b"first"), Bytes::from_static(b"second, and longer"));
    ensure(store.put_if_absent(&key, first.clone()).await? == PutOutcome::Created, || {
        "the first did not create".into()
    })?;
    for bytes in [&second, &first] {
        ensure(store.put_if_absent(&key, bytes.clone()).await? == PutOutcome::AlreadyExists, || {
            "a later one created".into()
        })?;
    }
    ensure(store.get(&key).await? == first, || "a later one replaced the bytes".into())?;
    store.delete(&key).await?;
    ensure(store.put_if_absent(&key, second.clone()).await? == PutOutcome::Created, || {
        "after delete it was not created".into()
    })?;
    ensure(store.get(&key).await? == second, || "after delete the old bytes came back".into())?;
    store.put(&key, Bytes::new()).await?;
    ensure(store.put_if_absent(&key, first).await? == PutOutcome::AlreadyExists, || {
        "an empty object counts as none".into()
    })
}

/// Exactly one of 16 concurrent writers creates, and the bytes are its own.
async fn create_once_among_many(store: &Arc<dyn ObjectStore>, base: &str, same: bool) -> Result<()> {
    for round in 0..8 {
        let key = format!("{base}/{round}");
        let bytes = |n: usize| {
            if same { Bytes::from_static(b"the same") } else { Bytes::from(format!("writer {n}").repeat(n + 1)) }
        };
        let writers = (0..16).map(|n| {
            let (store, key, bytes) = (Arc::clone(store), key.clone(), bytes(n));
            tokio::spawn(async move { store.put_if_absent(&key, bytes).await })
        });
        let mut winners = Vec::new();
        for (n, outcome) in join_all(writers).await.into_iter().enumerate() {
            let outcome = outcome.map_err(|e| Error::bug("a writer ended").with_source(e))??;
            if outcome == PutOutcome::Created {
                winners.push(n);
            }
        }
        let [winner] = winners[..] else {
            return Err(Error::bug(format!("round {round}: {} writers created one object", winners.len())));
        };
        ensure(store.get(&key).await? == bytes(winner), || {
            format!("round {round}: the bytes are not those of the one that created")
        })?;
    }
    Ok(())
}

async fn delete(store: &Arc<dyn ObjectStore>, base: &str) -> Result<()> {
    let (key, other) = (format!("{base}/object"), format!("{base}/other"));
    store.put(&key, Bytes::from_static(b"x")).await?;
    store.put(&other, Bytes::from_static(b"y")).await?;
    for _ in 0..2 {
        store.delete(&key).await?;
        ensure_kind(store.get(&key).await, ErrorKind::NotFound, "get after delete")?;
    }
    store.delete(&format!("{base}/never/was")).await?;
    store.delete(&format!("{other}/below")).await?;
    let left = keys(store, &format!("{base}/")).await?;
    ensure(left == [other], || format!("after delete there are {left:?}"))
}

async fn odd_keys(store: &Arc<dyn ObjectStore>, base: &str) -> Result<()> {
    let mut expected: Vec<String> = ODD_KEYS.iter().map(|key| format!("{base}/{key}")).collect();
    expected.push(format!("{base}/{}", "é".repeat(127)));
    for key in &expected {
        store.put(key, Bytes::from(key.clone())).await?;
    }
    for key in &expected {
        ensure(store.get(key).await? == *key.as_bytes(), || format!("{key}: other bytes came back"))?;
        ensure(store.head(key).await?.key == *key, || format!("{key}: head gives another key"))?;
        let listed = keys(store, key).await?;
        ensure(listed.first() == Some(key), || format!("{key}: its own prefix lists {listed:?}"))?;
        ensure(store.put_if_absent(key, Bytes::new()).await? == PutOutcome::AlreadyExists, || {
            format!("{key}: was created twice")
        })?;
    }
    expected.sort_unstable();
    let listed = keys(store, &format!("{base}/")).await?;
    ensure(listed == expected, || format!("listed were {listed:?}, not {expected:?}"))?;
    for key in &expected {
        store.delete(key).await?;
    }
    let left = keys(store, &format!("{base}/")).await?;
    ensure(left.is_empty(), || format!("delete left {left:?}"))
}

async fn invalid_keys(store: &Arc<dyn ObjectStore>, scratch: &Path) -> Result<()> {
    let long_part = "a".repeat(256);
    let long_key = "ab/".repeat(400) + "a";
    let invalid = [
        "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a/..", "a\\b", "a\nb", "a\0b", "a\u{7f}",
        ".tmp/a", &long_part, &long_key,
    ];
    let file = scratch.join("invalid");
    std::fs::write(&file, b"x")?;
    for key in invalid {
        let what = |name: &str| format!("{name} of the key {key:?}");
        ensure_kind(store.put(key, Bytes::new()).await, ErrorKind::InvalidInput, &what("put"))?;
        ensure_kind(store.put_if_absent(key, Bytes::new()).await, ErrorKind::InvalidInput, &what("put_if_absent"))?;
        ensure_kind(store.get(key).await, ErrorKind::InvalidInput, &what("get"))?;
        ensure_kind(store.head(key).await, ErrorKind::InvalidInput, &what("head"))?;
        ensure_kind(store.delete(key).await, ErrorKind::InvalidInput, &what("delete"))?;
        ensure_kind(store.upload(key, &file).await, ErrorKind::InvalidInput, &what("upload"))?;
        ensure_kind(
            store.download(key, &scratch.join("never"), None).await,
            ErrorKind::InvalidInput,
            &what("download"),
        )?;
    }
    for prefix in ["/", "../", "a//", "a/../b"] {
        ensure_kind(keys(store, prefix).await, ErrorKind::InvalidInput, &format!("list of the prefix {prefix:?}"))?;
    }
    Ok(())
}

/// Byte order of whole keys, which is not the order of folders: `a-b` < `a/b` although `a` < `a-b`.
async fn list_order(store: &Arc<dyn ObjectStore>, base: &str) -> Result<()> {
    let names = [
        "a-b",
        "a/b",
        "a/b-c",
        "a/b.d/e",
        "a b/c",
        "a.b",
        "a0",
        "A",
        "b",
        "ä",
        "z/z/z",
        "a-/x",
        "a-b-/y",
        "\u{ffee}",
        "\u{1f600}",
    ];
    for name in names {
        store.put(&format!("{base}/{name}"), Bytes::from_static(b"x")).await?;
    }
    for prefix in ["", "a", "a/", "a-", "a/b", "a/b.", "z/z/", "A", "nothing"] {
        let mut expected: Vec<String> =
            names.iter().filter(|name| name.starts_with(prefix)).map(|name| format!("{base}/{name}")).collect();
        expected.sort_unstable();
        let listed = keys(store, &format!("{base}/{prefix}")).await?;
        ensure(listed == expected, || format!("the prefix {prefix:?} lists {listed:?}, not {expected:?}"))?;
    }
    Ok(())
}

/// Many objects come once each, in order; a listing that is dropped early costs nothing.
async fn list_many(store: &Arc<dyn ObjectStore>, base: &str, many: usize) -> Result<()> {
    let mut expected: Vec<String> = (0..many).map(|i| format!("{base}/{:02}/{i}", i % 37)).collect();
    let puts = expected.iter().map(|key| async move { store.put_if_absent(key, Bytes::from(key.clone())).await });
    futures::stream::iter(puts).buffer_unordered(16).try_for_each(|_| async { Ok(()) }).await?;
    expected.sort_unstable();
    let listed = keys(store, &format!("{base}/")).await?;
    ensure(listed == expected, || format!("{} objects were listed, of {many}, or in another order", listed.len()))?;
    let first: Vec<_> = store.list(&format!("{base}/")).take(3).map_ok(|meta| meta.key).try_collect().await?;
    ensure(first == expected[..3.min(many)], || format!("the first three are {first:?}"))
}

/// A large file goes up and comes down with the same bytes.
async fn large(store: &Arc<dyn ObjectStore>, base: &str, scratch: &Path) -> Result<()> {
    let (from, to, key) = (scratch.join("large-from"), scratch.join("large-to"), format!("{base}/object"));
    write_noise(&from, LARGE)?;
    std::fs::write(&to, b"what was there before")?;
    store.upload(&key, &from).await?;
    let meta = store.head(&key).await?;
    ensure(meta.size == LARGE, || format!("it has {} bytes in the store", meta.size))?;
    let downloaded = store.download(&key, &to, Some(&meta.tag)).await?;
    ensure(downloaded == meta, || format!("download says {downloaded:?}, head {meta:?}"))?;
    ensure(same_bytes(&from, &to)?, || "other bytes came down".into())?;
    // The same key again, with a small file, and an empty one.
    for size in [1_000, 0] {
        write_noise(&from, size)?;
        store.upload(&key, &from).await?;
        ensure(store.download(&key, &to, None).await?.size == size, || {
            format!("a file of {size} bytes has another size")
        })?;
        ensure(same_bytes(&from, &to)?, || format!("other bytes came down for a file of {size}"))?;
    }
    let missing = scratch.join("no-such-file");
    ensure_kind(store.upload(&key, &missing).await, ErrorKind::NotFound, "upload of a missing file")?;
    std::fs::remove_file(&from)?;
    Ok(std::fs::remove_file(&to)?)
}

async fn wrong_tag(store: &Arc<dyn ObjectStore>, base: &str, scratch: &Path) -> Result<()> {
    let (key, to) = (format!("{base}/object"), scratch.join("tagged"));
    store.put(&key, Bytes::from_static(b"old")).await?;
    let old = store.head(&key).await?;
    ensure(store.download(&key, &to, Some(&old.tag)).await? == old, || "the right tag gives another object".into())?;
    store.put(&key, Bytes::from_static(b"new")).await?;
    ensure_kind(store.download(&key, &to, Some(&old.tag)).await, ErrorKind::InvalidInput, "download with the old tag")?;
    ensure(!to.exists(), || "a refused download left its file".into())
}

/// Writes `size` bytes that do not repeat and are the same each time (a linear congruential
/// generator).
pub fn write_noise(to: &Path, size: u64) -> Result<()> {
    let mut file = std::io::BufWriter::new(File::create(to)?);
    let (mut state, mut left) = (size ^ 0x9e37_79b9_7f4a_7c15, size);
    while left > 0 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = (state ^ (state >> 29)).to_le_bytes();
        let length = left.min(8);
        file.write_all(&word[..length as usize])?;
        left -= length;
    }
    Ok(file.flush()?)
}

/// Whether two files hold the same bytes.
pub fn same_bytes(one: &Path, other: &Path) -> Result<bool> {
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::new(File::open(one)?), BufReader::new(File::open(other)?));
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let length = one.read(&mut left)?;
        if length == 0 {
            return Ok(true);
        }
        other.read_exact(&mut right[..length])?;
        if left[..length] != right[..length] {
            return Ok(false);
        }
    }
}
