//! Checks that the output of a detector fits its registry entry: rows, columns and classes, before
//! the first picture.

use jhalak_common::models::{Decode, DetectorOutput};
use jhalak_common::{Error, Result};

/// The layout of boxes in the output of one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLayout {
    /// Number of boxes.
    pub boxes: usize,
    /// Values per box.
    pub values: usize,
    /// Whether the values of a box are contiguous (rows), or each value over all boxes (columns).
    pub are_rows: bool,
    /// Bins per distance distribution, for [`Decode::Nanodet`].
    pub bins: usize,
}

impl OutputLayout {
    /// Reads the shape of an output; -1 is a dynamic length.
    ///
    /// # Errors
    /// InvalidInput, with the shape of the file and the expectation of the entry, if they do not
    /// fit.
    pub fn of(shape: &[i64], how: &DetectorOutput, input: (u32, u32)) -> Result<OutputLayout> {
        let classes = how.labels.count();
        let refuse = |reason: String| {
            let name = how.decode.name();
            Error::invalid(format!(
                "its output of shape {shape:?} is not a valid `{name}` output for {classes} classes: {reason}"
            ))
        };
        // Some exports leave a dimension of length 1 inside: [1, 1, A, 85], [1, A, 1, 85].
        let flat: Vec<i64> = match shape {
            [batch, inner @ ..] if inner.len() > 2 => {
                std::iter::once(*batch).chain(inner.iter().copied().filter(|&n| n != 1)).collect()
            }
            other => other.to_vec(),
        };
        let (first, second) = match (flat.as_slice(), how.decode) {
            // Rows of all pictures in one list, each with the index of its picture.
            (&[rows, 7 | -1], Decode::EndToEnd) => (rows, 7),
            (&[_, first, second], _) => (first, second),
            _ => return Err(refuse("it must be [pictures, boxes, values] or [pictures, values, boxes]".into())),
        };
        let wanted = match how.decode {
            Decode::Yolov5 | Decode::Yolox | Decode::YoloxDecoded => 5 + classes as i64,
            Decode::Yolov8 => 4 + classes as i64,
            Decode::EndToEnd if second == 7 => 7,
            Decode::EndToEnd => 6,
            Decode::Nanodet => return Self::of_distributions(first, second, how, input, refuse),
        };
        let columns_first = how.decode == Decode::Yolov8;
        let are_rows = match (first == wanted, second == wanted) {
            (true, true) => !columns_first,
            (true, false) => false,
            (false, true) => true,
            (false, false) => {
                let free = first < 0 || second < 0;
                if !free {
                    return Err(refuse(format!(
                        "a box has {wanted} values; {}",
                        advice(how.decode, first, second, classes)
                    )));
                }
                // Either dimension may be the dynamic one; assume the usual order until the first
                // picture.
                if first < 0 && second >= 0 { false } else { !columns_first }
            }
        };
        let (boxes, values) = if are_rows { (first, second) } else { (second, first) };
        if values >= 0 && values != wanted && boxes >= 0 {
            return Err(refuse(format!("a box has {wanted} values; {}", advice(how.decode, first, second, classes))));
        }
        let layout = OutputLayout { boxes: count(boxes), values: wanted as usize, are_rows, bins: 0 };
        layout.check_grids(how, input, refuse)
    }

    fn of_distributions(
        first: i64,
        second: i64,
        how: &DetectorOutput,
        input: (u32, u32),
        refuse: impl Fn(String) -> Error,
    ) -> Result<OutputLayout> {
        let classes = how.labels.count() as i64;
        let bins = |values: i64| {
            let rest = values - classes;
            (rest >= 8 && rest % 4 == 0).then_some(rest as usize / 4)
        };
        let cells = how.cells(input.0, input.1) as i64;
        // Rows, unless only the other order fits the grids.
        let are_rows = first == cells || second != cells;
        let (boxes, values) = if are_rows { (first, second) } else { (second, first) };
        let Some(bins) = bins(values) else {
            return Err(refuse(format!(
                "a box has one score per class and four distributions of at least 2 values, {classes} + 4 x n, and not {values}: set detector.labels"
            )));
        };
        let layout = OutputLayout { boxes: count(boxes), values: values as usize, are_rows, bins };
        layout.check_grids(how, input, refuse)
    }

    fn check_grids(
        self,
        how: &DetectorOutput,
        input: (u32, u32),
        refuse: impl Fn(String) -> Error,
    ) -> Result<OutputLayout> {
        let cells = how.cells(input.0, input.1);
        if how.decode.has_grids() && self.boxes > 0 && self.boxes != cells {
            return Err(refuse(format!(
                "an input of {} x {} and the strides {:?} give {cells} boxes, but it has {}: set picture.width, picture.height or detector.strides",
                input.0, input.1, how.strides, self.boxes
            )));
        }
        Ok(self)
    }
}

/// A dynamic dimension counts as 0 boxes until the first picture.
fn count(n: i64) -> usize {
    usize::try_from(n).unwrap_or(0)
}

/// Suggests what the entry may have meant.
fn advice(decode: Decode, first: i64, second: i64, classes: usize) -> String {
    let values = first.min(second);
    let meant = |classes: i64| format!("for {classes} classes set detector.labels to {classes} names");
    match decode {
        // Exports with NMS give rows.
        _ if second == 6 || second == 7 => "this looks like `end-to-end`".into(),
        // Exports with objectness give rows.
        Decode::Yolov8 if second == values && values == 5 + classes as i64 => {
            "this looks like `yolov5` or `yolox`".into()
        }
        Decode::Yolov5 | Decode::Yolox | Decode::YoloxDecoded if values == 4 + classes as i64 => {
            "this looks like `yolov8`".into()
        }
        Decode::Yolov8 if values > 4 => meant(values - 4),
        Decode::Yolov5 | Decode::Yolox | Decode::YoloxDecoded if values > 5 => meant(values - 5),
        _ => "another `decode` may fit".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_common::models::Labels;

    fn how(decode: &str, more: &str) -> DetectorOutput {
        toml::from_str(&format!("decode = \"{decode}\"\n{more}")).expect("a section")
    }

    fn layout_of(shape: &[i64], decode: &str, more: &str, side: u32) -> Result<(usize, usize, bool)> {
        OutputLayout::of(shape, &how(decode, more), (side, side)).map(|f| (f.boxes, f.values, f.are_rows))
    }

    #[test]
    fn usual_exports_are_recognized() {
        let one = "labels = [\"face\"]";
        for (shape, decode, more, side, found) in [
            (&[1, 25_200, 85][..], "yolov5", "", 640, (25_200, 85, true)),
            (&[-1, 25_200, 85], "yolov5", "", 640, (25_200, 85, true)),
            (&[1, 84, 8_400], "yolov8", "", 640, (8_400, 84, false)),
            (&[1, 8_400, 84], "yolo11", "", 640, (8_400, 84, true)),
            (&[1, 5, 8_400], "yolov8", one, 640, (8_400, 5, false)),
            (&[1, 84, -1], "yolov8", "", 640, (0, 84, false)),
            (&[-1, -1, -1], "yolov5", "", 640, (0, 85, true)),
            (&[1, 3_549, 85], "yolox", "", 416, (3_549, 85, true)),
            (&[1, 3_549, 124], "nanodet", "", 416, (3_549, 124, true)),
            (&[1, 3_598, 112], "nanodet", "strides = [8, 16, 32, 64]", 416, (3_598, 112, true)),
            (&[1, 300, 6], "end-to-end", "", 640, (300, 6, true)),
            (&[-1, 7], "end-to-end", "", 640, (0, 7, true)),
            (&[1, 1, 25_200, 85], "yolov5", "", 640, (25_200, 85, true)),
        ] {
            assert_eq!(layout_of(shape, decode, more, side).expect("a layout"), found, "{shape:?} as {decode}");
        }
    }

    #[test]
    fn impossible_shapes_are_refused_with_advice() {
        for (shape, decode, more, side, expected) in [
            (&[1, 84, 8_400][..], "yolov5", "", 640, "looks like `yolov8`"),
            (&[1, 25_200, 85], "yolov8", "", 640, "looks like `yolov5`"),
            (&[1, 5, 8_400], "yolov8", "", 640, "for 1 classes set detector.labels to 1 names"),
            (&[1, 300, 6], "yolov8", "", 640, "looks like `end-to-end`"),
            (&[1, 8_400, 85], "yolox", "", 416, "give 3549 boxes, but it has 8400"),
            (&[1, 3_549, 125], "nanodet", "", 416, "80 + 4 x n, and not 125"),
            (&[1, 1_000], "yolov5", "", 640, "[pictures, boxes, values]"),
        ] {
            let error = layout_of(shape, decode, more, side).expect_err("refused");
            assert!(error.chain().contains(expected), "{shape:?} as {decode}: {error}");
        }
        assert!(matches!(how("yolov8", "labels = \"coco\"").labels, Labels::Named(_)));
    }
}
