//! Decodes the output of a detector to boxes in input pixels, for all output layouts.

use jhalak_common::models::{BoxUnit, Decode, DetectorOutput};

pub use super::candidate::Candidate;
use super::output_layout::OutputLayout;
use super::rotated::{self, RotatedBox};

/// Returns the boxes of one picture with a score above `threshold`, in the order of the output.
///
/// `output` holds the `layout.boxes * layout.values` values of the picture; `input` is the width
/// and height of the input. Of rotated boxes, those that one of a higher score hides by more than
/// `overlap` are dropped here, and the others become upright.
pub fn candidates(
    output: &[f32],
    layout: &OutputLayout,
    how: &DetectorOutput,
    input: (u32, u32),
    threshold: f32,
    overlap: f32,
) -> Vec<Candidate> {
    if layout.is_rotated {
        return rotated_boxes(output, layout, how, input, threshold, overlap);
    }
    let mut found = as_stated(output, layout, how, input, threshold);
    if how.box_unit() == BoxUnit::Shares {
        let sides = [input.0 as f32, input.1 as f32, input.0 as f32, input.1 as f32];
        let scale = |candidate: &mut Candidate| {
            candidate.edges.iter_mut().zip(sides).for_each(|(edge, side)| *edge *= side);
        };
        found.iter_mut().for_each(scale);
    }
    found
}

/// Returns the upright bounds of rotated boxes: centre, size, scores (or score and class), angle.
fn rotated_boxes(
    output: &[f32],
    layout: &OutputLayout,
    how: &DetectorOutput,
    input: (u32, u32),
    threshold: f32,
    overlap: f32,
) -> Vec<Candidate> {
    let rows;
    let output = if layout.are_rows {
        output
    } else {
        rows = transposed(output, layout);
        &rows
    };
    let sides = match how.box_unit() {
        BoxUnit::Shares => [input.0 as f32, input.1 as f32],
        BoxUnit::Pixels => [1.0; 2],
    };
    let candidate = |row: &[f32]| -> Option<(RotatedBox, Candidate)> {
        let scores = &row[4..layout.values - layout.rest];
        let (class, score) = match (how.decode, scores) {
            (Decode::EndToEnd, &[score, class, ..]) if (0.0..1e6).contains(&class) => (class as usize, score),
            (Decode::EndToEnd, _) => return None,
            (Decode::Yolov5, [objectness, classes @ ..]) => {
                let (class, best) = best_of(classes);
                (class, objectness * best)
            }
            _ => best_of(scores),
        };
        let rotated =
            [row[0] * sides[0], row[1] * sides[1], row[2] * sides[0], row[3] * sides[1], row[layout.values - 1]];
        (score > threshold).then(|| (rotated, Candidate { edges: rotated::upright(&rotated), score, class }))
    };
    let found: Vec<_> = output.chunks_exact(layout.values).filter_map(candidate).collect();
    match how.decode.is_final() {
        true => found.into_iter().map(|(_, candidate)| candidate).collect(),
        false => rotated::suppressed(found, overlap),
    }
}

/// Returns the boxes in the unit of the file.
fn as_stated(
    output: &[f32],
    layout: &OutputLayout,
    how: &DetectorOutput,
    input: (u32, u32),
    threshold: f32,
) -> Vec<Candidate> {
    let rows;
    // Only `yolov8` is decoded in columns: few boxes are left once the scores are known.
    let output = if layout.are_rows || how.decode == Decode::Yolov8 {
        output
    } else {
        rows = transposed(output, layout);
        &rows
    };
    match how.decode {
        Decode::Yolov5 | Decode::Yolov5Heads | Decode::YoloxDecoded => {
            boxes_with_objectness(output, layout, threshold, |_, xywh| xywh)
        }
        Decode::Yolox => {
            let cells = Cells::new(&how.strides, input);
            boxes_with_objectness(output, layout, threshold, |index, [x, y, w, h]| {
                let (column, row, stride) = cells.at(index);
                [(x + column) * stride, (y + row) * stride, w.exp() * stride, h.exp() * stride]
            })
        }
        Decode::Yolov8 if !layout.are_rows => boxes_in_columns(output, layout, threshold),
        Decode::Yolov8 | Decode::RtDetr => boxes_in_rows(output, layout, threshold, from_center),
        Decode::YoloNas => boxes_in_rows(output, layout, threshold, |edges| edges),
        Decode::Nanodet => boxes_of_distances(output, layout, how, input, threshold),
        Decode::EndToEnd | Decode::EfficientNms | Decode::Detr | Decode::DFine => {
            boxes_end_to_end(output, layout, threshold, |edges| edges)
        }
        Decode::RtDetrChosen => boxes_end_to_end(output, layout, threshold, from_center),
    }
}

fn transposed(output: &[f32], layout: &OutputLayout) -> Vec<f32> {
    let value = |index: usize| output[index % layout.values * layout.boxes + index / layout.values];
    (0..output.len()).map(value).collect()
}

fn from_center([x, y, w, h]: [f32; 4]) -> [f32; 4] {
    [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0]
}

fn boxes_with_objectness(
    output: &[f32],
    layout: &OutputLayout,
    threshold: f32,
    place_box: impl Fn(usize, [f32; 4]) -> [f32; 4],
) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (index, row) in output.chunks_exact(layout.values).enumerate() {
        let objectness = row[4];
        // A class score is at most 1: most boxes end here.
        if objectness <= threshold {
            continue;
        }
        let (class, best) = best_of(&row[5..layout.values - layout.rest]);
        let score = objectness * best;
        if score > threshold {
            let edges = from_center(place_box(index, [row[0], row[1], row[2], row[3]]));
            found.push(Candidate { edges, score, class });
        }
    }
    found
}

fn boxes_in_rows(
    output: &[f32],
    layout: &OutputLayout,
    threshold: f32,
    edges: impl Fn([f32; 4]) -> [f32; 4],
) -> Vec<Candidate> {
    let scores = 4..layout.values - layout.rest;
    let rows = output.chunks_exact(layout.values).filter(|row| highest(&row[scores.clone()]) > threshold);
    let candidate = |row: &[f32]| {
        let (class, score) = best_of(&row[scores.clone()]);
        Candidate { edges: edges([row[0], row[1], row[2], row[3]]), score, class }
    };
    rows.map(candidate).collect()
}

fn boxes_in_columns(output: &[f32], layout: &OutputLayout, threshold: f32) -> Vec<Candidate> {
    let classes = 4..layout.values - layout.rest;
    let column = |value: usize| &output[value * layout.boxes..(value + 1) * layout.boxes];
    let mut best = column(4).to_vec();
    for class in classes.clone().skip(1) {
        best.iter_mut().zip(column(class)).for_each(|(best, &score)| *best = best.max(score));
    }
    let above = best.iter().enumerate().filter(|(_, score)| **score > threshold);
    let candidate = |(index, &score): (usize, &f32)| {
        let class = classes.clone().position(|class| column(class)[index] == score).unwrap_or_default();
        Candidate { edges: from_center([0, 1, 2, 3].map(|value| column(value)[index])), score, class }
    };
    above.map(candidate).collect()
}

/// NanoDet: the distance of each side is the mean of a distribution over 0, 1, 2, ... strides.
fn boxes_of_distances(
    output: &[f32],
    layout: &OutputLayout,
    how: &DetectorOutput,
    input: (u32, u32),
    threshold: f32,
) -> Vec<Candidate> {
    let classes = layout.values - 4 * layout.bins;
    let cells = Cells::new(&how.strides, input);
    let (right_end, bottom_end) = (input.0 as f32, input.1 as f32);
    let mut found = Vec::new();
    for (index, row) in output.chunks_exact(layout.values).enumerate() {
        let (scores, sides) = row.split_at(classes);
        if highest(scores) <= threshold {
            continue;
        }
        let (class, score) = best_of(scores);
        let (column, line, stride) = cells.at(index);
        let (x, y) = ((column + how.cell_point) * stride, (line + how.cell_point) * stride);
        let distance = |side: usize| mean_bin(&sides[side * layout.bins..(side + 1) * layout.bins]) * stride;
        let edges = [
            (x - distance(0)).clamp(0.0, right_end),
            (y - distance(1)).clamp(0.0, bottom_end),
            (x + distance(2)).clamp(0.0, right_end),
            (y + distance(3)).clamp(0.0, bottom_end),
        ];
        found.push(Candidate { edges, score, class });
    }
    found
}

/// Returns the mean index under the softmax of `bins`.
fn mean_bin(bins: &[f32]) -> f32 {
    let top = highest(bins);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (index, bin) in bins.iter().enumerate() {
        let share = (bin - top).exp();
        sum += share;
        weighted += share * index as f32;
    }
    weighted / sum
}

fn boxes_end_to_end(
    output: &[f32],
    layout: &OutputLayout,
    threshold: f32,
    edges: impl Fn([f32; 4]) -> [f32; 4],
) -> Vec<Candidate> {
    let candidate = |row: &[f32]| {
        let (place, class, score) = match *row {
            [_, left, top, right, bottom, class, score] if layout.rest == 0 => {
                ([left, top, right, bottom], class, score)
            }
            _ => ([row[0], row[1], row[2], row[3]], row[5], row[4]),
        };
        // Empty rows have a score of 0, and in some exports a class of -1.
        let is_class = (0.0..1e6).contains(&class);
        (score > threshold && is_class).then(|| Candidate { edges: edges(place), score, class: class as usize })
    };
    output.chunks_exact(layout.values).filter_map(candidate).collect()
}

/// Returns the maximum of `values`, in lanes that fit a SIMD register.
fn highest(values: &[f32]) -> f32 {
    let (lanes, rest) = values.as_chunks::<8>();
    let mut top = [f32::NEG_INFINITY; 8];
    for lane in lanes {
        top.iter_mut().zip(lane).for_each(|(top, &value)| *top = if value > *top { value } else { *top });
    }
    top.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| a.max(b))
}

/// Returns the index of the first maximum, and the maximum.
fn best_of(values: &[f32]) -> (usize, f32) {
    let top = highest(values);
    (values.iter().position(|&value| value == top).unwrap_or_default(), top)
}

/// The cells of all grids, in the order of the output: grid by grid, row by row.
struct Cells {
    /// First cell, columns and stride of each grid.
    grids: Vec<(usize, usize, f32)>,
}

impl Cells {
    fn new(strides: &[u32], (width, height): (u32, u32)) -> Cells {
        let mut start = 0;
        let mut grid = |&stride: &u32| {
            let (columns, rows) = (width.div_ceil(stride) as usize, height.div_ceil(stride) as usize);
            let grid = (start, columns, stride as f32);
            start += columns * rows;
            grid
        };
        Cells { grids: strides.iter().map(&mut grid).collect() }
    }

    /// Returns column, row and stride of the cell at `index`.
    fn at(&self, index: usize) -> (f32, f32, f32) {
        let grid = self.grids.partition_point(|&(start, ..)| start <= index).saturating_sub(1);
        let (start, columns, stride) = self.grids[grid];
        let inside = index - start;
        ((inside % columns) as f32, (inside / columns) as f32, stride)
    }
}
