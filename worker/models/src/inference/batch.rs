//! Joins requests of several jobs into one inference, and splits its outputs again.

use jhalak_common::{Error, Result};

/// A tensor of f32, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The length of each dimension.
    pub shape: Vec<usize>,
    /// The values; their number is the product of the shape.
    pub data: Vec<f32>,
}

impl Tensor {
    /// Returns the first dimension.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    fn row_length(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Returns rows `range` as a tensor of `count` rows; missing rows are zero.
    pub(super) fn slice(&self, range: std::ops::Range<usize>, count: usize) -> Tensor {
        let length = self.row_length();
        let end = range.end.min(self.rows());
        let mut data = self.data[range.start * length..end * length].to_vec();
        data.resize(count * length, 0.0);
        let mut shape = self.shape.clone();
        if let Some(rows) = shape.first_mut() {
            *rows = count;
        }
        Tensor { shape, data }
    }
}

/// Whether two requests differ only in their number of rows.
pub(super) fn fit_together(one: &[Tensor], other: &[Tensor]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.shape.len() > 1 && a.shape[1..] == b.shape[1..])
}

/// Concatenates all rows of `requests`, followed by `padding` rows of zeros. The requests must fit
/// together.
pub(super) fn join(requests: &[&[Tensor]], padding: usize) -> Vec<Tensor> {
    let inputs = requests.first().map_or(0, |r| r.len());
    let stack = |input: usize| {
        let first = &requests[0][input];
        let rows: usize = requests.iter().map(|r| r[input].rows()).sum::<usize>() + padding;
        let mut data = Vec::with_capacity(rows * first.row_length());
        requests.iter().for_each(|r| data.extend_from_slice(&r[input].data));
        data.resize(rows * first.row_length(), 0.0);
        let shape = std::iter::once(rows).chain(first.shape[1..].iter().copied()).collect();
        Tensor { shape, data }
    };
    (0..inputs).map(stack).collect()
}

/// Splits outputs into groups of `rows` rows each; further rows are padding.
///
/// # Errors
/// Bug if an output has another number of rows than the input.
pub(super) fn split(outputs: &[Tensor], rows: &[usize], total: usize) -> Result<Vec<Vec<Tensor>>> {
    if let Some(other) = outputs.iter().find(|o| o.shape.len() < 2 || o.rows() != total) {
        return Err(Error::bug(format!("an output of shape {:?} for {total} rows", other.shape)));
    }
    let mut start = 0;
    let mut groups = Vec::new();
    for &count in rows {
        groups.push(outputs.iter().map(|o| o.slice(start..start + count, count)).collect());
        start += count;
    }
    Ok(groups)
}

/// Appends the rows of `more` to `all`.
pub(super) fn append(all: &mut Vec<Tensor>, more: Vec<Tensor>) {
    if all.is_empty() {
        *all = more;
        return;
    }
    for (whole, part) in all.iter_mut().zip(more) {
        whole.data.extend_from_slice(&part.data);
        if let Some(rows) = whole.shape.first_mut() {
            *rows += part.rows();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(rows: usize, from: usize) -> Tensor {
        Tensor { shape: vec![rows, 3], data: (from..from + rows * 3).map(|n| n as f32).collect() }
    }

    #[test]
    fn split_undoes_join() {
        let requests = [vec![counted(2, 0)], vec![counted(1, 50)], vec![counted(3, 90)]];
        let all: Vec<&[Tensor]> = requests.iter().map(Vec::as_slice).collect();
        let joined = join(&all, 2);
        assert_eq!(joined[0].shape, [8, 3]);
        assert_eq!(split(&joined, &[2, 1, 3], 8).unwrap_or_default(), requests);
        assert!(split(&joined, &[2, 1, 3], 6).is_err(), "an output with unexpected rows");
    }

    #[test]
    fn only_requests_that_differ_in_rows_alone_fit_together() {
        assert!(fit_together(&[counted(1, 0)], &[counted(4, 0)]));
        assert!(!fit_together(&[counted(1, 0)], &[Tensor { shape: vec![1, 4], data: vec![0.0; 4] }]));
        assert!(!fit_together(&[Tensor { shape: vec![3], data: vec![0.0; 3] }], &[counted(1, 0)]));
    }
}
