//! Scores how much a frame differs from the previous one.

use super::bgr::{BgrConverter, assumed_size};
use super::kernels::rows::{LANES, WeighedRow};
use super::kernels::{ColumnPlan, Kernels};
use super::planes::Yuv420;
use super::resize::{Plan, Tap, small_size, weigh_columns};
use super::short_path;
use crate::error::MediaError;
use crate::picture::Picture;
use crate::picture::orientation::Orientation;
use ffmpeg_next::frame;
use std::mem::swap;

/// Scores frames: ContentDetector's `content_val`, the mean over all pixels of the absolute
/// differences in hue, saturation and value, averaged over the three.
///
/// Every frame is reduced to the small size row by row. The short path converts only the pixels
/// that the small picture needs; the reference path converts all pixels with swscale. Both give the
/// same score. The short path is taken where this is proven: 8-bit 4:2:0 of even coded height, not
/// rotated.
pub struct FrameScorer {
    orientation: Orientation,
    kernels: Kernels,
    short_path: bool,
    converter: BgrConverter,
    plan: Option<SizePlan>,
    small: SmallPicture,
}

/// Everything that depends on the size of the frames, after rotation.
struct SizePlan {
    size: (u32, u32),
    columns: ColumnPlan,
    rows: Vec<Tap>,
}

impl FrameScorer {
    /// Creates a scorer for frames displayed in this orientation.
    pub fn new(orientation: Orientation) -> Self {
        Self::with(orientation, Kernels::detect(), true)
    }

    /// Creates a scorer that always takes the reference path and the portable loops.
    pub fn reference(orientation: Orientation) -> Self {
        Self::with(orientation, Kernels::portable(), false)
    }

    /// Creates a scorer that takes the short path where it can, with these loops.
    pub fn with(orientation: Orientation, kernels: Kernels, short_path: bool) -> Self {
        let (converter, small) = (BgrConverter::default(), SmallPicture::default());
        Self { orientation, kernels, short_path, converter, plan: None, small }
    }

    /// Scores the next frame; 0 for the first. `coded` is the decoder's coded size.
    pub fn score(&mut self, frame: &frame::Video, coded: (u32, u32)) -> Result<f64, MediaError> {
        let size = self.orientation.shown_size(frame.width(), frame.height());
        let target = *self.small.size.get_or_insert_with(|| small_size(size.0, size.1));
        let plan = match &mut self.plan {
            Some(plan) if plan.size == size => plan,
            other => {
                let Plan { columns, rows } = Plan::new(size, target);
                other.insert(SizePlan { size, columns: ColumnPlan::new(columns), rows })
            }
        };
        let assumed = assumed_size(frame, coded);
        // For an odd height, swscale takes other code, which interpolates chroma.
        let short = self.short_path && self.orientation == Orientation::default() && assumed.1.is_multiple_of(2);
        let planes = if short { Yuv420::of(frame) } else { None };
        let planes = planes.filter(|planes| short_path::is_exact(planes.matrix));
        if let Some(planes) = planes {
            let weigh = |y: usize, row: &mut WeighedRow| {
                self.kernels.weigh_columns(&plan.columns, planes.matrix, planes.row(y), row);
            };
            return Ok(self.small.score(self.kernels, &plan.rows, weigh));
        }
        let (mut bgr, mut stride) = self.converter.convert(frame, assumed)?;
        let rotated;
        if self.orientation != Orientation::default() {
            rotated = self.orientation.apply(packed(bgr, stride, frame));
            (bgr, stride) = (&rotated.rgb, rotated.width as usize * 3);
        }
        let weigh = |y: usize, row: &mut WeighedRow| weigh_bgr(plan.columns.taps(), &bgr[y * stride..], row);
        Ok(self.small.score(self.kernels, &plan.rows, weigh))
    }
}

/// Copies a frame's BGR without padding.
fn packed(bgr: &[u8], stride: usize, frame: &frame::Video) -> Picture {
    let (width, height) = (frame.width(), frame.height());
    let rows = bgr.chunks_exact(stride).take(height as usize);
    let rgb: Vec<u8> = rows.flat_map(|row| &row[..width as usize * 3]).copied().collect();
    Picture { width, height, rgb: rgb.into() }
}

/// Weighs the columns of a row of packed BGR.
fn weigh_bgr(columns: &[Tap], bgr: &[u8], weighed: &mut WeighedRow) {
    for (channel, plane) in weighed.iter_mut().enumerate() {
        plane.resize(columns.len().next_multiple_of(LANES), 0);
        for (to, column) in plane.iter_mut().zip(columns) {
            let [low, high] = [column.low, column.high].map(|x| bgr[x * 3 + channel]);
            *to = weigh_columns(low, high, column.weights);
        }
    }
}

/// Hue, saturation and value of the last two frames at the small size. Rows are padded with black,
/// which adds no difference.
#[derive(Default)]
struct SmallPicture {
    /// Set by the first frame for all frames.
    size: Option<(u32, u32)>,
    /// Whether a first frame was scored.
    began: bool,
    now: [Vec<u8>; 3],
    before: [Vec<u8>; 3],
    /// Blue, green, red of the current row.
    row: [Vec<u8>; 3],
    /// The last two weighted source rows and their numbers.
    weighed: [(Option<usize>, WeighedRow); 2],
}

impl SmallPicture {
    /// Scores a frame; `weigh` reduces its source rows to the small width.
    fn score(&mut self, kernels: Kernels, rows: &[Tap], mut weigh: impl FnMut(usize, &mut WeighedRow)) -> f64 {
        let (width, height) = self.size.map_or((0, 0), |(width, height)| (width as usize, height as usize));
        let stride = width.next_multiple_of(LANES);
        swap(&mut self.now, &mut self.before);
        for plane in self.now.iter_mut().chain(&mut self.before) {
            plane.resize(stride * height, 0);
        }
        self.row.iter_mut().for_each(|plane| plane.resize(stride, 0));
        self.weighed.iter_mut().for_each(|(number, _)| *number = None);
        let mut sums = [0; 3];
        for (y, tap) in rows.iter().enumerate() {
            if self.weighed[1].0 == Some(tap.low) {
                self.weighed.swap(0, 1);
            }
            let needed = if tap.low == tap.high { 1 } else { 2 };
            for ((number, row), source) in self.weighed.iter_mut().zip([tap.low, tap.high]).take(needed) {
                if *number != Some(source) {
                    *number = Some(source);
                    weigh(source, row);
                }
            }
            let (upper, lower) = (&self.weighed[0].1, &self.weighed[needed - 1].1);
            kernels.weigh_rows(upper, lower, tap.weights, self.row.each_mut().map(Vec::as_mut_slice));
            let part = y * stride..(y + 1) * stride;
            let before = self.before.each_ref().map(|plane| &plane[part.clone()]);
            let now = self.now.each_mut().map(|plane| &mut plane[part.clone()]);
            let differences = kernels.compare(self.row.each_ref().map(Vec::as_slice), before, now);
            sums.iter_mut().zip(differences).for_each(|(sum, difference)| *sum += difference);
        }
        if !std::mem::replace(&mut self.began, true) {
            return 0.0;
        }
        let pixels = (width * height) as f64;
        let [hue, saturation, value] = sums.map(|sum| sum as f64 / pixels);
        (hue + saturation + value) / 3.0
    }
}
