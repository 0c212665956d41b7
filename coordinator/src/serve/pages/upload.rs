//! Try it with a trailer of your own: its keyframes, neighbours and predicted audience.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures::StreamExt;
use jhalak_common::artifact::ArtifactKind;
use jhalak_common::dataset::Movie;
use jhalak_common::{Error, ErrorKind};
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::audience::{self, Asked, Audience};
use super::findings::{self, Looked};
use super::media;
use super::neighbours::{self, Kind};
use crate::artifacts::embedding_tables::read_embedding;
use crate::serve::answer::Form;
use crate::serve::failure::Failure;
use crate::serve::pictures;
use crate::serve::query::Names;
use crate::serve::site::{Site, Which};
use crate::serve::uploads::Uploads;

/// How long a client may pause while it sends.
const PAUSE: Duration = Duration::from_secs(20);

/// How long a client may send a file.
const MAX_SENDING: Duration = Duration::from_secs(900);

/// The longest name of a file that is shown, in characters.
const MAX_NAME: usize = 100;

/// The findings in an uploaded trailer.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Uploaded {
    /// The run whose recipes and model were used.
    run: String,
    /// The id of the upload.
    id: String,
    /// The name of the file.
    name: String,
    /// Its size in bytes.
    size: u64,
    /// Keyframes, scenes, objects and sound.
    looked: Looked,
    /// The nearest trailers of the run.
    kinds: Vec<Kind>,
    /// The predicted audience.
    audience: Audience,
}

/// Receives a trailer, extracts it, and shows what was found.
pub async fn receive(
    State(site): State<Arc<Site>>,
    form: Form,
    Names([run]): Names<[String; 1]>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let limit = site.upload_mb << 20;
    let too_large = || {
        let message = format!("the file is larger than {} MB: start the server with --upload-mb N", site.upload_mb);
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    if limit == 0 {
        return Err(Failure::new(StatusCode::FORBIDDEN, "this server accepts no uploads: --upload-mb is 0"));
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::CONTENT_LENGTH.as_str()).and_then(|n| n.parse::<u64>().ok()).is_some_and(|n| n > limit) {
        return Err(too_large());
    }
    let name = percent_decode_str(text("x-file-name").unwrap_or("upload")).decode_utf8_lossy().into_owned();
    let name: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    let index = site.index(&run).await?;
    let uploads = site.uploads().await?;
    let upload = {
        let _arrival = site.arrival()?;
        let (file, path) = uploads.file().await?;
        let written = tokio::time::timeout(MAX_SENDING, write(body.into_data_stream(), file, limit)).await;
        let late = |_| Failure::new(StatusCode::REQUEST_TIMEOUT, "the file took too long to arrive");
        let size = written.map_err(late)??.ok_or_else(too_large)?;
        if size == 0 {
            return Err(Failure::bad("the file is empty: choose a video"));
        }
        let _turn = site.turn().await?;
        let extracted = uploads.extract(&run, path, &index.plan.spec.recipes).await;
        (extracted.map_err(not_a_video)?, size)
    };
    let (upload, size) = upload;
    let states = index.states(&site.store).await;
    let looked = findings::look(uploads.store(), &upload.recipes, &index.plan.spec.models, &upload.subject).await?;
    let (mut kinds, mut embeddings) = (Vec::new(), BTreeMap::new());
    for (embedding, modality) in [(ArtifactKind::VideoEmbedding, "video"), (ArtifactKind::AudioEmbedding, "audio")] {
        let Some(recipe) = index.plan.spec.recipe(embedding) else { continue };
        let vector = read_embedding(uploads.store(), recipe, &upload.subject).await?.vector;
        embeddings.extend(vector.clone().map(|vector| (modality.to_owned(), vector)));
        let vector = vector.ok_or_else(|| "the file has none".to_owned());
        kinds.push(neighbours::kind(&site, &index, &states, embedding, vector, "").await?);
    }
    let movie = Movie { id: upload.subject.id.clone(), name: name.clone(), ..Movie::default() };
    let audience = audience::predict(&site, &index, Asked::New(Box::new(movie), embeddings)).await?;
    let page = Uploaded { run, id: upload.subject.id, name, size, looked, kinds, audience };
    site.answer(form, "upload.html", &page)
}

/// A file that the decoder refuses is the visitor's.
fn not_a_video(error: Error) -> Failure {
    let is_the_files = !error.kind().is_transient() && !error.kind().is_of_machine() && error.kind() != ErrorKind::Bug;
    match is_the_files {
        true => Failure::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the file cannot be used: {}", error.chain())),
        false => error.into(),
    }
}

/// Writes a body into a file. Returns its size; None where it is larger than `limit`.
async fn write(mut body: BodyDataStream, mut file: File, limit: u64) -> Result<Option<u64>, Failure> {
    let mut size = 0;
    loop {
        let late = || Failure::new(StatusCode::REQUEST_TIMEOUT, "the file did not arrive: send it again");
        let piece = tokio::time::timeout(PAUSE, body.next()).await.map_err(|_| late())?;
        let Some(piece) = piece else { break };
        let piece = piece.map_err(|e| Failure::bad(format!("the file did not arrive: {e}")))?;
        size += piece.len() as u64;
        if size > limit {
            return Ok(None);
        }
        file.write_all(&piece).await.map_err(Error::from)?;
    }
    file.flush().await.map_err(Error::from)?;
    Ok(Some(size))
}

/// Sends a keyframe of an upload.
pub async fn keyframe(
    State(site): State<Arc<Site>>,
    Names([id, recipe, number]): Names<[String; 3]>,
) -> Result<Response, Failure> {
    let missing = || Failure::missing(format!("the upload `{id}` is gone: send the file again"));
    let uploads: &Uploads = site.opened_uploads().ok_or_else(missing)?;
    let upload = uploads.find(&id).await.ok_or_else(missing)?;
    let recipe = media::recipe_of(&upload.recipes, &recipe)?;
    let which = Which::Number(media::parse(&number)?);
    let jpeg = pictures::keyframe(&site, uploads.store(), recipe, &upload.subject, which).await?;
    Ok(media::picture(jpeg, true))
}
