//! Recognises a detector from its ONNX file alone: the layout of its output, its input, and how
//! pictures usually get there.

use std::path::PathBuf;

use jhalak_common::hash::Hash;
use jhalak_common::models::{
    BoxUnit, Channels, Decode, DetectorOutput, DetectorTask, Filter, Labels, Layout, Model, PictureInput, Registry,
    Resize, Role, TensorFacts, Tensors,
};
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result};
use jhalak_onnx::file_facts::{Edge, FileFacts};

use super::detector::ObjectDetector;
use super::entry_labels::labels;
use super::heads;
use super::metadata::Metadata;
use super::trial;
use crate::inference::{Models, Tensor, detector_outputs};

/// Values of a box of a pose model for persons: box, score and 17 keypoints of three values.
const PERSON_VALUES: i64 = 56;
/// Size of an input that accepts any.
const USUAL_SIZE: u32 = 640;

/// An entry for a file, and what it assumes.
pub struct Suggestion {
    /// The entry.
    pub model: Model,
    /// The detector, opened with this entry.
    pub detector: ObjectDetector,
    /// Assumptions of the entry that the file does not state.
    pub assumptions: Vec<String>,
}

/// Returns an entry `name` for the file `file` in the models folder of `settings`, tried on a
/// picture.
///
/// # Errors
/// InvalidInput if the file is not a detector of a known layout; the message says what it is.
pub fn suggest(settings: &Settings, name: &str, file: PathBuf, sha256: Hash, facts: &FileFacts) -> Result<Suggestion> {
    let metadata = Metadata::of(&facts.metadata)?;
    let mut assumptions = Vec::new();
    let input = picture_edge(&facts.inputs)?;
    let (layout, width, height) = input_size(input, &metadata, &mut assumptions);
    let plain = Model {
        name: name.to_owned(),
        role: Role::Detector,
        file,
        sha256,
        bytes: None,
        licence: "not stated".into(),
        licence_note: String::new(),
        dimension: None,
        source: None,
        input: Tensors::default(),
        output: Tensors::default(),
        picture: None,
        sound: None,
        windows: None,
        clip: None,
        waveform: None,
        detector: None,
    };
    let tried = with_tried_shapes(settings, &plain, facts, input, (layout, width, height))?;
    let facts = tried.as_ref().unwrap_or(facts);
    let mut guess = guess(facts, &metadata, (width, height))?;
    let labels = labels(&metadata, guess.decode, guess.classes, &mut assumptions)?;
    if guess.decode == Decode::YoloxDecoded {
        let picture = picture_section(guess.decode, layout, input, (width, height), &mut Vec::new());
        let detector = Some(section(guess.decode, labels.clone(), None)?);
        let model = Model { picture: Some(picture), detector, ..plain.clone() };
        if opened(settings, &model)?.is_objectness_one(&trial::picture())? {
            assumptions.push("the objectness of every box is 1: a YOLOv6 is assumed".into());
            guess.decode = Decode::Yolov5;
        }
    }
    let mut picture = picture_section(guess.decode, layout, input, (width, height), &mut assumptions);
    if guess.decode == Decode::Detr && detector_outputs::are_of_rf_detr(&named_shapes(&facts.outputs)) {
        assumptions.push("the names of the outputs are those of RF-DETR: mean and std of ImageNet are assumed".into());
        (picture.mean, picture.std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    }
    if guess.decode == Decode::Detr && metadata.names.is_none() {
        assumptions.push(
            "every class is taken for one of objects: if the last means \"no object\" (DETR, YOLOS), leave its name out"
                .into(),
        );
    }
    let detector = Some(section(guess.decode, labels, guess.strides)?);
    adjusted(settings, Model { picture: Some(picture), detector, ..plain }, assumptions)
}

fn named_shapes(outputs: &[Edge]) -> Vec<(String, Vec<i64>)> {
    outputs.iter().map(|output| (output.name.clone(), output.shape.clone())).collect()
}

/// Returns the facts of a file with the shape that its list of boxes really has for one picture, if
/// the file leaves it open (`[1, -1, -1]`), as exporters of models with free sizes do.
///
/// # Errors
/// Those of loading and running the model.
fn with_tried_shapes(
    settings: &Settings,
    plain: &Model,
    facts: &FileFacts,
    input: &Edge,
    (layout, width, height): (Layout, u32, u32),
) -> Result<Option<FileFacts>> {
    let is_open = |edge: &Edge| edge.shape.len() == 3 && edge.shape[1..].iter().any(|&n| n < 0);
    let mut open = facts.outputs.iter().enumerate().filter(|(_, edge)| is_open(edge));
    let (Some((at, list)), None, 1) = (open.next(), open.next(), facts.inputs.len()) else { return Ok(None) };
    let has_other_list = facts.outputs.iter().enumerate().any(|(n, edge)| n != at && edge.shape.len() < 4);
    if has_other_list {
        return Ok(None);
    }
    let shape = match layout {
        Layout::Nchw => vec![1, 3, height as usize, width as usize],
        Layout::Nhwc => vec![1, height as usize, width as usize, 3],
    };
    let picture = picture_section(Decode::EndToEnd, layout, input, (width, height), &mut Vec::new());
    let name = |name: &str| Tensors(vec![TensorFacts { name: Some(name.to_owned()), ..TensorFacts::default() }]);
    let model = Model {
        picture: Some(picture),
        output: name(&list.name),
        detector: Some(section(Decode::EndToEnd, Labels::Unstated, None)?),
        ..plain.clone()
    };
    let registry = Registry { version: 1, models: vec![model.clone()] };
    let session = Models::open(settings, registry)?.session(&model)?;
    let data = vec![0.5; shape.iter().product()];
    let answers = session.run_all(vec![Tensor { shape, data }])?;
    let found = answers.first().map(|answer| answer.shape.iter().map(|&n| n as i64).collect::<Vec<_>>());
    let Some(found) = found.filter(|found| found.len() == 3) else { return Ok(None) };
    let mut tried = facts.clone();
    tried.outputs[at].shape = found;
    Ok(Some(tried))
}

fn opened(settings: &Settings, model: &Model) -> Result<ObjectDetector> {
    let registry = Registry { version: 1, models: vec![model.clone()] };
    ObjectDetector::open(&Models::open(settings, registry)?, model)
}

/// Opens the detector, and changes what only its answer to a picture can say: the unit of the
/// boxes, and whether a YOLOX is decoded.
fn adjusted(settings: &Settings, mut model: Model, mut assumptions: Vec<String>) -> Result<Suggestion> {
    let mut detector = opened(settings, &model)?;
    let picture = trial::picture();
    if let Some(how) = &mut model.detector
        && how.decode == Decode::RtDetr
        && detector.are_last_scores_classes(&picture)?
    {
        how.decode = Decode::RtDetrChosen;
        detector = opened(settings, &model)?;
    }
    let largest = detector.largest_box_value(&picture)?;
    let Some(how) = &mut model.detector else { return Err(Error::bug("the entry of a detector has no section")) };
    let decode = how.decode;
    if decode == Decode::YoloxDecoded && largest < 32.0 {
        how.decode = Decode::Yolox;
    } else if largest > 1.5 && matches!(decode, Decode::RtDetr | Decode::RtDetrChosen) {
        how.boxes = Some(BoxUnit::Pixels);
    } else if largest > 0.0
        && largest <= 1.5
        && !matches!(decode, Decode::RtDetr | Decode::RtDetrChosen | Decode::Detr)
        && !decode.has_grids()
    {
        how.boxes = Some(BoxUnit::Shares);
    }
    if how.decode == Decode::YoloxDecoded {
        assumptions.push(
            "a YOLOX is assumed: the first YOLOv6 had outputs of this shape too; for it set decode = \"yolov5\" and picture = { resize = \"letterbox\", filter = \"two-tap\", channels = \"rgb\", divide_by = 255.0 }"
                .into(),
        );
    }
    if how.decode != decode || how.boxes.is_some() {
        detector = opened(settings, &model)?;
    }
    detector.detect(&[picture])?;
    if largest == 0.0 && decode != Decode::Nanodet {
        assumptions
            .push("no box was found in the trial picture: whether boxes are pixels or shares is not known".into());
    }
    assumptions.extend(detector.notes().iter().cloned());
    Ok(Suggestion { model, detector, assumptions })
}

fn section(decode: Decode, labels: Labels, strides: Option<Vec<u32>>) -> Result<DetectorOutput> {
    let read = serde_json::from_value(serde_json::json!({ "decode": decode }));
    let plain: DetectorOutput = read.map_err(|e| Error::bug("a plain detector section").with_source(e))?;
    let strides = strides.unwrap_or_else(|| plain.strides.clone());
    Ok(DetectorOutput { labels, strides, ..plain })
}

fn listed(edges: &[Edge]) -> String {
    edges.iter().map(|edge| format!("`{}` {:?}", edge.name, edge.shape)).collect::<Vec<_>>().join(", ")
}

/// Returns the input for pictures.
fn picture_edge(inputs: &[Edge]) -> Result<&Edge> {
    match inputs.iter().filter(|input| input.shape.len() == 4).collect::<Vec<_>>()[..] {
        [one] => Ok(one),
        _ => Err(Error::invalid(format!(
            "it is not a detector: its inputs are {}, and a detector has one of [N, 3, height, width]; for embedders see the head of models.toml",
            listed(inputs)
        ))),
    }
}

fn input_size(input: &Edge, metadata: &Metadata, assumptions: &mut Vec<String>) -> (Layout, u32, u32) {
    let [_, second, third, fourth] = input.shape[..] else { return (Layout::Nchw, USUAL_SIZE, USUAL_SIZE) };
    let layout = if fourth == 3 && second != 3 { Layout::Nhwc } else { Layout::Nchw };
    let (height, width) = if layout == Layout::Nhwc { (second, third) } else { (third, fourth) };
    let fixed = |n: i64| u32::try_from(n).ok().filter(|n| (1..=4_096).contains(n));
    let mut side = |of_file: Option<u32>, usual: Option<u32>| {
        of_file.or(usual).unwrap_or_else(|| {
            let text = format!("the file accepts any size and does not state its own: {USUAL_SIZE} is assumed");
            if !assumptions.contains(&text) {
                assumptions.push(text);
            }
            USUAL_SIZE
        })
    };
    let width = side(fixed(width), metadata.size.map(|size| size.0));
    (layout, width, side(fixed(height), metadata.size.map(|size| size.1)))
}

/// A layout that fits the outputs.
struct Guess {
    decode: Decode,
    /// Number of classes, where the shape says it.
    classes: Option<usize>,
    strides: Option<Vec<u32>>,
}

fn guess(facts: &FileFacts, metadata: &Metadata, size: (u32, u32)) -> Result<Guess> {
    let outputs = &facts.outputs;
    let plain = |decode, classes: i64| Guess { decode, classes: usize::try_from(classes).ok(), strides: None };
    let has = |word: &str| outputs.iter().any(|output| output.name.to_ascii_lowercase().contains(word));
    let shapes = named_shapes(outputs);
    if let Some(problem) = detector_outputs::unread(&shapes) {
        return Err(Error::invalid(format!("{problem}; the file has {}", listed(outputs))));
    }
    if outputs.len() == 4 && has("num") && has("box") && has("score") {
        return Ok(Guess { decode: Decode::EfficientNms, classes: None, strides: None });
    }
    if detector_outputs::d_fine(&shapes).is_some() {
        return Ok(plain(Decode::DFine, -1));
    }
    if let Some([logits, _]) = detector_outputs::detr(&shapes) {
        return Ok(plain(Decode::Detr, logits.1[2]));
    }
    if let [one, other] = &outputs[..]
        && let ([_, _, a], [_, _, b]) = (&one.shape[..], &other.shape[..])
        && (*a == 4) != (*b == 4)
        && !has("logits")
    {
        return Ok(plain(Decode::YoloNas, if *a == 4 { *b } else { *a }));
    }
    let inner = |edge: &Edge| edge.shape.iter().skip(1).copied().filter(|&n| n != 1).collect::<Vec<_>>();
    let lists: Vec<Vec<i64>> = outputs.iter().map(inner).filter(|inner| inner.len() == 2).collect();
    let unknown = || {
        let names = metadata.names.as_ref().map(|names| format!(" (its metadata names {} classes)", names.len()));
        Error::invalid(format!(
            "its outputs are those of no known detector{}: {}; the head of models.toml lists the layouts that are read",
            names.unwrap_or_default(),
            listed(outputs)
        ))
    };
    let (first, second) = match (&lists[..], &outputs[..]) {
        ([list], _) => (list[0], list[1]),
        ([], [one]) if one.shape.len() == 2 && one.shape[1] == 7 => return Ok(plain(Decode::EndToEnd, -1)),
        ([], _) => match detector_outputs::heads(&shapes) {
            Some(heads) => {
                let shapes: Vec<&[i64]> = heads.iter().map(|head| &head.1[..]).collect();
                let classes = heads::classes(&shapes, metadata.names.as_ref().map(Vec::len))?;
                return Ok(plain(Decode::Yolov5Heads, classes));
            }
            None => return Err(unknown()),
        },
        _ => return Err(unknown()),
    };
    let names = metadata.names.as_ref().map(|names| names.len() as i64);
    let masks = outputs.iter().filter(|output| output.shape.len() == 4 && outputs.len() > 1);
    let masks = masks.map(|output| output.shape[1]).find(|&n| n > 1).unwrap_or(0);
    // One class and the 17 keypoints of COCO's persons, as `resolve` reads them without a task.
    let is_person = |values: i64| metadata.task.is_none() && names == Some(1) && values == PERSON_VALUES;
    let person = if is_person(first) || is_person(second) { PERSON_VALUES - 5 } else { 0 };
    let keypoints = metadata.keypoint_values.map_or(person, |n| n as i64);
    let angle = i64::from(metadata.task == Some(DetectorTask::Obb));
    let rest = masks.max(keypoints).max(angle);
    let cells =
        |strides: &[u32]| strides.iter().map(|s| (size.0.div_ceil(*s) * size.1.div_ceil(*s)) as i64).sum::<i64>();
    let (three, four) = (cells(&[8, 16, 32]), cells(&[8, 16, 32, 64]));
    let is_count = |n: i64| [three, 3 * three, four, 3 * four].contains(&n);
    // The values of one box are the shorter dimension, unless the other is no number of cells.
    let are_columns = match (first >= 0, second >= 0) {
        (true, true) => !is_count(first) && (is_count(second) || first < second),
        (is_fixed, _) => is_fixed,
    };
    let are_columns = are_columns && !metadata.is_end_to_end;
    let (boxes, values) = if are_columns { (second, first) } else { (first, second) };
    let is_final = values == 6 || (values == 6 + rest && rest > 0) || (values == 7 && names != Some(3));
    let is_end_to_end = metadata.is_end_to_end && values >= 6;
    if !are_columns && (is_end_to_end || (is_final && !is_count(boxes))) {
        // Box and two scores, or box, score and class: the trial decides.
        let is_rt_detr = metadata.is_rt_detr && values == 6;
        let is_chosen = is_rt_detr && names != Some(2);
        return Ok(match (is_rt_detr, is_chosen) {
            (false, _) => plain(Decode::EndToEnd, -1),
            (true, true) => plain(Decode::RtDetrChosen, -1),
            (true, false) => plain(Decode::RtDetr, 2),
        });
    }
    let wide = Some(vec![8, 16, 32, 64]);
    Ok(match () {
        () if are_columns => plain(Decode::Yolov8, values - 4 - rest),
        () if metadata.is_rt_detr || (boxes > 0 && boxes <= 1_000 && !is_count(boxes)) => {
            plain(Decode::RtDetr, values - 4 - rest)
        }
        () if boxes == 3 * three || boxes == 3 * four => plain(Decode::Yolov5, values - 5 - rest),
        // Without names: 80 classes and four distributions.
        () if names.is_none() && (boxes == three || boxes == four) && [112, 124].contains(&values) => {
            Guess { decode: Decode::Nanodet, classes: Some(80), strides: wide.filter(|_| boxes == four) }
        }
        () if boxes == three && names.unwrap_or(80) == values - 5 => plain(Decode::YoloxDecoded, values - 5),
        () if names.unwrap_or(80) == values - 4 - rest => plain(Decode::Yolov8, values - 4 - rest),
        () if boxes < 0 && names.unwrap_or(80) == values - 5 - rest => plain(Decode::Yolov5, values - 5 - rest),
        () => return Err(unknown()),
    })
}

/// Returns how a picture usually becomes the input of such a detector.
fn picture_section(
    decode: Decode,
    layout: Layout,
    input: &Edge,
    (width, height): (u32, u32),
    assumptions: &mut Vec<String>,
) -> PictureInput {
    let is_free = input.shape.iter().skip(1).any(|&n| n < 0);
    let stated = |side: u32| if is_free { side } else { 0 };
    let plain = PictureInput {
        width: stated(width),
        height: stated(height),
        resize: Resize::Letterbox,
        filter: Filter::TwoTap,
        channels: Channels::Rgb,
        layout,
        divide_by: Some(255.0),
        mean: [0.0; 3],
        std: [1.0; 3],
        pad: None,
    };
    let mut assume = |family: &str| {
        assumptions.push(format!("the file does not state how pictures become its input: picture is that of {family}"));
    };
    match decode {
        Decode::Yolov5 | Decode::Yolov5Heads | Decode::Yolov8 | Decode::EndToEnd | Decode::EfficientNms => {
            assume("YOLOv5 and its successors (letterbox, RGB, values from 0 to 1)");
            plain
        }
        Decode::RtDetr | Decode::RtDetrChosen | Decode::DFine => {
            assume("RT-DETR (both sides stretched, RGB, values from 0 to 1)");
            PictureInput { resize: Resize::Stretch, ..plain }
        }
        // The libraries that export these resize with Pillow.
        Decode::Detr => {
            assume("RT-DETR (both sides stretched by Pillow, RGB, values from 0 to 1)");
            PictureInput { resize: Resize::Stretch, filter: Filter::Bilinear, ..plain }
        }
        Decode::YoloNas => {
            assume("YOLO-NAS (letterbox, BGR, values from 0 to 1)");
            PictureInput { channels: Channels::Bgr, ..plain }
        }
        Decode::Yolox | Decode::YoloxDecoded => {
            assume("YOLOX (letterbox at the top left, BGR, values from 0 to 255)");
            PictureInput { resize: Resize::LetterboxTopLeft, channels: Channels::Bgr, divide_by: None, ..plain }
        }
        Decode::Nanodet => {
            assume("NanoDet (letterbox, BGR, mean and std of ImageNet)");
            let (mean, std) = ([103.53, 116.28, 123.675], [57.375, 57.12, 58.395]);
            PictureInput { channels: Channels::Bgr, divide_by: None, pad: Some(0), mean, std, ..plain }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn guessed(outputs: &[(&str, &[i64])], metadata: &[(&str, &str)], size: u32) -> Result<(Decode, Option<usize>)> {
        let metadata: BTreeMap<_, _> =
            metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let outputs = outputs.iter().map(|(name, shape)| Edge { name: (*name).into(), shape: shape.to_vec() });
        let facts = FileFacts { metadata, outputs: outputs.collect(), ..FileFacts::default() };
        let found = guess(&facts, &Metadata::of(&facts.metadata)?, (size, size))?;
        Ok((found.decode, found.classes))
    }

    #[test]
    fn usual_exports_are_recognised() {
        let head = ("head", "RTDETRDecoder");
        let pose = [("task", "pose"), ("names", "{0: 'person'}"), ("kpt_shape", "[17, 3]")];
        for (outputs, metadata, size, expected) in [
            (&[("output0", &[1, 84, 8_400][..])][..], &[][..], 640, (Decode::Yolov8, Some(80))),
            (&[("output0", &[1, 84, -1])], &[], 640, (Decode::Yolov8, Some(80))),
            (&[("output0", &[1, 84, 189])], &[], 96, (Decode::Yolov8, Some(80))),
            (&[("output0", &[1, 8_400, 84])], &[], 640, (Decode::Yolov8, Some(80))),
            (&[("output0", &[1, 25_200, 85])], &[], 640, (Decode::Yolov5, Some(80))),
            (&[("output0", &[1, 8_400, 85])], &[], 640, (Decode::YoloxDecoded, Some(80))),
            (&[("output0", &[1, 300, 84])], &[head], 640, (Decode::RtDetr, Some(80))),
            (&[("output0", &[1, 300, 84])], &[], 640, (Decode::RtDetr, Some(80))),
            (&[("output0", &[1, 300, 6])], &[], 640, (Decode::EndToEnd, None)),
            (&[("output", &[-1, 7])], &[], 640, (Decode::EndToEnd, None)),
            (&[("output0", &[1, 56, 8_400])], &pose, 640, (Decode::Yolov8, Some(1))),
            (&[("o", &[1, 116, 8_400]), ("p", &[1, 32, 160, 160])], &[], 640, (Decode::Yolov8, Some(80))),
            (&[("output0", &[1, 20, 21_504])], &[("task", "obb")], 1_024, (Decode::Yolov8, Some(15))),
            (&[("logits", &[1, 300, 80]), ("pred_boxes", &[1, 300, 4])], &[], 640, (Decode::Detr, Some(80))),
            (
                &[("labels", &[-1, 300]), ("boxes", &[-1, 300, 4]), ("scores", &[-1, 300])],
                &[],
                640,
                (Decode::DFine, None),
            ),
            (
                &[("a", &[1, 3, 80, 80, 85]), ("b", &[1, 3, 40, 40, 85]), ("c", &[1, 3, 20, 20, 85])],
                &[],
                640,
                (Decode::Yolov5Heads, Some(80)),
            ),
            (
                &[("a", &[1, 255, 80, 80]), ("b", &[1, 255, 40, 40]), ("c", &[1, 255, 20, 20])],
                &[],
                640,
                (Decode::Yolov5Heads, Some(80)),
            ),
            (&[("904", &[1, 8_400, 4]), ("913", &[1, 8_400, 20])], &[], 640, (Decode::YoloNas, Some(20))),
            (&[("output", &[-1, 3_549, 124])], &[], 416, (Decode::Nanodet, Some(80))),
            (&[("output", &[1, 3_598, 112])], &[], 416, (Decode::Nanodet, Some(80))),
        ] {
            let found = guessed(outputs, metadata, size).unwrap_or_else(|e| panic!("{outputs:?}: {}", e.chain()));
            assert_eq!(found, expected, "{outputs:?}");
        }
        let description = [("description", "Ultralytics RT-DETR-l model"), ("names", "{0: 'a', 1: 'b'}")];
        let two = guessed(&[("output0", &[1, 300, 6])], &description, 640).expect("an RT-DETR");
        assert_eq!(two, (Decode::RtDetr, Some(2)));
        let person = [("names", "{0: 'person'}")];
        let pose = guessed(&[("output0", &[1, 56, 8_400])], &person, 640).expect("a pose model");
        assert_eq!(pose, (Decode::Yolov8, Some(1)));
        for outputs in [&[("logits", &[1, 1_000][..])][..], &[("a", &[1, 4, 4, 4, 4])]] {
            assert!(guessed(outputs, &[], 640).is_err());
        }
    }

    #[test]
    fn names_that_contradict_the_output_are_refused_with_the_way_out() {
        const TWO: (&str, &str) = ("names", "{0: 'a', 1: 'b'}");
        const THREE: (&str, &str) = ("names", "{0: 'a', 1: 'b', 2: 'c'}");
        let of = |outputs: &[(&str, &[i64])], metadata: &[(&str, &str)]| -> Result<Labels> {
            let (decode, classes) = guessed(outputs, metadata, 640)?;
            let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            labels(&Metadata::of(&metadata)?, decode, classes, &mut Vec::new())
        };
        let seven: &[(&str, &[i64])] = &[("output0", &[1, 7, 8_400])];
        assert_eq!(of(seven, &[THREE]).expect("three"), Labels::Unstated);
        let logits: &[(&str, &[i64])] = &[("logits", &[1, 100, 4]), ("pred_boxes", &[1, 100, 4])];
        assert_eq!(of(logits, &[THREE]).expect("three and no object"), Labels::Unstated);
        let heads: &[(&str, &[i64])] = &[("a", &[1, 144, 80, 80]), ("b", &[1, 144, 40, 40]), ("c", &[1, 144, 20, 20])];
        for (outputs, metadata, words) in [
            (seven, &[TWO][..], &["names 2 classes (a, b)", "has 3 scores", "lists 3 names", "task = \"obb\""][..]),
            (seven, &[("names", "['a', 'b', 'c', 'd']")], &["names 4 classes (a, b, c, ...)", "has 3 scores"]),
            (
                seven,
                &[THREE, ("task", "obb")],
                &["names 3 classes", "has 2 scores beside the values of its task `obb`"],
            ),
            (seven, &[("names", "person")], &["cannot be read", "detector.labels"]),
            (&[("output0", &[1, 8, 8_400])], &[THREE], &["has 4 scores", "task = \"obb\""]),
            (&[("output0", &[1, 39, 8_400])], &[THREE], &["has 35 scores", "task = \"segment\""]),
            (&[("output0", &[1, 56, 8_400])], &[], &["pose model", "52 names"]),
            (&[("904", &[1, 8_400, 4]), ("913", &[1, 8_400, 3])], &[TWO], &["has 3 scores", "`yolo-nas`"]),
            (heads, &[THREE], &["names 3 classes", "has 43 scores"]),
            (&[("boxes", &[1, 8_400, 4]), ("scores", &[1, 80, 8_400])], &[], &["[N, classes, boxes]"]),
            (
                &[
                    ("num_detections", &[1]),
                    ("detection_boxes", &[1, 100, 4]),
                    ("detection_scores", &[1, 100]),
                    ("detection_classes", &[1, 100]),
                ],
                &[],
                &["TensorFlow", "top, left, bottom, right", "num_dets"],
            ),
        ] {
            let error = of(outputs, metadata).expect_err("refused").chain();
            assert!(words.iter().all(|word| error.contains(word)), "{outputs:?} {metadata:?}: {error}");
        }
    }
}
