//! Encodes movies as numbers, from the catalogue alone.

use super::latent_semantic::{Basis, Rows, Terms, cosine};
use super::principal_components::{Components, Track};
use super::standardise::Scale;
use jhalak_common::dataset::{Dataset, Movie};
use jhalak_common::evaluation::ContentColumn;
use jhalak_nn::seeded;
use std::collections::BTreeMap;

/// Terms in more than this share of the descriptions are dropped.
const COMMON: f64 = 0.3;
/// Maximum number of languages that get a column: the most common ones.
const LANGUAGES: usize = 5;
/// Years between two movies at which their similarity is 1/e.
const YEARS: f64 = 6.0;

/// How fast the similarity over all columns falls with the mean squared distance of a column.
const SHARPNESS: f64 = 2.0;

/// Catalogues of up to this many movies keep all similarities in memory: at most 88 MB.
const MAX_CACHED: usize = 2_500;

/// Kinds of similarity between two movies.
pub const SIMILARITIES: [&str; 7] = ["text", "people", "genres", "years", "all", "video", "audio"];
/// The kinds that every catalogue has; the others need trailer embeddings.
const CATALOGUE_KINDS: usize = 5;

/// Descriptions of a movie beyond the plain catalogue.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Columns that are left out unless they are named.
    pub columns: Vec<ContentColumn>,
    /// Reduced trailer embeddings, one for each track at most.
    pub trailers: Vec<Components>,
}

impl Extras {
    /// Returns every column, and no trailers.
    pub fn all_columns() -> Self {
        Self { columns: ContentColumn::ALL.to_vec(), trailers: Vec::new() }
    }
}

/// Turns movies into numbers. Learns from the movies of the known pairs only.
#[derive(Debug)]
pub struct MovieEncoder {
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
    /// Indexes into [`COLUMNS`].
    columns: Vec<usize>,
    /// Reduced trailer embeddings.
    pub trailers: Vec<Components>,
    scales: Vec<Scale>,
    scales_with_square: Vec<Scale>,
}

/// The encoded movies of the catalogue.
#[derive(Debug)]
pub struct MovieContent {
    /// Names of the plain columns.
    pub names: Vec<String>,
    /// movies x columns, unscaled; NaN where missing.
    raw: Vec<f32>,
    /// movies x `dims`: plain columns, squared year, reduced text and people; standardised, 0 where
    /// missing.
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
    /// Reduced trailer embeddings.
    pub trailers: Vec<Components>,
    /// Indexes of the [`SIMILARITIES`] that this catalogue has.
    pub kinds: Vec<usize>,
    /// Similarities of all pairs of movies, the lower triangle row by row; empty for large
    /// catalogues.
    similarities: Vec<[f32; SIMILARITIES.len()]>,
}

impl MovieEncoder {
    /// Learns vocabularies, reductions and scales from the `fitted` movies.
    pub fn learn(dataset: &Dataset, fitted: &[bool], extras: &Extras, text_dims: usize, seed: u64) -> Self {
        let movies = &dataset.movies;
        let (texts, people_bags) = (bags(movies, |movie| words(&movie.description)), bags(movies, all_people));
        let text = Terms::learn(&texts, fitted, COMMON);
        let people = Terms::learn(&people_bags, fitted, 1.0);
        let basis = |terms: &Terms, bags: &[Vec<String>], stream| {
            Basis::learn(&terms.rows(bags), terms.len(), fitted, text_dims, &mut seeded(seed, stream))
        };
        let (text_basis, people_basis) = (basis(&text, &texts, 1), basis(&people, &people_bags, 2));
        let languages = most_common(movies, fitted);
        let wanted = |column: &usize| shortcut(*column).is_none_or(|column| extras.columns.contains(&column));
        let columns: Vec<usize> = (0..COLUMNS.len()).filter(wanted).collect();
        let mut names: Vec<String> = columns.iter().map(|&column| COLUMNS[column].to_owned()).collect();
        names.extend(languages.iter().map(|language| format!("language {language}")));
        names.extend(dataset.genres.iter().map(|genre| format!("genre {genre}")));
        let genres = dataset.genres.clone();
        let (scales, scales_with_square) = (Vec::new(), Vec::new());
        let mut encoder = Self {
            names,
            genres,
            languages,
            text,
            people,
            text_basis,
            people_basis,
            text_dims,
            columns,
            trailers: extras.trailers.clone(),
            scales,
            scales_with_square,
        };
        let mut content = encoder.unscaled(movies);
        encoder.scales = Scale::learn(&content.dense, content.dims, fitted);
        encoder.square(&mut content);
        encoder.scales_with_square = Scale::learn(&content.dense, content.dims, fitted);
        encoder
    }

    /// Encodes movies; they need not be those of [`MovieEncoder::learn`].
    pub fn encode(&self, movies: &[Movie]) -> MovieContent {
        let mut content = self.unscaled(movies);
        self.square(&mut content);
        Scale::apply(&self.scales_with_square, &mut content.dense);
        // All reduced columns together weigh as much as two plain ones: they are many, and each
        // says little.
        let weight = 1.0 / (self.text_dims.max(1) as f64 / 2.0).sqrt();
        let reduced = self.names.len() + 1..self.names.len() + 1 + 2 * self.text_dims;
        for row in content.dense.chunks_exact_mut(content.dims) {
            row[reduced.clone()].iter_mut().for_each(|x| *x *= weight);
            let mut at = reduced.end;
            for trailer in &self.trailers {
                let weight = 1.0 / (trailer.dim.max(1) as f64 / 2.0).sqrt();
                row[at..at + trailer.dim].iter_mut().for_each(|x| *x *= weight);
                at += trailer.dim;
            }
        }
        if movies.len() <= MAX_CACHED {
            content.similarities = (0..movies.len())
                .flat_map(|a| (0..=a).map(move |b| (a, b)))
                .map(|(a, b)| content.compare(a, b).map(|x| x as f32))
                .collect();
        }
        content
    }

    fn unscaled(&self, movies: &[Movie]) -> MovieContent {
        let text = self.text.rows(&bags(movies, |movie| words(&movie.description)));
        let people = self.people.rows(&bags(movies, all_people));
        let trailer_dims: usize = self.trailers.iter().map(|trailer| trailer.dim).sum();
        let (reduced_dims, dims) = (2 * self.text_dims, self.names.len() + 1 + 2 * self.text_dims + trailer_dims);
        let hot = |there: bool| f32::from(u8::from(there));
        let (mut raw, mut dense, mut genres, mut reduced) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (index, ((movie, text), people)) in movies.iter().zip(&text).zip(&people).enumerate() {
            let start = raw.len();
            let own: Vec<f32> = self.genres.iter().map(|genre| hot(movie.genres.contains(genre))).collect();
            let all = columns(movie);
            raw.extend(self.columns.iter().map(|&column| all[column]));
            raw.extend(self.languages.iter().map(|language| hot(movie.languages.contains(language))));
            raw.extend(&own);
            genres.extend(own);
            let both: Vec<f64> = self.text_basis.reduce(text).chain(self.people_basis.reduce(people)).collect();
            dense.extend(raw[start..].iter().map(|&x| f64::from(x)));
            dense.push(0.0);
            dense.extend(&both);
            reduced.extend(both);
            for trailer in &self.trailers {
                match trailer.row(index) {
                    Some(row) => dense.extend(row.iter().map(|&x| f64::from(x))),
                    None => dense.extend(std::iter::repeat_n(f64::NAN, trailer.dim)),
                }
            }
        }
        let years = movies.iter().map(|movie| movie.year).collect();
        let (names, genre_count) = (self.names.clone(), self.genres.len());
        MovieContent {
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
            trailers: self.trailers.clone(),
            kinds: (0..CATALOGUE_KINDS).chain(self.trailers.iter().map(|trailer| kind(trailer.track))).collect(),
            similarities: Vec::new(),
        }
    }

    /// Standardises, and adds the square of the standardised year.
    fn square(&self, content: &mut MovieContent) {
        Scale::apply(&self.scales, &mut content.dense);
        for row in content.dense.chunks_exact_mut(content.dims) {
            row[self.names.len()] = row[0] * row[0];
        }
    }
}

impl MovieContent {
    /// Returns the genre vector of a movie.
    pub fn genres(&self, movie: usize) -> &[f32] {
        &self.genres[movie * self.genre_count..(movie + 1) * self.genre_count]
    }

    /// Returns the movie's unscaled columns.
    pub fn raw(&self, movie: usize) -> &[f32] {
        &self.raw[movie * self.names.len()..(movie + 1) * self.names.len()]
    }

    /// Returns the movie's reduced text and people.
    pub fn reduced(&self, movie: usize) -> &[f64] {
        &self.reduced[movie * self.reduced_dims..(movie + 1) * self.reduced_dims]
    }

    /// Returns how similar two movies are, from 0 to 1, for each kind of [`SIMILARITIES`].
    pub fn similarity(&self, a: usize, b: usize) -> [f64; SIMILARITIES.len()] {
        let (low, high) = (a.min(b), a.max(b));
        match self.similarities.get(high * (high + 1) / 2 + low) {
            Some(known) => known.map(f64::from),
            None => self.compare(high, low),
        }
    }

    fn compare(&self, a: usize, b: usize) -> [f64; SIMILARITIES.len()] {
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
        let mut trailers = [0.0; SIMILARITIES.len() - CATALOGUE_KINDS];
        for trailer in &self.trailers {
            if let (Some(a), Some(b)) = (trailer.row(a), trailer.row(b)) {
                trailers[kind(trailer.track) - CATALOGUE_KINDS] = direction_shared(a, b);
            }
        }
        let [video, audio] = trailers;
        [
            f64::from(cosine(&self.text[a], &self.text[b])),
            f64::from(cosine(&self.people[a], &self.people[b])),
            if either > 0.0 { f64::from(both / either) } else { 0.0 },
            years,
            (-SHARPNESS * distance / self.dims as f64).exp(),
            video,
            audio,
        ]
    }
}

/// Returns the index into [`SIMILARITIES`].
fn kind(track: Track) -> usize {
    match track {
        Track::Video => CATALOGUE_KINDS,
        Track::Audio => CATALOGUE_KINDS + 1,
    }
}

/// Returns the cosine of two rows, or 0 if they point apart.
fn direction_shared(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let length = (dot(a, a) * dot(b, b)).sqrt();
    if length > 0.0 { (dot(a, b) / length).max(0.0) } else { 0.0 }
}

/// Returns the name under which a column must be asked for: it hints at the crowd's verdict, or at
/// the source of the movie's record, which a trailer of an unreleased film does not have.
fn shortcut(column: usize) -> Option<ContentColumn> {
    match COLUMNS[column] {
        "rating" => Some(ContentColumn::Rating),
        "id number" => Some(ContentColumn::IdNumber),
        "length of the release date" => Some(ContentColumn::ReleaseDateLength),
        _ => None,
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

/// Returns a movie's plain columns. The format of its release date and its catalogue number hint at
/// the source of its record.
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

/// Returns the most common languages of the fitted movies, except those of all movies or of fewer
/// than three.
fn most_common(movies: &[Movie], fitted: &[bool]) -> Vec<String> {
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

/// Returns the words of a text in lower case, without single letters.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() > 1).map(str::to_lowercase).collect()
}

fn bags(movies: &[Movie], bag: impl Fn(&Movie) -> Vec<String>) -> Vec<Vec<String>> {
    movies.iter().map(bag).collect()
}

fn all_people(movie: &Movie) -> Vec<String> {
    movie.cast.iter().chain(&movie.directors).chain(&movie.writers).cloned().collect()
}
