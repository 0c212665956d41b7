//! Listing page by page, in ascending byte order whatever the order of the server.

use std::collections::{BTreeMap, VecDeque};

use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::bucket::Bucket;
use super::errors::Fault;
use super::operation::Operation;
use crate::error::Result;
use crate::store::interface::ObjectMeta;
use crate::store::key::{check_key, check_prefix};

/// The progress of a listing.
struct Listing {
    prefix: String,
    /// The server's token of the next page; None before the first one.
    continuation: Option<String>,
    ended: bool,
    order: ByteOrder,
    ready: VecDeque<ObjectMeta>,
}

impl Bucket {
    /// Lists the objects whose key starts with `prefix`. The first request is sent when the stream
    /// is first polled; an error ends the stream.
    pub(super) fn list_pages(&self, prefix: &str) -> BoxStream<'_, Result<ObjectMeta>> {
        let listing = Listing {
            prefix: prefix.to_string(),
            continuation: None,
            ended: false,
            order: ByteOrder { start: prefix.len(), ordered: self.ordered, held: BTreeMap::new() },
            ready: VecDeque::new(),
        };
        stream::try_unfold(listing, move |mut listing| async move {
            while listing.ready.is_empty() && !listing.ended {
                self.next_page(&mut listing).await?;
            }
            Ok(listing.ready.pop_front().map(|meta| (meta, listing)))
        })
        .boxed()
    }

    async fn next_page(&self, listing: &mut Listing) -> Result<()> {
        check_prefix(&listing.prefix)?;
        let full = format!("{}{}", self.prefix, listing.prefix);
        let request = |progress| {
            let page = self
                .client
                .list_objects_v2()
                .bucket(&self.name)
                .prefix(&full)
                .set_continuation_token(listing.continuation.clone());
            page.customize().interceptor(progress).send()
        };
        let page = match self.attempt(Operation("list", &full), self.stall_timeout, request).await {
            Ok(page) => page,
            Err(Fault::NotFound(error)) => {
                self.check_bucket().await?;
                return Err(error);
            }
            Err(fault) => return Err(fault.into_error()),
        };
        for object in page.contents.unwrap_or_default() {
            let Some(key) = object.key.as_deref().and_then(|key| key.strip_prefix(&self.prefix)) else { continue };
            // Folder markers, and objects of other programs whose names are not valid keys.
            if check_key(key).is_err() {
                if !key.ends_with('/') {
                    tracing::warn!(key = %key.escape_debug(), "passed over an object whose name is not a valid key");
                }
                continue;
            }
            let meta = ObjectMeta {
                key: key.to_string(),
                size: object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                tag: object.e_tag.unwrap_or_default(),
            };
            listing.order.push(meta, &mut listing.ready);
        }
        listing.continuation = page.next_continuation_token.filter(|_| page.is_truncated == Some(true));
        if listing.continuation.is_none() {
            listing.ended = true;
            listing.order.finish(&mut listing.ready);
        }
        Ok(())
    }
}

/// Sorts keys that arrive in ascending order of their parts into ascending byte order.
///
/// S3 lists by bytes: `a-b` before `a/b`. A server with folders (SeaweedFS) lists folder by folder:
/// `a/b` before `a-b`. There, a later key can be smaller than the current one only if it continues
/// the name of the current key's folder with a character below `/`. The shortest such folder,
/// directly below the listing's prefix, decides: every key below that folder's name and a space
/// (the lowest character of a key) is final. So memory is bounded by the largest folder directly
/// below the prefix, and its siblings that continue its name.
struct ByteOrder {
    /// Length of the listing's prefix.
    start: usize,
    /// Whether the server lists by bytes, so that nothing is held.
    ordered: bool,
    held: BTreeMap<String, ObjectMeta>,
}

impl ByteOrder {
    /// Adds the next object in the server's order, and releases the objects whose order is final.
    fn push(&mut self, meta: ObjectMeta, ready: &mut VecDeque<ObjectMeta>) {
        let folder = if self.ordered { None } else { meta.key.get(self.start..).and_then(|rest| rest.find('/')) };
        let Some(end) = folder.map(|at| self.start + at) else {
            // An object directly below the prefix: all later keys are greater.
            while let Some(entry) = self.held.first_entry().filter(|entry| *entry.key() < meta.key) {
                ready.push_back(entry.remove());
            }
            // Held objects are in a folder whose name this key continues, so they come later.
            ready.push_back(meta);
            return;
        };
        let certain = format!("{} ", &meta.key[..end]);
        while let Some(entry) = self.held.first_entry().filter(|entry| *entry.key() < certain) {
            ready.push_back(entry.remove());
        }
        self.held.insert(meta.key.clone(), meta);
    }

    /// Releases the remaining objects at the end of the listing.
    fn finish(&mut self, ready: &mut VecDeque<ObjectMeta>) {
        ready.extend(std::mem::take(&mut self.held).into_values());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lists `keys` below `prefix` as a server that orders by parts (or by bytes), and sorts them
    /// by bytes.
    fn listed(keys: &[&str], prefix: &str, by_parts: bool) -> (Vec<String>, usize) {
        let mut keys: Vec<&str> = keys.iter().copied().filter(|key| key.starts_with(prefix)).collect();
        if by_parts {
            keys.sort_by_key(|key| key.split('/').map(str::as_bytes).collect::<Vec<_>>());
        } else {
            keys.sort_unstable();
        }
        let mut order = ByteOrder { start: prefix.len(), ordered: false, held: BTreeMap::new() };
        let (mut ready, mut most) = (VecDeque::new(), 0);
        for key in keys {
            order.push(ObjectMeta { key: key.to_string(), size: 0, tag: String::new() }, &mut ready);
            most = most.max(order.held.len());
        }
        order.finish(&mut ready);
        (ready.into_iter().map(|meta| meta.key).collect(), most)
    }

    #[test]
    fn keys_come_in_byte_order_whichever_order_the_server_has() {
        // Every key of up to three parts over these names, so that each name is a file, a folder
        // and the start of others.
        let names = ["a", "a ", "a-", "a-b", "a.", "a0", "aa", "b", "ä"];
        let mut keys: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        for first in names {
            for second in names {
                keys.push(format!("{first}/{second}"));
                keys.extend(names.iter().map(|third| format!("{first}/{second}/{third}")));
            }
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        for prefix in ["", "a", "a/", "a-", "a/a", "a/a-/", "b/", "none"] {
            let mut expected: Vec<&str> = keys.iter().copied().filter(|key| key.starts_with(prefix)).collect();
            expected.sort_unstable();
            for by_parts in [true, false] {
                assert_eq!(listed(&keys, prefix, by_parts).0, expected, "prefix {prefix:?}, by parts {by_parts}");
            }
        }
    }

    #[test]
    fn memory_is_bounded_by_one_folder() {
        let keys: Vec<String> = (0..5_000).map(|i| format!("artifacts/{:04}/{}", i / 5, i % 5)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(listed(&keys, "artifacts/", true).1, 5);
    }
}
