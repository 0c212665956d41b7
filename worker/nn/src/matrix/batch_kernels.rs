//! Products of a weight matrix with a transposed batch: the values of one feature are contiguous
//! over the batch.
//!
//! The published batch of 32 fills two AVX-512 registers. Our own kernels for this case read the
//! weights in place and prefetch the next rows, where `gemm` waits for memory (about 81 GFLOP/s in
//! profiles of a training, against 108; Zen 4, one core). All other shapes and processors use
//! `gemm`.

use super::product::{View, product};

/// Computes `out = W x`: W is outputs x inputs, x inputs x batch, `out` outputs x batch, all
/// row-major.
///
/// # Panics
/// If a slice is too short.
pub fn weights_times(weights: &[f32], outputs: usize, inputs: usize, x: &[f32], batch: usize, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if avx512::fits(batch) {
        avx512::forward(&weights[..outputs * inputs], inputs, &x[..inputs * batch], &mut out[..outputs * batch]);
        return;
    }
    product(out, false, View::new(weights, outputs, inputs), View::new(x, inputs, batch));
}

/// Computes `out = W^T dy`, or `out += W^T dy` if `accumulate`: W is outputs x inputs, dy outputs x
/// batch, `out` inputs x batch, all row-major.
///
/// # Panics
/// If a slice is too short.
pub fn transposed_weights_times(
    weights: &[f32],
    outputs: usize,
    inputs: usize,
    dy: &[f32],
    batch: usize,
    out: &mut [f32],
    accumulate: bool,
) {
    #[cfg(target_arch = "x86_64")]
    if avx512::fits(batch) && inputs.is_multiple_of(avx512::COLUMNS) {
        // This few rows of weights stay in the L1 cache until all their columns are used.
        let height = (avx512::TILE / inputs.max(1)).max(1);
        for from in (0..outputs).step_by(height) {
            let to = outputs.min(from + height);
            let (weights, dy) = (&weights[from * inputs..to * inputs], &dy[from * batch..to * batch]);
            avx512::backward(weights, inputs, dy, &mut out[..inputs * batch], accumulate || from > 0);
        }
        return;
    }
    product(out, accumulate, View::new(weights, outputs, inputs).t(), View::new(dy, outputs, batch));
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    #![expect(
        unsafe_code,
        reason = "more than half of the training time is spent here; `gemm` is the portable version"
    )]

    use std::arch::x86_64::{
        _MM_HINT_T0, _mm_prefetch, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps,
        _mm512_storeu_ps,
    };

    /// Batch size of these kernels: two registers.
    const BATCH: usize = 32;
    /// Elements in a register.
    const LANES: usize = 16;
    /// Rows of weights per pass of [`forward`]: more rows collide in the L1 cache.
    const ROWS: usize = 6;
    /// Columns of weights per pass of [`backward`].
    pub const COLUMNS: usize = 8;
    /// Weights per call of [`backward`].
    pub const TILE: usize = 16 * 1024;

    /// Whether this processor and batch can use these kernels.
    pub fn fits(batch: usize) -> bool {
        batch == BATCH && std::arch::is_x86_feature_detected!("avx512f")
    }

    /// See [`super::weights_times`]; the processor must have AVX-512.
    pub fn forward(weights: &[f32], inputs: usize, x: &[f32], out: &mut [f32]) {
        let outputs = out.len() / BATCH;
        assert!(weights.len() >= outputs * inputs && x.len() >= inputs * BATCH);
        // SAFETY: the caller checked `fits`, so the processor has AVX-512; the asserts establish
        // the contract of `forward_rows`.
        unsafe {
            let whole = outputs / ROWS * ROWS;
            for row in (0..whole).step_by(ROWS) {
                forward_rows::<ROWS>(weights, inputs, x, out, row);
            }
            for row in whole..outputs {
                forward_rows::<1>(weights, inputs, x, out, row);
            }
        }
    }

    /// Computes `N` rows of the result, from row `first`.
    ///
    /// # Safety
    /// The processor has AVX-512; `weights` holds `first + N` rows of `inputs`, `x` `inputs` rows
    /// of [`BATCH`], `out` `first + N` rows of [`BATCH`].
    #[target_feature(enable = "avx512f")]
    unsafe fn forward_rows<const N: usize>(weights: &[f32], inputs: usize, x: &[f32], out: &mut [f32], first: usize) {
        // SAFETY: every pointer read or written is inside the lengths that the caller guarantees; a
        // prefetch reads nothing.
        unsafe {
            let rows: [*const f32; N] = std::array::from_fn(|n| weights.as_ptr().add((first + n) * inputs));
            let mut sums = [[_mm512_setzero_ps(); 2]; N];
            for from in (0..inputs).step_by(LANES) {
                for row in rows {
                    _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(N * inputs + from).cast());
                }
                for i in from..inputs.min(from + LANES) {
                    let x = x.as_ptr().add(i * BATCH);
                    let x = [_mm512_loadu_ps(x), _mm512_loadu_ps(x.add(LANES))];
                    for (row, sums) in rows.into_iter().zip(&mut sums) {
                        let weight = _mm512_set1_ps(*row.add(i));
                        *sums = [_mm512_fmadd_ps(weight, x[0], sums[0]), _mm512_fmadd_ps(weight, x[1], sums[1])];
                    }
                }
            }
            for (n, sums) in sums.into_iter().enumerate() {
                let out = out.as_mut_ptr().add((first + n) * BATCH);
                _mm512_storeu_ps(out, sums[0]);
                _mm512_storeu_ps(out.add(LANES), sums[1]);
            }
        }
    }

    /// See [`super::transposed_weights_times`]; the processor must have AVX-512, and `inputs` must
    /// be a multiple of [`COLUMNS`].
    pub fn backward(weights: &[f32], inputs: usize, dy: &[f32], out: &mut [f32], accumulate: bool) {
        let outputs = dy.len() / BATCH;
        assert!(weights.len() >= outputs * inputs && out.len() >= inputs * BATCH && inputs.is_multiple_of(COLUMNS));
        for first in (0..inputs).step_by(COLUMNS) {
            // SAFETY: the caller checked `fits`, so the processor has AVX-512; the asserts
            // establish the contract of `backward_columns`.
            unsafe { backward_columns(weights, outputs, inputs, dy, out, first, accumulate) }
        }
    }

    /// Computes [`COLUMNS`] rows of the result, from row `first`.
    ///
    /// # Safety
    /// The processor has AVX-512; `weights` holds `outputs` rows of `inputs`, `dy` `outputs` rows
    /// of [`BATCH`], `out` `inputs` rows of [`BATCH`], and `first + COLUMNS` is at most `inputs`.
    #[target_feature(enable = "avx512f")]
    unsafe fn backward_columns(
        weights: &[f32],
        outputs: usize,
        inputs: usize,
        dy: &[f32],
        out: &mut [f32],
        first: usize,
        accumulate: bool,
    ) {
        // SAFETY: every pointer read or written is inside the lengths that the caller guarantees.
        unsafe {
            let out = out.as_mut_ptr().add(first * BATCH);
            let mut sums = [[_mm512_setzero_ps(); 2]; COLUMNS];
            if accumulate {
                for (n, sums) in sums.iter_mut().enumerate() {
                    *sums = [_mm512_loadu_ps(out.add(n * BATCH)), _mm512_loadu_ps(out.add(n * BATCH + LANES))];
                }
            }
            for o in 0..outputs {
                let dy = dy.as_ptr().add(o * BATCH);
                let dy = [_mm512_loadu_ps(dy), _mm512_loadu_ps(dy.add(LANES))];
                let row = weights.as_ptr().add(o * inputs + first);
                for (n, sums) in sums.iter_mut().enumerate() {
                    let weight = _mm512_set1_ps(*row.add(n));
                    *sums = [_mm512_fmadd_ps(weight, dy[0], sums[0]), _mm512_fmadd_ps(weight, dy[1], sums[1])];
                }
            }
            for (n, sums) in sums.into_iter().enumerate() {
                _mm512_storeu_ps(out.add(n * BATCH), sums[0]);
                _mm512_storeu_ps(out.add(n * BATCH + LANES), sums[1]);
            }
        }
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

    fn near(a: &[f32], b: &[f32], what: &str) {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4), "{what}");
    }

    /// With AVX-512 this compares the kernels with `gemm`, without it `gemm` with itself.
    #[test]
    fn both_products_match_gemm_for_every_shape() {
        for (outputs, inputs, batch) in [(1, 8, 32), (6, 16, 32), (13, 24, 32), (64, 520, 32), (7, 9, 32), (12, 16, 8)]
        {
            let weights = numbers(outputs * inputs, 1);
            let (x, dy) = (numbers(inputs * batch, 2), numbers(outputs * batch, 3));
            let (mut ours, mut theirs) = (vec![0.5; outputs * batch], vec![0.5; outputs * batch]);
            weights_times(&weights, outputs, inputs, &x, batch, &mut ours);
            product(&mut theirs, false, View::new(&weights, outputs, inputs), View::new(&x, inputs, batch));
            near(&ours, &theirs, "W x");
            for accumulate in [false, true] {
                let (mut ours, mut theirs) = (vec![0.5; inputs * batch], vec![0.5; inputs * batch]);
                transposed_weights_times(&weights, outputs, inputs, &dy, batch, &mut ours, accumulate);
                let transposed = View::new(&weights, outputs, inputs).t();
                product(&mut theirs, accumulate, transposed, View::new(&dy, outputs, batch));
                near(&ours, &theirs, "W^T dy");
            }
        }
    }
}
