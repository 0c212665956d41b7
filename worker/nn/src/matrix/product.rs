//! Matrix products on strided views, through the `gemm` crate: run-time dispatch to AVX-512, AVX2
//! or portable code, one thread.

use gemm::Parallelism;

/// A matrix of `rows x cols` in a slice: element (r, c) is at `r * row_stride + c * col_stride`.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> View<'a> {
    /// Views a slice as a row-major matrix without gaps.
    ///
    /// # Panics
    /// If `data` is shorter than `rows * cols`.
    #[must_use]
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert!(data.len() >= rows * cols, "a {rows} x {cols} matrix in {} numbers", data.len());
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// Returns columns `from..to` of this matrix.
    ///
    /// # Panics
    /// If the range exceeds the matrix.
    #[must_use]
    pub fn columns(self, from: usize, to: usize) -> Self {
        assert!(from <= to && to <= self.cols, "columns {from}..{to} of {}", self.cols);
        let start = (from * self.col_stride).min(self.data.len());
        Self { data: &self.data[start..], cols: to - from, ..self }
    }

    /// Returns the transposed matrix, over the same slice.
    #[must_use]
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// Adds the rows of a row-major matrix to `sums`, one sum per column.
    pub(crate) fn add_rows_to(self, sums: &mut [f32]) {
        for row in self.data.chunks(self.row_stride.max(1)).take(self.rows) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }

    /// Number of elements of `data` that the matrix spans.
    fn extent(&self) -> usize {
        if self.rows == 0 || self.cols == 0 {
            0
        } else {
            (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride + 1
        }
    }
}

/// Computes `out = lhs * rhs`, or `out += lhs * rhs` if `accumulate`; `out` is row-major without
/// gaps.
///
/// # Panics
/// If the shapes do not match.
pub fn product(out: &mut [f32], accumulate: bool, lhs: View<'_>, rhs: View<'_>) {
    let (rows, cols, depth) = (lhs.rows, rhs.cols, lhs.cols);
    assert_eq!(depth, rhs.rows, "inner dimensions of a product");
    assert!(out.len() >= rows * cols, "a {rows} x {cols} product into {} numbers", out.len());
    assert!(lhs.data.len() >= lhs.extent() && rhs.data.len() >= rhs.extent(), "a view exceeds its slice");
    let stride = |n: usize| isize::try_from(n).unwrap_or(isize::MAX);
    #[expect(unsafe_code, reason = "gemm takes raw pointers, and half of the training time is spent in it")]
    // SAFETY: the asserts above show that every element (r, c) of lhs, rhs and out is inside its
    // slice; `out` is borrowed mutably, so it overlaps neither input; f32 has no invalid bit
    // patterns.
    unsafe {
        gemm::gemm(
            rows,
            cols,
            depth,
            out.as_mut_ptr(),
            1,
            stride(cols),
            accumulate,
            lhs.data.as_ptr(),
            stride(lhs.col_stride),
            stride(lhs.row_stride),
            rhs.data.as_ptr(),
            stride(rhs.col_stride),
            stride(rhs.row_stride),
            1.0_f32,
            1.0_f32,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded;

    fn numbers(len: usize, stream: u64) -> Vec<f32> {
        let mut random = seeded(1, stream);
        (0..len).map(|_| random.uniform(-1.0, 1.0)).collect()
    }

    #[test]
    fn products_match_the_definition_for_every_layout() {
        for (m, n, k) in [(1, 1, 1), (3, 5, 7), (32, 15, 30), (33, 64, 17), (7, 2, 0)] {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let (at, bt): (Vec<f32>, Vec<f32>) = (
                (0..k * m).map(|i| a[(i % m) * k + i / m]).collect(),
                (0..n * k).map(|i| b[(i % k.max(1)) * n + i / k.max(1)]).collect(),
            );
            let views = [
                (View::new(&a, m, k), View::new(&b, k, n)),
                (View::new(&at, k, m).t(), View::new(&b, k, n)),
                (View::new(&a, m, k), View::new(&bt, n, k).t()),
            ];
            for (lhs, rhs) in views {
                let mut out = vec![0.5; m * n];
                product(&mut out, true, lhs, rhs);
                for (i, got) in out.iter().enumerate() {
                    let want: f64 =
                        0.5 + (0..k).map(|d| f64::from(a[i / n * k + d]) * f64::from(b[d * n + i % n])).sum::<f64>();
                    assert!((f64::from(*got) - want).abs() < 1e-5, "{m} {n} {k}: {got} for {want}");
                }
            }
        }
    }

    #[test]
    fn a_column_range_is_a_submatrix() {
        let a = numbers(4 * 6, 1);
        let identity = [1.0, 0.0, 0.0, 1.0];
        let mut out = vec![0.0; 8];
        product(&mut out, false, View::new(&a, 4, 6).columns(3, 5), View::new(&identity, 2, 2));
        assert_eq!(out, [a[3], a[4], a[9], a[10], a[15], a[16], a[21], a[22]]);
    }
}
