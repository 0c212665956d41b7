//! A writer killed at any moment leaves the old object, the new one or none, never a part.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::TryStreamExt;
use jhalak_common::store::ObjectStore;
use jhalak_common::store::local::LocalStore;
use jhalak_common::{Error, Result};

const ROUNDS: u64 = 30;

/// The bytes of version `n`: its number all over, so that a part or a mixture shows.
fn version(n: u64) -> Bytes {
    n.to_le_bytes().repeat(150_000 + (n % 100) as usize).into()
}

fn check(bytes: &[u8]) -> Result<u64> {
    let n = bytes.first_chunk::<8>().map(|head| u64::from_le_bytes(*head)).unwrap_or(0);
    if bytes == version(n) {
        Ok(n)
    } else {
        Err(Error::bug(format!("a part of an object is visible: {} bytes of version {n}", bytes.len())))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_never_see_a_partial_object() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = LocalStore::open(folder.path().join("store"))?;
    let mut leftovers = 0;
    for round in 0..ROUNDS {
        let before = store.head("object").await.map(|meta| meta.tag).ok();
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", "crash::child_writes_until_killed", "--ignored"])
            .env("STORE", store.root())
            .env("FIRST", (1 + round * 1_000).to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()?;
        // The child is at work once the object is another one; then it is killed at another point
        // each time.
        let patience = Instant::now() + Duration::from_secs(30);
        while store.head("object").await.map(|meta| meta.tag).ok() == before {
            assert!(child.try_wait()?.is_none() && Instant::now() < patience, "the child does not write");
        }
        let kill_at = Instant::now() + Duration::from_micros(round * 1_733);
        while Instant::now() < kill_at {
            check(&store.get("object").await?)?;
        }
        child.kill()?;
        child.wait()?;

        check(&store.get("object").await?)?;
        let listed: Vec<_> = store.list("").try_collect().await?;
        for meta in &listed {
            assert!(
                meta.key == "object" || meta.key == "uploaded" || meta.key.starts_with("once/"),
                "{} is listed",
                meta.key
            );
            check(&store.get(&meta.key).await?)?;
        }
        leftovers = std::fs::read_dir(store.root().join(".tmp"))?.count();
    }
    println!("{ROUNDS} kills left {leftovers} unfinished writes, none of them visible");
    assert!(leftovers > 0, "no kill met an unfinished write: the test proves nothing");
    Ok(())
}

#[tokio::test]
#[ignore = "the child of readers_never_see_a_partial_object"]
async fn child_writes_until_killed() -> Result<()> {
    let (Ok(root), Ok(first)) = (std::env::var("STORE"), std::env::var("FIRST")) else { return Ok(()) };
    let store = LocalStore::open(&root)?;
    let first: u64 = first.parse().map_err(|e| Error::invalid("FIRST").with_source(e))?;
    let source = Path::new(&root).with_extension("source");
    for n in first.. {
        store.put("object", version(n)).await?;
        store.put_if_absent(&format!("once/{}", n % 7 + first), version(n)).await?;
        std::fs::write(&source, version(n))?;
        store.upload("uploaded", &source).await?;
    }
    Ok(())
}
