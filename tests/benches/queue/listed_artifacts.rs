//! Stands before the S3 server and answers for the artifacts of a large catalogue, which would take
//! tens of gigabytes there: listings of the recipes of trailers, and the records and embeddings of
//! each trailer. Every other request goes to the server. Counts the requests of each kind.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use jhalak_common::artifact::{
    ArtifactKey, ArtifactKind, COMMIT_VERSION, CommitRecord, FileRecord, Recipe, Subject, embedding_file,
};
use jhalak_common::hash;
use jhalak_common::run::job::Trailer;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Keys in an answer.
const PAGE: usize = 1_000;
/// Objects of an artifact: its record and one file.
const OBJECTS: [&str; 2] = ["commit.json", "embedding.safetensors"];

/// The server.
pub struct ListedArtifacts {
    /// Its URL.
    pub endpoint: String,
    /// Whether the artifacts exist.
    pub committed: AtomicBool,
    /// The recipes of the run, once they are known.
    pub recipes: Mutex<Vec<Recipe>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    server: String,
    trailers: usize,
}

/// Size and tag of a trailer, as the manifest states them.
pub fn listed(trailer: usize) -> (u64, String) {
    (20 + trailer as u64 % 7, format!("\"{trailer:032x}\""))
}

fn subject(trailer: usize) -> Subject {
    let (size, tag) = listed(trailer);
    Subject { id: format!("tt{trailer:07}"), content: Trailer::content_of_tag(size, &tag) }
}

impl ListedArtifacts {
    /// Starts it before the server at `endpoint`, for a catalogue of so many trailers.
    pub async fn start(endpoint: &str, trailers: usize) -> std::io::Result<Arc<ListedArtifacts>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let this = Arc::new(ListedArtifacts {
            endpoint: format!("http://{}", listener.local_addr()?),
            committed: AtomicBool::new(false),
            recipes: Mutex::default(),
            counts: Mutex::default(),
            server: endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned(),
            trailers,
        });
        let accepting = this.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let this = accepting.clone();
                // A client that goes away ends its connection alone.
                tokio::spawn(async move { drop(this.serve(client).await) });
            }
        });
        Ok(this)
    }

    /// Returns the requests of each kind since the last call.
    pub fn take_counts(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut *self.counts.lock().expect("no panic"))
    }

    async fn serve(&self, client: TcpStream) -> std::io::Result<()> {
        client.set_nodelay(true)?;
        let (read, mut write) = client.into_split();
        let mut read = BufReader::new(read);
        while let Some((head, length)) = read_head(&mut read).await? {
            let mut words = head.split(' ');
            let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_owned());
            let kind = match method {
                "GET" if target.contains("list-type=2") => "LIST",
                "GET" => "GET",
                "PUT" => "PUT",
                "HEAD" => "HEAD",
                "DELETE" => "DELETE",
                _ => "POST",
            };
            *self.counts.lock().expect("no panic").entry(kind).or_default() += 1;
            if let Some(body) = self.answer(kind, &target) {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nETag: \"x\"\r\n\r\n", body.len());
                write.write_all(head.as_bytes()).await?;
                write.write_all(&body).await?;
                continue;
            }
            let mut server = BufReader::new(TcpStream::connect(&self.server).await?);
            server.write_all(head.as_bytes()).await?;
            if head.to_ascii_lowercase().contains("expect: 100-continue") {
                write.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            tokio::io::copy(&mut (&mut read).take(length), &mut server).await?;
            let mut answer = read_head(&mut server).await?;
            while let Some((head, _)) = answer.as_ref().filter(|(head, _)| head.starts_with("HTTP/1.1 100")) {
                debug_assert!(head.ends_with("\r\n\r\n"));
                answer = read_head(&mut server).await?;
            }
            let Some((head, length)) = answer else { return Ok(()) };
            write.write_all(head.as_bytes()).await?;
            if method == "HEAD" {
            } else if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
                copy_chunks(&mut server, &mut write).await?;
            } else {
                tokio::io::copy(&mut server.take(length), &mut write).await?;
            }
        }
        Ok(())
    }

    /// Answers a request for an artifact of a trailer; None for all others.
    fn answer(&self, kind: &str, target: &str) -> Option<Vec<u8>> {
        if !self.committed.load(Ordering::SeqCst) {
            return None;
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let decode = |text: &str| text.replace("%2F", "/").replace("%40", "@").replace("%3D", "=");
        let parameter =
            |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(decode);
        if kind == "LIST" {
            let prefix = parameter("prefix")?;
            let (_, rest) = prefix.split_once("artifacts/")?;
            let (of, recipe) = rest.trim_end_matches('/').split_once('/')?;
            is_of_trailer(of)?;
            let root = &prefix[..prefix.len() - rest.len()];
            let from: usize = parameter("continuation-token").and_then(|token| token.parse().ok()).unwrap_or(0);
            return Some(self.page(&format!("{root}{of}/{recipe}"), from).into_bytes());
        }
        let path = decode(path);
        let (_, rest) = path.split_once("artifacts/").filter(|_| kind == "GET")?;
        let [of, _, folder, file] = rest.split('/').collect::<Vec<_>>()[..] else { return None };
        let kind = is_of_trailer(of)?;
        let trailer: usize = folder.split_once('@')?.0.trim_start_matches("tt").parse().ok()?;
        let embedding = embedding_file::encode(&[0.5; 16], None, &json!({})).ok()?;
        if file == OBJECTS[1] {
            return Some(embedding.to_vec());
        }
        let recipe = self.recipes.lock().expect("no panic").iter().find(|recipe| recipe.kind == kind)?.clone();
        let (size, sha256) = (embedding.len() as u64, hash::of_bytes(&embedding));
        let files = vec![FileRecord { name: OBJECTS[1].to_owned(), object: None, size, sha256 }];
        let record =
            CommitRecord { version: COMMIT_VERSION, recipe, subject: subject(trailer), files, facts: json!({}) };
        serde_json::to_vec(&record).ok()
    }

    fn page(&self, folder: &str, from: usize) -> String {
        let all = self.trailers * OBJECTS.len();
        let to = (from + PAGE).min(all);
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><IsTruncated>{}</IsTruncated>\
             <KeyCount>{}</KeyCount><MaxKeys>{PAGE}</MaxKeys>",
            to < all,
            to - from
        );
        if to < all {
            let _ = write!(xml, "<NextContinuationToken>{to}</NextContinuationToken>");
        }
        for at in from..to {
            let name = ArtifactKey::subject_folder(&subject(at / OBJECTS.len()));
            let file = OBJECTS[at % OBJECTS.len()];
            let _ = write!(
                xml,
                "<Contents><Key>{folder}/{name}/{file}</Key><LastModified>2026-11-30T00:00:00.000Z</LastModified>\
                 <ETag>&quot;x&quot;</ETag><Size>1</Size></Contents>"
            );
        }
        xml + "</ListBucketResult>"
    }
}

fn is_of_trailer(kind: &str) -> Option<ArtifactKind> {
    let kinds = [ArtifactKind::Keyframes, ArtifactKind::VideoEmbedding, ArtifactKind::AudioEmbedding];
    kinds.into_iter().find(|known| known.name() == kind)
}

/// Reads the head of a request or an answer, and the length of its body; None at the end.
async fn read_head(from: &mut (impl AsyncBufReadExt + Unpin)) -> std::io::Result<Option<(String, u64)>> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let start = head.len();
        if from.read_line(&mut head).await? == 0 {
            return Ok(None);
        }
        let line = head[start..].to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line == "\r\n" {
            return Ok(Some((head, length)));
        }
    }
}

async fn copy_chunks(
    from: &mut (impl AsyncBufReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        from.read_line(&mut line).await?;
        to.write_all(line.as_bytes()).await?;
        let size = u64::from_str_radix(line.trim().split(';').next().unwrap_or_default(), 16).unwrap_or(0);
        // The line break after the chunk; after the last chunk, the empty line of the end.
        tokio::io::copy(&mut (&mut *from).take(size + 2), to).await?;
        if size == 0 {
            return Ok(());
        }
    }
}
