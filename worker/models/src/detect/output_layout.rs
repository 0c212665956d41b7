//! Checks that the output of a detector fits its registry entry: rows, columns and classes, before
//! the first picture.

use jhalak_common::models::{Decode, DetectorOutput, DetectorTask};
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
    /// Values at the end of each box that are not read: keypoints or coefficients of masks.
    pub rest: usize,
    /// Whether the boxes are rotated: the value after the scores is their angle.
    pub is_rotated: bool,
}

/// The values that may follow box and scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// None.
    Nothing,
    /// Exactly this many.
    Values(usize),
    /// Any number of them, at least one: those of a model for this task.
    Any(DetectorTask),
}

impl Rest {
    fn fits(self, rest: i64) -> bool {
        match self {
            Rest::Nothing => rest == 0,
            Rest::Values(values) => usize::try_from(rest) == Ok(values),
            // Keypoints have two or three values.
            Rest::Any(DetectorTask::Pose) => rest >= 2 && (rest % 2 == 0 || rest % 3 == 0),
            Rest::Any(_) => rest >= 1,
        }
    }
}

impl OutputLayout {
    /// Reads the shape of an output; -1 is a dynamic length.
    ///
    /// # Errors
    /// InvalidInput, with the shape of the file and the expectation of the entry, if they do not
    /// fit.
    pub fn of(shape: &[i64], how: &DetectorOutput, rest: Rest, input: (u32, u32)) -> Result<OutputLayout> {
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
            Decode::Yolov5 | Decode::Yolov5Heads | Decode::Yolox | Decode::YoloxDecoded => 5 + classes as i64,
            Decode::Yolov8 | Decode::RtDetr | Decode::YoloNas => 4 + classes as i64,
            Decode::EndToEnd if second == 7 && rest == Rest::Nothing => 7,
            Decode::EndToEnd | Decode::RtDetrChosen | Decode::EfficientNms | Decode::Detr | Decode::DFine => 6,
            Decode::Nanodet => return Self::of_distributions(first, second, how, input, refuse),
        };
        let has = |values: i64, others: i64| {
            // A longer dimension holds the boxes, not the values of one.
            let is_shorter = others < 0 || values <= others || !matches!(rest, Rest::Any(_));
            values >= wanted && rest.fits(values - wanted) && is_shorter
        };
        let expected = || match rest {
            Rest::Nothing => format!("{wanted} values"),
            Rest::Values(n) => format!("{wanted} values and {n} that are not read"),
            Rest::Any(task) => format!("{wanted} values and those of the task `{}`", task.name()),
        };
        let columns_first = how.decode == Decode::Yolov8;
        let are_rows = match (has(first, second), has(second, first)) {
            (true, true) => !columns_first,
            (true, false) => false,
            (false, true) => true,
            (false, false) => {
                let free = first < 0 || second < 0;
                if !free {
                    return Err(refuse(format!(
                        "a box has {}; {}",
                        expected(),
                        advice(how.decode, first, second, classes)
                    )));
                }
                // Either dimension may be the dynamic one; assume the usual order until the first
                // picture.
                if first < 0 && second >= 0 { false } else { !columns_first }
            }
        };
        let (boxes, values) = if are_rows { (first, second) } else { (second, first) };
        if values >= 0 && !has(values, boxes) && boxes >= 0 {
            return Err(refuse(format!("a box has {}; {}", expected(), advice(how.decode, first, second, classes))));
        }
        let values = if has(values, boxes) { values } else { wanted };
        let (values, rest) = (values as usize, (values - wanted) as usize);
        let is_rotated = how.task == Some(DetectorTask::Obb) && rest == 1;
        let layout = OutputLayout { boxes: count(boxes), values, are_rows, bins: 0, rest, is_rotated };
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
        let (boxes, values) = (count(boxes), values as usize);
        let layout = OutputLayout { boxes, values, are_rows, bins, rest: 0, is_rotated: false };
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
        Decode::RtDetr if second == 6 => "this looks like `rt-detr-chosen`".into(),
        // Exports with NMS give rows.
        Decode::Yolov5 | Decode::Yolov8 | Decode::Yolox | Decode::YoloxDecoded | Decode::RtDetr
            if second == 6 || second == 7 =>
        {
            "this looks like `end-to-end`".into()
        }
        Decode::Yolov8 | Decode::RtDetr if values == 5 + classes as i64 && second != values => {
            format!("{}, or for an OBB model (rotated boxes) detector.task = \"obb\"", meant(values - 4))
        }
        Decode::Yolov8 if values == 56 => format!(
            "{}, or for a pose model of 1 class and 17 keypoints detector.task = \"pose\" and detector.labels = [\"person\"]",
            meant(52)
        ),
        Decode::Yolov8 if values == 36 + classes as i64 => {
            format!("{}, or for a segmentation model detector.task = \"segment\"", meant(values - 4))
        }
        // Exports with objectness give rows.
        Decode::Yolov8 if second == values && values == 5 + classes as i64 => {
            "this looks like `yolov5` or `yolox`".into()
        }
        Decode::Yolov5 | Decode::Yolox | Decode::YoloxDecoded if values == 4 + classes as i64 => {
            "this looks like `yolov8`".into()
        }
        Decode::Yolov8 | Decode::RtDetr if values > 4 => meant(values - 4),
        Decode::YoloNas if second > 4 => meant(second - 4),
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
        OutputLayout::of(shape, &how(decode, more), Rest::Nothing, (side, side))
            .map(|f| (f.boxes, f.values, f.are_rows))
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
            (&[1, 300, 6], "rt-detr-chosen", "", 640, (300, 6, true)),
            (&[-1, 7], "end-to-end", "", 640, (0, 7, true)),
            (&[1, 1, 25_200, 85], "yolov5", "", 640, (25_200, 85, true)),
        ] {
            assert_eq!(layout_of(shape, decode, more, side).expect("a layout"), found, "{shape:?} as {decode}");
        }
    }

    #[test]
    fn values_of_other_tasks_follow_box_and_scores() {
        let person = how("yolov8", "labels = [\"person\"]");
        let of = |shape: &[i64], how: &DetectorOutput, rest| OutputLayout::of(shape, how, rest, (640, 640));
        for (shape, rest) in [
            (&[1, 56, 8_400], Rest::Values(51)),
            (&[1, 8_400, 56], Rest::Any(DetectorTask::Pose)),
            (&[1, 56, -1], Rest::Values(51)),
        ] {
            let found = of(shape, &person, rest).expect("a layout");
            assert_eq!((found.values, found.rest), (56, 51), "{shape:?}");
        }
        let found = of(&[1, 25_200, 117], &how("yolov5", ""), Rest::Any(DetectorTask::Segment)).expect("a layout");
        assert_eq!((found.values, found.rest), (117, 32));
        let found = of(&[1, 300, 57], &how("end-to-end", ""), Rest::Values(51)).expect("a layout");
        assert_eq!((found.values, found.rest, found.are_rows), (57, 51, true));
        let error = of(&[1, 56, 8_400], &person, Rest::Values(34)).expect_err("refused").chain();
        assert!(error.contains("5 values and 34 that are not read"), "{error}");
    }

    #[test]
    fn impossible_shapes_are_refused_with_advice() {
        for (shape, decode, more, side, expected) in [
            (&[1, 84, 8_400][..], "yolov5", "", 640, "looks like `yolov8`"),
            (&[1, 25_200, 85], "yolov8", "", 640, "looks like `yolov5`"),
            (&[1, 5, 8_400], "yolov8", "", 640, "for 1 classes set detector.labels to 1 names"),
            (&[1, 300, 6], "yolov8", "", 640, "looks like `end-to-end`"),
            (&[1, 300, 6], "rt-detr", "", 640, "looks like `rt-detr-chosen`"),
            (&[1, 8_400, 85], "yolox", "", 416, "give 3549 boxes, but it has 8400"),
            (&[1, 3_549, 125], "nanodet", "", 416, "80 + 4 x n, and not 125"),
            (&[1, 1_000], "yolov5", "", 640, "[pictures, boxes, values]"),
            (&[1, 56, 8_400], "yolov8", "", 640, "for a pose model"),
            (&[1, 116, 8_400], "yolov8", "", 640, "for a segmentation model"),
            (&[1, 85, 8_400], "yolov8", "", 640, "OBB"),
        ] {
            let error = layout_of(shape, decode, more, side).expect_err("refused");
            assert!(error.chain().contains(expected), "{shape:?} as {decode}: {error}");
        }
        assert!(matches!(how("yolov8", "labels = \"coco\"").labels, Labels::Named(_)));
    }
}
