//! The labels of an entry that is suggested for a file.

use jhalak_common::models::{COCO, Decode, DetectorTask, Labels};
use jhalak_common::{Error, Result};

use super::metadata::Metadata;

/// Returns the labels of the entry: those of the file unless it names none.
///
/// # Errors
/// InvalidInput if the names contradict the output, cannot be read, or the output can be that of a
/// pose model too.
pub(super) fn labels(
    metadata: &Metadata,
    decode: Decode,
    classes: Option<usize>,
    assumptions: &mut Vec<String>,
) -> Result<Labels> {
    if metadata.has_odd_names {
        return Err(Error::invalid(
            "the names of the classes in the file's metadata cannot be read: write an entry with detector.labels, or export the file with names such as {0: 'person', 1: 'dog'}",
        ));
    }
    if let Some(names) = &metadata.names {
        // The last class of DETR means "no object".
        let fits = |classes: usize| classes == names.len() || (decode == Decode::Detr && classes == names.len() + 1);
        return match classes.filter(|&classes| !fits(classes)) {
            None => Ok(Labels::Unstated),
            Some(classes) => Err(contradiction(metadata, names, decode, classes)),
        };
    }
    match classes {
        None | Some(80) => {
            assumptions.push("the file does not name its classes: the 80 of COCO are assumed".into());
            Ok(Labels::Named("coco".into()))
        }
        Some(52) if decode == Decode::Yolov8 && metadata.task.is_none() => Err(Error::invalid(
            "its boxes of 56 values are those of a pose model for persons or of a detector of 52 classes, and the file states neither a task nor names: write an entry with detector = { decode = \"yolov8\", task = \"pose\", labels = [\"person\"] }, or with decode = \"yolov8\" and 52 names in detector.labels",
        )),
        Some(classes) => {
            assumptions.push("the file does not name its classes: write their names into detector.labels".into());
            Ok(Labels::List((0..classes.min(COCO.len() * 100)).map(|n| format!("class{n}")).collect()))
        }
    }
}

/// Returns the error about names that are not as many as the `classes` of the output.
fn contradiction(metadata: &Metadata, names: &[String], decode: Decode, classes: usize) -> Error {
    let (named, decode) = (names.len(), decode.name());
    let first: Vec<String> = names.iter().take(3).map(|name| name.escape_debug().to_string()).collect();
    let more = if named > first.len() { ", ..." } else { "" };
    let task = match metadata.task {
        Some(task @ (DetectorTask::Pose | DetectorTask::Segment | DetectorTask::Obb)) => {
            format!(" beside the values of its task `{}`", task.name())
        }
        _ => String::new(),
    };
    let entry = |task: &str| format!("detector = {{ decode = \"{decode}\", task = \"{task}\" }}");
    let way = match (classes.saturating_sub(named), metadata.task) {
        (0, _) | (_, Some(_)) => String::new(),
        (1, None) => format!(" (of a model of rotated boxes the last value is an angle: then write {})", entry("obb")),
        (32, None) => {
            format!(" (of a segmentation model the last 32 are coefficients of masks: then write {})", entry("segment"))
        }
        (more, None) if more % 3 == 0 || more % 2 == 0 => {
            format!(" (of a pose model the last {more} may be keypoints: then write {})", entry("pose"))
        }
        _ => String::new(),
    };
    Error::invalid(format!(
        "the file's metadata names {named} {} ({}{more}), but each box of its output has {classes} scores{task} if it is a `{decode}` output: export the file with the names of all its classes, or write an entry whose detector.labels lists {classes} names{way}",
        if named == 1 { "class" } else { "classes" },
        first.join(", "),
    ))
}
