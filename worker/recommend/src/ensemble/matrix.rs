//! A matrix of features: the input of trees and linear models.

/// A matrix of features, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// rows x columns.
    pub values: Vec<f32>,
    /// Number of columns.
    pub columns: usize,
}

impl Matrix {
    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// Returns one row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }
}
