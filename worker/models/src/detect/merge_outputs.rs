//! Merges the outputs of a detector into one list of rows.

use jhalak_common::models::{Decode, DetectorOutput};
use jhalak_common::{Error, Result};

use super::heads;
use crate::inference::{Tensor, TensorShape};

/// Returns the shape of the rows that [`join`] makes of outputs of these shapes.
pub(super) fn joined_shape(how: &DetectorOutput, outputs: &[TensorShape]) -> Vec<i64> {
    let unknown = Vec::new();
    match (how.decode, outputs) {
        (Decode::YoloNas, [boxes, scores]) => match (&boxes.shape[..], scores.shape.last()) {
            (&[batch, count, _], Some(&classes)) => {
                vec![batch, count, if classes < 0 { -1 } else { classes.saturating_add(4) }]
            }
            _ => unknown,
        },
        (Decode::EfficientNms | Decode::DFine, [_, boxes, ..]) | (Decode::Detr, [_, boxes]) => match boxes.shape[..] {
            [batch, count, _] => vec![batch, count, 6],
            _ => unknown,
        },
        (Decode::Yolov5Heads, heads) => {
            let shapes: Vec<&[i64]> = heads.iter().map(|head| &head.shape[..]).collect();
            heads::joined_shape(&shapes).unwrap_or(unknown)
        }
        (_, [one, ..]) => one.shape.clone(),
        (_, []) => unknown,
    }
}

/// Joins the outputs that `how.decode` reads to one of [pictures, boxes, values], in the layout
/// [`Decode::joined`]: box and scores for `yolo-nas`; box, score and class for `efficient-nms`
/// (zero beyond the number of boxes), `detr` and `d-fine`; decoded boxes for `yolov5-heads`.
/// `input` is the width and height of the input.
///
/// # Errors
/// InvalidInput if the outputs do not belong together, or have another number of classes.
pub(super) fn join(how: &DetectorOutput, mut outputs: Vec<Tensor>, input: (u32, u32)) -> Result<Tensor> {
    let unfit = |outputs: &[Tensor]| {
        let shapes: Vec<_> = outputs.iter().map(|o| &o.shape).collect();
        Error::invalid(format!("its outputs of shapes {shapes:?} do not belong together as `{}`", how.decode.name()))
    };
    match (how.decode, outputs.len()) {
        (Decode::YoloNas, 2) => {
            let (boxes, scores) = (&outputs[0], &outputs[1]);
            let (&[pictures, count, 4], &[also, same, classes]) = (&boxes.shape[..], &scores.shape[..]) else {
                return Err(unfit(&outputs));
            };
            if (pictures, count) != (also, same) || classes == 0 {
                return Err(unfit(&outputs));
            }
            let rows = boxes.data.chunks_exact(4).zip(scores.data.chunks_exact(classes));
            let data = rows.flat_map(|(edges, scores)| edges.iter().chain(scores).copied()).collect();
            Ok(Tensor { shape: vec![pictures, count, 4 + classes], data })
        }
        (Decode::EfficientNms, 4) => {
            let (number, boxes, scores, classes) = (&outputs[0], &outputs[1], &outputs[2], &outputs[3]);
            let &[pictures, count, 4] = &boxes.shape[..] else { return Err(unfit(&outputs)) };
            let each = pictures * count;
            if scores.data.len() != each || classes.data.len() != each || number.data.len() != pictures {
                return Err(unfit(&outputs));
            }
            let mut data = vec![0.0; each * 6];
            for (place, row) in data.as_chunks_mut::<6>().0.iter_mut().enumerate() {
                if ((place % count) as f32) < number.data[place / count] {
                    row[..4].copy_from_slice(&boxes.data[place * 4..place * 4 + 4]);
                    (row[4], row[5]) = (scores.data[place], classes.data[place]);
                }
            }
            Ok(Tensor { shape: vec![pictures, count, 6], data })
        }
        (Decode::DFine, 3) => {
            let (labels, boxes, scores) = (&outputs[0], &outputs[1], &outputs[2]);
            let &[pictures, count, 4] = &boxes.shape[..] else { return Err(unfit(&outputs)) };
            if labels.data.len() != pictures * count || scores.data.len() != pictures * count {
                return Err(unfit(&outputs));
            }
            let rows = boxes.data.as_chunks::<4>().0.iter().zip(scores.data.iter().zip(&labels.data));
            let data = rows
                .flat_map(|(&[left, top, right, bottom], (&score, &label))| [left, top, right, bottom, score, label]);
            Ok(Tensor { shape: vec![pictures, count, 6], data: data.collect() })
        }
        (Decode::Detr, 2) => {
            let (logits, boxes) = (&outputs[0], &outputs[1]);
            let (&[pictures, count, classes], &[also, same, 4]) = (&logits.shape[..], &boxes.shape[..]) else {
                return Err(unfit(&outputs));
            };
            if (pictures, count) != (also, same) || classes == 0 || count == 0 {
                return Err(unfit(&outputs));
            }
            let labels = how.labels.count();
            if classes != labels && classes != labels + 1 {
                return Err(Error::invalid(format!(
                    "its logits are for {classes} classes, but detector.labels has {labels}: set it to {classes} names, or \
                     to {} if the last class means \"no object\", as in DETR and YOLOS",
                    classes - 1
                )));
            }
            let each = logits.data.chunks_exact(count * classes).zip(boxes.data.chunks_exact(count * 4));
            let data = match classes == labels {
                true => each.flat_map(|(logits, boxes)| most_probable(logits, boxes, classes)).collect(),
                false => logits
                    .data
                    .chunks_exact(classes)
                    .zip(boxes.data.as_chunks::<4>().0)
                    .flat_map(|(logits, place)| without_no_object(logits, place))
                    .collect(),
            };
            Ok(Tensor { shape: vec![pictures, count, 6], data })
        }
        (Decode::Yolov5Heads, 2..) => {
            heads::decoded(&outputs, &how.anchors, how.labels.count(), input).map_err(|e| e.context(unfit(&outputs)))
        }
        (Decode::YoloNas | Decode::EfficientNms | Decode::DFine | Decode::Detr | Decode::Yolov5Heads, _) | (_, 0) => {
            Err(unfit(&outputs))
        }
        _ => Ok(outputs.swap_remove(0)),
    }
}

/// Returns left, top, right, bottom, score and class of the most probable pairs of box and class,
/// as many as there are boxes. Ties keep their order.
fn most_probable(logits: &[f32], boxes: &[f32], classes: usize) -> Vec<f32> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let row = |&pair: &usize| {
        let (query, class) = (pair / classes, pair % classes);
        let score = 1.0 / (1.0 + (-logits[pair]).exp());
        chosen(&[0, 1, 2, 3].map(|n| boxes[query * 4 + n]), score, class)
    };
    order.iter().take(boxes.len() / 4).flat_map(row).collect()
}

/// Returns the row of a box with the most probable of its classes under a softmax, of which the
/// last, "no object", is left out.
fn without_no_object(logits: &[f32], place: &[f32; 4]) -> [f32; 6] {
    let (none, classes) = (logits.len() - 1, &logits[..logits.len() - 1]);
    let best = (0..classes.len()).fold(0, |best, class| if classes[class] > classes[best] { class } else { best });
    let top = classes[best].max(logits[none]);
    let sum: f32 = logits.iter().map(|logit| (logit - top).exp()).sum();
    chosen(place, (classes[best] - top).exp() / sum, best)
}

/// Returns left, top, right, bottom, score and class of a box of centre and size.
fn chosen(&[x, y, width, height]: &[f32; 4], score: f32, class: usize) -> [f32; 6] {
    [x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0, score, class as f32]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn how(decode: &str, labels: usize) -> DetectorOutput {
        let names: Vec<String> = (0..labels).map(|n| format!("\"c{n}\"")).collect();
        toml::from_str(&format!("decode = \"{decode}\"\nlabels = [{}]", names.join(", "))).expect("a section")
    }

    fn tensor(shape: &[usize], data: &[f32]) -> Tensor {
        Tensor { shape: shape.to_vec(), data: data.to_vec() }
    }

    #[test]
    fn joined_rows_hold_box_scores_and_class_up_to_the_number_of_boxes() {
        let join = |decode: &str, outputs| super::join(&how(decode, 1), outputs, (64, 64));
        let boxes = tensor(&[1, 2, 4], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let number = tensor(&[1, 1], &[1.0]);
        let (scores, classes) = (tensor(&[1, 2], &[0.9, 0.8]), tensor(&[1, 2], &[3.0, 4.0]));
        let joined = join("efficient-nms", vec![number, boxes.clone(), scores.clone(), classes.clone()]).expect("rows");
        assert_eq!(joined, tensor(&[1, 2, 6], &[1.0, 2.0, 3.0, 4.0, 0.9, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
        let joined = join("d-fine", vec![classes, boxes.clone(), scores]).expect("rows");
        assert_eq!(joined, tensor(&[1, 2, 6], &[1.0, 2.0, 3.0, 4.0, 0.9, 3.0, 5.0, 6.0, 7.0, 8.0, 0.8, 4.0]));
        let scores = tensor(&[1, 2, 1], &[0.5, 0.6]);
        let joined = join("yolo-nas", vec![boxes.clone(), scores]).expect("rows");
        assert_eq!(joined.shape, [1, 2, 5]);
        assert_eq!(joined.data, [1.0, 2.0, 3.0, 4.0, 0.5, 5.0, 6.0, 7.0, 8.0, 0.6]);
        assert!(join("yolo-nas", vec![boxes]).is_err());
    }

    #[test]
    fn the_most_probable_pairs_of_box_and_class_are_the_objects() {
        let logits = tensor(&[1, 2, 2], &[2.0, 1.0, -3.0, 0.0]);
        let boxes = tensor(&[1, 2, 4], &[0.5, 0.5, 0.2, 0.4, 0.1, 0.1, 0.1, 0.1]);
        let rows = join(&how("detr", 2), vec![logits.clone(), boxes.clone()], (64, 64)).expect("rows");
        let near = |found: &[f32], wanted: [f32; 6]| found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(&rows.data[..6], [0.4, 0.3, 0.6, 0.7, 0.880_797, 0.0]), "{rows:?}");
        assert!(near(&rows.data[6..], [0.4, 0.3, 0.6, 0.7, 0.731_058_6, 1.0]), "{rows:?}");
        // One class, and "no object": a box each.
        let rows = join(&how("detr", 1), vec![logits.clone(), boxes.clone()], (64, 64)).expect("rows");
        assert!(near(&rows.data[..6], [0.4, 0.3, 0.6, 0.7, 0.731_058_6, 0.0]), "{rows:?}");
        assert!(near(&rows.data[6..], [0.05, 0.05, 0.15, 0.15, 0.047_425_9, 0.0]), "{rows:?}");
        let error = join(&how("detr", 3), vec![logits, boxes], (64, 64)).expect_err("other classes").chain();
        assert!(error.contains("2 classes") && error.contains("has 3"), "{error}");
    }
}
