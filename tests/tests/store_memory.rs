//! Large files go through both stores in little memory. A test program of its own, because it
//! measures the whole process.

use std::sync::Arc;

use jhalak_common::store::local::LocalStore;
use jhalak_common::store::{ObjectStore, conformance};
use jhalak_common::{Error, Result};
use jhalak_tests::s3_server;

const SIZE: u64 = 160 << 20;

/// A few parts of 5 MiB and the buffers of the connection.
const ALLOWED: u64 = 32 << 20;

/// Peak resident memory of this process in bytes, since the last `forget_peak`.
fn peak() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| Error::bug("/proc/self/status has no VmHWM"))
}

fn forget_peak() -> Result<()> {
    Ok(std::fs::write("/proc/self/clear_refs", "5")?)
}

#[tokio::test(flavor = "multi_thread")]
async fn large_files_take_little_memory() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    conformance::write_noise(&from, SIZE)?;
    let mut stores: Vec<Arc<dyn ObjectStore>> = vec![Arc::new(LocalStore::open(folder.path().join("store"))?)];
    if let Some(server) = s3_server::from_environment() {
        stores.push(server.store("memory", None).await?);
    }
    for store in stores {
        forget_peak()?;
        let before = peak()?;
        store.upload("film", &from).await?;
        let uploaded = peak()?;
        store.download("film", &to, None).await?;
        let downloaded = peak()?;
        println!(
            "{store:?}: {} MiB, upload +{} KiB, with download +{} KiB",
            SIZE >> 20,
            (uploaded - before) >> 10,
            (downloaded - before) >> 10
        );
        assert!(downloaded - before < ALLOWED, "{store:?} took {} bytes more", downloaded - before);
        assert!(conformance::same_bytes(&from, &to)?);
        store.delete("film").await?;
    }
    Ok(())
}
