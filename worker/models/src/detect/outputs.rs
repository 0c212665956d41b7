//! Detectors with several outputs: how they become one list of rows.

use jhalak_common::models::Decode;
use jhalak_common::{Error, Result};

use crate::inference::{Tensor, TensorShape};

/// Returns the shape of the rows that [`join`] makes of outputs of these shapes.
pub(super) fn joined_shape(decode: Decode, outputs: &[TensorShape]) -> Vec<i64> {
    match (decode, outputs) {
        (Decode::YoloNas, [boxes, scores]) => match (&boxes.shape[..], scores.shape.last()) {
            (&[batch, count, _], Some(&classes)) => {
                vec![batch, count, if classes < 0 { -1 } else { classes.saturating_add(4) }]
            }
            _ => Vec::new(),
        },
        (Decode::EfficientNms, [_, boxes, ..]) => match boxes.shape[..] {
            [batch, count, _] => vec![batch, count, 6],
            _ => Vec::new(),
        },
        (_, [one, ..]) => one.shape.clone(),
        (_, []) => Vec::new(),
    }
}

/// Joins the outputs that `decode` reads to one of [pictures, boxes, values]: box and scores for
/// `yolo-nas`; box, score and class for `efficient-nms`, zero beyond the number of boxes.
///
/// # Errors
/// InvalidInput if the outputs do not belong together.
pub(super) fn join(decode: Decode, mut outputs: Vec<Tensor>) -> Result<Tensor> {
    let unfit = |outputs: &[Tensor]| {
        let shapes: Vec<_> = outputs.iter().map(|o| &o.shape).collect();
        Error::invalid(format!("its outputs of shapes {shapes:?} do not belong together as `{}`", decode.name()))
    };
    match (decode, outputs.len()) {
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
        (Decode::YoloNas | Decode::EfficientNms, _) | (_, 0) => Err(unfit(&outputs)),
        _ => Ok(outputs.swap_remove(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_rows_hold_box_scores_and_class_up_to_the_number_of_boxes() {
        let tensor = |shape: &[usize], data: &[f32]| Tensor { shape: shape.to_vec(), data: data.to_vec() };
        let boxes = tensor(&[1, 2, 4], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let number = tensor(&[1, 1], &[1.0]);
        let (scores, classes) = (tensor(&[1, 2], &[0.9, 0.8]), tensor(&[1, 2], &[3.0, 4.0]));
        let joined = join(Decode::EfficientNms, vec![number, boxes.clone(), scores, classes]).expect("rows");
        assert_eq!(joined, tensor(&[1, 2, 6], &[1.0, 2.0, 3.0, 4.0, 0.9, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
        let scores = tensor(&[1, 2, 1], &[0.5, 0.6]);
        let joined = join(Decode::YoloNas, vec![boxes.clone(), scores]).expect("rows");
        assert_eq!(joined.shape, [1, 2, 5]);
        assert_eq!(joined.data, [1.0, 2.0, 3.0, 4.0, 0.5, 5.0, 6.0, 7.0, 8.0, 0.6]);
        assert!(join(Decode::YoloNas, vec![boxes]).is_err());
    }
}
