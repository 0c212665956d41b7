//! Tests of behaviour that only the local store has.

use std::os::unix::fs::symlink;

use futures::TryStreamExt;

use super::*;
use crate::error::ErrorKind;

fn store() -> Result<(tempfile::TempDir, LocalStore)> {
    let folder = tempfile::tempdir()?;
    let store = LocalStore::open(folder.path().join("store"))?;
    Ok((folder, store))
}

async fn keys(store: &LocalStore, prefix: &str) -> Result<Vec<String>> {
    store.list(prefix).map_ok(|meta| meta.key).try_collect().await
}

#[tokio::test]
async fn reading_a_folder_creates_nothing() -> Result<()> {
    let (folder, store) = store()?;
    assert!(keys(&store, "").await?.is_empty());
    assert!(store.get("a").await.is_err());
    store.delete("a/b").await?;
    assert_eq!(fs::read_dir(folder.path())?.count(), 0);
    Ok(())
}

#[tokio::test]
async fn leftovers_are_invisible_and_removed_when_old() -> Result<()> {
    let (_folder, store) = store()?;
    store.put("a", Bytes::from_static(b"x")).await?;
    let unfinished = store.root().join(UNFINISHED);
    assert_eq!(fs::read_dir(&unfinished)?.count(), 0, "a finished write leaves nothing");
    for (name, age) in [("old", ABANDONED_AFTER * 2), ("new", ABANDONED_AFTER / 2)] {
        File::create(unfinished.join(name))?.set_modified(SystemTime::now() - age)?;
    }
    assert_eq!(keys(&store, "").await?, ["a"]);
    LocalStore::open(store.root())?;
    assert!(!unfinished.join("old").exists());
    assert!(unfinished.join("new").exists(), "it may still be written");
    Ok(())
}

#[tokio::test]
async fn no_write_follows_a_link_out_of_the_store() -> Result<()> {
    let (folder, store) = store()?;
    store.put("inside/a", Bytes::from_static(b"a")).await?;
    let outside = folder.path().join("outside");
    fs::create_dir(&outside)?;
    fs::write(outside.join("film"), b"film")?;
    symlink(&outside, store.root().join("out"))?;
    symlink(store.root().join("inside"), store.root().join("in"))?;
    symlink(outside.join("film"), store.root().join("film"))?;

    for key in ["out/film", "out/new", "out/deeper/new"] {
        for result in [
            store.put(key, Bytes::new()).await,
            store.put_if_absent(key, Bytes::new()).await.map(|_| ()),
            store.upload(key, &outside.join("film")).await,
        ] {
            assert_eq!(result.expect_err("a link leads out").kind(), ErrorKind::Permission, "{key}");
        }
    }
    assert_eq!(store.delete("out/film").await.expect_err("a link leads out").kind(), ErrorKind::Permission);
    assert_eq!(fs::read(outside.join("film"))?, b"film");
    assert_eq!(fs::read_dir(&outside)?.count(), 1, "nothing was created outside");

    // A link as the last part is replaced, not followed; links within the root and reading through
    // links are allowed.
    assert_eq!(store.put_if_absent("film", Bytes::new()).await?, PutOutcome::AlreadyExists);
    assert_eq!(store.get("out/film").await?, "film");
    store.put("film", Bytes::from_static(b"mine")).await?;
    store.put("in/b", Bytes::from_static(b"b")).await?;
    assert_eq!(fs::read(outside.join("film"))?, b"film");
    assert_eq!(keys(&store, "").await?, ["film", "in/a", "in/b", "inside/a", "inside/b", "out/film"]);
    Ok(())
}

#[tokio::test]
async fn a_listing_skips_entries_that_are_not_objects_and_ends_in_a_loop_of_links() -> Result<()> {
    let (_folder, store) = store()?;
    store.put("a/b/c", Bytes::new()).await?;
    fs::write(store.root().join("a/back\\slash"), b"")?;
    fs::write(store.root().join("a/new\nline"), b"")?;
    symlink("/nowhere/at/all", store.root().join("a/dangling"))?;
    symlink(store.root(), store.root().join("a/b/loop"))?;
    std::os::unix::net::UnixListener::bind(store.root().join("a/socket"))?;
    assert_eq!(keys(&store, "").await?, ["a/b/c"]);
    assert_eq!(store.get("a/socket").await.expect_err("a socket is no object").kind(), ErrorKind::NotFound);
    Ok(())
}

#[tokio::test]
async fn an_object_is_not_a_folder() -> Result<()> {
    let (_folder, store) = store()?;
    store.put("a", Bytes::from_static(b"x")).await?;
    store.put("folder/object", Bytes::from_static(b"x")).await?;
    for key in ["a/b", "a/b/c", "folder"] {
        let refused = store.put(key, Bytes::new()).await.expect_err("a path is a file or a folder");
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{key}: {refused:?}");
    }
    assert_eq!(store.get("a/b").await.expect_err("a is an object").kind(), ErrorKind::NotFound);
    assert_eq!(store.get("a").await?, "x");
    Ok(())
}

#[test]
fn a_file_is_not_a_store() -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    let refused = LocalStore::open(file.path()).expect_err("a file is no folder");
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert!(refused.to_string().contains(&file.path().display().to_string()));
    Ok(())
}
