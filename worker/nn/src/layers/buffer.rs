//! Operations on the buffers that layers keep from step to step.

/// Makes `buffer` exactly `len` long and keeps its allocation; the contents are then unspecified.
#[inline]
pub fn resize(buffer: &mut Vec<f32>, len: usize) {
    buffer.resize(len, 0.0);
}

/// `sum += term`, element by element.
#[inline]
pub fn add(sum: &mut [f32], term: &[f32]) {
    sum.iter_mut().zip(term).for_each(|(sum, term)| *sum += term);
}
