//! From a detector's output to boxes in the input's pixels, one file for all forms of output.

use jhalak_common::models::{Decode, DetectorOutput};

use super::output_layout::Form;

/// A box that may hold an object, in the input's pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Left, top, right, bottom.
    pub edges: [f32; 4],
    /// 0 to 1.
    pub score: f32,
    /// The class with the highest score.
    pub class: usize,
}

/// The boxes of one picture with a score above `threshold`, in the order of the output.
///
/// `output` holds the picture's `form.boxes * form.values` values; `input` is the width and height of the input.
pub fn candidates(
    output: &[f32],
    form: &Form,
    how: &DetectorOutput,
    input: (u32, u32),
    threshold: f32,
) -> Vec<Candidate> {
    let rows;
    // Boxes that stand in columns are few once the scores are known: only `yolov8` looks at all of them there.
    let output = if form.are_rows || how.decode == Decode::Yolov8 {
        output
    } else {
        rows = transposed(output, form);
        &rows
    };
    match how.decode {
        Decode::Yolov5 | Decode::YoloxDecoded => boxes_with_objectness(output, form, threshold, |_, xywh| xywh),
        Decode::Yolox => {
            let cells = Cells::new(&how.strides, input);
            boxes_with_objectness(output, form, threshold, |place, [x, y, w, h]| {
                let (column, row, stride) = cells.at(place);
                [(x + column) * stride, (y + row) * stride, w.exp() * stride, h.exp() * stride]
            })
        }
        Decode::Yolov8 if form.are_rows => boxes_in_rows(output, form, threshold),
        Decode::Yolov8 => boxes_in_columns(output, form, threshold),
        Decode::Nanodet => boxes_of_distances(output, form, how, input, threshold),
        Decode::EndToEnd => boxes_at_the_end(output, form, threshold),
    }
}

fn transposed(output: &[f32], form: &Form) -> Vec<f32> {
    let value = |index: usize| output[index % form.values * form.boxes + index / form.values];
    (0..output.len()).map(value).collect()
}

fn from_centre([x, y, w, h]: [f32; 4]) -> [f32; 4] {
    [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0]
}

fn boxes_with_objectness(
    output: &[f32],
    form: &Form,
    threshold: f32,
    place_box: impl Fn(usize, [f32; 4]) -> [f32; 4],
) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (place, row) in output.chunks_exact(form.values).enumerate() {
        let objectness = row[4];
        // A class's score is at most 1: most boxes end here.
        if objectness <= threshold {
            continue;
        }
        let (class, best) = best_of(&row[5..]);
        let score = objectness * best;
        if score > threshold {
            let edges = from_centre(place_box(place, [row[0], row[1], row[2], row[3]]));
            found.push(Candidate { edges, score, class });
        }
    }
    found
}

fn boxes_in_rows(output: &[f32], form: &Form, threshold: f32) -> Vec<Candidate> {
    let rows = output.chunks_exact(form.values).filter(|row| highest(&row[4..]) > threshold);
    let candidate = |row: &[f32]| {
        let (class, score) = best_of(&row[4..]);
        Candidate { edges: from_centre([row[0], row[1], row[2], row[3]]), score, class }
    };
    rows.map(candidate).collect()
}

fn boxes_in_columns(output: &[f32], form: &Form, threshold: f32) -> Vec<Candidate> {
    let column = |value: usize| &output[value * form.boxes..(value + 1) * form.boxes];
    let mut best = column(4).to_vec();
    for class in 5..form.values {
        best.iter_mut().zip(column(class)).for_each(|(best, &score)| *best = best.max(score));
    }
    let above = best.iter().enumerate().filter(|(_, score)| **score > threshold);
    let candidate = |(place, &score): (usize, &f32)| {
        let class = (4..form.values).position(|class| column(class)[place] == score).unwrap_or_default();
        Candidate { edges: from_centre([0, 1, 2, 3].map(|value| column(value)[place])), score, class }
    };
    above.map(candidate).collect()
}

/// NanoDet: each side's distance is the mean of a distribution over 0, 1, 2, ... strides.
fn boxes_of_distances(
    output: &[f32],
    form: &Form,
    how: &DetectorOutput,
    input: (u32, u32),
    threshold: f32,
) -> Vec<Candidate> {
    let classes = form.values - 4 * form.bins;
    let cells = Cells::new(&how.strides, input);
    let (right_end, bottom_end) = (input.0 as f32, input.1 as f32);
    let mut found = Vec::new();
    for (place, row) in output.chunks_exact(form.values).enumerate() {
        let (scores, sides) = row.split_at(classes);
        if highest(scores) <= threshold {
            continue;
        }
        let (class, score) = best_of(scores);
        let (column, line, stride) = cells.at(place);
        let (x, y) = ((column + how.cell_point) * stride, (line + how.cell_point) * stride);
        let distance = |side: usize| mean_bin(&sides[side * form.bins..(side + 1) * form.bins]) * stride;
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

/// The mean place under the softmax of `bins`.
fn mean_bin(bins: &[f32]) -> f32 {
    let top = highest(bins);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (place, bin) in bins.iter().enumerate() {
        let share = (bin - top).exp();
        sum += share;
        weighted += share * place as f32;
    }
    weighted / sum
}

fn boxes_at_the_end(output: &[f32], form: &Form, threshold: f32) -> Vec<Candidate> {
    let candidate = |row: &[f32]| {
        let (edges, class, score) = match *row {
            [_, left, top, right, bottom, class, score] => ([left, top, right, bottom], class, score),
            _ => ([row[0], row[1], row[2], row[3]], row[5], row[4]),
        };
        // Rows that hold nothing have a score of 0, and some exports a class of -1.
        let is_class = (0.0..1e6).contains(&class);
        (score > threshold && is_class).then_some(Candidate { edges, score, class: class as usize })
    };
    output.chunks_exact(form.values).filter_map(candidate).collect()
}

/// The highest of some values, in lanes that a processor compares at once.
fn highest(values: &[f32]) -> f32 {
    let (lanes, rest) = values.as_chunks::<8>();
    let mut top = [f32::NEG_INFINITY; 8];
    for lane in lanes {
        top.iter_mut().zip(lane).for_each(|(top, &value)| *top = if value > *top { value } else { *top });
    }
    top.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| a.max(b))
}

/// The first of the highest values, and that.
fn best_of(values: &[f32]) -> (usize, f32) {
    let top = highest(values);
    (values.iter().position(|&value| value == top).unwrap_or_default(), top)
}

/// The cells of all grids, in the order of the output: grid by grid, row by row.
struct Cells {
    /// The first place of each grid, its columns and its stride.
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

    /// Column, row and stride of the cell at `place`.
    fn at(&self, place: usize) -> (f32, f32, f32) {
        let grid = self.grids.partition_point(|&(start, ..)| start <= place).saturating_sub(1);
        let (start, columns, stride) = self.grids[grid];
        let inside = place - start;
        ((inside % columns) as f32, (inside / columns) as f32, stride)
    }
}
