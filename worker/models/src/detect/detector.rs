//! A detector of the registry and what it finds in pictures.

use std::sync::Arc;

use jhalak_common::models::{Decode, DetectorOutput, Layout, Model, Role};
use jhalak_common::{Error, ErrorKind, Result};

use super::decode;
use super::input::InputWriter;
use super::letterbox::Letterbox;
use super::metadata::Metadata;
use super::output_layout::{OutputLayout, Rest};
use super::values::{self, Problem};
use super::{heads, merge_outputs, nms, resolve};
use crate::inference::{Models, Session, Tensor};
use jhalak_media::bounds::Bounds;
use jhalak_media::detector::{CLASSES, Detector, Object};
use jhalak_media::error::MediaError;
use jhalak_media::picture::Picture;

/// Which boxes count as objects.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Minimum score (exclusive), 0 to 1.
    pub score: f32,
    /// Maximum intersection over union of two boxes of one class, 0 to 1; beyond it the box with
    /// the lower score is dropped.
    pub overlap: f32,
}

impl Thresholds {
    /// Returns the thresholds of the registry entry.
    pub fn of(how: &DetectorOutput) -> Thresholds {
        Thresholds { score: how.threshold, overlap: how.nms }
    }
}

/// A loaded detector.
pub struct ObjectDetector {
    name: String,
    output: String,
    session: Arc<Session>,
    /// The layout of the outputs, of which `how.decode` is the joined one.
    form: Decode,
    /// The detector section of the entry, completed by the file.
    how: DetectorOutput,
    rest: Rest,
    notes: Vec<String>,
    input_layout: Layout,
    size: (u32, u32),
    thresholds: Thresholds,
    writer: InputWriter,
}

impl ObjectDetector {
    /// Loads the detector `model` and compares its file with its entry.
    ///
    /// # Errors
    /// InvalidInput; the message names the entry, the field and the tensors of the file.
    pub fn open(models: &Models, model: &Model) -> Result<ObjectDetector> {
        let session = models.session(model)?;
        let named = |e: Error| e.context(format!("the model {} ({})", model.name, model.file.display()));
        let (Some(picture), Some(how), Role::Detector) = (&model.picture, &model.detector, model.role) else {
            return Err(Error::bug(format!("the model {} is not a detector", model.name)));
        };
        let (inputs, read) = (&session.contract().inputs, &session.contract().outputs);
        let [input] = inputs.as_slice() else {
            return Err(named(Error::invalid(format!("a detector must have one input, but it has {}", inputs.len()))));
        };
        let metadata = Metadata::of(&session.facts().metadata).map_err(named)?;
        let picture = resolve::sized(picture, &metadata, &input.name, &input.shape).map_err(named)?;
        let size = (picture.width, picture.height);
        let output = read.iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join("`, `");
        // The file may state no output shape: the first picture then decides.
        let shape = merge_outputs::joined_shape(how, read);
        let form = how.decode;
        if form == Decode::Yolov5Heads {
            let shapes: Vec<&[i64]> = read.iter().map(|output| &output.shape[..]).collect();
            let names = metadata.names.as_ref().map(Vec::len);
            heads::check(&shapes, how.labels.count(), names).map_err(named)?;
        }
        let joined = DetectorOutput { decode: form.joined(), boxes: Some(how.box_unit()), ..how.clone() };
        let how = if form == form.joined() { how } else { &joined };
        let mut resolved = resolve::resolve(how, &metadata, &shape, &session.facts().outputs, size)
            .map_err(|e| named(e.context(format!("the output `{output}`"))))?;
        resolved.how.task = resolved.how.task.or(metadata.task);
        if form == Decode::Yolov5Heads && how.anchors.is_empty() {
            resolved.notes.push("detector.anchors is not stated: those of YOLOv5 are used".into());
        }
        Ok(ObjectDetector {
            form,
            name: model.name.clone(),
            output,
            thresholds: Thresholds::of(&resolved.how),
            how: resolved.how,
            rest: resolved.rest,
            notes: resolved.notes,
            input_layout: picture.layout,
            size,
            writer: InputWriter::new(&picture),
            session: session.clone(),
        })
    }

    /// Replaces the thresholds of the registry entry.
    pub fn with(mut self, thresholds: Thresholds) -> ObjectDetector {
        self.thresholds = thresholds;
        self
    }

    /// Checks that the detector has the 80 classes of COCO, which the histogram of scene-object
    /// keyframes needs.
    pub fn check_for_scenes(&self) -> Result<()> {
        if self.how.labels.is_coco() {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the model {} has {} classes ({}, ...), but scene-object keyframes need the {CLASSES} classes of COCO",
            self.name,
            self.how.labels.count(),
            self.how.labels.name(0)
        )))
    }

    /// Returns what the entry and the file state differently; the entry holds.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns the largest absolute value of a box in the raw output for `picture`: at most 1 for
    /// shares, about the input's size for pixels.
    pub fn largest_box_value(&mut self, picture: &Picture) -> Result<f32> {
        let (output, ..) = self.infer(std::slice::from_ref(picture))?;
        let layout = self.output_layout(&output, 1)?;
        Ok(values::largest_box_value(&output.data, &layout, &self.how))
    }

    /// Whether the last of two scores is exactly 0 or 1 in every box for `picture`: then it is not
    /// a score but a class.
    pub fn are_last_scores_classes(&mut self, picture: &Picture) -> Result<bool> {
        let (output, ..) = self.infer(std::slice::from_ref(picture))?;
        let layout = self.output_layout(&output, 1)?;
        Ok(values::check_output(&output.data, &layout, &self.how) == Err(Problem::Chosen))
    }

    /// Whether the objectness of every box for `picture` is exactly 1, as in YOLOv6.
    pub fn is_objectness_one(&mut self, picture: &Picture) -> Result<bool> {
        let (output, ..) = self.infer(std::slice::from_ref(picture))?;
        let layout = self.output_layout(&output, 1)?;
        Ok(values::check_output(&output.data, &layout, &self.how) == Err(Problem::Objectness))
    }

    /// Returns the detector section of the registry entry, completed by the file.
    pub fn how(&self) -> &DetectorOutput {
        &self.how
    }

    /// Returns the objects in each of `pictures` by descending score, in pixels of the picture.
    /// Runs all pictures in one batch if the file accepts several.
    ///
    /// # Errors
    /// InvalidInput, with the names of the model and the output, if the output cannot be decoded.
    pub fn detect(&mut self, pictures: &[Picture]) -> Result<Vec<Vec<Object>>> {
        // A joined list of rows does not say which picture a row belongs to.
        if self.how.decode == Decode::EndToEnd && pictures.len() > 1 {
            return pictures.chunks(1).map(|one| Ok(self.detect(one)?.remove(0))).collect();
        }
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        let (output, letterboxes) = self.infer(pictures)?;
        let each = output.data.len() / pictures.len();
        let output_layout = self.output_layout(&output, pictures.len())?;
        let answers = (0..pictures.len()).map(|n| &output.data[n * each..(n + 1) * each]);
        answers
            .zip(pictures)
            .zip(&letterboxes)
            .map(|((values, picture), letterbox)| self.objects(values, &output_layout, picture, letterbox))
            .collect()
    }

    /// Runs the model and returns its output, of [pictures, boxes, values] or transposed, and the
    /// location of each picture in the input.
    fn infer(&mut self, pictures: &[Picture]) -> Result<(Tensor, Vec<Letterbox>)> {
        let length = self.writer.len();
        let mut input = vec![0.0; length * pictures.len()];
        let mut letterboxes = Vec::with_capacity(pictures.len());
        for (picture, place) in pictures.iter().zip(input.chunks_exact_mut(length)) {
            letterboxes.push(self.writer.write(picture, place)?);
        }
        let (width, height) = (self.size.0 as usize, self.size.1 as usize);
        let shape = match self.input_layout {
            Layout::Nchw => vec![pictures.len(), 3, height, width],
            Layout::Nhwc => vec![pictures.len(), height, width, 3],
        };
        let outputs = self.session.run_all(vec![Tensor { shape, data: input }])?;
        let how = DetectorOutput { decode: self.form, ..self.how.clone() };
        let output = merge_outputs::join(&how, outputs, self.size)
            .map_err(|e| e.context(format!("the model {}, output `{}`", self.name, self.output)))?;
        Ok((output, letterboxes))
    }

    fn output_layout(&self, output: &Tensor, pictures: usize) -> Result<OutputLayout> {
        let named = |e: Error| e.context(format!("the model {}, output `{}`", self.name, self.output));
        let shape: Vec<i64> = output.shape.iter().map(|&n| i64::try_from(n).unwrap_or(i64::MAX)).collect();
        let output_layout = OutputLayout::of(&shape, &self.how, self.rest, self.size).map_err(named)?;
        if output_layout.boxes * output_layout.values * pictures == output.data.len() {
            return Ok(output_layout);
        }
        Err(named(Error::invalid(format!(
            "{} numbers of shape {:?} for {pictures} pictures",
            output.data.len(),
            output.shape
        ))))
    }

    fn objects(
        &self,
        values: &[f32],
        output_layout: &OutputLayout,
        picture: &Picture,
        letterbox: &Letterbox,
    ) -> Result<Vec<Object>> {
        let unfit =
            |problem: Problem| Error::invalid(format!("the model {}, output `{}`: {problem}", self.name, self.output));
        values::check_output(values, output_layout, &self.how).map_err(unfit)?;
        let Thresholds { score, overlap } = self.thresholds;
        let candidates = decode::candidates(values, output_layout, &self.how, self.size, score, overlap);
        values::check_candidates(&candidates, &self.how, self.size).map_err(unfit)?;
        let is_final = self.how.decode.is_final() || output_layout.is_rotated;
        let overlap = if is_final { f32::INFINITY } else { overlap };
        let kept = nms::non_maximum_suppression(candidates, overlap, self.how.max_objects);
        let classes = self.how.labels.count();
        if let Some(other) = kept.iter().find(|c| c.class >= classes) {
            return Err(Error::invalid(format!(
                "the model {}, output `{}`: it returned class {}, but its entry has {classes} labels (detector.labels)",
                self.name, self.output, other.class
            )));
        }
        let object = |candidate: decode::Candidate| {
            let [left, top, right, bottom] = candidate.edges;
            let ((left, top), (right, bottom)) = (letterbox.to_picture(left, top), letterbox.to_picture(right, bottom));
            let inside = |value: f32, end: u32| value.clamp(0.0, end as f32);
            let bounds = Bounds {
                left: inside(left, picture.width),
                top: inside(top, picture.height),
                right: inside(right, picture.width),
                bottom: inside(bottom, picture.height),
            };
            let is_something = bounds.right > bounds.left && bounds.bottom > bounds.top;
            is_something.then_some(Object { class: candidate.class as u32, confidence: candidate.score, bounds })
        };
        Ok(kept.into_iter().filter_map(object).collect())
    }
}

impl Detector for ObjectDetector {
    fn detect(&mut self, rgb: &Picture) -> Result<Vec<Object>, MediaError> {
        let found = ObjectDetector::detect(self, std::slice::from_ref(rgb));
        found.map(|mut each| each.pop().unwrap_or_default()).map_err(|error| match error.kind() {
            ErrorKind::Transient => MediaError::transient(error.chain()),
            ErrorKind::Cancelled => MediaError::Cancelled,
            ErrorKind::Bug => MediaError::bug(error.chain()),
            _ => MediaError::permanent(error.chain()),
        })
    }
}
