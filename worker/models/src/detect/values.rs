//! Holds the values of a detector's output to what they mean: scores are shares, boxes lie in the
//! picture. Values that do not are refused with the likely cause.

use std::fmt;

use jhalak_common::models::{BoxUnit, Decode, DetectorOutput};

use super::decode::Candidate;
use super::output_layout::OutputLayout;

/// Scores outside 0 to 1 by more than this are not scores.
const SCORE_SLACK: f32 = 1e-3;
/// Boxes whose values are all at most this are shares, not pixels.
const SHARE_LIMIT: f32 = 1.5;

/// Why the output of a detector cannot be read as its entry says.
#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    /// A score that is not from 0 to 1.
    Score(f32, Decode),
    /// Boxes in shares where pixels are expected.
    Shares(Decode),
    /// Boxes in pixels where shares are expected.
    Pixels,
    /// Every box is smaller than a pixel.
    Tiny,
    /// A box far outside the input.
    Outside([f32; 4], (u32, u32)),
    /// Right is left of left, in every box.
    Inverted,
    /// A class that is not a whole number.
    Class(f32),
    /// A last score that is 0 or 1 in every box.
    Chosen,
    /// An objectness of exactly 1 in every box.
    Objectness,
    /// Rows of seven values that end in score and class instead of class and score.
    Flat,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Score(score, decode) => {
                let cause = match decode {
                    _ if *score < 0.0 => "these are probably logits (export the model with its final sigmoid) or coefficients of masks (set detector.task): check detector.labels".into(),
                    Decode::Yolov8 | Decode::RtDetr => {
                        "these values are probably not scores but keypoints, coefficients of masks or boxes: check detector.labels and detector.task".into()
                    }
                    _ => format!("this is probably not a `{}` output: check detector.decode and detector.labels", decode.name()),
                };
                write!(f, "it returned the score {score}, but scores are 0 to 1; {cause}")
            }
            Problem::Shares(decode) => {
                let other = match decode {
                    Decode::Yolov5 | Decode::YoloxDecoded => ", or detector.decode = \"yolox\" if they are relative to cells",
                    Decode::Yolov8 => ", and detector.decode = \"rt-detr\" if it is an RT-DETR",
                    _ => "",
                };
                write!(
                    f,
                    "all boxes lie within one pixel: they are probably shares of the picture, from 0 to 1; set detector.boxes = \"shares\"{other}"
                )
            }
            Problem::Pixels => {
                f.write_str("boxes are read as shares of the picture, but lie far beyond 1: set detector.boxes = \"pixels\"")
            }
            Problem::Tiny => f.write_str(
                "every box is smaller than a pixel of the input: detector.decode does not fit, or its sizes are in another unit",
            ),
            Problem::Outside(edges, (width, height)) => write!(
                f,
                "it returned the box {edges:.0?}, far outside the input of {width} x {height}: check detector.decode, detector.strides, picture.width and picture.height"
            ),
            Problem::Inverted => f.write_str(
                "the right edge of every box is left of its left edge: the boxes are probably centre and size, and this is not an output after NMS; check detector.decode",
            ),
            Problem::Class(class) => write!(
                f,
                "it returned the class {class}, which is not a whole number: the columns are probably in another order, or the last two are the scores of two classes; check detector.decode (an RT-DETR of two classes: \"rt-detr\")"
            ),
            Problem::Objectness => f.write_str(
                "the objectness of every box is exactly 1, which YOLOX never returns: this is probably a YOLOv6; set detector.decode = \"yolov5\" and picture = { resize = \"letterbox\", filter = \"two-tap\", channels = \"rgb\", divide_by = 255.0 }",
            ),
            Problem::Flat => f.write_str(
                "its rows of seven end in score and class, as the flat format of YOLO-NAS, and no decode reads these: export it with output_predictions_format = BATCH_FORMAT and set detector.decode = \"efficient-nms\"",
            ),
            Problem::Chosen => f.write_str(
                "the last score of every box is exactly 0 or 1: these are classes; set detector.decode = \"rt-detr-chosen\"",
            ),
        }
    }
}

/// Checks the raw output of one picture.
pub fn check_output(output: &[f32], layout: &OutputLayout, how: &DetectorOutput) -> Result<(), Problem> {
    let own = layout.values - layout.rest;
    let scores = match how.decode {
        Decode::Nanodet => 0..own - 4 * layout.bins,
        Decode::EndToEnd if own == 7 => 6..7,
        Decode::EndToEnd | Decode::EfficientNms | Decode::RtDetrChosen => 4..5,
        _ => 4..own,
    };
    let is_flat = how.decode == Decode::EndToEnd && own == 7 && layout.are_rows;
    if is_flat && are_score_and_class(output.chunks_exact(layout.values)) {
        return Err(Problem::Flat);
    }
    let (low, high) = extremes(output, layout, scores);
    // Some exports fill unused rows with -1.
    let low = if how.decode.is_final() && low == -1.0 { 0.0 } else { low };
    for score in [low, high] {
        if score.is_finite() && !(-SCORE_SLACK..=1.0 + SCORE_SLACK).contains(&score) {
            return Err(Problem::Score(score, how.decode));
        }
    }
    // Two classes: box and two scores are as many values as box, score and class.
    let are_classes = |row: &[f32]| row[5] == 0.0 || row[5] == 1.0;
    if how.decode == Decode::RtDetr && own == 6 && output.chunks_exact(layout.values).all(are_classes) {
        return Err(Problem::Chosen);
    }
    if how.decode == Decode::YoloxDecoded && extremes(output, layout, 4..5) == (1.0, 1.0) {
        return Err(Problem::Objectness);
    }
    if let Some(class) = odd_class(output, layout, how) {
        return Err(Problem::Class(class));
    }
    if how.decode.has_grids() || how.box_unit() == BoxUnit::Shares {
        return Ok(());
    }
    let largest = largest_box_value(output, layout, how);
    if largest > 0.0 && largest <= SHARE_LIMIT {
        return Err(Problem::Shares(how.decode));
    }
    Ok(())
}

/// Whether rows of seven end in score and class: the last value is whole in every row, and the one
/// before it is a share that is not whole in some.
fn are_score_and_class<'a>(rows: impl Iterator<Item = &'a [f32]> + Clone) -> bool {
    let is_whole = |value: f32| value.fract() == 0.0;
    let may_be = |row: &[f32]| (0.0..=1.0).contains(&row[5]) && is_whole(row[6]);
    rows.clone().all(may_be) && rows.clone().any(|row| !is_whole(row[5]))
}

/// Returns the class of a row after NMS that is not a whole number.
fn odd_class(output: &[f32], layout: &OutputLayout, how: &DetectorOutput) -> Option<f32> {
    let column = match how.decode {
        Decode::EndToEnd | Decode::EfficientNms | Decode::RtDetrChosen if layout.are_rows => 5,
        _ => return None,
    };
    let classes = output.chunks_exact(layout.values).map(|row| row[column]);
    classes.into_iter().find(|class| class.fract().abs() > SCORE_SLACK && class.fract().abs() < 1.0 - SCORE_SLACK)
}

/// Returns the largest absolute value of the boxes of one picture, as the file gives them; 0 for
/// layouts whose boxes are distributions.
pub fn largest_box_value(output: &[f32], layout: &OutputLayout, how: &DetectorOutput) -> f32 {
    let boxes = match how.decode {
        Decode::Nanodet => return 0.0,
        Decode::EndToEnd if layout.values - layout.rest == 7 => 1..5,
        _ => 0..4,
    };
    let (low, high) = extremes(output, layout, boxes);
    low.abs().max(high.abs())
}

/// Returns the lowest and the highest of the values `range` of all boxes.
fn extremes(output: &[f32], layout: &OutputLayout, range: std::ops::Range<usize>) -> (f32, f32) {
    if !layout.are_rows {
        return of_slice(&output[range.start * layout.boxes..range.end * layout.boxes]);
    }
    let rows = output.chunks_exact(layout.values).map(|row| of_slice(&row[range.clone()]));
    rows.fold((f32::INFINITY, f32::NEG_INFINITY), |all, row| (all.0.min(row.0), all.1.max(row.1)))
}

/// Returns the extremes of `values`, in lanes that fit a SIMD register.
fn of_slice(values: &[f32]) -> (f32, f32) {
    let (lanes, rest) = values.as_chunks::<8>();
    let (mut low, mut high) = ([f32::INFINITY; 8], [f32::NEG_INFINITY; 8]);
    for lane in lanes {
        low.iter_mut().zip(lane).for_each(|(low, &value)| *low = if value < *low { value } else { *low });
        high.iter_mut().zip(lane).for_each(|(high, &value)| *high = if value > *high { value } else { *high });
    }
    let low = low.iter().chain(rest).fold(f32::INFINITY, |a, &b| a.min(b));
    (low, high.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| a.max(b)))
}

/// Checks the boxes above the threshold, in pixels of an input of this size.
pub fn check_candidates(
    candidates: &[Candidate],
    how: &DetectorOutput,
    (width, height): (u32, u32),
) -> Result<(), Problem> {
    let are_all = |is: fn(&Candidate) -> bool| !candidates.is_empty() && candidates.iter().all(is);
    let are_shares = how.box_unit() == BoxUnit::Shares;
    let (w, h) = (width as f32, height as f32);
    let is_outside = |c: &&Candidate| {
        let [left, top, right, bottom] = c.edges;
        left < -w || top < -h || right > 2.0 * w || bottom > 2.0 * h || left > 2.0 * w || top > 2.0 * h
    };
    match candidates.iter().find(is_outside) {
        Some(_) if are_shares => return Err(Problem::Pixels),
        Some(other) => return Err(Problem::Outside(other.edges, (width, height))),
        None => {}
    }
    if are_all(|c| c.edges[2] < c.edges[0] - 1.0 || c.edges[3] < c.edges[1] - 1.0) {
        return Err(Problem::Inverted);
    }
    if !are_shares && are_all(|c| c.edges.iter().all(|edge| edge.abs() <= SHARE_LIMIT)) {
        return Err(Problem::Shares(how.decode));
    }
    if are_all(|c| c.edges[2] - c.edges[0] <= 1.0 && c.edges[3] - c.edges[1] <= 1.0) {
        return Err(Problem::Tiny);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn how(text: &str) -> DetectorOutput {
        toml::from_str(text).expect("a section")
    }

    #[test]
    fn impossible_values_are_refused_with_their_cause() {
        let entry = how("decode = \"yolov8\"\nlabels = [\"a\", \"b\"]");
        let layout = OutputLayout { boxes: 2, values: 6, are_rows: true, bins: 0, rest: 0, is_rotated: false };
        let check = |second: [f32; 6]| {
            let rows = [[50.0, 50.0, 20.0, 20.0, 0.5, 0.1], second];
            check_output(rows.as_flattened(), &layout, &entry)
        };
        assert_eq!(check([9.0, 9.0, 2.0, 2.0, 1.0, 0.0]), Ok(()));
        assert_eq!(check([9.0, 9.0, 2.0, 2.0, 46.0, 0.0]), Err(Problem::Score(46.0, Decode::Yolov8)));
        assert_eq!(check([9.0, 9.0, 2.0, 2.0, 0.2, -3.0]), Err(Problem::Score(-3.0, Decode::Yolov8)));
        let shares = [[0.5, 0.5, 0.25, 0.5, 0.9, 0.1], [0.0; 6]];
        assert_eq!(check_output(shares.as_flattened(), &layout, &entry), Err(Problem::Shares(Decode::Yolov8)));
        let stated = how("decode = \"yolov8\"\nboxes = \"shares\"\nlabels = [\"a\", \"b\"]");
        assert_eq!(check_output(shares.as_flattened(), &layout, &stated), Ok(()));
        let two = how("decode = \"rt-detr\"\nlabels = [\"a\", \"b\"]");
        let chosen = [[0.5, 0.5, 0.25, 0.5, 0.9, 1.0], [0.1, 0.1, 0.1, 0.1, 0.3, 0.0]];
        assert_eq!(check_output(chosen.as_flattened(), &layout, &two), Err(Problem::Chosen));
        let scores = [[0.5, 0.5, 0.25, 0.5, 0.9, 0.2], [0.1, 0.1, 0.1, 0.1, 0.3, 0.0]];
        assert_eq!(check_output(scores.as_flattened(), &layout, &two), Ok(()));
        // The same rows after selection: neither boxes in shares nor in pixels hide a score.
        for boxes in ["shares", "pixels"] {
            let entry = how(&format!("decode = \"end-to-end\"\nboxes = \"{boxes}\"\nlabels = [\"a\", \"b\"]"));
            assert_eq!(check_output(scores.as_flattened(), &layout, &entry), Err(Problem::Class(0.2)), "{boxes}");
        }
        assert!(Problem::Class(0.2).to_string().contains("rt-detr"));
        assert!(Problem::Shares(Decode::Yolov8).to_string().contains("detector.boxes = \"shares\""));
        assert!(Problem::Score(-3.0, Decode::Yolov8).to_string().contains("sigmoid"));
    }

    #[test]
    fn rows_of_seven_that_end_in_the_class_are_refused() {
        let entry = how("decode = \"end-to-end\"");
        let layout = OutputLayout { boxes: 2, values: 7, are_rows: true, bins: 0, rest: 0, is_rotated: false };
        let check = |rows: [[f32; 7]; 2]| check_output(rows.as_flattened(), &layout, &entry);
        let edges = |class: f32, score: f32| [0.0, 10.0, 10.0, 50.0, 60.0, class, score];
        assert_eq!(check([edges(1.0, 0.9), edges(0.0, 0.4)]), Ok(()));
        assert_eq!(check([edges(1.0, 1.0), edges(0.0, 1.0)]), Ok(()));
        assert_eq!(check([edges(0.9, 1.0), edges(0.4, 0.0)]), Err(Problem::Flat));
        assert_eq!(check([edges(0.9, 16.0), edges(0.4, 2.0)]), Err(Problem::Flat));
    }

    #[test]
    fn an_objectness_of_one_everywhere_is_not_that_of_yolox() {
        let entry = how("decode = \"yolox-decoded\"\nlabels = [\"a\"]");
        let layout = OutputLayout { boxes: 2, values: 6, are_rows: true, bins: 0, rest: 0, is_rotated: false };
        let check = |second: f32| {
            let rows = [[50.0, 50.0, 20.0, 20.0, 1.0, 0.9], [9.0, 9.0, 2.0, 2.0, second, 0.1]];
            check_output(rows.as_flattened(), &layout, &entry)
        };
        assert_eq!((check(0.999), check(1.0)), (Ok(()), Err(Problem::Objectness)));
    }

    #[test]
    fn impossible_boxes_are_refused_with_their_cause() {
        let entry = how("decode = \"end-to-end\"");
        let at = |edges: [f32; 4]| Candidate { edges, score: 0.9, class: 0 };
        let check =
            |all: &[[f32; 4]]| check_candidates(&all.iter().map(|&e| at(e)).collect::<Vec<_>>(), &entry, (96, 64));
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[[-10.0, -5.0, 100.0, 70.0], [0.0, 0.0, 0.5, 0.5]]), Ok(()));
        assert_eq!(check(&[[240.0, 80.0, 400.0, 160.0]]), Err(Problem::Outside([240.0, 80.0, 400.0, 160.0], (96, 64))));
        assert_eq!(check(&[[50.0, 40.0, 20.0, 10.0]]), Err(Problem::Inverted));
        assert_eq!(check(&[[40.0, 40.0, 40.5, 40.5]]), Err(Problem::Tiny));
        assert_eq!(check(&[[0.4, 0.2, 0.6, 0.9]]), Err(Problem::Shares(Decode::EndToEnd)));
    }
}
