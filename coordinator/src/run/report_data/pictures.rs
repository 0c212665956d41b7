//! Collects the pictures of a report from the store.

use std::collections::{BTreeMap, BinaryHeap};

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, Recipe, Subject, embedding_file};
use jhalak_common::dataset::{Dataset, Movie};
use jhalak_common::hash::{self, Hash};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, ErrorKind, Result};

use crate::artifacts::MAX_CONCURRENT_REQUESTS;
use crate::inspect::embeddings;
use crate::inspect::trailer::{self, TrailerView};
use crate::plan::Plan;
use crate::report::{Gallery, Map, MapPoint, Near, Shown};

/// Trailers that are shown with pictures, in addition to those that are named.
pub const SAMPLE: usize = 3;
/// Most trailers that are looked at to find those.
const MAX_LOOKS: usize = 24;
/// Most trailers on a map.
const MAX_POINTS: usize = 300;
/// Nearest trailers of each one shown.
const NEAREST: usize = 4;
/// Smallest longer sides of the pictures of a trailer, in pixels: the first whose pictures fit into
/// the trailer's share of [`MAX_BYTES`].
const PICTURE_WIDTHS: [usize; 3] = [480, 320, 200];
/// Most bytes of all pictures; base64 makes them a third longer.
const MAX_BYTES: usize = 2_200_000;
/// Most scores of frames that a report keeps: the highest of each stretch.
const MAX_SCORES: usize = 600;

/// Collects a sample of the run's trailers, drawn by the run's seed, and the trailers of the movies
/// `also`, which come first.
///
/// # Errors
/// NotFound when the run has no trailer of a movie in `also`, or nothing is committed of it;
/// InvalidInput when an artifact is damaged; the errors of the store.
pub async fn collect(
    store: &dyn ObjectStore,
    plan: &Plan,
    dataset: &Dataset,
    seed: u64,
    also: &[String],
) -> Result<Gallery> {
    let trailers = &plan.trailers.trailers;
    let Drawn { first, named } = draw(plan, seed, also);
    let mut gallery = Gallery::default();
    let spaces = spaces(store, plan, &first, &mut gallery).await?;
    let (mut bytes, mut looks) = (0, 0);
    let named: Vec<&Subject> = also
        .iter()
        .map(|id| {
            named
                .get(id)
                .ok_or_else(|| Error::not_found(format!("the run {} has no trailer of the movie `{id}`", plan.spec.id)))
        })
        .collect::<Result<_>>()?;
    let others = first.iter().filter(|subject| !also.contains(&subject.id));
    for (place, subject) in named.iter().copied().chain(others).enumerate() {
        if gallery.trailers.len() >= SAMPLE + named.len() || looks >= MAX_LOOKS + named.len() {
            break;
        }
        looks += 1;
        let share = MAX_BYTES / (SAMPLE + named.len());
        let view = read(store, &plan.spec.recipes, subject, share).await;
        let mut view = match view {
            // A run does not fail at its end for want of a picture.
            Err(error) if error.kind() == ErrorKind::InvalidInput && place >= named.len() => {
                gallery.note_unreadable(&subject.id, &error);
                continue;
            }
            other => other?,
        };
        if view.sets.is_empty() {
            if place < named.len() {
                let message = format!(
                    "the store holds no keyframes of the trailer of `{}`: see `jhalak quarantine ls`",
                    subject.id
                );
                return Err(Error::not_found(message));
            }
            continue;
        }
        let own = picture_bytes(&view);
        if bytes + own > MAX_BYTES && !gallery.trailers.is_empty() {
            if place < named.len() {
                return Err(Error::invalid("the pictures of these trailers take more than 3 MB: name fewer of them"));
            }
            continue;
        }
        bytes += own;
        if let Some(scenes) = &mut view.scenes {
            scenes.scores = thinned(&scenes.scores);
        }
        let movie = movie(dataset, &subject.id);
        let nearest = spaces.iter().filter_map(|space| space.nearest(&subject.id, dataset)).collect();
        gallery.trailers.push(Shown {
            title: title(movie, &subject.id),
            genres: movie.map(|movie| movie.genres.clone()).unwrap_or_default(),
            view,
            nearest,
        });
    }
    gallery.not_shown = (trailers.len() - gallery.trailers.len()) as u64;
    gallery.maps = spaces.iter().filter(|space| space.ids.len() > 2).map(|space| space.map(dataset)).collect();
    Ok(gallery)
}

/// Trailers of a run in an order that its seed decides.
struct Drawn {
    /// Those that come first: enough for the maps, and for the pictures beside those of `named`.
    first: Vec<Subject>,
    /// Those of movies that were asked for, by movie.
    named: BTreeMap<String, Subject>,
}

fn draw(plan: &Plan, seed: u64, also: &[String]) -> Drawn {
    let most = MAX_POINTS.max(MAX_LOOKS + also.len()) + also.len();
    let mut named = BTreeMap::new();
    // The largest of those kept is on top.
    let mut first: BinaryHeap<(Hash, Subject)> = BinaryHeap::new();
    for trailer in plan.trailers.trailers.scan() {
        let subject = trailer.into_owned().subject;
        if also.contains(&subject.id) {
            named.entry(subject.id.clone()).or_insert_with(|| subject.clone());
        }
        let place = hash::of_json(&serde_json::json!(["report", seed, subject.id]));
        if first.len() < most || first.peek().is_some_and(|(last, _)| place < *last) {
            first.push((place, subject));
        }
        if first.len() > most {
            first.pop();
        }
    }
    let first = first.into_sorted_vec().into_iter().map(|(_, subject)| subject).collect();
    Drawn { first, named }
}

/// Reads a trailer with the largest pictures that take `share` bytes at most, or else the smallest
/// ones.
async fn read(store: &dyn ObjectStore, recipes: &[Recipe], subject: &Subject, share: usize) -> Result<TrailerView> {
    let mut view = trailer::read(store, recipes, subject, PICTURE_WIDTHS[0]).await?;
    for width in &PICTURE_WIDTHS[1..] {
        if picture_bytes(&view) <= share {
            break;
        }
        view = trailer::read(store, recipes, subject, *width).await?;
    }
    Ok(view)
}

fn picture_bytes(view: &TrailerView) -> usize {
    view.sets.iter().flat_map(|set| &set.keyframes).map(|keyframe| keyframe.jpeg.len()).sum()
}

/// The embeddings of a sample of trailers.
struct Space {
    modality: &'static str,
    ids: Vec<String>,
    vectors: Vec<Vec<f32>>,
    /// The vectors without their mean, which all share and which hides what differs.
    centred: Vec<Vec<f32>>,
    not_shown: u64,
}

/// Reads the primary embeddings of each modality, of the trailers drawn first.
async fn spaces(store: &dyn ObjectStore, plan: &Plan, drawn: &[Subject], gallery: &mut Gallery) -> Result<Vec<Space>> {
    let mut spaces = Vec::new();
    for (kind, modality) in [(ArtifactKind::VideoEmbedding, "video"), (ArtifactKind::AudioEmbedding, "audio")] {
        let Some(recipe) = plan.spec.recipes.iter().find(|recipe| recipe.kind == kind) else { continue };
        let sample: Vec<&Subject> = drawn.iter().take(MAX_POINTS).collect();
        let vectors = stream::iter(sample)
            .map(|subject| async move {
                match vector(store, recipe, subject).await {
                    Err(error) if error.kind() != ErrorKind::InvalidInput => Err(error),
                    read => Ok((subject, read)),
                }
            })
            .buffered(MAX_CONCURRENT_REQUESTS);
        let vectors: Vec<(&Subject, Result<Option<Vec<f32>>>)> = vectors.try_collect().await?;
        let not_shown = plan.trailers.trailers.len().saturating_sub(MAX_POINTS) as u64;
        let mut space = Space { modality, ids: Vec::new(), vectors: Vec::new(), centred: Vec::new(), not_shown };
        for (subject, vector) in vectors {
            match vector {
                // One recipe gives one length; what is not finite has no place on a map.
                Ok(Some(v)) if v.iter().all(|x| x.is_finite()) && space.fits(&v) => {
                    space.ids.push(subject.id.clone());
                    space.vectors.push(v);
                }
                Ok(Some(_)) => gallery
                    .note_unreadable(&subject.id, &Error::invalid(format!("the {modality} embedding is not valid"))),
                Ok(None) => {}
                Err(error) => gallery.note_unreadable(&subject.id, &error),
            }
        }
        space.centred = embeddings::centred(&space.vectors);
        spaces.push(space);
    }
    Ok(spaces)
}

async fn vector(store: &dyn ObjectStore, recipe: &Recipe, subject: &Subject) -> Result<Option<Vec<f32>>> {
    let Some(record) = artifact::committed(store, &ArtifactKey::new(recipe, subject)).await? else { return Ok(None) };
    if record.files.is_empty() {
        return Ok(None);
    }
    let bytes = artifact::read_file(store, &record, embedding_file::FILE).await?;
    embedding_file::decode_mean(&bytes).map(Some)
}

impl Gallery {
    /// Notes that a trailer could not be read, once.
    fn note_unreadable(&mut self, movie: &str, error: &Error) {
        tracing::warn!(movie, error = %error.chain(), "a trailer is not shown in the report");
        if self.unreadable.iter().all(|(known, _)| known != movie) {
            self.unreadable.push((movie.to_owned(), error.to_string()));
        }
    }
}

impl Space {
    fn fits(&self, vector: &[f32]) -> bool {
        self.vectors.first().is_none_or(|first| first.len() == vector.len())
    }

    fn map(&self, dataset: &Dataset) -> Map {
        let (places, variance) = embeddings::map(&self.vectors);
        let point = |(id, at): (&String, [f64; 2])| {
            let movie = movie(dataset, id);
            let genre = movie.and_then(|movie| movie.genres.first().cloned()).unwrap_or_default();
            MapPoint { title: title(movie, id), genre, at }
        };
        let points = self.ids.iter().zip(places).map(point).collect();
        Map { modality: self.modality.to_owned(), points, not_shown: self.not_shown, variance }
    }

    fn nearest(&self, id: &str, dataset: &Dataset) -> Option<Near> {
        let place = self.ids.iter().position(|known| known == id)?;
        let found = embeddings::nearest(&self.centred, place, NEAREST);
        let trailers = found.into_iter().map(|(other, likeness)| {
            let id = &self.ids[other];
            (title(movie(dataset, id), id), likeness)
        });
        Some(Near { modality: self.modality.to_owned(), trailers: trailers.collect() })
    }
}

fn movie<'a>(dataset: &'a Dataset, id: &str) -> Option<&'a Movie> {
    dataset.movie_index(id).map(|movie| &dataset.movies[movie])
}

fn title(movie: Option<&Movie>, id: &str) -> String {
    movie.map_or(id, |movie| movie.name.as_str()).to_owned()
}

fn thinned(scores: &[f64]) -> Vec<f64> {
    let stretch = scores.len().div_ceil(MAX_SCORES).max(1);
    scores.chunks(stretch).map(|part| part.iter().copied().fold(0.0, f64::max)).collect()
}
