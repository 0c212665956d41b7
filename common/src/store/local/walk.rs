//! Lists a folder as a stream of keys in ascending byte order, holding only the names along one
//! path of folders.

use std::cmp::Reverse;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::mpsc;

use super::object::describe;
use crate::error::{Error, Result};
use crate::store::interface::ObjectMeta;
use crate::store::key::{UNFINISHED, check_key, check_prefix};

/// Objects passed at a time from the walking thread to the reader of the stream.
const PAGE: usize = 1_000;

/// Lists the objects below `root` whose key starts with `prefix`. The walk starts when the stream
/// is first polled, and ends when it is dropped.
pub(super) fn list(root: Arc<Path>, prefix: &str) -> BoxStream<'static, Result<ObjectMeta>> {
    let prefix = prefix.to_string();
    stream::once(async move {
        let (pages, reader) = mpsc::channel(1);
        tokio::task::spawn_blocking(move || {
            let mut walk = Walk { prefix, page: Vec::with_capacity(PAGE), pages, above: Vec::new() };
            let last = check_prefix(&walk.prefix).and_then(|()| walk.start(&root));
            if let Err(e) = last {
                walk.page.push(Err(e.context(format_args!("cannot list {}", root.display()))));
            }
            walk.send();
        });
        stream::unfold(reader, |mut reader| async { reader.recv().await.map(|page| (stream::iter(page), reader)) })
            .flatten()
    })
    .flatten()
    .boxed()
}

struct Walk {
    prefix: String,
    page: Vec<Result<ObjectMeta>>,
    pages: mpsc::Sender<Vec<Result<ObjectMeta>>>,
    /// Device and inode of every folder from the root to the current one, to detect link cycles.
    above: Vec<(u64, u64)>,
}

impl Walk {
    fn start(&mut self, root: &Path) -> Result<bool> {
        // Folders that the prefix names in full are entered directly, without listing their
        // siblings.
        let parent = self.prefix.rfind('/').map_or("", |end| &self.prefix[..=end]).to_string();
        self.folder(&root.join(&parent), &parent)
    }

    /// Lists one folder, whose keys start with `base` (empty or ending in `/`). Returns false when
    /// the reader is gone.
    fn folder(&mut self, path: &Path, base: &str) -> Result<bool> {
        let meta = match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => meta,
            Ok(_) => return Ok(true),
            Err(e) if is_gone(&e) => return Ok(true),
            Err(e) => return Err(named(e, path)),
        };
        let identity = (meta.dev(), meta.ino());
        if self.above.contains(&identity) {
            return Ok(true);
        }
        let mut names = self.names(path, base)?;
        self.above.push(identity);
        // Taken from the back, so that the memory of a finished name is freed.
        while let Some(Reverse(name)) = names.pop() {
            let key = format!("{base}{name}");
            let child = path.join(&name);
            let continues = match name.strip_suffix('/') {
                Some(_) => self.folder(&child, &key)?,
                None => match fs::metadata(&child) {
                    Ok(meta) => self.push(describe(key, &meta)),
                    Err(e) if is_gone(&e) => true,
                    Err(e) => return Err(named(e, &child)),
                },
            };
            if !continues {
                return Ok(false);
            }
        }
        self.above.pop();
        Ok(true)
    }

    /// Returns the names in one folder that can lead to keys with the prefix, in descending order.
    /// Names of folders end in `/`, as in their keys: `a-b` comes before `a/b`, although `a` comes
    /// before `a-b`.
    fn names(&self, path: &Path, base: &str) -> Result<Vec<Reverse<String>>> {
        let mut names = Vec::new();
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(e) if is_gone(&e) => return Ok(names),
            Err(e) => return Err(named(e, path)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| named(e, path))?;
            let Ok(mut name) = entry.file_name().into_string() else { continue };
            if base.is_empty() && name == UNFINISHED {
                continue;
            }
            let mut kind = entry.file_type().map_err(|e| named(e, path))?;
            if kind.is_symlink() {
                match fs::metadata(entry.path()) {
                    Ok(meta) => kind = meta.file_type(),
                    Err(_) => continue,
                }
            }
            let key = format!("{base}{name}");
            if check_key(&key).is_err() || !(kind.is_file() || kind.is_dir()) {
                continue;
            }
            if kind.is_dir() {
                name.push('/');
            }
            let key = format!("{base}{name}");
            if key.starts_with(&self.prefix) || (kind.is_dir() && self.prefix.starts_with(&key)) {
                names.push(Reverse(name));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn push(&mut self, meta: ObjectMeta) -> bool {
        self.page.push(Ok(meta));
        self.page.len() < PAGE || self.send()
    }

    fn send(&mut self) -> bool {
        let page = std::mem::replace(&mut self.page, Vec::with_capacity(PAGE));
        self.pages.blocking_send(page).is_ok()
    }
}

/// Whether the entry was removed while the folder was read.
fn is_gone(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn named(e: io::Error, path: &Path) -> Error {
    Error::from(e).context(path.display())
}
