//! The content hash of a dataset.

use sha2::{Digest, Sha256};

use super::normal_form::Dataset;

impl Dataset {
    /// Returns the SHA-256, in hex, over movies, users, ratings and the genre vocabulary in a
    /// canonical form: the input of computations. It does not depend on the layout and order of the
    /// files, the name, note or `synthetic` flag, or the trailers (their jobs hash them).
    pub fn content_hash(&self) -> String {
        let mut hash = Canonical(Sha256::new());
        hash.text("jhalak dataset 1");
        hash.list(&self.genres);
        hash.number(self.movies.len());
        for movie in self.movies.scan() {
            hash.text(&movie.id);
            hash.text(&movie.name);
            hash.text(&movie.description);
            hash.text(&movie.released);
            for list in [&movie.genres, &movie.languages, &movie.writers, &movie.directors, &movie.cast] {
                hash.list(list);
            }
            hash.optional(movie.year.map(i32::to_le_bytes));
            hash.optional(movie.rating.map(|rating| rating.to_bits().to_le_bytes()));
        }
        hash.number(self.users.len());
        for user in &self.users {
            hash.text(&user.id);
            hash.number(user.attributes.len());
            for (key, value) in &user.attributes {
                hash.text(key);
                hash.text(value);
            }
        }
        hash.number(self.ratings.len());
        for rating in &self.ratings {
            hash.0.update(rating.user.to_le_bytes());
            hash.0.update(rating.movie.to_le_bytes());
            // One byte holds both: labels alone keep the hash that they had before stars were kept.
            hash.0.update([rating.label as u8 | rating.half_stars.map_or(0, |half| half + 1) << 2]);
        }
        if !self.times.is_empty() {
            hash.text("times");
            self.times.iter().for_each(|time| hash.0.update(time.to_le_bytes()));
        }
        hex::encode(hash.0.finalize())
    }
}

/// Each text and list is preceded by its length, so that no two datasets have the same bytes.
struct Canonical(Sha256);

impl Canonical {
    fn number(&mut self, number: usize) {
        self.0.update((number as u64).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.update(text.as_bytes());
    }

    fn list(&mut self, list: &[String]) {
        self.number(list.len());
        for text in list {
            self.text(text);
        }
    }

    fn optional(&mut self, bytes: Option<[u8; 4]>) {
        self.0.update([u8::from(bytes.is_some())]);
        self.0.update(bytes.unwrap_or_default());
    }
}
