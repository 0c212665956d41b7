//! Bytes in bulk: downloads that resume where they were cut, uploads in parts.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter};

use super::attempts::Attempts;
use super::bucket::Bucket;
use super::errors::Fault;
use super::operation::Doing;
use crate::error::{Error, Result};
use crate::store::interface::ObjectMeta;

/// A server may take minutes to join the parts of an upload.
const JOINING: Duration = Duration::from_secs(300);

/// How often an upload is begun again where the server has lost it.
const UPLOADS: u32 = 3;

/// Where downloaded bytes go.
#[async_trait]
pub(super) trait Sink: Send {
    async fn write(&mut self, chunk: &[u8]) -> Result<()>;
    /// Forgets what was written: the object was replaced, or the server does not resume.
    async fn restart(&mut self) -> Result<()>;
}

#[async_trait]
impl Sink for Vec<u8> {
    async fn write(&mut self, chunk: &[u8]) -> Result<()> {
        self.extend_from_slice(chunk);
        Ok(())
    }

    async fn restart(&mut self) -> Result<()> {
        self.clear();
        Ok(())
    }
}

#[async_trait]
impl Sink for BufWriter<File> {
    async fn write(&mut self, chunk: &[u8]) -> Result<()> {
        Ok(self.write_all(chunk).await?)
    }

    async fn restart(&mut self) -> Result<()> {
        self.rewind().await?;
        Ok(self.get_mut().set_len(0).await?)
    }
}

/// The content that a download has settled on.
struct Content {
    tag: String,
    size: u64,
}

impl Bucket {
    /// Writes an object into `sink`. A transfer that is cut or goes silent is resumed at the byte it had reached, as often as it makes progress.
    pub(super) async fn fetch(&self, key: &str, tag: Option<&str>, sink: &mut dyn Sink) -> Result<ObjectMeta> {
        let doing = Doing("read", key);
        let full = self.full_key(key)?;
        let mut attempts = Attempts::new(doing, self.attempts);
        let mut content: Option<Content> = None;
        let mut reached = 0;
        loop {
            let condition = content.as_ref().map(|content| content.tag.as_str()).filter(|tag| !tag.is_empty()).or(tag);
            let fault = match self.get_from(doing, &full, reached, condition).await {
                Ok(answer) => {
                    let start = first_byte(&answer);
                    if start != reached {
                        // The server ignored the range, or the object is another one.
                        sink.restart().await?;
                        reached = 0;
                    }
                    if start > reached {
                        return Err(Error::transient(format!(
                            "{doing}: {} answered with another range than asked",
                            self.server
                        )));
                    }
                    let found = describe(&answer, start)?;
                    if tag.is_some_and(|tag| tag != found.tag) {
                        return Err(replaced(doing));
                    }
                    let size = found.size;
                    content = Some(found);
                    let before = reached;
                    let outcome = self.pour(answer.body, sink, &mut reached).await?;
                    if reached > before {
                        attempts.progress();
                    }
                    match outcome {
                        _ if reached == size => break,
                        None => Fault::Passing(Error::transient(format!(
                            "{reached} of {size} bytes arrived from {}",
                            self.server
                        ))),
                        Some(fault) => fault,
                    }
                }
                Err(Fault::PreconditionFailed(_)) if tag.is_some() => return Err(replaced(doing)),
                Err(Fault::PreconditionFailed(_)) => {
                    sink.restart().await?;
                    (content, reached) = (None, 0);
                    Fault::Passing(Error::transient("the object was replaced while it was read"))
                }
                // `get_from` has repeated the request as often as allowed.
                Err(fault) => return Err(fault.into_error()),
            };
            attempts.failed(fault).await.map_err(|fault| fault.context(doing).into_error())?;
        }
        let Content { tag, size } = content.unwrap_or(Content { tag: String::new(), size: 0 });
        Ok(ObjectMeta { key: key.to_string(), size, tag })
    }

    async fn get_from(
        &self,
        doing: Doing<'_>,
        full: &str,
        start: u64,
        tag: Option<&str>,
    ) -> Result<GetObjectOutput, Fault> {
        let range = (start > 0).then(|| format!("bytes={start}-"));
        let request = |progress| {
            let get = self.client.get_object().bucket(&self.name).key(full).set_range(range.clone());
            get.set_if_match(tag.map(str::to_string)).customize().interceptor(progress).send()
        };
        self.attempt(doing, self.stall_timeout, request).await
    }

    /// Writes what arrives, and moves `reached` on. Gives what ended the transfer early; an error is the sink's own.
    async fn pour(&self, mut body: ByteStream, sink: &mut dyn Sink, reached: &mut u64) -> Result<Option<Fault>> {
        loop {
            match tokio::time::timeout(self.stall_timeout, body.next()).await {
                Err(_) => return Ok(Some(self.silent(self.stall_timeout))),
                Ok(None) => return Ok(None),
                Ok(Some(Err(e))) => {
                    let cut = Error::transient(format!("the object store at {} cut the transfer", self.server));
                    return Ok(Some(Fault::Passing(cut.with_source(e))));
                }
                Ok(Some(Ok(chunk))) => {
                    sink.write(&chunk).await?;
                    *reached += chunk.len() as u64;
                }
            }
        }
    }

    pub(super) async fn download_file(&self, key: &str, to: &Path, tag: Option<&str>) -> Result<ObjectMeta> {
        let naming = |e: std::io::Error| Error::from(e).context(format_args!("cannot write {}", to.display()));
        let mut sink = BufWriter::with_capacity(1 << 20, File::create(to).await.map_err(naming)?);
        let fetched = match self.fetch(key, tag, &mut sink).await {
            Ok(meta) => sink.flush().await.map(|()| meta).map_err(naming),
            Err(e) => Err(e),
        };
        drop(sink);
        if fetched.is_err() {
            // What could not be completed is of no use; that it cannot be removed either adds nothing to the error.
            let _ = tokio::fs::remove_file(to).await;
        }
        fetched
    }

    pub(super) async fn upload_file(&self, key: &str, from: &Path) -> Result<()> {
        let naming = |e: std::io::Error| Error::from(e).context(format_args!("cannot read {}", from.display()));
        let mut file = File::open(from).await.map_err(naming)?;
        let size = file.metadata().await.map_err(naming)?.len();
        if size <= self.part_size {
            let bytes = read_part(&mut file, size, from).await?;
            return self.put_bytes(key, bytes).await;
        }
        for _ in 1..UPLOADS {
            match self.upload_parts(key, &mut file, size, from).await {
                Err(Fault::NoSuchUpload(error)) => {
                    // Joined by an attempt whose answer was lost, or given up by the server. To write the same again is right in both.
                    tracing::debug!(key, error = %error.chain(), "uploading again");
                    file.rewind().await.map_err(naming)?;
                }
                outcome => return outcome.map_err(Fault::into_error),
            }
        }
        self.upload_parts(key, &mut file, size, from).await.map_err(Fault::into_error)
    }

    async fn upload_parts(&self, key: &str, file: &mut File, size: u64, from: &Path) -> Result<(), Fault> {
        let doing = Doing("write", key);
        let full = self.full_key(key).map_err(Fault::Final)?;
        let begin = |progress| {
            self.client.create_multipart_upload().bucket(&self.name).key(&full).customize().interceptor(progress).send()
        };
        let begun = self.attempt(doing, self.stall_timeout, begin).await?;
        let id = begun
            .upload_id
            .ok_or_else(|| Fault::Final(Error::bug(format!("{} began an upload without an id", self.server))))?;
        let mut upload = Upload {
            client: self.client.clone(),
            bucket: self.name.clone(),
            full,
            id,
            patience: self.stall_timeout,
            open: true,
        };

        let outcome = self.send_parts(doing, &upload, file, size, from).await;
        match &outcome {
            Ok(()) | Err(Fault::NoSuchUpload(_)) => upload.open = false,
            Err(_) => upload.give_up().await,
        }
        outcome
    }

    async fn send_parts(
        &self,
        doing: Doing<'_>,
        upload: &Upload,
        file: &mut File,
        size: u64,
        from: &Path,
    ) -> Result<(), Fault> {
        let (bucket, full, id) = (&self.name, &upload.full, &upload.id);
        // A server takes at most 10,000 parts.
        let part_size = self.part_size.max(size.div_ceil(10_000));
        let mut parts = Vec::new();
        let mut sent = 0;
        while sent < size {
            let bytes = read_part(file, part_size.min(size - sent), from).await.map_err(Fault::Final)?;
            sent += bytes.len() as u64;
            let number = i32::try_from(parts.len() + 1).unwrap_or(i32::MAX);
            let request = |progress| {
                let part = self.client.upload_part().bucket(bucket).key(full).upload_id(id).part_number(number);
                part.body(ByteStream::from(bytes.clone())).customize().interceptor(progress).send()
            };
            let answer = self.attempt(doing, self.stall_timeout, request).await?;
            parts.push(CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag).build());
        }
        let list = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = |progress| {
            let join = self.client.complete_multipart_upload().bucket(bucket).key(full).upload_id(id);
            join.multipart_upload(list.clone()).customize().interceptor(progress).send()
        };
        self.attempt(doing, self.stall_timeout.max(JOINING), request).await?;
        Ok(())
    }
}

/// A multipart upload that was begun. Its parts are invisible, but take room on the server until it is joined or given up.
struct Upload {
    client: Client,
    bucket: String,
    full: String,
    id: String,
    patience: Duration,
    open: bool,
}

impl Upload {
    /// Gives the upload up. Where that fails too, a life-cycle rule of the bucket has to remove the parts.
    fn give_up(&mut self) -> impl Future<Output = ()> + Send + 'static {
        self.open = false;
        let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(&self.full).upload_id(&self.id);
        let (patience, key) = (self.patience, self.full.clone());
        async move {
            let error = match tokio::time::timeout(patience, request.send()).await {
                Ok(Ok(_)) => return,
                Ok(Err(e)) => DisplayErrorContext(e).to_string(),
                Err(_) => "no answer in time".to_string(),
            };
            tracing::warn!(
                key,
                error,
                "an unfinished upload cannot be given up: its parts stay until a life-cycle rule of the bucket removes them"
            );
        }
    }
}

impl Drop for Upload {
    /// The call was cancelled in the middle: give the upload up in the background.
    fn drop(&mut self) {
        if self.open
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(self.give_up());
        }
    }
}

/// Exactly `length` bytes of the file.
async fn read_part(file: &mut File, length: u64, from: &Path) -> Result<Bytes> {
    let capacity =
        usize::try_from(length).map_err(|e| Error::invalid("the part is too large for this machine").with_source(e))?;
    let mut bytes = Vec::with_capacity(capacity);
    file.take(length)
        .read_to_end(&mut bytes)
        .await
        .map_err(|e| Error::from(e).context(format_args!("cannot read {}", from.display())))?;
    if bytes.len() as u64 == length {
        Ok(bytes.into())
    } else {
        Err(Error::invalid(format!("{} became shorter while it was uploaded: leave it alone", from.display())))
    }
}

/// The position of an answer's first byte in the object.
fn first_byte(answer: &GetObjectOutput) -> u64 {
    let range = answer.content_range().and_then(|range| range.strip_prefix("bytes "));
    range.and_then(|range| range.split_once('-')).and_then(|(start, _)| start.parse().ok()).unwrap_or(0)
}

/// The whole object's tag and size, from an answer that may hold its end only.
fn describe(answer: &GetObjectOutput, start: u64) -> Result<Content> {
    let rest = answer.content_length().and_then(|length| u64::try_from(length).ok());
    let Some(rest) = rest else {
        return Err(Error::invalid("the object store does not tell the object's length"));
    };
    Ok(Content { tag: answer.e_tag().unwrap_or_default().to_string(), size: start + rest })
}

fn replaced(doing: Doing<'_>) -> Error {
    Error::invalid(format!("{doing}: its content was replaced since the run was planned; submit again"))
}
