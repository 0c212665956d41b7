//! Sums of products in eight lanes: a plain sum waits for each addition before the next, and most of a fit was spent in that.

const LANES: usize = 8;

/// `sum of a[i] * b[i]`, over the shorter of the two. Every machine adds in the same order.
#[inline(always)]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let len = a.len().min(b.len());
    let ((a, a_rest), (b, b_rest)) = (a[..len].as_chunks::<LANES>(), b[..len].as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_plain_sum() {
        for len in [0, 1, 7, 8, 9, 50] {
            let numbers: Vec<f64> = (0..len).map(|i| f64::from(i) - 3.5).collect();
            let plain: f64 = numbers.iter().map(|x| x * (x + 1.0)).sum();
            let more: Vec<f64> = numbers.iter().map(|x| x + 1.0).chain([9.0]).collect();
            assert!((dot(&numbers, &more) - plain).abs() < 1e-9, "{len}");
        }
    }
}
