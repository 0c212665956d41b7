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

/// Values of a cell that hold the distances of YOLOv8's heads: four distributions of 16.
const DISTANCES: i64 = 64;

/// Checks that these shapes are the heads of a YOLOv5 and of nothing else. `stated` is the number
/// of labels of the entry, `names` that of the file's metadata.
///
/// # Errors
/// InvalidInput for heads of YOLOv8, and for values in the last dimension.
pub(super) fn check(shapes: &[&[i64]], stated: usize, names: Option<usize>) -> Result<()> {
    let same = |dimension: usize| {
        let mut known = shapes.iter().filter_map(|shape| shape.get(dimension)).filter(|&&n| n >= 0);
        known.next().is_none_or(|first| known.all(|n| n == first))
    };
    if !same(1) {
        return Err(Error::invalid(format!(
            "the heads {shapes:?} do not have their values in the second dimension (they are probably [N, rows, columns, \
             values], NHWC), and no decode reads these: export them as [N, values, rows, columns], or with the decoding included"
        )));
    }
    let Some(&&[_, flat, _, _]) = shapes.first() else { return Ok(()) };
    let is_yolov5 = |classes: usize| flat == USUAL * (5 + classes as i64);
    let is_yolov8 = |classes: usize| flat == DISTANCES + classes as i64;
    let fits_yolov8 = is_yolov8(stated) || names.is_some_and(is_yolov8);
    if fits_yolov8 && !names.is_some_and(is_yolov5) && (names.is_some() || !is_yolov5(stated)) {
        return Err(Error::invalid(format!(
            "its outputs of {flat} values per cell are the heads of a YOLOv8 or YOLO11 before decoding ({DISTANCES} values of \
             distances and {} classes), which no decode reads: export the model with its decoding (`yolo export \
             format=onnx`), which gives one output [N, 4 + classes, boxes]",
            flat - DISTANCES
        )));
    }
    Ok(())
}

/// Returns the number of classes of heads of these shapes; `names` is the number of names in the
/// file's metadata.
///
/// # Errors
/// InvalidInput if the heads are not those of a YOLOv5, or can be those of another model too.
pub(super) fn classes(shapes: &[&[i64]], names: Option<usize>) -> Result<i64> {
    let coco = jhalak_common::models::COCO.len();
    check(shapes, names.unwrap_or(coco), names)?;
    match shapes.first() {
        Some(&&[_, _, _, _, values]) => Ok(values - 5),
        Some(&&[_, flat, _, _]) if flat % USUAL == 0 && flat / USUAL > 5 => {
            let classes = flat / USUAL - 5;
            // Without names, only COCO's number of classes tells YOLOv5 and YOLOv8 apart.
            if names.is_none() && flat > DISTANCES && classes != coco as i64 {
                return Err(Error::invalid(format!(
                    "its outputs of {flat} values per cell are the heads of a YOLOv5 with {classes} classes or of a YOLOv8 with {}, \
                     and the file does not name its classes: for a YOLOv5 write an entry with detector.decode = \
                     \"yolov5-heads\" and {classes} names in detector.labels; export a YOLOv8 with its decoding",
                    flat - DISTANCES
                )));
            }
            Ok(classes)
        }
        _ => Err(Error::invalid(format!(
            "its outputs {shapes:?} have one value for each cell of a grid, but are not heads of a YOLOv5, [N, 3 x (5 + classes), rows, \
             columns]: export the model with its decoding"
        ))),
    }
}

/// Decodes heads for an input of this width and height to rows of centre, size, objectness and a
/// score per class, as YOLOv5 itself does: xy = (2 s - 0.5 + cell) x stride, wh = (2 s)^2 x anchor,
/// with s the sigmoid of a value. The heads may come in any order of grids.
///
/// # Errors
/// InvalidInput if the shapes do not fit heads for `classes`, the anchors belong to other grids, or
/// the values cannot be logits.
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
    let is_share = |value: &f32| (0.0..=1.0).contains(value);
    if outputs.iter().all(|output| output.data.iter().all(is_share)) {
        return Err(Error::invalid(
            "all values of the heads lie from 0 to 1: the sigmoid is applied already (as in exports for RKNN), but \
             `yolov5-heads` are logits; export the heads without their sigmoid, or the model with its decoding",
        ));
    }
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
    fn heads_that_are_not_those_of_yolov5_alone_are_refused() {
        let flat = |values: i64| [[1, values, 80, 80], [1, values, 40, 40], [1, values, 20, 20]];
        let of = |shapes: [[i64; 4]; 3], names| classes(&shapes.each_ref().map(|shape| &shape[..]), names);
        for (values, names, expected) in
            [(255, None, 80), (255, Some(80), 80), (24, None, 3), (24, Some(3), 3), (144, Some(43), 43)]
        {
            assert_eq!(of(flat(values), names).expect("heads"), expected, "{values} {names:?}");
        }
        for (values, names, words) in [
            (144, Some(80), "YOLOv8"),
            (144, None, "YOLOv8"),
            (67, Some(3), "YOLOv8"),
            (66, None, "17 classes or of a YOLOv8 with 2"),
            (100, None, "[N, 3 x (5 + classes)"),
        ] {
            let error = of(flat(values), names).expect_err("refused").chain();
            assert!(error.contains(words), "{values} {names:?}: {error}");
        }
        let last = [[1, 80, 80, 24], [1, 40, 40, 24], [1, 20, 20, 24]];
        let error = of(last, Some(3)).expect_err("refused").chain();
        assert!(error.contains("NHWC"), "{error}");
        // An entry whose labels fit, against what the file names.
        let shapes = flat(144);
        let shapes = shapes.each_ref().map(|shape| &shape[..]);
        assert!(check(&shapes, 43, Some(80)).is_err() && check(&shapes, 80, None).is_err());
        assert!(check(&shapes, 43, None).is_ok());
    }

    #[test]
    fn heads_with_the_sigmoid_applied_are_refused() {
        let head =
            |shape: &[usize], value: f32| Tensor { shape: shape.to_vec(), data: vec![value; shape.iter().product()] };
        let of = |value| {
            let anchors = [vec![4.0, 6.0], vec![8.0, 10.0]];
            decoded(&[head(&[1, 6, 2, 4], value), head(&[1, 1, 1, 2, 6], value)], &anchors, 1, (16, 8))
        };
        assert!(of(-4.0).is_ok());
        let error = of(0.02).expect_err("refused").chain();
        assert!(error.contains("sigmoid is applied already"), "{error}");
    }

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
