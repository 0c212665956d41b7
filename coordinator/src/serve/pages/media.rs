//! Pictures and videos: posters, keyframes, and the trailer's file by ranges.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use jhalak_common::artifact::{ArtifactKind, Recipe};
use jhalak_common::run::job::Trailer;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, ErrorKind, Result};
use serde::Deserialize;

use crate::serve::etag;
use crate::serve::failure::Failure;
use crate::serve::index::RunIndex;
use crate::serve::pictures;
use crate::serve::query::{Names, Options};
use crate::serve::site::{Site, Which};

/// Bytes of a video that are read from the store at a time.
const PIECE: u64 = 512 << 10;

/// Pictures of a version never change.
const FOR_EVER: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// The version that an address names: the start of the hash of the trailer's file.
#[derive(Deserialize)]
pub struct Version {
    v: Option<String>,
}

/// Finds a trailer of a run.
///
/// # Errors
/// 404 for an id that is not in the run.
pub fn find(index: &RunIndex, id: &str) -> Result<usize, Failure> {
    let missing = || Failure::missing(format!("the run {} has no trailer of `{id}`", index.plan.spec.id));
    index.position(id).ok_or_else(missing)
}

/// Sends the poster of a trailer.
pub async fn poster(
    State(site): State<Arc<Site>>,
    Names([run, id]): Names<[String; 2]>,
    Options(version): Options<Version>,
) -> Result<Response, Failure> {
    let index = site.index(&run).await?;
    let trailer = &index.trailers()[find(&index, &id)?];
    let recipe = index.plan.spec.recipe(ArtifactKind::Keyframes);
    let recipe = recipe.ok_or_else(|| Failure::missing(format!("the run {run} cuts no keyframes")))?;
    let jpeg = pictures::keyframe(&site, site.store.as_ref(), recipe, &trailer.subject, Which::Poster).await?;
    Ok(picture(jpeg, version.v.as_deref() == Some(trailer.subject.content.short().as_str())))
}

/// Sends a keyframe of a trailer.
pub async fn keyframe(
    State(site): State<Arc<Site>>,
    Names([run, id, recipe, number]): Names<[String; 4]>,
    Options(version): Options<Version>,
) -> Result<Response, Failure> {
    let index = site.index(&run).await?;
    let trailer = &index.trailers()[find(&index, &id)?];
    let recipe = recipe_of(&index.plan.spec.recipes, &recipe)?;
    let which = Which::Number(parse(&number)?);
    let jpeg = pictures::keyframe(&site, site.store.as_ref(), recipe, &trailer.subject, which).await?;
    Ok(picture(jpeg, version.v.as_deref() == Some(trailer.subject.content.short().as_str())))
}

/// Finds the recipe of keyframes whose hash starts with `short`.
///
/// # Errors
/// 404 for another one.
pub fn recipe_of<'a>(recipes: &'a [Recipe], short: &str) -> Result<&'a Recipe, Failure> {
    let is_it = |recipe: &&Recipe| recipe.kind == ArtifactKind::Keyframes && recipe.hash().short() == short;
    recipes.iter().find(is_it).ok_or_else(|| Failure::missing("the run has no keyframes of this recipe"))
}

/// Reads the number of a keyframe: `7` or `7.jpg`.
///
/// # Errors
/// 404 for anything else.
pub fn parse(number: &str) -> Result<usize, Failure> {
    let digits = number.strip_suffix(".jpg").unwrap_or(number);
    let parsed = digits.parse::<u16>().map(usize::from);
    parsed.map_err(|_| Failure::missing("a keyframe has a number from 0"))
}

/// Answers with a picture.
pub fn picture(jpeg: Bytes, is_named: bool) -> Response {
    let tag = etag::of(&jpeg);
    let caching = if is_named { FOR_EVER } else { HeaderValue::from_static("private, no-cache") };
    let kind = HeaderValue::from_static("image/jpeg");
    ([(header::CONTENT_TYPE, kind), (header::ETAG, tag), (header::CACHE_CONTROL, caching)], jpeg).into_response()
}

/// The type of a trailer's file by its extension; None where no browser plays it.
pub fn video_type(key: &str) -> Option<&'static str> {
    let extension = key.rsplit_once('.')?.1.to_ascii_lowercase();
    match extension.as_str() {
        "mp4" | "m4v" => Some("video/mp4"),
        "webm" => Some("video/webm"),
        "mov" => Some("video/quicktime"),
        _ => None,
    }
}

/// Opens the store with a trailer's file, if a browser can play it and it has not changed since the
/// run was planned.
///
/// # Errors
/// NotFound or Permission with the reason.
pub async fn open_video(site: &Site, trailer: &Trailer) -> Result<(Arc<dyn ObjectStore>, &'static str)> {
    let kind = video_type(&trailer.key).ok_or_else(|| {
        Error::not_found(format!("browsers do not play this container: {}", trailer.key.escape_debug()))
    })?;
    if trailer.size == 0 {
        return Err(Error::not_found("the file is empty"));
    }
    let store = site.source(&trailer.store).await?;
    let found = store.head(&trailer.key).await?;
    let is_same = found.size == trailer.size && trailer.tag.as_ref().is_none_or(|tag| *tag == found.tag);
    match is_same {
        true => Ok((store, kind)),
        false => Err(Error::not_found(format!("{} has changed since the run was planned", trailer.key.escape_debug()))),
    }
}

/// Sends the file of a trailer, or the requested range of it.
pub async fn video(
    State(site): State<Arc<Site>>,
    Names([run, id]): Names<[String; 2]>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let index = site.index(&run).await?;
    let trailer = index.trailers()[find(&index, &id)?].clone();
    let (store, kind) = open_video(&site, &trailer).await.map_err(|error| match error.kind() {
        ErrorKind::Permission => Failure::new(StatusCode::FORBIDDEN, error.chain()),
        _ => error.into(),
    })?;
    let tag = etag::named(&trailer.subject.content.short());
    // A client that holds the start of another version gets the whole file.
    let is_current = headers.get(header::IF_RANGE).is_none_or(|held| *held == tag);
    let asked = headers.get(header::RANGE).filter(|_| is_current).and_then(|range| range.to_str().ok());
    let size = trailer.size;
    let (status, start, end) = match asked.map(|asked| range(asked, size)) {
        None | Some(Asked::Whole) => (StatusCode::OK, 0, size),
        Some(Asked::Part(start, end)) => (StatusCode::PARTIAL_CONTENT, start, end),
        Some(Asked::Beyond) => {
            let failure = Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, format!("the file has {size} bytes"));
            return Ok(([(header::CONTENT_RANGE, format!("bytes */{size}"))], failure).into_response());
        }
    };
    let pieces = stream::try_unfold(start, move |at| {
        let (store, key) = (store.clone(), trailer.key.clone());
        async move {
            if at >= end {
                return Ok(None);
            }
            let next = (at + PIECE).min(end);
            let piece = store.get_range(&key, at..next).await?;
            Ok::<_, Error>(Some((piece, next)))
        }
    });
    let mut response = (status, Body::from_stream(pieces)).into_response();
    let set = response.headers_mut();
    set.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    set.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    set.insert(header::ETAG, tag);
    set.insert(header::CONTENT_LENGTH, HeaderValue::from(end - start));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = HeaderValue::from_str(&format!("bytes {start}-{}/{size}", end - 1));
        set.insert(header::CONTENT_RANGE, range.map_err(|e| Error::bug("a range").with_source(e))?);
    }
    Ok(response)
}

/// The range that a Range header requests.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// The whole file, or something that is answered with it.
    Whole,
    /// The bytes from the first to before the second.
    Part(u64, u64),
    /// Bytes that the file does not have.
    Beyond,
}

/// Reads a Range header for a file of `size` bytes. Several ranges are answered with the whole.
fn range(header: &str, size: u64) -> Asked {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-')) else {
        return Asked::Whole;
    };
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), _) if first >= size => Asked::Beyond,
        (Ok(first), Ok(last)) if first <= last => Asked::Part(first, last.saturating_add(1).min(size)),
        (Ok(first), _) if last.is_empty() => Asked::Part(first, size),
        (_, Ok(0)) if first.is_empty() => Asked::Beyond,
        (_, Ok(length)) if first.is_empty() => Asked::Part(size.saturating_sub(length), size),
        _ => Asked::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_at_the_end_of_the_file_and_odd_ones_get_the_whole() {
        for (header, asked) in [
            ("bytes=0-", Asked::Part(0, 100)),
            ("bytes=0-0", Asked::Part(0, 1)),
            ("bytes=90-200", Asked::Part(90, 100)),
            ("bytes=0-18446744073709551615", Asked::Part(0, 100)),
            ("bytes=-10", Asked::Part(90, 100)),
            ("bytes=-1000", Asked::Part(0, 100)),
            ("bytes=100-", Asked::Beyond),
            ("bytes=-0", Asked::Beyond),
            ("bytes=5-4", Asked::Whole),
            ("bytes=0-1,3-4", Asked::Whole),
            ("bytes=99999999999999999999999-", Asked::Whole),
            ("items=0-1", Asked::Whole),
            ("bytes=", Asked::Whole),
        ] {
            assert_eq!(range(header, 100), asked, "{header}");
        }
    }

    #[test]
    fn keyframes_are_numbered() {
        assert_eq!(parse("7.jpg").ok(), Some(7));
        for wrong in ["", "-1", "x", "99999999999999999999", "7.png"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
