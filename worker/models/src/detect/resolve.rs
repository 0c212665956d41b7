//! Completes the entry of a detector with what its file states: the names of its classes, its task,
//! its input size. A contradiction between the two is refused, or noted where both can be true.

use jhalak_common::models::{Decode, DetectorOutput, DetectorTask, Labels, Layout, PictureInput};
use jhalak_common::{Error, Result};
use jhalak_onnx::file_facts::Edge;

use super::metadata::{Metadata, are_coco};
use super::output_layout::{OutputLayout, Rest};

/// A completed entry.
pub(super) struct Resolved {
    /// The detector section with its labels.
    pub how: DetectorOutput,
    /// The values that follow box and scores.
    pub rest: Rest,
    /// Differences between the entry and the file, in which the entry wins.
    pub notes: Vec<String>,
}

/// Completes the detector section `how` of an entry. `shape` is that of the output that is read
/// (empty: unknown until the first picture), `outputs` are all outputs of the file.
///
/// # Errors
/// InvalidInput if the entry, the metadata and the shape cannot all be true; the message says which
/// field to set.
pub(super) fn resolve(
    how: &DetectorOutput,
    metadata: &Metadata,
    shape: &[i64],
    outputs: &[Edge],
    size: (u32, u32),
) -> Result<Resolved> {
    if metadata.is_rt_detr && how.decode == Decode::EndToEnd {
        return Err(Error::invalid(
            "the head in the file's metadata is RT-DETR's, whose boxes are centre and size: set detector.decode = \"rt-detr-chosen\"",
        ));
    }
    let rests = rests(how, metadata, outputs)?;
    let fit = |how: &DetectorOutput| fitting_rest(shape, how, &rests, size);
    let listed = |names: &[String]| {
        let first: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
        let more = if names.len() > first.len() { ", ..." } else { "" };
        let classes = if names.len() == 1 { "class" } else { "classes" };
        format!("the file's metadata names {} {classes} ({}{more})", names.len(), first.join(", "))
    };
    let named = |names: &[String]| {
        let labels = if are_coco(names) { Labels::Named("coco".into()) } else { Labels::List(names.to_vec()) };
        DetectorOutput { labels, ..how.clone() }
    };
    let done = |how: DetectorOutput, rest: Rest, notes| Ok(Resolved { how, rest, notes });
    match (&how.labels, &metadata.names) {
        (Labels::Unstated, Some(names)) => {
            let how = named(names);
            let rest = fit(&how).map_err(|e| {
                e.context(format!("{}, which does not fit its output: state detector.labels", listed(names)))
            })?;
            done(how, rest, Vec::new())
        }
        (Labels::Unstated, None) if metadata.has_odd_names => {
            Err(Error::invalid("the names of the classes in the file's metadata cannot be read: state detector.labels"))
        }
        (_, None) => done(how.clone(), fit(how)?, Vec::new()),
        (stated, Some(names)) => {
            let of_file = named(names);
            if of_file.labels == *stated || (stated.is_coco() && of_file.labels.is_coco()) {
                return done(how.clone(), fit(how)?, Vec::new());
            }
            let remove = "remove detector.labels to use those of the file";
            let (count, fits_file) = (stated.count(), fit(&of_file).is_ok());
            let rest = fit(how);
            let is_certain = rest.is_err() || count != names.len() || matches!(stated, Labels::Named(_));
            if fits_file && is_certain {
                let stated = if stated.is_coco() { "`coco`".into() } else { format!("{count} names") };
                return Err(Error::invalid(format!(
                    "detector.labels is {stated}, but {}, as its output does: {remove}, or list the names of all its classes",
                    listed(names)
                )));
            }
            let rest = rest.map_err(|e| Error::invalid(format!("{e}; {}", listed(names))))?;
            let note = format!("{}, and detector.labels differs: the labels of the entry are used", listed(names));
            done(how.clone(), rest, vec![note])
        }
    }
}

/// Returns the first of `rests` with which the output has a layout; the first one for an output of
/// unknown shape.
fn fitting_rest(shape: &[i64], how: &DetectorOutput, rests: &[Rest], size: (u32, u32)) -> Result<Rest> {
    let first = rests.first().copied().unwrap_or(Rest::Nothing);
    if shape.is_empty() {
        return Ok(first);
    }
    let of = |rest: Rest| OutputLayout::of(shape, how, rest, size).map(|_| rest);
    let may_be = |rest: &&Rest| **rest != Rest::Values(PERSON) || how.labels.count() == 1;
    let other = rests.iter().skip(1).filter(may_be).find_map(|&rest| of(rest).ok());
    of(first).or_else(|e| other.ok_or(e))
}

/// Values of the 17 keypoints of COCO's persons.
const PERSON: usize = 51;

/// Returns what may follow box and scores, the most likely first.
fn rests(how: &DetectorOutput, metadata: &Metadata, outputs: &[Edge]) -> Result<Vec<Rest>> {
    let task = match (how.task, metadata.task) {
        (Some(stated), Some(file)) if stated != file => {
            return Err(Error::invalid(format!(
                "detector.task is {} in the entry, but {} in the file's metadata: remove it",
                stated.name(),
                file.name()
            )));
        }
        (stated, file) => stated.or(file),
    };
    // Prototypes of masks: [N, 32, height, width].
    let masks = outputs.iter().filter(|o| o.shape.len() == 4).find_map(|o| usize::try_from(o.shape[1]).ok());
    let masks = masks.filter(|&n| n > 1 && outputs.len() > 1);
    let values = |known: Option<usize>, task| known.map_or(Rest::Any(task), Rest::Values);
    Ok(match task {
        Some(DetectorTask::Detect) => vec![Rest::Nothing],
        Some(DetectorTask::Obb) => vec![Rest::Values(1)],
        Some(DetectorTask::Pose) => vec![values(metadata.keypoint_values, DetectorTask::Pose)],
        Some(DetectorTask::Segment) => vec![values(masks, DetectorTask::Segment)],
        None => std::iter::once(Rest::Nothing)
            .chain(masks.map(Rest::Values))
            .chain(Some(Rest::Values(PERSON)).filter(|_| how.decode == Decode::Yolov8))
            .collect(),
    })
}

/// Returns the picture section of the entry, completed with the sizes of the input in the file.
pub(super) fn sized(picture: &PictureInput, metadata: &Metadata, input: &str, shape: &[i64]) -> Result<PictureInput> {
    let &[_, second, third, fourth] = shape else {
        return Err(Error::invalid(format!(
            "the input `{input}` has the shape {shape:?}, but a picture input must have 4 dimensions"
        )));
    };
    let (channels, height, width, other) = match picture.layout {
        Layout::Nchw => (second, third, fourth, fourth),
        Layout::Nhwc => (fourth, second, third, second),
    };
    if channels >= 0 && channels != 3 {
        let hint = if other == 3 { ": set the other picture.layout (nchw, nhwc)" } else { "" };
        let layout = match picture.layout {
            Layout::Nchw => "nchw",
            Layout::Nhwc => "nhwc",
        };
        return Err(Error::invalid(format!(
            "the input `{input}` of shape {shape:?} has {channels} channels as {layout}, but a picture has 3{hint}"
        )));
    }
    let side = |field: &str, stated: u32, file: i64, usual: Option<u32>| match (stated, u32::try_from(file), usual) {
        (0, Ok(file @ 1..=4096), _) => Ok(file),
        (0, _, Some(usual)) => Ok(usual),
        (0, _, None) => {
            Err(Error::invalid(format!("the input `{input}` of shape {shape:?} accepts any size: set picture.{field}")))
        }
        (stated, Ok(file), _) if stated != file => Err(Error::invalid(format!(
            "picture.{field} is {stated} in the entry, but the input `{input}` is {shape:?} in the file"
        ))),
        (stated, ..) => Ok(stated),
    };
    let width = side("width", picture.width, width, metadata.size.map(|size| size.0))?;
    let height = side("height", picture.height, height, metadata.size.map(|size| size.1))?;
    match metadata.stride.filter(|stride| width % stride != 0 || height % stride != 0) {
        Some(stride) => Err(Error::invalid(format!(
            "an input of {width} x {height} does not fit the stride {stride} of the file's metadata: set picture.width and picture.height to multiples of {stride}"
        ))),
        None => Ok(PictureInput { width, height, ..picture.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn resolved(entry: &str, metadata: &[(&str, &str)], shape: &[i64], more: &[&[i64]]) -> Result<Resolved> {
        let how: DetectorOutput = toml::from_str(entry).expect("a section");
        let properties: BTreeMap<_, _> =
            metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let edge = |shape: &[i64]| Edge { name: "o".into(), shape: shape.to_vec() };
        let outputs: Vec<Edge> = std::iter::once(edge(shape)).chain(more.iter().map(|shape| edge(shape))).collect();
        resolve(&how, &Metadata::of(&properties)?, shape, &outputs, (640, 640))
    }

    const THREE: (&str, &str) = ("names", "{0: 'a', 1: 'b', 2: 'c'}");
    const PERSON: (&str, &str) = ("names", "{0: 'person'}");

    #[test]
    fn the_names_of_the_file_are_the_default() {
        let found = resolved("decode = \"yolov8\"", &[THREE], &[1, 7, 8_400], &[]).expect("resolved");
        assert_eq!((found.how.labels.name(2).as_str(), found.notes.len()), ("c", 0));
        let found = resolved("decode = \"yolov8\"", &[], &[1, 84, 8_400], &[]).expect("resolved");
        assert_eq!(found.how.labels.name(2), "car");
    }

    #[test]
    fn contradictions_are_refused_or_noted() {
        for (entry, metadata, shape, expected) in [
            ("decode = \"yolov8\"", &[PERSON][..], &[1, 300, 84][..], "names 1 class (person), which does not fit"),
            ("decode = \"end-to-end\"\nlabels = [\"x\"]", &[THREE], &[1, 300, 6], "detector.labels is 1 names, but"),
            ("decode = \"end-to-end\"\nlabels = \"coco\"", &[THREE], &[1, 300, 6], "detector.labels is `coco`, but"),
            ("decode = \"yolov8\"\nlabels = [\"x\"]", &[THREE], &[1, 7, 8_400], "remove detector.labels"),
            ("decode = \"yolov8\"\nlabels = [\"x\"]", &[THREE], &[1, 9, 8_400], "names 3 classes (a, b, c)"),
            ("decode = \"yolov8\"\ntask = \"pose\"", &[("task", "detect")], &[1, 84, 8_400], "detector.task is pose"),
            ("decode = \"yolov8\"", &[("names", "many")], &[1, 84, 8_400], "cannot be read"),
            ("decode = \"end-to-end\"", &[("head", "RTDETRDecoder")], &[1, 300, 6], "\"rt-detr-chosen\""),
        ] {
            let error = resolved(entry, metadata, shape, &[]).err().expect("refused").chain();
            assert!(error.contains(expected), "{entry}: {error}");
        }
        let renamed = "decode = \"yolov8\"\nlabels = [\"x\", \"y\", \"z\"]";
        let found = resolved(renamed, &[THREE], &[1, 7, 8_400], &[]).expect("resolved");
        assert_eq!((found.how.labels.name(0).as_str(), found.notes.len()), ("x", 1));
        // The metadata cannot be true, so the entry may be.
        let found =
            resolved("decode = \"rt-detr\"\nlabels = \"coco\"", &[PERSON], &[1, 300, 84], &[]).expect("resolved");
        assert_eq!(found.notes.len(), 1);
    }

    #[test]
    fn keypoints_and_masks_are_left_out_by_metadata_or_shape() {
        let pose = [PERSON, ("task", "pose"), ("kpt_shape", "[17, 3]")];
        let (masks, one) = ([1, 32, 160, 160], "decode = \"yolov8\"\nlabels = [\"person\"]");
        for (entry, metadata, shape, more, expected) in [
            ("decode = \"yolov8\"", &pose[..], &[1, 56, 8_400][..], &[][..], Rest::Values(51)),
            (one, &[], &[1, 56, 8_400], &[], Rest::Values(51)),
            ("decode = \"yolov8\"", &[], &[1, 116, 8_400], &[&masks[..]], Rest::Values(32)),
            ("decode = \"yolov8\"", &[("task", "segment"), THREE], &[1, 39, 8_400], &[&masks], Rest::Values(32)),
            ("decode = \"yolov8\"", &[], &[1, 84, 8_400], &[&masks], Rest::Nothing),
            ("decode = \"end-to-end\"", &pose, &[1, 300, 57], &[], Rest::Values(51)),
        ] {
            let found = resolved(entry, metadata, shape, more).unwrap_or_else(|e| panic!("{shape:?}: {}", e.chain()));
            assert_eq!(found.rest, expected, "{shape:?}");
        }
        // 135 values of 80 classes are not a pose model.
        assert!(resolved("decode = \"yolov8\"", &[], &[1, 135, 8_400], &[]).is_err());
    }
}
