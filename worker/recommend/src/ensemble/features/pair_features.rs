//! A pair as a row of numbers, from what a view knows.

use super::knowledge::{Catalogue, Knowledge};
use super::people::ROLES;
use crate::CLASSES;
use crate::ensemble::linear::softmax::smoothed;
use crate::ensemble::settings::{Part, Settings};
use crate::features::genre_like::gl_score;
use crate::features::movie_content::LIKENESSES;
use jhalak_common::evaluation::GlSettings;

/// Attention that must come together for the tokens to be believed half.
const DOUBT: f64 = 0.5;
/// GL-score as a share, undecided where nothing is known.
const GL: GlSettings = GlSettings { undefined: 0.5, scale: 1.0 };
const CLASS: [&str; CLASSES] = ["dislike", "neutral", "like"];

/// Collects the row, and the names if somebody wants them.
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

/// The row of a pair. Its columns depend on the catalogue and the settings alone.
pub fn row(
    catalogue: &Catalogue,
    knowledge: &Knowledge,
    settings: &Settings,
    user: usize,
    movie: usize,
    names: Option<&mut Vec<(Part, String)>>,
) -> Vec<f32> {
    let mut row = Row { values: Vec::with_capacity(160), names };
    let k = knowledge;
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
        let sides = catalogue.sides(settings);
        row.push_classes(Part::Hierarchical, model.probabilities(&sides, user, movie), "hierarchical model");
        row.push_classes(Part::Hierarchical, model.content_terms(&sides, movie), "content's terms");
        row.push_classes(Part::Hierarchical, model.slope_terms(&sides, user, movie), "user's slopes");
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
    if settings.has(Part::People) {
        people(&mut row, catalogue, k, settings, user, movie);
    }
    if settings.has(Part::Attention) {
        attention(&mut row, catalogue, k, user, movie);
    }
    if settings.has(Part::Neighbours) {
        for (terms, way) in k.neighbours[movie].iter().zip(LIKENESSES) {
            row.push_classes(Part::Neighbours, *terms, &format!("movies alike by {way}"));
        }
    }
    if settings.has(Part::Attributes) {
        for (value, name) in catalogue.attributes.raw(user).iter().zip(&catalogue.attributes.names) {
            row.push(Part::Attributes, f64::from(*value), || name.clone());
        }
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

/// What the user thinks of the movie's genres beyond what the bias model says: mean, lowest and highest over them.
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
    for (pair, _) in k.of_user(user).filter(|(pair, _)| pair.movie as usize != movie) {
        for (role, count) in catalogue.people.shared(movie, pair.movie as usize).into_iter().enumerate() {
            shared[role][usize::from(pair.label)] += f64::from(count);
        }
    }
    for (counts, role) in shared.into_iter().zip(ROLES) {
        row.push_classes(Part::People, counts, &format!("{role} shared with what the user gave"));
    }
}

/// The user's rated movies are tokens: their likeness to the movie is the attention, and what the bias model left
/// unexplained of their labels the value.
fn attention(row: &mut Row<'_>, catalogue: &Catalogue, k: &Knowledge, user: usize, movie: usize) {
    let mut sums = [[0.0; CLASSES]; LIKENESSES.len()];
    let mut weights = [0.0; LIKENESSES.len()];
    for (pair, residual) in k.of_user(user).filter(|(pair, _)| pair.movie as usize != movie) {
        for (way, likeness) in catalogue.content.likeness(movie, pair.movie as usize).into_iter().enumerate() {
            weights[way] += likeness;
            (0..CLASSES).for_each(|c| sums[way][c] += likeness * residual[c]);
        }
    }
    for (way, name) in LIKENESSES.into_iter().enumerate() {
        let mean = sums[way].map(|sum| sum / (weights[way] + DOUBT));
        row.push_classes(Part::Attention, mean, &format!("attention by {name}"));
        row.push(Part::Attention, weights[way], || format!("attention by {name}, all"));
    }
}
