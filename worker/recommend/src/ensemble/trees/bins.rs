//! Features cut into at most 255 bins by quantiles, column by column: what trees are grown on.

use serde::{Deserialize, Serialize};

/// Bins of a feature at most.
const MOST: usize = 96;

/// A matrix of features, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// rows x columns.
    pub values: Vec<f32>,
    /// Number of columns.
    pub columns: usize,
}

impl Matrix {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }
}

/// Where each feature is cut. What is missing (NaN) has bin 0, and other values bins from 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cuts {
    /// For each feature the lowest value of bins 2, 3..., rising.
    cuts: Vec<Vec<f32>>,
}

impl Cuts {
    /// At the quantiles of the features; a feature with few values is cut halfway between each two.
    pub fn of(matrix: &Matrix) -> Self {
        let cut = |column: usize| {
            let mut values: Vec<f32> = matrix.values.iter().skip(column).step_by(matrix.columns).copied().collect();
            values.retain(|value| !value.is_nan());
            values.sort_unstable_by(f32::total_cmp);
            let n = values.len();
            let mut distinct = values.clone();
            distinct.dedup();
            let halfway = |a: f32, b: f32| a + (b - a) / 2.0;
            let mut cuts: Vec<f32> = if distinct.len() < MOST {
                distinct.windows(2).map(|two| halfway(two[0], two[1])).collect()
            } else {
                (1..MOST - 1).map(|i| values[i * n / (MOST - 1)]).collect()
            };
            cuts.dedup();
            cuts
        };
        Self { cuts: (0..matrix.columns).map(cut).collect() }
    }

    /// Number of features.
    pub fn columns(&self) -> usize {
        self.cuts.len()
    }

    /// The bins of every value, column by column: columns x rows.
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
    /// Bins of the feature that has most.
    pub most: usize,
}

impl Bins {
    /// The bins of a feature, row by row.
    pub fn column(&self, column: usize) -> &[u8] {
        &self.bins[column * self.rows..(column + 1) * self.rows]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_get_a_bin_each_and_many_get_even_ones() {
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
