//! The ids of a catalogue's movies in the order of the file, found by their text.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use hashbrown::HashTable;
use icu_normalizer::ComposingNormalizerBorrowed;

use crate::compact::Texts;

/// The ids of movies. A number is given to each in the order of the file; [`MovieIds::complete`]
/// gives their indexes in ascending order of id.
#[derive(Default)]
pub(super) struct MovieIds {
    ids: Texts,
    /// The line of each.
    lines: Vec<u64>,
    /// The numbers by the hash of the id. Nothing depends on their order.
    numbers: HashTable<u32>,
    hasher: RandomState,
    /// The numbers in ascending order of id, and the place of each number in it.
    order: Vec<u32>,
    indexes: Vec<u32>,
    /// Built when a name that is not ASCII is not an id.
    by_composed: OnceLock<Alike>,
    /// Built when a name is not an id.
    by_lower_case: OnceLock<Alike>,
}

/// The numbers by the hash of another form of the id.
struct Alike {
    numbers: HashTable<u32>,
    /// Ids whose form is also that of another id.
    ambiguous: HashSet<u32>,
}

/// Returns a text with its letters and accents composed (Unicode's form NFC).
pub fn composed(text: &str) -> Cow<'_, str> {
    match text.is_ascii() {
        true => Cow::Borrowed(text),
        false => ComposingNormalizerBorrowed::new_nfc().normalize(text),
    }
}

fn lower_case(text: &str) -> String {
    composed(text).to_lowercase()
}

impl MovieIds {
    /// Adds an id that is not there yet.
    pub fn add(&mut self, id: &str, line: u64) {
        let number = self.ids.len() as u32;
        self.ids.push(id);
        self.lines.push(line);
        let hash = |number: &u32| self.hasher.hash_one(&self.ids[*number as usize]);
        self.numbers.insert_unique(self.hasher.hash_one(id), number, hash);
    }

    /// Returns the line of an id.
    pub fn line(&self, id: &str) -> Option<u64> {
        Some(self.lines[self.number(id)? as usize])
    }

    fn number(&self, id: &str) -> Option<u32> {
        let is_it = |number: &u32| &self.ids[*number as usize] == id;
        self.numbers.find(self.hasher.hash_one(id), is_it).copied()
    }

    /// Ends the ids and gives them their indexes.
    pub fn complete(&mut self) {
        self.order = self.ids.sorted_indices();
        self.indexes = vec![0; self.order.len()];
        for (&number, index) in self.order.iter().zip(0..) {
            self.indexes[number as usize] = index;
        }
    }

    /// Returns the index of an id.
    pub fn index(&self, id: &str) -> Option<u32> {
        self.indexes.get(self.number(id)? as usize).copied()
    }

    /// Returns the index of an id, in any of the forms in which Unicode writes its letters.
    pub fn index_written(&self, id: &str) -> Option<u32> {
        self.index(id).or_else(|| match id.is_ascii() {
            true => None,
            false => self.index_alike(&self.by_composed, |id| composed(id).into_owned(), id),
        })
    }

    /// Returns the index of the movie that a file's name means: the same id, or the only one that
    /// differs in upper and lower case alone. macOS writes names with letters and accents apart.
    pub fn index_of_name(&self, name: &str) -> Option<u32> {
        self.index_written(name).or_else(|| self.index_alike(&self.by_lower_case, lower_case, name))
    }

    /// Returns the index of the only id that has the same form as `name`.
    fn index_alike(&self, known: &OnceLock<Alike>, form: fn(&str) -> String, name: &str) -> Option<u32> {
        let known = known.get_or_init(|| self.alike(form));
        let name = form(name);
        let is_it = |number: &u32| form(&self.ids[*number as usize]) == name;
        let number = *known.numbers.find(self.hasher.hash_one(name.as_str()), is_it)?;
        (!known.ambiguous.contains(&number)).then(|| self.indexes[number as usize])
    }

    fn alike(&self, form: fn(&str) -> String) -> Alike {
        let mut found = Alike { numbers: HashTable::new(), ambiguous: HashSet::new() };
        let of = |number: u32| form(&self.ids[number as usize]);
        for number in 0..self.ids.len() as u32 {
            let name = of(number);
            let hash = self.hasher.hash_one(name.as_str());
            match found.numbers.find(hash, |&other| of(other) == name) {
                Some(&other) => drop(found.ambiguous.insert(other)),
                None => {
                    let rehash = |number: &u32| self.hasher.hash_one(of(*number).as_str());
                    found.numbers.insert_unique(hash, number, rehash);
                }
            }
        }
        found
    }

    /// Returns the id of an index.
    pub fn id(&self, index: u32) -> &str {
        &self.ids[self.order[index as usize] as usize]
    }

    /// The number of ids.
    pub fn len(&self) -> usize {
        self.ids.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_by_text_and_by_the_only_name_in_another_case() {
        let mut ids = MovieIds::default();
        for (id, line) in ["tt2", "TT1", "a", "A", "Ü"].into_iter().zip(2..) {
            ids.add(id, line);
        }
        ids.complete();
        let indexes = ["A", "TT1", "a", "tt2", "Ü"].map(|id| ids.index(id));
        assert_eq!(indexes, [0, 1, 2, 3, 4].map(Some));
        assert_eq!(((0..5).map(|i| ids.id(i)).collect::<Vec<_>>(), ids.len()), (vec!["A", "TT1", "a", "tt2", "Ü"], 5));
        assert_eq!((ids.line("a"), ids.line("b"), ids.index("tt1")), (Some(4), None, None));
        let named = ["tt1", "a", "ü", "U\u{308}", "tt3"].map(|name| ids.index_of_name(name));
        assert_eq!(named, [Some(1), Some(2), Some(4), Some(4), None]);
        assert_eq!((ids.index_written("U\u{308}"), ids.index_written("ü")), (Some(4), None));
    }

    #[test]
    fn a_name_that_two_ids_equal_in_lower_case_means_neither() {
        let mut ids = MovieIds::default();
        ["aB", "Ab"].into_iter().for_each(|id| ids.add(id, 1));
        ids.complete();
        assert_eq!((ids.index_of_name("ab"), ids.index_of_name("aB")), (None, Some(1)));
    }
}
