//! A list of texts in one allocation.

use std::ops::Index;

/// A list of texts: eight bytes and its own for each text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    bytes: String,
    ends: Vec<usize>,
}

impl Texts {
    /// Appends a text.
    pub fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
    }

    /// Returns the text at this index.
    pub fn get(&self, at: usize) -> Option<&str> {
        (at < self.len()).then(|| &self[at])
    }

    /// The number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the last text.
    pub fn last(&self) -> Option<&str> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Returns the texts in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.len()).map(|at| &self[at])
    }

    /// Returns the index of a text in a sorted list.
    pub fn position(&self, text: &str) -> Option<usize> {
        let at = self.lower_bound(text);
        (self.get(at)? == text).then_some(at)
    }

    /// Returns the index of the first text of a sorted list that is not less than `text`.
    pub fn lower_bound(&self, text: &str) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if &self[middle] < text { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Whether the texts are in ascending order, each once.
    pub fn is_ascending(&self) -> bool {
        (1..self.len()).all(|at| self[at - 1] < self[at])
    }

    /// Returns the indexes of the texts in ascending order of the texts; of equal texts the first
    /// comes first.
    pub fn sorted_indices(&self) -> Vec<u32> {
        let mut indexes: Vec<u32> = (0..self.len() as u32).collect();
        if !self.is_ascending() {
            indexes.sort_by(|&a, &b| self[a as usize].cmp(&self[b as usize]));
        }
        indexes
    }

    /// Sorts the texts and removes repeated ones.
    pub fn into_ascending(self) -> Texts {
        if self.is_ascending() {
            return self;
        }
        let mut sorted = Texts::default();
        for index in self.sorted_indices() {
            let text = &self[index as usize];
            if sorted.last() != Some(text) {
                sorted.push(text);
            }
        }
        sorted
    }
}

impl Index<usize> for Texts {
    type Output = str;

    fn index(&self, at: usize) -> &str {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }
}

impl<S: AsRef<str>> FromIterator<S> for Texts {
    fn from_iter<I: IntoIterator<Item = S>>(texts: I) -> Texts {
        let mut list = Texts::default();
        texts.into_iter().for_each(|text| list.push(text.as_ref()));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_in_a_sorted_list() {
        let texts: Texts = ["b", "", "a", "b"].into_iter().collect();
        assert_eq!((texts.len(), texts.get(0), texts.get(4), &texts[2]), (4, Some("b"), None, "a"));
        assert_eq!(texts.sorted_indices(), [1, 2, 0, 3]);
        let sorted = texts.into_ascending();
        assert_eq!(sorted.iter().collect::<Vec<_>>(), ["", "a", "b"]);
        assert_eq!((sorted.position("b"), sorted.position("c"), sorted.lower_bound("aa")), (Some(2), None, 2));
        assert!(sorted.is_ascending() && Texts::default().is_ascending());
    }
}
