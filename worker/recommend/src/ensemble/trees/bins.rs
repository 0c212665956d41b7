//! Quantile bins of features, at most 255 for each column: the input of trees.

use serde::{Deserialize, Serialize};

use crate::ensemble::matrix::Matrix;

/// Maximum number of bins of a feature.
const MAX_BINS: usize = 96;

/// The cut points of each feature. A missing value (NaN) is in bin 0, other values are in bins from
/// 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cuts {
    /// For each feature, the lowest values of bins 2, 3..., ascending.
    cuts: Vec<Vec<f32>>,
}

impl Cuts {
    /// Cuts at the quantiles of each feature; a feature with few values is cut halfway between any
    /// two.
    pub fn of(matrix: &Matrix) -> Self {
        let cut = |column: usize| {
            let mut values: Vec<f32> = matrix.values.iter().skip(column).step_by(matrix.columns).copied().collect();
            values.retain(|value| !value.is_nan());
            values.sort_unstable_by(f32::total_cmp);
            let n = values.len();
            let mut distinct = values.clone();
            distinct.dedup();
            let halfway = |a: f32, b: f32| a + (b - a) / 2.0;
            let mut cuts: Vec<f32> = if distinct.len() < MAX_BINS {
                distinct.windows(2).map(|two| halfway(two[0], two[1])).collect()
            } else {
                (1..MAX_BINS - 1).map(|i| values[i * n / (MAX_BINS - 1)]).collect()
            };
            cuts.dedup();
            cuts
        };
        Self { cuts: (0..matrix.columns).map(cut).collect() }
    }

    /// Returns the number of features.
    pub fn columns(&self) -> usize {
        self.cuts.len()
    }

    /// Returns the bin of every value: columns x rows.
    pub fn bin(&self, matrix: &Matrix) -> Bins {
        let rows = matrix.rows();
        let mut bins = vec![0; matrix.values.len()];
        for (column, out) in bins.chunks_exact_mut(rows.max(1)).enumerate().take(matrix.columns) {
            let cuts = &self.cuts[column];
            for (value, out) in matrix.values.iter().skip(column).step_by(matrix.columns).zip(out) {
                *out = if value.is_nan() { 0 } else { 1 + cuts.partition_point(|cut| cut <= value) as u8 };
            }
        }
        Bins { bins, rows, most: self.cuts.iter().map(|c| c.len() + 2).max().unwrap_or(2) }
    }
}

/// Binned features.
#[derive(Clone, Debug)]
pub struct Bins {
    bins: Vec<u8>,
    /// Number of rows.
    pub rows: usize,
    /// Number of bins of the feature with the most bins.
    pub most: usize,
}

impl Bins {
    /// Returns the bins of a feature, one for each row.
    pub fn column(&self, column: usize) -> &[u8] {
        &self.bins[column * self.rows..(column + 1) * self.rows]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_get_one_bin_each_and_many_get_quantiles() {
        let few = Matrix { values: vec![3.0, f32::NAN, 1.0, 3.0, 2.0], columns: 1 };
        let cuts = Cuts::of(&few);
        assert_eq!(cuts.bin(&few).column(0), [3, 0, 1, 3, 2]);
        let beyond = Matrix { values: vec![-9.0, 9.0, 1.6], columns: 1 };
        assert_eq!(cuts.bin(&beyond).column(0), [1, 3, 2]);
        let many = Matrix { values: (0..10_000).map(|i| i as f32).collect(), columns: 1 };
        let bins = Cuts::of(&many).bin(&many);
        let mut counts = vec![0; bins.most];
        bins.column(0).iter().for_each(|&bin| counts[usize::from(bin)] += 1);
        assert!(counts[0] == 0 && counts[1..].iter().all(|n| (100..=110).contains(n)), "{counts:?}");
    }
}
