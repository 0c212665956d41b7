//! Detectors with several outputs: which of them hold boxes and scores.

use jhalak_common::models::{Decode, TensorFacts, Tensors};
use jhalak_common::{Error, Result};

/// Name and shape of an output.
pub(crate) type NamedShape = (String, Vec<i64>);

/// Chooses the outputs that `decode` reads, by name and shape. Returns no names for a file with a
/// single output.
///
/// # Errors
/// InvalidInput if the outputs are not those of the layout; the message names the layout that they
/// look like.
pub(super) fn choose(decode: Decode, outputs: &[NamedShape]) -> Result<Tensors> {
    let named = |found: &[&NamedShape]| {
        let facts = |output: &&NamedShape| TensorFacts { name: Some(output.0.clone()), ..TensorFacts::default() };
        Tensors(found.iter().map(facts).collect())
    };
    let listed = || outputs.iter().map(|o| format!("`{}` {:?}", o.0, o.1)).collect::<Vec<_>>().join(", ");
    let refuse = |problem: String| Err(Error::invalid(format!("{problem}; the file has {}", listed())));
    if let Some(problem) = unread(outputs) {
        return refuse(problem);
    }
    match (decode, efficient_nms(outputs), yolo_nas(outputs)) {
        (Decode::EfficientNms, Some(found), _) => Ok(named(&found)),
        (Decode::EfficientNms, None, _) => refuse(
            "detector.decode is `efficient-nms`, which needs the outputs num_dets, det_boxes, det_scores, det_classes"
                .into(),
        ),
        (Decode::YoloNas, _, Some(found)) => Ok(named(&found)),
        (Decode::YoloNas, ..) => refuse(
            "detector.decode is `yolo-nas`, which needs two outputs, [N, boxes, 4] and [N, boxes, classes]".into(),
        ),
        (Decode::DFine, ..) => match d_fine(outputs) {
            Some(found) => Ok(named(&found)),
            None => refuse("detector.decode is `d-fine`, which needs the outputs labels, boxes, scores".into()),
        },
        (Decode::Detr, ..) => match detr(outputs) {
            Some(found) => Ok(named(&found)),
            None => refuse(
                "detector.decode is `detr`, which needs two outputs, logits [N, boxes, classes] and boxes [N, boxes, 4]"
                    .into(),
            ),
        },
        (Decode::Yolov5Heads, ..) => match heads(outputs) {
            Some(found) => Ok(named(&found)),
            None => refuse(
                "detector.decode is `yolov5-heads`, which needs an output for each grid, [N, 3, height, width, values] or [N, 3 x values, height, width]"
                    .into(),
            ),
        },
        (_, Some(_), _) => refuse("this looks like `efficient-nms`: set detector.decode".into()),
        _ if d_fine(outputs).is_some() => refuse("this looks like `d-fine`: set detector.decode".into()),
        _ if detr(outputs).is_some() => refuse("this looks like `detr`: set detector.decode".into()),
        (_, _, Some(_)) if outputs.len() > 1 => refuse("this looks like `yolo-nas`: set detector.decode".into()),
        _ if outputs.len() == 1 => Ok(Tensors::default()),
        _ => {
            let lists: Vec<&NamedShape> = outputs.iter().filter(|o| inner_lengths(&o.1) == 2).collect();
            match lists[..] {
                [one] => Ok(named(&[one])),
                [] if outputs.iter().filter(|o| inner_lengths(&o.1) == 4).count() >= 2 => refuse(
                    "these are the heads of a YOLOv5 before decoding: set detector.decode = \"yolov5-heads\"".into(),
                ),
                _ => refuse("set output.name to the output with the boxes".into()),
            }
        }
    }
}

/// Returns why outputs that resemble those of a layout are not read, and the way out.
pub(crate) fn unread(outputs: &[NamedShape]) -> Option<String> {
    if outputs.iter().any(|output| output.0.to_ascii_lowercase().contains("detection_boxes")) {
        return Some(
            "the names of its outputs are those of TensorFlow's detectors, whose boxes are top, left, bottom, right and whose classes count from 1, which no decode reads: convert them in the export to left, top, right, bottom and classes from 0, and name them num_dets, det_boxes, det_scores, det_classes (detector.decode = \"efficient-nms\")"
                .into(),
        );
    }
    if let [one, other] = outputs
        && let (&[_, a, b], &[_, c, d]) = (&one.1[..], &other.1[..])
        && ((b == 4 && d == a && c != a) || (d == 4 && b == c && a != c))
        && a.min(c) > 0
    {
        return Some(
            "its scores are [N, classes, boxes], as PP-YOLOE's, which no decode reads: transpose them in the export to [N, boxes, classes] (detector.decode = \"yolo-nas\", and state in picture how the model takes its pictures)"
                .into(),
        );
    }
    None
}

/// Number of dimensions after the batch, without those of length 1.
fn inner_lengths(shape: &[i64]) -> usize {
    shape.iter().skip(1).filter(|&&n| n != 1).count()
}

/// Returns number, boxes, scores and classes.
fn efficient_nms(outputs: &[NamedShape]) -> Option<[&NamedShape; 4]> {
    let by = |words: &[&str]| {
        let mut fitting = outputs.iter().filter(|o| words.iter().any(|word| o.0.to_ascii_lowercase().contains(word)));
        fitting.next().filter(|_| fitting.next().is_none())
    };
    let found = [by(&["num"])?, by(&["box"])?, by(&["score"])?, by(&["class", "label"])?];
    (outputs.len() == 4).then_some(found)
}

/// Returns labels, boxes and scores.
pub(crate) fn d_fine(outputs: &[NamedShape]) -> Option<[&NamedShape; 3]> {
    let by = |word: &str| outputs.iter().find(|o| o.0.to_ascii_lowercase().contains(word));
    let found = [by("label")?, by("box")?, by("score")?];
    (outputs.len() == 3).then_some(found)
}

/// Returns logits and boxes. Masks and hidden states may be present too. RF-DETR calls them
/// `labels` and `dets`.
pub(crate) fn detr(outputs: &[NamedShape]) -> Option<[&NamedShape; 2]> {
    let is_list = |o: &&NamedShape| o.1.len() == 3;
    let by = |word: &str| outputs.iter().filter(is_list).find(|o| o.0.to_ascii_lowercase().contains(word));
    let (logits, boxes) = (by("logit").or_else(|| by("labels"))?, by("box").or_else(|| by("dets"))?);
    ([4, -1].contains(&boxes.1[2]) && logits.0 != boxes.0).then_some([logits, boxes])
}

/// Whether these are the names that RF-DETR gives its outputs.
pub(crate) fn are_of_rf_detr(outputs: &[NamedShape]) -> bool {
    let has = |name: &str| outputs.iter().any(|output| output.0 == name);
    has("dets") && has("labels")
}

/// Returns the heads of a YOLOv5 in the order of the file: all outputs of five dimensions, or else
/// of four.
pub(crate) fn heads(outputs: &[NamedShape]) -> Option<Vec<&NamedShape>> {
    let of = |rank: usize| outputs.iter().filter(|o| o.1.len() == rank).collect::<Vec<_>>();
    [of(5), of(4)].into_iter().find(|found| (2..=5).contains(&found.len()))
}

/// Returns boxes and scores.
fn yolo_nas(outputs: &[NamedShape]) -> Option<[&NamedShape; 2]> {
    let [one, other] = outputs else { return None };
    let is_list = |o: &NamedShape| o.1.len() == 3;
    let are_boxes = |o: &NamedShape| is_list(o) && o.1[2] == 4;
    match (are_boxes(one), are_boxes(other)) {
        (true, false) if is_list(other) => Some([one, other]),
        (false, true) if is_list(one) => Some([other, one]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(decode: Decode, all: &[(&str, &[i64])]) -> Result<Vec<String>> {
        let outputs: Vec<NamedShape> = all.iter().map(|(name, shape)| ((*name).into(), shape.to_vec())).collect();
        choose(decode, &outputs).map(|chosen| chosen.0.into_iter().filter_map(|facts| facts.name).collect())
    }

    const EFFICIENT: [(&str, &[i64]); 4] =
        [("det_boxes", &[1, 100, 4]), ("num_dets", &[1, 1]), ("det_classes", &[1, 100]), ("det_scores", &[1, 100])];

    const D_FINE: [(&str, &[i64]); 3] = [("labels", &[-1, 300]), ("boxes", &[-1, 300, 4]), ("scores", &[-1, 300])];

    #[test]
    fn the_outputs_of_each_layout_are_chosen() {
        let found = names(Decode::EfficientNms, &EFFICIENT).expect("four outputs");
        assert_eq!(found, ["num_dets", "det_boxes", "det_scores", "det_classes"]);
        let nas: [(&str, &[i64]); 2] = [("913", &[1, 8400, 80]), ("904", &[1, 8400, 4])];
        assert_eq!(names(Decode::YoloNas, &nas).expect("two outputs"), ["904", "913"]);
        let segment: [(&str, &[i64]); 2] = [("output0", &[1, 116, 8400]), ("output1", &[1, 32, 160, 160])];
        assert_eq!(names(Decode::Yolov8, &segment).expect("the boxes"), ["output0"]);
        let open: [(&str, &[i64]); 2] = [("logits", &[-1, -1, 3]), ("pred_boxes", &[-1, -1, -1])];
        assert_eq!(names(Decode::Detr, &open).expect("two outputs"), ["logits", "pred_boxes"]);
        let heads: [(&str, &[i64]); 2] = [("p3", &[1, 3, 80, 80, 85]), ("p4", &[1, 3, 40, 40, 85])];
        let detr: [(&str, &[i64]); 2] = [("logits", &[1, 300, 80]), ("pred_boxes", &[1, 300, 4])];
        let rf_detr: [(&str, &[i64]); 2] = [("dets", &[1, 300, 4]), ("labels", &[1, 300, 91])];
        assert_eq!(names(Decode::Detr, &rf_detr).expect("two outputs"), ["labels", "dets"]);
        assert_eq!(names(Decode::DFine, &D_FINE).expect("three outputs"), ["labels", "boxes", "scores"]);
        assert_eq!(names(Decode::Detr, &detr).expect("two outputs"), ["logits", "pred_boxes"]);
        assert_eq!(names(Decode::Yolov5Heads, &heads).expect("two grids"), ["p3", "p4"]);
        let tensorflow: [(&str, &[i64]); 4] = [
            ("detection_boxes", &[1, 100, 4]),
            ("detection_classes", &[1, 100]),
            ("detection_scores", &[1, 100]),
            ("num_detections", &[1]),
        ];
        let pp_yoloe: [(&str, &[i64]); 2] = [("boxes", &[1, 8400, 4]), ("scores", &[1, 80, 8400])];
        for (decode, all, expected) in [
            (Decode::EfficientNms, &tensorflow[..], "top, left, bottom, right"),
            (Decode::YoloNas, &pp_yoloe, "[N, classes, boxes]"),
            (Decode::Yolov8, &EFFICIENT[..], "looks like `efficient-nms`"),
            (Decode::Yolov8, &nas, "looks like `yolo-nas`"),
            (Decode::EfficientNms, &nas, "num_dets"),
            (Decode::Yolov5, &heads, "before decoding"),
            (Decode::Yolov8, &detr, "looks like `detr`"),
            (Decode::Yolov8, &rf_detr, "looks like `detr`"),
            (Decode::Yolov8, &D_FINE, "looks like `d-fine`"),
            (Decode::DFine, &detr, "labels, boxes, scores"),
            (Decode::Detr, &D_FINE, "needs two outputs"),
            (Decode::Yolov5Heads, &detr, "an output for each grid"),
        ] {
            let error = names(decode, all).expect_err("refused").chain();
            assert!(error.contains(expected), "{error}");
        }
    }
}
