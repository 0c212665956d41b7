//! How embeddings lie to each other: a map of two principal components, and nearest neighbours.

use jhalak_common::random::SplitMix;

/// Rounds of the subspace iteration. The components are for the eye.
const ROUNDS: usize = 60;

/// Projects vectors of equal length on their two principal components. The same vectors and order
/// give the same map; fewer than two vectors lie at the origin. Also returns the share of the
/// variance that each component holds.
pub fn map(vectors: &[Vec<f32>]) -> (Vec<[f64; 2]>, [f64; 2]) {
    let count = vectors.len();
    let dim = vectors.first().map_or(0, Vec::len);
    if count < 2 || dim == 0 {
        return (vec![[0.0; 2]; count], [0.0; 2]);
    }
    let mean = mean(vectors);
    let centred: Vec<Vec<f64>> = vectors
        .iter()
        .map(|vector| vector.iter().zip(&mean).map(|(value, mean)| f64::from(*value) - mean).collect())
        .collect();
    // The products of all pairs of vectors have the same eigenvalues as the covariance, and are
    // small: there are a few hundred vectors.
    let gram: Vec<Vec<f64>> = centred.iter().map(|a| centred.iter().map(|b| dot(a, b)).collect()).collect();
    let trace: f64 = (0..count).map(|i| gram[i][i]).sum();
    if trace <= f64::EPSILON {
        return (vec![[0.0; 2]; count], [0.0; 2]);
    }
    let mut random = SplitMix::new(7);
    let mut draw =
        || (0..count).map(|_| (random.draw() >> 11) as f64 / (1u64 << 53) as f64 - 0.5).collect::<Vec<f64>>();
    let mut axes = [draw(), draw()];
    let mut values = [0.0; 2];
    for _ in 0..ROUNDS {
        axes = axes.map(|axis| gram.iter().map(|row| dot(row, &axis)).collect());
        values[0] = normalise(&mut axes[0]);
        let [first, second] = &mut axes;
        let along = dot(first, second);
        second.iter_mut().zip(first.iter()).for_each(|(b, a)| *b -= along * a);
        values[1] = normalise(second);
    }
    // The largest coordinate of each component is positive: the sign of a component means nothing.
    for axis in &mut axes {
        let largest = axis
            .iter()
            .copied()
            .fold(0.0, |best: f64, value| if value.abs() > best.abs() + 1e-9 { value } else { best });
        if largest < 0.0 {
            axis.iter_mut().for_each(|value| *value = -*value);
        }
    }
    let scale = values.map(|value| value.max(0.0).sqrt());
    let places = (0..count).map(|i| [axes[0][i] * scale[0], axes[1][i] * scale[1]]).collect();
    (places, values.map(|value| (value / trace).clamp(0.0, 1.0)))
}

/// The mean of vectors, taken row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mean {
    sums: Vec<f64>,
    rows: u64,
}

impl Mean {
    /// Adds a row. Rows of another length than the first one, and those with a number that is not
    /// finite, do not count.
    pub fn add(&mut self, row: &[f32]) {
        if self.rows == 0 {
            self.sums = vec![0.0; row.len()];
        }
        if row.len() == self.sums.len() && row.iter().all(|value| value.is_finite()) {
            self.sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
            self.rows += 1;
        }
    }

    /// Returns a vector without the mean; unchanged if no row was added, or the rows have another
    /// length.
    pub fn without(&self, vector: &[f32]) -> Vec<f32> {
        match self.rows {
            0 => vector.to_vec(),
            _ if vector.len() != self.sums.len() => vector.to_vec(),
            rows => {
                let less = |(value, sum): (&f32, &f64)| (f64::from(*value) - sum / rows as f64) as f32;
                vector.iter().zip(&self.sums).map(less).collect()
            }
        }
    }
}

/// Returns the vectors without their mean.
pub fn centred(vectors: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let mean = mean(vectors);
    let without =
        |vector: &Vec<f32>| vector.iter().zip(&mean).map(|(value, mean)| (f64::from(*value) - mean) as f32).collect();
    vectors.iter().map(without).collect()
}

fn mean(vectors: &[Vec<f32>]) -> Vec<f64> {
    let mut mean = vec![0.0; vectors.first().map_or(0, Vec::len)];
    for vector in vectors {
        mean.iter_mut().zip(vector).for_each(|(sum, value)| *sum += f64::from(*value) / vectors.len() as f64);
    }
    mean
}

/// Returns the `wanted` nearest vectors of the one at `place` by cosine, the nearest first, with
/// their similarity from -1 to 1. Of equally near ones the first comes first.
pub fn nearest(vectors: &[Vec<f32>], place: usize, wanted: usize) -> Vec<(usize, f64)> {
    let own = &vectors[place];
    let mut found: Vec<(usize, f64)> =
        (0..vectors.len()).filter(|other| *other != place).map(|other| (other, cosine(own, &vectors[other]))).collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    found.truncate(wanted);
    found
}

/// Returns the cosine of the angle between two vectors, from -1 to 1; 0 when one has no length or
/// they have different numbers of values.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return 0.0;
    }
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let length = (product(a, a) * product(b, b)).sqrt();
    if length > 0.0 { (product(a, b) / length).clamp(-1.0, 1.0) } else { 0.0 }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Scales a vector to length 1 and returns its length.
fn normalise(vector: &mut [f64]) -> f64 {
    let length = dot(vector, vector).sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_finds_the_directions_of_largest_variance() {
        // A long axis (1, 1, 0) and a short one (0, 0, 1).
        let vectors: Vec<Vec<f32>> = (0..20)
            .map(|n| {
                let along = n as f32 - 9.5;
                vec![along, along, if n % 2 == 0 { 1.0 } else { -1.0 }]
            })
            .collect();
        let (places, shares) = map(&vectors);
        for (n, place) in places.iter().enumerate() {
            let expected = (n as f64 - 9.5) * 2f64.sqrt();
            assert!((place[0].abs() - expected.abs()).abs() < 0.05, "{n}: {place:?}");
        }
        assert!(shares[0] > 0.9 && (shares[0] + shares[1] - 1.0).abs() < 1e-6, "{shares:?}");
        assert_eq!(map(&vectors), map(&vectors));
        assert_eq!(map(&[vec![1.0, 2.0]]).0, [[0.0, 0.0]]);
        assert_eq!(map(&vec![vec![3.0, 3.0]; 4]).0, [[0.0, 0.0]; 4]);
    }

    #[test]
    fn a_mean_row_by_row_is_that_of_all() {
        let vectors = [vec![1.0, 0.5], vec![0.0, 1.0], vec![2.0, 0.25]];
        let mut mean = Mean::default();
        assert_eq!(mean.without(&vectors[0]), vectors[0]);
        vectors.iter().for_each(|row| mean.add(row));
        mean.add(&[f32::NAN, 0.0]);
        mean.add(&[1.0]);
        let without: Vec<Vec<f32>> = vectors.iter().map(|row| mean.without(row)).collect();
        for (a, b) in without.concat().into_iter().zip(centred(&vectors).concat()) {
            assert!((a - b).abs() < 1e-6);
        }
    }

    #[test]
    fn the_nearest_vectors_come_first() {
        let vectors = [vec![1.0, 0.0], vec![0.0, 1.0], vec![2.0, 0.1], vec![-1.0, 0.0], vec![0.0, 0.0]];
        let found: Vec<usize> = nearest(&vectors, 0, 3).into_iter().map(|(place, _)| place).collect();
        assert_eq!(found, [2, 1, 4]);
    }
}
