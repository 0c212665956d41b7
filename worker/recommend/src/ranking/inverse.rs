//! Inverts large symmetric positive definite matrices, block by block.

use jhalak_nn::{View, product};

/// Rows that are eliminated together.
const BLOCK: usize = 64;

/// Replaces the symmetric positive definite matrix `a` (n x n, row-major) by its inverse, in
/// 2 n^3 operations and n * 128 further numbers. The diagonal is scaled to 1 meanwhile, so that
/// rows of very different sizes lose no digits.
pub fn invert(a: &mut [f32], n: usize) {
    if n == 0 {
        return;
    }
    let scale: Vec<f32> = (0..n).map(|i| 1.0 / a[i * n + i].max(f32::MIN_POSITIVE).sqrt()).collect();
    let rescale = |a: &mut [f32]| {
        for (row, s) in a.chunks_exact_mut(n).zip(&scale) {
            row.iter_mut().zip(&scale).for_each(|(x, t)| *x *= s * t);
        }
    };
    rescale(a);
    let mut start = 0;
    while start < n {
        let b = BLOCK.min(n - start);
        eliminate(a, n, start, b);
        start += b;
    }
    rescale(a);
}

/// One step of the Gauss-Jordan elimination: rows and columns `start..start + b`.
fn eliminate(a: &mut [f32], n: usize, start: usize, b: usize) {
    let end = start + b;
    let mut pivot = vec![0.0_f32; b * b];
    for (own, row) in pivot.chunks_exact_mut(b).zip(a.chunks_exact(n).skip(start)) {
        own.copy_from_slice(&row[start..end]);
    }
    invert_small(&mut pivot, b);
    // The block's rows, times the inverse of the pivot, and the block's columns, negated.
    let mut rows = vec![0.0_f32; b * n];
    product(&mut rows, false, View::new(&pivot, b, b), View::new(&a[start * n..end * n], b, n));
    rows.chunks_exact_mut(n).for_each(|row| row[start..end].fill(0.0));
    let mut columns = vec![0.0_f32; n * b];
    for (i, (own, row)) in columns.chunks_exact_mut(b).zip(a.chunks_exact_mut(n)).enumerate() {
        if !(start..end).contains(&i) {
            own.iter_mut().zip(&row[start..end]).for_each(|(x, y)| *x = -y);
        }
        row[start..end].fill(0.0);
    }
    a[start * n..end * n].fill(0.0);
    product(a, true, View::new(&columns, n, b), View::new(&rows, b, n));
    let mut left = vec![0.0_f32; n * b];
    product(&mut left, false, View::new(&columns, n, b), View::new(&pivot, b, b));
    for (i, (row, left)) in a.chunks_exact_mut(n).zip(left.chunks_exact(b)).enumerate() {
        if (start..end).contains(&i) {
            row.copy_from_slice(&rows[(i - start) * n..(i - start + 1) * n]);
            row[start..end].copy_from_slice(&pivot[(i - start) * b..(i - start + 1) * b]);
        } else {
            row[start..end].copy_from_slice(left);
        }
    }
}

/// Inverts a small matrix in double precision.
fn invert_small(a: &mut [f32], n: usize) {
    let mut d: Vec<f64> = a.iter().map(|x| f64::from(*x)).collect();
    for k in 0..n {
        let pivot = 1.0 / d[k * n + k];
        for j in 0..n {
            d[k * n + j] *= if j == k { 0.0 } else { pivot };
        }
        for i in (0..n).filter(|&i| i != k) {
            let factor = d[i * n + k];
            for j in (0..n).filter(|&j| j != k) {
                d[i * n + j] -= factor * d[k * n + j];
            }
            d[i * n + k] = -factor * pivot;
        }
        d[k * n + k] = pivot;
    }
    a.iter_mut().zip(d).for_each(|(x, d)| *x = d as f32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_nn::seeded;

    /// Sizes below, at and above one block, and diagonals of very different sizes.
    #[test]
    fn a_matrix_times_its_inverse_is_the_identity() {
        for n in [1, 7, 64, 65, 200] {
            let random = &mut seeded(3, n as u64);
            let factors: Vec<f32> = (0..n * n).map(|i| random.normal() * (1.0 + (i / n) as f32 / 9.0)).collect();
            let mut a = vec![0.0; n * n];
            product(&mut a, false, View::new(&factors, n, n), View::new(&factors, n, n).t());
            (0..n).for_each(|i| a[i * n + i] += 20.0);
            let mut inverse = a.clone();
            invert(&mut inverse, n);
            let mut one = vec![0.0; n * n];
            product(&mut one, false, View::new(&a, n, n), View::new(&inverse, n, n));
            for (i, x) in one.iter().enumerate() {
                let expected = if i / n == i % n { 1.0 } else { 0.0 };
                assert!((x - expected).abs() < 2e-3, "{n}: {i} is {x}");
            }
        }
    }
}
