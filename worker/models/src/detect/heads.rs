//! The heads of a YOLOv5 or YOLOv7 before decoding: logits for each anchor of each cell.

use jhalak_common::{Error, Result};

use crate::inference::Tensor;

/// Anchors of YOLOv5 with three grids: width and height in pixels, finest grid first.
const THREE: [[f32; 6]; 3] = [
    [10.0, 13.0, 16.0, 30.0, 33.0, 23.0],
    [30.0, 61.0, 62.0, 45.0, 59.0, 119.0],
    [116.0, 90.0, 156.0, 198.0, 373.0, 326.0],
];
/// Anchors of YOLOv5 with four grids (P6).
const FOUR: [[f32; 6]; 4] = [
    [19.0, 27.0, 44.0, 40.0, 38.0, 94.0],
    [96.0, 68.0, 86.0, 152.0, 180.0, 137.0],
    [140.0, 301.0, 303.0, 264.0, 238.0, 542.0],
    [436.0, 615.0, 739.0, 380.0, 925.0, 792.0],
];
/// Anchors of a cell, unless stated otherwise.
const USUAL: i64 = 3;

/// A head of rows, columns and values of each anchor. Its numbers lie as [anchors, rows, columns,
/// values], or with `is_flat` as [anchors x values, rows, columns].
struct Head<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    values: usize,
    is_flat: bool,
}

/// Returns [pictures, boxes, values] of heads of these shapes; -1 where a length is dynamic. None
/// if they are no heads.
pub(super) fn joined_shape(shapes: &[&[i64]]) -> Option<Vec<i64>> {
    let (mut boxes, mut values, mut pictures) = (0, 0, -1);
    for shape in shapes {
        let (anchors, rows, columns, each) = match **shape {
            [_, anchors, rows, columns, each] => (anchors, rows, columns, each),
            [_, flat, rows, columns] if flat % USUAL == 0 => (USUAL, rows, columns, flat / USUAL),
            _ => return None,
        };
        let is_known = boxes >= 0 && [anchors, rows, columns].iter().all(|&n| n > 0);
        boxes = if is_known { boxes + anchors * rows * columns } else { -1 };
        (values, pictures) = (each, shape[0]);
    }
    Some(vec![pictures, boxes, values])
}

/// Decodes heads for an input of this width and height to rows of centre, size, objectness and a
/// score per class, as YOLOv5 itself does: xy = (2 s - 0.5 + cell) x stride, wh = (2 s)^2 x anchor,
/// with s the sigmoid of a value. The heads may come in any order of grids.
///
/// # Errors
/// InvalidInput if the shapes are no heads for `classes`, or the anchors are of other grids.
pub(super) fn decoded(outputs: &[Tensor], anchors: &[Vec<f32>], classes: usize, input: (u32, u32)) -> Result<Tensor> {
    let grids: Vec<Vec<f32>> = match (anchors, outputs.len()) {
        ([], 3) => THREE.iter().map(|grid| grid.to_vec()).collect(),
        ([], 4) => FOUR.iter().map(|grid| grid.to_vec()).collect(),
        (stated, count) if stated.len() == count => stated.to_vec(),
        (stated, count) => {
            return Err(Error::invalid(format!(
                "detector.anchors lists {} grids, but the file has {count}: list the anchors of each grid, finest first",
                stated.len()
            )));
        }
    };
    let positive = |grid: &Vec<f32>| grid.len() >= 2 && grid.len().is_multiple_of(2) && grid.iter().all(|&n| n > 0.0);
    if !grids.iter().all(positive) {
        return Err(Error::invalid("detector.anchors must list width and height of each anchor, in pixels above 0"));
    }
    let pictures = outputs.first().and_then(|output| output.shape.first().copied()).unwrap_or(0);
    let mut order: Vec<&Tensor> = outputs.iter().collect();
    // Finest grid first: the one with the most cells.
    let cells = |output: &&Tensor| {
        let spatial = if output.shape.len() == 5 { 2..4 } else { 2..4.min(output.shape.len()) };
        output.shape.get(spatial).map_or(0, |sides| sides.iter().product::<usize>())
    };
    order.sort_by_key(|output| std::cmp::Reverse(cells(output)));
    let mut data = Vec::new();
    for picture in 0..pictures {
        for (output, anchors) in order.iter().zip(&grids) {
            let head = head(output, picture, pictures, anchors.len() / 2, 5 + classes)?;
            head.write(anchors, input, &mut data);
        }
    }
    let values = 5 + classes;
    Ok(Tensor { shape: vec![pictures, data.len() / (values * pictures.max(1)), values], data })
}

fn head(output: &Tensor, picture: usize, pictures: usize, anchors: usize, values: usize) -> Result<Head<'_>> {
    let (found, rows, columns, each, is_flat) = match output.shape[..] {
        [_, found, rows, columns, each] => (found, rows, columns, each, false),
        [_, flat, rows, columns] if flat == anchors * values => (anchors, rows, columns, values, true),
        [_, flat, ..] => {
            return Err(Error::invalid(format!(
                "{flat} values of a cell are not {anchors} anchors x ({values} - 5 classes + 5): set detector.labels or \
                 detector.anchors"
            )));
        }
        _ => return Err(Error::invalid("an output without a grid")),
    };
    let size = found * rows * columns * each;
    if found != anchors || each != values || output.data.len() != size * pictures || size == 0 {
        return Err(Error::invalid(format!(
            "a cell has {found} anchors of {each} values, but the entry has {anchors} anchors and {} classes: set \
             detector.labels or detector.anchors",
            values - 5
        )));
    }
    Ok(Head { data: &output.data[picture * size..][..size], rows, columns, values, is_flat })
}

impl Head<'_> {
    fn value(&self, anchor: usize, row: usize, column: usize, value: usize) -> f32 {
        let place = match self.is_flat {
            true => ((anchor * self.values + value) * self.rows + row) * self.columns + column,
            false => ((anchor * self.rows + row) * self.columns + column) * self.values + value,
        };
        1.0 / (1.0 + (-self.data[place]).exp())
    }

    fn write(&self, anchors: &[f32], input: (u32, u32), into: &mut Vec<f32>) {
        let strides = [input.0 as f32 / self.columns as f32, input.1 as f32 / self.rows as f32];
        for (anchor, size) in anchors.as_chunks::<2>().0.iter().enumerate() {
            for row in 0..self.rows {
                for column in 0..self.columns {
                    let value = |n: usize| self.value(anchor, row, column, n);
                    into.push((value(0) * 2.0 - 0.5 + column as f32) * strides[0]);
                    into.push((value(1) * 2.0 - 0.5 + row as f32) * strides[1]);
                    into.extend([0, 1].map(|n| (value(2 + n) * 2.0).powi(2) * size[n]));
                    into.extend((4..self.values).map(value));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_either_form_and_any_order_of_grids_give_the_same_boxes() {
        // Two grids of one anchor and one class over an input of 16 x 8: 4 x 2 and 2 x 1 cells.
        let (classes, anchors) = (1, [vec![4.0, 6.0], vec![8.0, 10.0]]);
        let rows =
            |cells: usize, from: usize| (0..cells * 6).map(|n| (n + from) as f32 / 20.0 - 1.0).collect::<Vec<_>>();
        let fine = Tensor { shape: vec![1, 1, 2, 4, 6], data: rows(8, 0) };
        let coarse = Tensor { shape: vec![1, 1, 1, 2, 6], data: rows(2, 7) };
        let found = decoded(&[fine.clone(), coarse.clone()], &anchors, classes, (16, 8)).expect("rows");
        assert_eq!(found.shape, [1, 10, 6]);
        // The first cell of the second row of the fine grid: values 24 to 29 of it.
        let s = |n: f32| 1.0 / (1.0 + (-(n / 20.0 - 1.0)).exp());
        let wanted = [
            (s(24.0) * 2.0 - 0.5) * 4.0,
            (s(25.0) * 2.0 - 0.5 + 1.0) * 4.0,
            (s(26.0) * 2.0).powi(2) * 4.0,
            (s(27.0) * 2.0).powi(2) * 6.0,
            s(28.0),
            s(29.0),
        ];
        assert!(found.data[24..30].iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-5), "{:?}", &found.data[24..30]);
        let swapped = decoded(&[coarse.clone(), fine.clone()], &anchors, classes, (16, 8)).expect("rows");
        assert_eq!(swapped, found);
        let flat = |head: &Tensor| {
            let (rows, columns) = (head.shape[2], head.shape[3]);
            let cells = rows * columns;
            let data = (0..cells * 6).map(|n| head.data[n % cells * 6 + n / cells]).collect();
            Tensor { shape: vec![1, 6, rows, columns], data }
        };
        let flattened = decoded(&[flat(&fine), flat(&coarse)], &anchors, classes, (16, 8)).expect("rows");
        assert_eq!(flattened, found);
        let error = decoded(&[fine, coarse], &anchors, 2, (16, 8)).expect_err("other classes").chain();
        assert!(error.contains("detector.labels"), "{error}");
    }
}
