//! Computes the feature row of a (user, movie) pair from what a view has learned.

use super::knowledge::{Catalogue, Knowledge};
use super::people::ROLES;
use super::shared_viewers::Attention;
use crate::CLASSES;
use crate::ensemble::factorisation::Prediction;
use crate::ensemble::linear::softmax::smoothed;
use crate::ensemble::settings::{Part, Settings};
use crate::features::gl_score::gl_score;
use crate::features::movie_content::SIMILARITIES;
use jhalak_common::evaluation::GlSettings;

/// Total attention at which the average counts half.
const HALF_WEIGHT: f64 = 0.5;
/// The GL-score as a share; 0.5 where the user rated none of the genres.
const GL: GlSettings = GlSettings { undefined: 0.5, scale: 1.0 };
const CLASS: [&str; CLASSES] = ["dislike", "neutral", "like"];

/// Collects the row and, on request, the names of its features.
struct Row<'a> {
    values: Vec<f32>,
    names: Option<&'a mut Vec<(Part, String)>>,
}

impl Row<'_> {
    fn push(&mut self, part: Part, value: f64, name: impl FnOnce() -> String) {
        self.values.push(value as f32);
        if let Some(names) = &mut self.names {
            names.push((part, name()));
        }
    }

    fn push_classes(&mut self, part: Part, values: [f64; CLASSES], name: &str) {
        for (value, class) in values.into_iter().zip(CLASS) {
            self.push(part, value, || format!("{name} {class}"));
        }
    }
}

/// A pair, with what is computed for many pairs at once.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// Index of the user.
    pub user: usize,
    /// Index of the movie.
    pub movie: usize,
    /// Attention by shared viewers.
    pub shared: &'a Attention,
    /// Prediction of the factorisation machine, if it is in use.
    pub machine: Option<Prediction>,
}

/// Returns the feature row of a pair. Its columns depend on the catalogue and the settings alone.
pub fn row(
    catalogue: &Catalogue,
    knowledge: &Knowledge,
    settings: &Settings,
    pair: &Pair<'_>,
    names: Option<&mut Vec<(Part, String)>>,
) -> Vec<f32> {
    let mut row = Row { values: Vec::with_capacity(160), names };
    let k = knowledge;
    let &Pair { user, movie, .. } = pair;
    let plain = catalogue.plain();
    if settings.has(Part::Rates) {
        rates(&mut row, k, settings, user, movie);
    }
    if settings.has(Part::Bias) {
        row.push_classes(Part::Bias, k.bias.probabilities(&plain, user, movie), "bias model");
        row.push_classes(Part::Bias, k.bias.user_terms(user), "bias of user");
        row.push_classes(Part::Bias, k.bias.movie_terms(movie), "bias of movie");
    }
    if let Some(model) = k.factors.as_ref().filter(|_| settings.has(Part::Factors)) {
        row.push_classes(Part::Factors, model.probabilities(&plain, user, movie), "factor model");
    }
    if let Some(model) = k.hierarchical.as_ref().filter(|_| settings.has(Part::Hierarchical)) {
        let side_info = catalogue.side_info(settings);
        row.push_classes(Part::Hierarchical, model.probabilities(&side_info, user, movie), "hierarchical model");
        row.push_classes(Part::Hierarchical, model.content_terms(&side_info, movie), "content's terms");
        row.push_classes(Part::Hierarchical, model.slope_terms(&side_info, user, movie), "user's slopes");
    }
    if settings.has(Part::Gl) {
        gl(&mut row, catalogue, k, user, movie);
    }
    if settings.has(Part::GenreLeaning) {
        leaning(&mut row, catalogue, k, user, movie);
    }
    if settings.has(Part::Content) {
        for (value, name) in catalogue.content.raw(movie).iter().zip(&catalogue.content.names) {
            row.push(Part::Content, f64::from(*value), || name.clone());
        }
        for (i, value) in catalogue.content.reduced(movie).iter().enumerate() {
            row.push(Part::Content, *value, || format!("reduced {i}"));
        }
    }
    for trailer in &catalogue.content.trailers {
        let part = of_kind(Part::Content, trailer.track.name());
        if settings.has(part) {
            let of_movie = trailer.row(movie);
            for i in 0..trailer.dim {
                let value = of_movie.map_or(f64::NAN, |of_movie| f64::from(of_movie[i]));
                row.push(part, value, || format!("{} {i}", trailer.track.name()));
            }
        }
    }
    if settings.has(Part::People) {
        people(&mut row, catalogue, k, settings, user, movie);
    }
    if settings.has(Part::Attention) {
        attention(&mut row, catalogue, k, settings, user, movie);
    }
    if settings.has(Part::Neighbours) {
        for &kind in &catalogue.content.kinds {
            let name = SIMILARITIES[kind];
            let part = of_kind(Part::Neighbours, name);
            if !settings.has(part) {
                continue;
            }
            row.push_classes(part, k.neighbours[movie][kind], &format!("movies alike by {name}"));
        }
    }
    if settings.has(Part::Attributes) {
        for (value, name) in catalogue.attributes.raw(user).iter().zip(&catalogue.attributes.names) {
            row.push(Part::Attributes, f64::from(*value), || name.clone());
        }
    }
    if let Some(machine) = pair.machine.filter(|_| settings.has(Part::FactorisationMachine)) {
        row.push_classes(Part::FactorisationMachine, machine.probabilities, "factorisation machine");
        row.push(Part::FactorisationMachine, machine.mean, || "score of the factorisation machine".to_owned());
        row.push(Part::FactorisationMachine, machine.spread, || "spread of that score".to_owned());
    }
    if settings.has(Part::SharedViewers) {
        let [dislike, neutral, like, weight, signed] = *pair.shared;
        row.push_classes(Part::SharedViewers, [dislike, neutral, like], "attention by shared viewers");
        row.push(Part::SharedViewers, weight, || "attention by shared viewers, all".to_owned());
        row.push(Part::SharedViewers, signed, || "attention by shared viewers, signed".to_owned());
    }
    row.values
}

fn rates(row: &mut Row<'_>, k: &Knowledge, settings: &Settings, user: usize, movie: usize) {
    for (who, counts) in [("user", k.user_counts[user]), ("movie", k.movie_counts[movie])] {
        let n: f64 = counts.iter().sum();
        row.push(Part::Rates, n, || format!("pairs of {who}"));
        row.push_classes(Part::Rates, smoothed(counts, k.overall, settings.smoothing), &format!("rate of {who}"));
        let most = counts.iter().copied().fold(0.0, f64::max);
        row.push(Part::Rates, n - most, || format!("pairs of {who} outside the commonest class"));
    }
}

fn gl(row: &mut Row<'_>, catalogue: &Catalogue, k: &Knowledge, user: usize, movie: usize) {
    let (genres, own) = (catalogue.genres, catalogue.content.genres(movie));
    let sum = |c: usize| &k.genre_sums[(user * CLASSES + c) * genres..(user * CLASSES + c + 1) * genres];
    let sums = [sum(0), sum(1), sum(2)];
    row.push(Part::Gl, f64::from(gl_score(own, sums, false, &GL)), || "GL-score".to_owned());
    let dots = sums.map(|sum| f64::from(own.iter().zip(sum).map(|(g, s)| g * s).sum::<f32>()));
    row.push_classes(Part::Gl, dots, "GL sum");
}

/// Adds the user's leaning towards the movie's genres: mean and highest over the genres.
fn leaning(row: &mut Row<'_>, catalogue: &Catalogue, k: &Knowledge, user: usize, movie: usize) {
    let hot = catalogue.content.genres(movie).iter().enumerate().filter(|(_, hot)| **hot > 0.0);
    let leanings: Vec<[f64; CLASSES]> = hot.map(|(genre, _)| k.leaning(catalogue.genres, user, genre).0).collect();
    for (c, class) in CLASS.into_iter().enumerate() {
        let of_class = || leanings.iter().map(|leaning| leaning[c]);
        let mean = of_class().sum::<f64>() / leanings.len().max(1) as f64;
        row.push(Part::GenreLeaning, mean, || format!("leaning to genres, {class}"));
        if c != 1 {
            let highest = of_class().fold(f64::NEG_INFINITY, f64::max);
            let highest = if highest.is_finite() { highest } else { 0.0 };
            row.push(Part::GenreLeaning, highest, || format!("highest leaning to a genre, {class}"));
        }
    }
}

fn people(row: &mut Row<'_>, catalogue: &Catalogue, k: &Knowledge, settings: &Settings, user: usize, movie: usize) {
    let record =
        catalogue.people.record(&k.people_counts, movie, k.movie_counts[movie], k.overall, 5.0 * settings.smoothing);
    for ((rates, pairs), role) in record.into_iter().zip(ROLES) {
        row.push_classes(Part::People, rates, &format!("other movies of the {role}"));
        row.push(Part::People, pairs, || format!("pairs of other movies of the {role}"));
    }
    let mut shared = [[0.0; CLASSES]; ROLES.len()];
    for (pair, _) in k.known.of_user(user).filter(|(pair, _)| pair.movie as usize != movie) {
        for (role, count) in catalogue.people.shared(movie, pair.movie as usize).into_iter().enumerate() {
            shared[role][usize::from(pair.label)] += f64::from(count);
        }
    }
    for (counts, role) in shared.into_iter().zip(ROLES) {
        row.push_classes(Part::People, counts, &format!("{role} shared with what the user gave"));
    }
}

/// Returns the part of a feature by this kind of similarity: a trailer's is the trailer's.
fn of_kind(part: Part, kind: &str) -> Part {
    match kind {
        "video" => Part::Video,
        "audio" => Part::Audio,
        _ => part,
    }
}

/// Adds attention over the user's rated movies: weights are their similarity to the movie, values
/// are their residuals under the bias model.
fn attention(row: &mut Row<'_>, catalogue: &Catalogue, k: &Knowledge, settings: &Settings, user: usize, movie: usize) {
    let mut sums = [[0.0; CLASSES]; SIMILARITIES.len()];
    let mut weights = [0.0; SIMILARITIES.len()];
    for (pair, residual) in k.known.of_user(user).filter(|(pair, _)| pair.movie as usize != movie) {
        for (kind, similarity) in catalogue.content.similarity(movie, pair.movie as usize).into_iter().enumerate() {
            weights[kind] += similarity;
            (0..CLASSES).for_each(|c| sums[kind][c] += similarity * residual[c]);
        }
    }
    for &kind in &catalogue.content.kinds {
        let name = SIMILARITIES[kind];
        let part = of_kind(Part::Attention, name);
        if !settings.has(part) {
            continue;
        }
        let mean = sums[kind].map(|sum| sum / (weights[kind] + HALF_WEIGHT));
        row.push_classes(part, mean, &format!("attention by {name}"));
        row.push(part, weights[kind], || format!("attention by {name}, all"));
    }
}
