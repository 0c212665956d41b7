//! A movie as numbers, from the catalogue alone.

use super::latent_semantic::{Basis, Rows, Terms, cosine};
use super::standardise::Scale;
use jhalak_common::dataset::{Dataset, Movie};
use jhalak_nn::seeded;
use std::collections::BTreeMap;

/// Terms in more than this share of the descriptions say nothing.
const COMMON: f64 = 0.3;
/// Languages that get a column of their own: the commonest.
const LANGUAGES: usize = 5;
/// Years over which likeness falls to 1/e.
const YEARS: f64 = 6.0;

/// How fast likeness in everything falls with the mean squared distance a column.
const SHARPNESS: f64 = 2.0;

/// Catalogues of up to so many movies are compared once and for all: 125 MB at most.
const REMEMBERED: usize = 2_500;

/// Ways in which two movies can be alike.
pub const LIKENESSES: [&str; 5] = ["text", "people", "genres", "years", "all"];

/// How movies are turned into numbers. Whatever is learned sees only the movies of the pairs that are known.
#[derive(Debug)]
pub struct Scheme {
    /// Names of the plain columns.
    names: Vec<String>,
    /// The genre vocabulary.
    pub genres: Vec<String>,
    languages: Vec<String>,
    text: Terms,
    people: Terms,
    text_basis: Basis,
    people_basis: Basis,
    text_dims: usize,
    scales: Vec<Scale>,
    scales_with_square: Vec<Scale>,
}

/// Every movie of the catalogue.
#[derive(Debug)]
pub struct Content {
    /// Names of the plain columns.
    pub names: Vec<String>,
    /// movies x columns, as they are: not scaled, NaN where missing.
    raw: Vec<f32>,
    /// movies x `dims`: the plain columns, the year's square, and what is reduced; standardised, 0 where missing.
    pub dense: Vec<f64>,
    /// Width of `dense`.
    pub dims: usize,
    /// movies x genres: 1 or 0.
    genres: Vec<f32>,
    genre_count: usize,
    /// movies x `reduced_dims`: text and people reduced.
    reduced: Vec<f64>,
    reduced_dims: usize,
    text: Rows,
    people: Rows,
    years: Vec<Option<i32>>,
    /// How alike any two movies are, each pair once, row by row of the lower triangle; empty for large catalogues.
    likenesses: Vec<[f64; LIKENESSES.len()]>,
}

impl Scheme {
    /// Learns vocabularies, reductions and scales from the `fitted` movies.
    pub fn learn(dataset: &Dataset, fitted: &[bool], text_dims: usize, seed: u64) -> Self {
        let movies = &dataset.movies;
        let (texts, people_bags) = (bags(movies, |movie| words(&movie.description)), bags(movies, everybody));
        let text = Terms::learn(&texts, fitted, COMMON);
        let people = Terms::learn(&people_bags, fitted, 1.0);
        let basis = |terms: &Terms, bags: &[Vec<String>], stream| {
            Basis::learn(&terms.rows(bags), terms.len(), fitted, text_dims, &mut seeded(seed, stream))
        };
        let (text_basis, people_basis) = (basis(&text, &texts, 1), basis(&people, &people_bags, 2));
        let languages = commonest(movies, fitted);
        let mut names: Vec<String> = COLUMNS.map(str::to_owned).to_vec();
        names.extend(languages.iter().map(|language| format!("language {language}")));
        names.extend(dataset.genres.iter().map(|genre| format!("genre {genre}")));
        let genres = dataset.genres.clone();
        let (scales, scales_with_square) = (Vec::new(), Vec::new());
        let mut scheme = Self {
            names,
            genres,
            languages,
            text,
            people,
            text_basis,
            people_basis,
            text_dims,
            scales,
            scales_with_square,
        };
        let mut content = scheme.unscaled(movies);
        scheme.scales = Scale::learn(&content.dense, content.dims, fitted);
        scheme.square(&mut content);
        scheme.scales_with_square = Scale::learn(&content.dense, content.dims, fitted);
        scheme
    }

    /// Turns movies into numbers, also such as nothing was learned from.
    pub fn describe(&self, movies: &[Movie]) -> Content {
        let mut content = self.unscaled(movies);
        self.square(&mut content);
        Scale::apply(&self.scales_with_square, &mut content.dense);
        // Reduced columns share what two plain ones weigh: they are many, and each says little.
        let weight = 1.0 / (self.text_dims.max(1) as f64 / 2.0).sqrt();
        for row in content.dense.chunks_exact_mut(content.dims) {
            row[self.names.len() + 1..].iter_mut().for_each(|x| *x *= weight);
        }
        if movies.len() <= REMEMBERED {
            content.likenesses = (0..movies.len())
                .flat_map(|a| (0..=a).map(move |b| (a, b)))
                .map(|(a, b)| content.compare(a, b))
                .collect();
        }
        content
    }

    fn unscaled(&self, movies: &[Movie]) -> Content {
        let text = self.text.rows(&bags(movies, |movie| words(&movie.description)));
        let people = self.people.rows(&bags(movies, everybody));
        let (reduced_dims, dims) = (2 * self.text_dims, self.names.len() + 1 + 2 * self.text_dims);
        let hot = |there: bool| f32::from(u8::from(there));
        let (mut raw, mut dense, mut genres, mut reduced) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for ((movie, text), people) in movies.iter().zip(&text).zip(&people) {
            let start = raw.len();
            let own: Vec<f32> = self.genres.iter().map(|genre| hot(movie.genres.contains(genre))).collect();
            raw.extend(columns(movie));
            raw.extend(self.languages.iter().map(|language| hot(movie.languages.contains(language))));
            raw.extend(&own);
            genres.extend(own);
            let both: Vec<f64> = self.text_basis.reduce(text).chain(self.people_basis.reduce(people)).collect();
            dense.extend(raw[start..].iter().map(|&x| f64::from(x)));
            dense.push(0.0);
            dense.extend(&both);
            reduced.extend(both);
        }
        let years = movies.iter().map(|movie| movie.year).collect();
        let (names, genre_count) = (self.names.clone(), self.genres.len());
        Content {
            names,
            raw,
            dense,
            dims,
            genres,
            genre_count,
            reduced,
            reduced_dims,
            text,
            people,
            years,
            likenesses: Vec::new(),
        }
    }

    /// Standardises, and puts in the square of the standardised year.
    fn square(&self, content: &mut Content) {
        Scale::apply(&self.scales, &mut content.dense);
        for row in content.dense.chunks_exact_mut(content.dims) {
            row[self.names.len()] = row[0] * row[0];
        }
    }
}

impl Content {
    /// The genre vector of a movie.
    pub fn genres(&self, movie: usize) -> &[f32] {
        &self.genres[movie * self.genre_count..(movie + 1) * self.genre_count]
    }

    /// The movie's columns as they are.
    pub fn raw(&self, movie: usize) -> &[f32] {
        &self.raw[movie * self.names.len()..(movie + 1) * self.names.len()]
    }

    /// The movie's reduced text and people.
    pub fn reduced(&self, movie: usize) -> &[f64] {
        &self.reduced[movie * self.reduced_dims..(movie + 1) * self.reduced_dims]
    }

    /// How alike two movies are, from 0 to 1, in each way of [`LIKENESSES`].
    pub fn likeness(&self, a: usize, b: usize) -> [f64; LIKENESSES.len()] {
        let (low, high) = (a.min(b), a.max(b));
        match self.likenesses.get(high * (high + 1) / 2 + low) {
            Some(known) => *known,
            None => self.compare(high, low),
        }
    }

    fn compare(&self, a: usize, b: usize) -> [f64; LIKENESSES.len()] {
        let (of_a, of_b) = (self.genres(a), self.genres(b));
        let both: f32 = of_a.iter().zip(of_b).map(|(x, y)| x * y).sum();
        let either: f32 = of_a.iter().zip(of_b).map(|(x, y)| x.max(*y)).sum();
        let years = match (self.years[a], self.years[b]) {
            (Some(a), Some(b)) => (-f64::from((a - b).abs()) / YEARS).exp(),
            (None, None) => 1.0,
            _ => 0.0,
        };
        let of = |m: usize| &self.dense[m * self.dims..(m + 1) * self.dims];
        let distance: f64 = of(a).iter().zip(of(b)).map(|(x, y)| (x - y) * (x - y)).sum();
        [
            f64::from(cosine(&self.text[a], &self.text[b])),
            f64::from(cosine(&self.people[a], &self.people[b])),
            if either > 0.0 { f64::from(both / either) } else { 0.0 },
            years,
            (-SHARPNESS * distance / self.dims as f64).exp(),
        ]
    }
}

/// The columns before the languages and genres.
const COLUMNS: [&str; 11] = [
    "year",
    "rating",
    "id number",
    "year missing",
    "length of the release date",
    "cast",
    "writers",
    "directors",
    "languages",
    "genres",
    "length of the description",
];

/// A movie's plain columns. How its release date is written, and its number in the catalogue, tell where the row came from.
fn columns(movie: &Movie) -> [f32; COLUMNS.len()] {
    let digits: String = movie.id.chars().filter(char::is_ascii_digit).collect();
    let log = |count: usize| (count as f32).ln_1p();
    [
        movie.year.map_or(f32::NAN, |year| year as f32),
        movie.rating.filter(|rating| rating.is_finite()).unwrap_or(f32::NAN),
        digits.parse::<f32>().map_or(f32::NAN, f32::ln_1p),
        f32::from(u8::from(movie.year.is_none())),
        log(movie.released.len()),
        log(movie.cast.len()),
        log(movie.writers.len()),
        log(movie.directors.len()),
        movie.languages.len() as f32,
        movie.genres.len() as f32,
        log(movie.description.len()),
    ]
}

/// The commonest languages of the fitted movies, but for those that all or fewer than three speak.
fn commonest(movies: &[Movie], fitted: &[bool]) -> Vec<String> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    let fitted = movies.iter().zip(fitted).filter(|(_, fitted)| **fitted);
    let mut all = 0;
    for (movie, _) in fitted {
        all += 1;
        movie.languages.iter().for_each(|language| *counts.entry(language).or_default() += 1);
    }
    let mut counts: Vec<(&String, usize)> = counts.into_iter().filter(|&(_, n)| n >= 3 && n < all).collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    counts.into_iter().take(LANGUAGES).map(|(language, _)| language.clone()).collect()
}

/// The words of a text, in lower case; single letters are left out.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() > 1).map(str::to_lowercase).collect()
}

fn bags(movies: &[Movie], bag: impl Fn(&Movie) -> Vec<String>) -> Vec<Vec<String>> {
    movies.iter().map(bag).collect()
}

fn everybody(movie: &Movie) -> Vec<String> {
    movie.cast.iter().chain(&movie.directors).chain(&movie.writers).cloned().collect()
}
