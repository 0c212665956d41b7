//! Latent semantic analysis: TF-IDF of bags of terms, and its reduction to a few dimensions by
//! subspace iteration.

use jhalak_nn::Random;
use std::collections::BTreeMap;

/// Subspace iterations: enough for the leading directions of small catalogues.
const ITERATIONS: usize = 8;

/// Sparse rows of unit length: (term, weight), sorted by term.
pub type Rows = Vec<Vec<(u32, f32)>>;

/// A vocabulary: each term's number and weight.
#[derive(Debug, Default)]
pub struct Terms(BTreeMap<String, (u32, f64)>);

impl Terms {
    /// Keeps the terms in at least two and at most a share `most` of the `fitted` bags, weighted by
    /// their inverse document frequency.
    pub fn learn(bags: &[Vec<String>], fitted: &[bool], most: f64) -> Self {
        let mut frequency: BTreeMap<&str, usize> = BTreeMap::new();
        let documents = fitted.iter().filter(|fitted| **fitted).count();
        for (bag, _) in bags.iter().zip(fitted).filter(|(_, fitted)| **fitted) {
            let mut terms: Vec<&str> = bag.iter().map(String::as_str).collect();
            terms.sort_unstable();
            terms.dedup();
            terms.into_iter().for_each(|term| *frequency.entry(term).or_default() += 1);
        }
        frequency.retain(|_, count| *count >= 2 && *count as f64 <= most * documents as f64);
        let idf = |count: usize| ((1.0 + documents as f64) / (1.0 + count as f64)).ln() + 1.0;
        Self(frequency.into_iter().zip(0..).map(|((term, count), i)| (term.to_owned(), (i, idf(count)))).collect())
    }

    /// Returns the number of terms.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the TF-IDF of every bag. A bag without any of the terms is an empty row.
    pub fn rows(&self, bags: &[Vec<String>]) -> Rows {
        let row = |bag: &Vec<String>| {
            let mut counts: BTreeMap<u32, f64> = BTreeMap::new();
            for (term, idf) in bag.iter().filter_map(|term| self.0.get(term)) {
                *counts.entry(*term).or_default() += idf;
            }
            let length = counts.values().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            counts.into_iter().map(|(term, x)| (term, (x / length) as f32)).collect()
        };
        bags.iter().map(row).collect()
    }
}

/// Returns the cosine of two rows of [`Terms::rows`].
pub fn cosine(a: &[(u32, f32)], b: &[(u32, f32)]) -> f32 {
    let (mut i, mut j, mut sum) = (0, 0, 0.0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        match x.0.cmp(&y.0) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                sum += x.1 * y.1;
                (i, j) = (i + 1, j + 1);
            }
        }
    }
    sum
}

/// The directions that rows are projected on.
#[derive(Debug, Default)]
pub struct Basis(Vec<Vec<f64>>);

impl Basis {
    /// Computes the `dims` leading right singular vectors of the `fitted` rows, nearly in order of
    /// strength. Directions beyond the rank of those rows are zero.
    pub fn learn(rows: &Rows, terms: usize, fitted: &[bool], dims: usize, random: &mut Random) -> Self {
        let mut basis: Vec<Vec<f64>> =
            (0..dims).map(|_| (0..terms).map(|_| f64::from(random.normal())).collect()).collect();
        orthonormalise(&mut basis);
        for _ in 0..ITERATIONS {
            for vector in &mut basis {
                let mut next = vec![0.0; terms];
                for (row, _) in rows.iter().zip(fitted).filter(|(_, fitted)| **fitted) {
                    let along = times(row, vector);
                    row.iter().for_each(|&(term, x)| next[term as usize] += along * f64::from(x));
                }
                *vector = next;
            }
            orthonormalise(&mut basis);
        }
        Self(basis)
    }

    /// Projects a row on each direction.
    pub fn reduce(&self, row: &[(u32, f32)]) -> impl Iterator<Item = f64> {
        self.0.iter().map(|vector| times(row, vector))
    }
}

fn times(row: &[(u32, f32)], vector: &[f64]) -> f64 {
    row.iter().map(|&(term, x)| f64::from(x) * vector[term as usize]).sum()
}

/// Gram-Schmidt, run twice for accuracy. Vectors that depend on earlier ones become zero.
pub(super) fn orthonormalise(basis: &mut [Vec<f64>]) {
    for i in 0..basis.len() {
        let (done, rest) = basis.split_at_mut(i);
        let vector = &mut rest[0];
        let before = length(vector);
        for _ in 0..2 {
            for other in &*done {
                let along: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                vector.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
            }
        }
        let after = length(vector);
        let scale = if after > 1e-9 * before { 1.0 / after } else { 0.0 };
        vector.iter_mut().for_each(|x| *x *= scale);
    }
}

fn length(vector: &[f64]) -> f64 {
    vector.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_nn::seeded;

    fn bags(texts: &[&str]) -> Vec<Vec<String>> {
        texts.iter().map(|text| text.split(' ').map(str::to_owned).collect()).collect()
    }

    #[test]
    fn the_vocabulary_comes_from_fitted_bags_only() {
        let bags = bags(&["love song", "love war", "war song", "alien robot", "alien robot love"]);
        let terms = Terms::learn(&bags, &[true, true, true, false, false], 1.0);
        let rows = terms.rows(&bags);
        assert_eq!(terms.len(), 3, "alien and robot occur in unfitted bags only");
        assert!(rows[3].is_empty());
        assert_eq!(rows[4].len(), 1);
        assert!((cosine(&rows[0], &rows[0]) - 1.0).abs() < 1e-6);
        assert!((cosine(&rows[0], &rows[1]) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn bags_of_one_topic_are_projected_together() {
        let bags = bags(&["a b c", "b c d", "a c d", "w x y", "x y z", "w y z", "a b d", "w x z"]);
        let fitted = [true; 8];
        let terms = Terms::learn(&bags, &fitted, 1.0);
        let rows = terms.rows(&bags);
        let reduce = |dims| {
            let basis = Basis::learn(&rows, terms.len(), &fitted, dims, &mut seeded(1, 0));
            rows.iter().flat_map(|row| basis.reduce(row).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        let reduced = reduce(2);
        let near = |i: usize, j: usize| reduced[2 * i] * reduced[2 * j] + reduced[2 * i + 1] * reduced[2 * j + 1];
        assert!(near(0, 6) > 0.5 && near(3, 7) > 0.5 && near(0, 3).abs() < 1e-6);
        assert!(reduce(12).iter().all(|x| x.is_finite()), "more dimensions than the rank");
    }
}
