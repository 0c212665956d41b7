//! Detectors of every layout, as small files that return fixed values: the right boxes, or an error
//! that says what to set. The same over the files of reported cases in ../shared/cases.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::f32::consts::FRAC_PI_2;
use std::path::{Path, PathBuf};

use jhalak_common::models::{Registry, Resize, Role};
use jhalak_common::settings::Settings;
use jhalak_media::picture::Picture;
use jhalak_models::detect::suggest::suggest;
use jhalak_models::detect::trial;
use jhalak_models::detect::{ObjectDetector, Thresholds};
use jhalak_models::inference::Models;
use jhalak_onnx::file_facts;
use jhalak_onnx::message::{
    Attribute, Dimension, FLOAT, Graph, IR_VERSION, Model, Node, OperatorSet, Property, Shape, Tensor, TensorType,
    Type, Value,
};
use prost::Message;

/// Element types of integers.
const INT32: i32 = 6;
const INT64: i32 = 7;

/// Returns settings with models in `folder`; prints why the test is skipped without ONNX Runtime.
fn settings(folder: &Path, registry: Option<PathBuf>) -> Option<Settings> {
    let mut settings = Settings::default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    settings.models.onnxruntime = root.join(".local/onnxruntime/libonnxruntime.so");
    (settings.models.folder, settings.models.registry) = (folder.to_path_buf(), registry);
    if settings.models.onnxruntime.is_file() {
        return Some(settings);
    }
    println!("skipped: {} is missing; `scripts/setup.sh run` fetches it", settings.models.onnxruntime.display());
    None
}

fn value(name: &str, element: i32, lengths: &[i64]) -> Value {
    let dim = lengths.iter().map(|&n| Dimension { value: Some(n), parameter: None }).collect();
    Value { name: name.into(), kind: Some(Type { tensor: Some(TensorType { element, shape: Some(Shape { dim }) }) }) }
}

/// An output of fixed values.
struct Fixed {
    name: &'static str,
    element: i32,
    shape: Vec<i64>,
    values: Vec<f32>,
}

fn fixed(name: &'static str, shape: &[i64], values: Vec<f32>) -> Fixed {
    Fixed { name, element: FLOAT, shape: shape.to_vec(), values }
}

/// Returns an ONNX file with an input of 96 x 96 whose outputs do not depend on it. An output named
/// `boxes` is in shares, and scaled by a second input as D-FINE does it.
fn file(outputs: &[Fixed], metadata: &[(&str, &str)]) -> Vec<u8> {
    let node = |inputs: &[&str], output: &str, op: &str, attribute: Vec<Attribute>| Node {
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        name: output.into(),
        op_type: op.into(),
        attribute,
    };
    let flat = Attribute { name: "keepdims".into(), f: None, i: Some(0), kind: 2 };
    let mut graph =
        Graph { name: "fixed".into(), input: vec![value("images", FLOAT, &[1, 3, 96, 96])], ..Graph::default() };
    let zero = Tensor { dims: vec![], data_type: FLOAT, name: "zero".into(), raw_data: 0f32.to_le_bytes().to_vec() };
    graph.initializer.push(zero);
    graph.node.push(node(&["images"], "mean", "ReduceMean", vec![flat]));
    graph.node.push(node(&["mean", "zero"], "nothing", "Mul", vec![]));
    for output in outputs {
        let values = format!("values of {}", output.name);
        let raw_data = output.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        graph.initializer.push(Tensor { dims: output.shape.clone(), data_type: FLOAT, name: values.clone(), raw_data });
        let floats = format!("floats of {}", output.name);
        if output.name == "boxes" {
            let int = |name: &str, i: i64| Attribute { name: name.into(), f: None, i: Some(i), kind: 2 };
            graph.input.push(value("orig_target_sizes", INT64, &[1, 2]));
            graph.node.push(node(&["orig_target_sizes"], "sizes", "Cast", vec![int("to", FLOAT.into())]));
            graph.node.push(node(&["sizes", "sizes"], "edges", "Concat", vec![int("axis", 1)]));
            graph.node.push(node(&[&values, "edges"], "scaled", "Mul", vec![]));
            graph.node.push(node(&["scaled", "nothing"], &floats, "Add", vec![]));
        } else {
            graph.node.push(node(&[&values, "nothing"], &floats, "Add", vec![]));
        }
        let to = Attribute { name: "to".into(), f: None, i: Some(output.element.into()), kind: 2 };
        graph.node.push(node(&[&floats], output.name, "Cast", vec![to]));
        graph.output.push(value(output.name, output.element, &output.shape));
    }
    let property = |&(key, value): &(&str, &str)| Property { key: key.into(), value: value.into() };
    let model = Model {
        ir_version: IR_VERSION,
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: 13 }],
        metadata_props: metadata.iter().map(property).collect(),
        ..Model::default()
    };
    model.encode_to_vec()
}

/// A list of `boxes` with `values` each, of which the first is `first` and the rest far less
/// likely.
fn rows(boxes: usize, first: &[f32], other: &[f32]) -> Vec<f32> {
    let mut all = first.to_vec();
    (1..boxes).for_each(|_| all.extend_from_slice(other));
    all
}

fn columns(boxes: usize, rows: &[f32]) -> Vec<f32> {
    let values = rows.len() / boxes;
    (0..rows.len()).map(|at| rows[at % boxes * values + at / boxes]).collect()
}

/// One box: centre and size (or edges), then `scores`, then `rest`.
fn one(edges: [f32; 4], scores: &[f32], rest: &[f32]) -> Vec<f32> {
    edges.iter().chain(scores).chain(rest).copied().collect()
}

fn scores(classes: usize, class: usize) -> Vec<f32> {
    (0..classes).map(|n| if n == class { 0.9 } else { 0.0 }).collect()
}

const TWO: (&str, &str) = ("names", "{0: 'a', 1: 'b'}");
const NAMES: (&str, &str) = ("names", "{0: 'a', 1: 'b', 2: \"c's\"}");
/// The box of the tests in pixels of the input: centre and size, and edges.
const CENTRE: [f32; 4] = [48.0, 48.0, 24.0, 36.0];
const EDGES: [f32; 4] = [36.0, 30.0, 60.0, 66.0];

/// The heads of a YOLOv5 for three classes before decoding: one object of class 1 at [`CENTRE`], in
/// the cell (3, 3) and of the first anchor (30 x 61) of the grid of stride 16. `is_flat`: anchors
/// and values in one dimension.
fn heads(is_flat: bool) -> Vec<Fixed> {
    let logit = |share: f64| (share / (1.0 - share)).ln() as f32;
    let side = |pixels: f64, anchor: f64| logit((pixels / anchor).sqrt() / 2.0);
    let object =
        [logit(0.25), logit(0.25), side(24.0, 30.0), side(36.0, 61.0), logit(0.9), -20.0, logit(0.999_999), -20.0];
    let head = |name: &'static str, cells: usize| {
        let mut values = vec![-20.0; 3 * cells * cells * 8];
        let place = |n: usize| if is_flat { n * cells * cells + 3 * cells + 3 } else { (3 * cells + 3) * 8 + n };
        if cells == 6 {
            object.iter().enumerate().for_each(|(n, &value)| values[place(n)] = value);
        }
        let cells = cells as i64;
        let shape = if is_flat { vec![1, 24, cells, cells] } else { vec![1, 3, cells, cells, 8] };
        fixed(name, &shape, values)
    };
    vec![head("stride8", 12), head("stride16", 6), head("stride32", 3)]
}

/// The rows of a YOLOv6, whose objectness is always 1.
fn yolov6_rows() -> Vec<f32> {
    rows(189, &one(CENTRE, &[1.0, 0.0, 0.9, 0.0], &[]), &one([10.0, 10.0, 8.0, 8.0], &[1.0, 0.0, 0.0, 0.0], &[]))
}

/// The heads of [`heads`] after a sigmoid, as RKNN's exporters write them.
fn shares_of_heads(is_flat: bool) -> Vec<Fixed> {
    let sigmoid = |value: f32| 1.0 / (1.0 + (-value).exp());
    let of = |head: Fixed| Fixed { values: head.values.into_iter().map(sigmoid).collect(), ..head };
    heads(is_flat).into_iter().map(of).collect()
}

/// The rows of an RT-DETR of two classes: centre and size as shares, two scores.
fn two_classes(scores: [f32; 2]) -> Vec<Fixed> {
    let other = [0.1, 0.1, 0.2, 0.2, 0.2, 0.02];
    vec![fixed("output0", &[1, 300, 6], rows(300, &one(CENTRE.map(|n| n / 96.0), &scores, &[]), &other))]
}

/// The flat format of YOLO-NAS: picture, box, score, class.
fn flat() -> Vec<f32> {
    let row = |score: f32, class: f32| [&[0.0], &EDGES[..], &[score, class]].concat();
    [row(0.9, 1.0), row(0.5, 0.0), row(0.3, 2.0)].concat()
}

/// A layout that is read: name, outputs, metadata, and the entry's detector section.
type Form = (&'static str, Vec<Fixed>, Vec<(&'static str, &'static str)>, &'static str);

fn layouts() -> Vec<Form> {
    let share = |edges: [f32; 4]| edges.map(|edge| edge / 96.0);
    let other = [10.0, 10.0, 8.0, 8.0];
    let list = |first: &[f32], other: &[f32], boxes| rows(boxes, first, other);
    let yolov8 = |edges: [f32; 4], rest: &[f32]| {
        let [first, other] = [edges, if edges[0] < 1.0 { share(other) } else { other }]
            .map(|edges| one(edges, &scores(3, if edges[1] > 40.0 || edges[1] == 0.5 { 1 } else { 3 }), rest));
        columns(189, &list(&first, &other, 189))
    };
    let keypoints: Vec<f32> = (0..51).map(|n| n as f32 * 2.0).collect();
    let pose_rows = list(&one(CENTRE, &[0.9], &keypoints), &one(other, &[0.0], &keypoints), 189);
    let segment = yolov8(CENTRE, &[-2.0; 32]);
    let masks = || fixed("output1", &[1, 32, 24, 24], vec![0.5; 32 * 24 * 24]);
    let detr_rows = list(&one(share(CENTRE), &scores(3, 1), &[]), &one(share(other), &scores(3, 3), &[]), 300);
    let nas_boxes = list(&EDGES, &[6.0, 6.0, 14.0, 14.0], 189);
    let nas_scores = list(&scores(3, 1), &scores(3, 3), 189);
    let yolov5_rows = list(&one(CENTRE, &[1.0, 0.0, 0.9, 0.0], &[]), &one(other, &[0.0; 4], &[]), 567);
    let turned = [CENTRE[0], CENTRE[1], CENTRE[3], CENTRE[2]];
    let obb_rows = list(&one(turned, &scores(3, 1), &[FRAC_PI_2]), &one(other, &scores(3, 3), &[0.3]), 189);
    let logit = (0.9f32 / 0.1).ln();
    let logits = list(&[-9.0, logit, -9.0], &[-9.0; 3], 300);
    let detr_boxes = list(&share(CENTRE), &share(other), 300);
    let pose = vec![("task", "pose"), ("names", "{0: 'b'}"), ("kpt_shape", "[17, 3]")];
    let end = |rest: &[f32]| {
        list(&one(EDGES, &[0.9, 1.0], rest), &[0.0; 6].iter().chain(rest).copied().collect::<Vec<_>>(), 300)
    };
    vec![
        ("yolov8", vec![fixed("output0", &[1, 7, 189], yolov8(CENTRE, &[]))], vec![NAMES], "decode = \"yolov8\""),
        (
            "shares",
            vec![fixed("output0", &[1, 7, 189], yolov8(share(CENTRE), &[]))],
            vec![NAMES],
            "decode = \"yolov8\", boxes = \"shares\"",
        ),
        ("pose", vec![fixed("output0", &[1, 56, 189], columns(189, &pose_rows))], pose, "decode = \"yolov8\""),
        (
            "segment",
            vec![fixed("output0", &[1, 39, 189], segment.clone()), masks()],
            vec![NAMES, ("task", "segment")],
            "decode = \"yolov8\"",
        ),
        (
            "segment-by-shape",
            vec![fixed("output0", &[1, 39, 189], segment), masks()],
            vec![],
            "decode = \"yolov8\", labels = [\"a\", \"b\", \"c\"]",
        ),
        ("rt-detr", vec![fixed("output0", &[1, 300, 7], detr_rows)], vec![NAMES], "decode = \"rt-detr\""),
        ("yolov5", vec![fixed("output0", &[1, 567, 8], yolov5_rows)], vec![NAMES], "decode = \"yolov5\""),
        ("end-to-end", vec![fixed("output0", &[1, 300, 6], end(&[]))], vec![NAMES], "decode = \"end-to-end\""),
        ("yolov6", vec![fixed("outputs", &[1, 189, 8], yolov6_rows())], vec![NAMES], "decode = \"yolov5\""),
        (
            "yolo-nas",
            vec![fixed("904", &[1, 189, 4], nas_boxes), fixed("913", &[1, 189, 3], nas_scores)],
            vec![NAMES],
            "decode = \"yolo-nas\"",
        ),
        ("yolov5-heads", heads(false), vec![NAMES], "decode = \"yolov5-heads\""),
        ("yolov5-heads flat", heads(true), vec![NAMES], "decode = \"yolov5-heads\""),
        (
            // A quarter turn of a box with width and height exchanged.
            "obb",
            vec![fixed("output0", &[1, 8, 189], columns(189, &obb_rows))],
            vec![NAMES, ("task", "obb")],
            "decode = \"yolov8\"",
        ),
        (
            "obb end-to-end",
            vec![fixed("output0", &[1, 300, 7], list(&one(turned, &[0.9, 1.0], &[FRAC_PI_2]), &[0.0; 7], 300))],
            vec![NAMES, ("task", "obb")],
            "decode = \"end-to-end\"",
        ),
        (
            "detr",
            vec![fixed("logits", &[1, 300, 3], logits), fixed("pred_boxes", &[1, 300, 4], detr_boxes)],
            vec![NAMES],
            "decode = \"detr\"",
        ),
        (
            "d-fine",
            vec![
                Fixed { element: INT64, ..fixed("labels", &[1, 300], vec![1.0; 300]) },
                fixed("boxes", &[1, 300, 4], list(&share(EDGES), &[0.1; 4], 300)),
                fixed("scores", &[1, 300], list(&[0.9], &[0.01], 300)),
            ],
            vec![NAMES],
            "decode = \"d-fine\"",
        ),
        (
            "efficient-nms",
            vec![
                Fixed { element: INT32, ..fixed("num_dets", &[1, 1], vec![1.0]) },
                fixed("det_boxes", &[1, 100, 4], rows(100, &EDGES, &[1.0, 1.0, 90.0, 90.0])),
                fixed("det_scores", &[1, 100], vec![0.9; 100]),
                Fixed { element: INT32, ..fixed("det_classes", &[1, 100], vec![1.0; 100]) },
            ],
            vec![NAMES],
            "decode = \"efficient-nms\"",
        ),
    ]
}

fn entry(name: &str, bytes: &[u8], detector: &str) -> String {
    format!(
        "version = 1\n[[model]]\nname = \"{name}\"\nrole = \"detector\"\nfile = \"{name}.onnx\"\nsha256 = \"{}\"\n\
         picture = {{ resize = \"letterbox\", filter = \"two-tap\", divide_by = 255.0 }}\ndetector = {{ {detector} }}\n",
        jhalak_common::hash::of_bytes(bytes)
    )
}

fn opened(settings: &Settings, name: &str) -> jhalak_common::Result<ObjectDetector> {
    let registry = Registry::load(settings.models.registry.as_deref())?;
    let model = registry.model(name, Role::Detector)?.clone();
    ObjectDetector::open(&Models::open(settings, registry)?, &model)
}

/// Returns label, score and box of the objects in a grey picture of 192 x 96.
fn found(detector: &mut ObjectDetector) -> jhalak_common::Result<Vec<(String, f32, [f32; 4])>> {
    let grey = Picture { width: 192, height: 96, rgb: vec![114; 192 * 96 * 3].into() };
    let objects = detector.detect(&[grey])?.remove(0);
    let labels = detector.how().labels.clone();
    Ok(objects
        .iter()
        .map(|o| {
            (
                labels.name(o.class as usize),
                o.confidence,
                [o.bounds.left, o.bounds.top, o.bounds.right, o.bounds.bottom],
            )
        })
        .collect())
}

/// [`EDGES`] in pixels of the picture, whose letterbox begins at row 24 and has half its size.
const SHOWN: [f32; 4] = [72.0, 12.0, 120.0, 84.0];

fn assert_is(found: &[(String, f32, [f32; 4])], label: &str, shown: [f32; 4], what: &str) {
    let [(name, score, edges)] = found else { panic!("{what}: {found:?}") };
    assert_eq!((name.as_str(), (score * 100.0).round()), (label, 90.0), "{what}");
    let is_near = edges.iter().zip(shown).all(|(a, b)| (a - b).abs() < 0.01);
    assert!(is_near, "{what}: {edges:?}");
}

#[test]
fn each_layout_gives_its_box_and_the_label_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let registry = folder.path().join("models.toml");
    let Some(settings) = settings(folder.path(), Some(registry.clone())) else { return };
    for (name, outputs, metadata, detector) in layouts() {
        let bytes = file(&outputs, &metadata);
        std::fs::write(folder.path().join(format!("{name}.onnx")), &bytes).unwrap();
        std::fs::write(&registry, entry(name, &bytes, detector)).unwrap();
        let mut detector = opened(&settings, name).unwrap_or_else(|e| panic!("{name}: {}", e.chain()));
        let objects = found(&mut detector).unwrap_or_else(|e| panic!("{name}: {}", e.chain()));
        assert_is(&objects, "b", SHOWN, name);
    }
}

#[test]
fn models_add_recognises_each_layout() {
    let folder = tempfile::tempdir().unwrap();
    let Some(settings) = settings(folder.path(), None) else { return };
    for (name, outputs, metadata, section) in layouts() {
        if name == "segment-by-shape" {
            continue;
        }
        let bytes = file(&outputs, &metadata);
        let path = PathBuf::from(format!("{name}.onnx"));
        std::fs::write(folder.path().join(&path), &bytes).unwrap();
        let facts = file_facts::of(&bytes).unwrap();
        let mut suggestion = suggest(&settings, name, path, jhalak_common::hash::of_bytes(&bytes), &facts)
            .unwrap_or_else(|e| panic!("{name}: {}", e.chain()));
        let how = suggestion.model.detector.as_ref().unwrap();
        assert!(section.contains(&format!("\"{}\"", how.decode.name())), "{name}: {:?}", how.decode);
        // DETRs stretch the picture: twice as wide, and as high as the input.
        let is_stretched = suggestion.model.picture.as_ref().is_some_and(|p| p.resize == Resize::Stretch);
        let shown = if is_stretched { [72.0, 30.0, 120.0, 66.0] } else { SHOWN };
        assert_eq!(is_stretched, ["rt-detr", "detr", "d-fine"].contains(&name), "{name}");
        assert_is(&found(&mut suggestion.detector).unwrap(), "b", shown, name);
    }
}

#[test]
fn models_add_refuses_what_it_would_read_wrongly() {
    let folder = tempfile::tempdir().unwrap();
    let Some(settings) = settings(folder.path(), None) else { return };
    let suggested = |outputs: &[Fixed], metadata: &[(&str, &str)]| {
        let bytes = file(outputs, metadata);
        std::fs::write(folder.path().join("odd.onnx"), &bytes).unwrap();
        let (facts, hash) = (file_facts::of(&bytes).unwrap(), jhalak_common::hash::of_bytes(&bytes));
        suggest(&settings, "odd", "odd.onnx".into(), hash, &facts)
    };
    let description = ("description", "Ultralytics RT-DETR-l model");
    for (scores, label) in [([0.9, 0.1], "a"), ([0.1, 0.9], "b")] {
        let mut right =
            suggested(&two_classes(scores), &[TWO, description]).unwrap_or_else(|e| panic!("{}", e.chain()));
        assert_is(&found(&mut right.detector).unwrap(), label, [72.0, 30.0, 120.0, 66.0], "two classes");
        let error = suggested(&two_classes(scores), &[TWO]).err().expect("refused").chain();
        assert!(error.contains("rt-detr"), "{error}");
    }
    let yolov8 = |cells: i64| {
        fixed(
            ["stride8", "stride16", "stride32"][[12, 6, 3].iter().position(|&n| n == cells).unwrap()],
            &[1, 67, cells, cells],
            vec![-3.0; (67 * cells * cells) as usize],
        )
    };
    for (outputs, words) in [
        (shares_of_heads(false), "sigmoid is applied already"),
        (shares_of_heads(true), "sigmoid is applied already"),
        (vec![yolov8(12), yolov8(6), yolov8(3)], "heads of a YOLOv8"),
        (vec![fixed("flat", &[3, 7], flat())], "BATCH_FORMAT"),
    ] {
        let error = suggested(&outputs, &[NAMES]).err().expect("refused").chain();
        assert!(error.contains(words), "{error}");
    }
    let unlike = suggested(
        &[fixed("output", &[1, 189, 8], {
            let mut rows = yolov6_rows();
            rows[12] = 0.5;
            rows
        })],
        &[NAMES],
    );
    let unlike = unlike.unwrap_or_else(|e| panic!("{}", e.chain()));
    assert!(unlike.assumptions.iter().any(|text| text.contains("YOLOX") && text.contains("YOLOv6")), "both are named");
}

#[test]
fn files_that_cannot_be_read_one_way_are_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let registry = folder.path().join("models.toml");
    let Some(settings) = settings(folder.path(), Some(registry.clone())) else { return };
    let of = |name: &str| layouts().into_iter().find(|layout| layout.0 == name).unwrap();
    let logits = columns(189, &rows(189, &one(CENTRE, &[3.0, -4.0, -5.0], &[]), &one(CENTRE, &[-7.0; 3], &[])));
    let outside = columns(
        189,
        &rows(189, &one([320.0, 320.0, 100.0, 100.0], &[0.9, 0.0, 0.0], &[]), &one([320.0; 4], &[0.0; 3], &[])),
    );
    let angles = columns(189, &rows(189, &one(CENTRE, &[0.9, 0.0, 0.0], &[1.2]), &one(CENTRE, &[0.0; 3], &[0.0])));
    let centred = rows(300, &one([48.0, 48.0, 20.0, 20.0], &[0.9, 1.0], &[]), &[0.0; 6]);
    let swapped = rows(300, &one(EDGES, &[1.0, 0.9], &[]), &[0.0; 6]);
    for (outputs, metadata, detector, words) in [
        (of("shares").1, vec![NAMES], "decode = \"yolov8\"", &["within one pixel", "detector.boxes = \"shares\""][..]),
        (of("yolov8").1, vec![NAMES], "decode = \"yolov8\", boxes = \"shares\"", &["detector.boxes = \"pixels\""]),
        (vec![fixed("output0", &[1, 7, 189], logits)], vec![NAMES], "decode = \"yolov8\"", &["-7", "sigmoid"]),
        (
            vec![fixed("output0", &[1, 7, 189], outside)],
            vec![NAMES],
            "decode = \"yolov8\"",
            &["far outside", "96 x 96"],
        ),
        (
            vec![fixed("output0", &[1, 8, 189], angles)],
            vec![NAMES],
            "decode = \"yolov8\"",
            &["OBB", "detector.task = \"obb\""],
        ),
        (of("yolov5-heads").1, vec![NAMES], "decode = \"yolov5\"", &["detector.decode = \"yolov5-heads\""]),
        (of("yolov5-heads").1, vec![], "decode = \"yolov5-heads\", labels = [\"a\"]", &["detector.labels"]),
        (shares_of_heads(false), vec![NAMES], "decode = \"yolov5-heads\"", &["sigmoid is applied already"]),
        (shares_of_heads(true), vec![NAMES], "decode = \"yolov5-heads\"", &["sigmoid is applied already"]),
        (of("yolov6").1, vec![NAMES], "decode = \"yolox-decoded\"", &["exactly 1", "detector.decode = \"yolov5\""]),
        (
            two_classes([0.9, 0.1]),
            vec![TWO],
            "decode = \"end-to-end\", boxes = \"shares\"",
            &["not a whole", "rt-detr"],
        ),
        (
            two_classes([0.1, 0.9]),
            vec![TWO],
            "decode = \"end-to-end\", boxes = \"shares\"",
            &["not a whole", "rt-detr"],
        ),
        (vec![fixed("flat", &[3, 7], flat())], vec![NAMES], "decode = \"end-to-end\"", &["YOLO-NAS", "BATCH_FORMAT"]),
        (
            of("yolov5-heads").1,
            vec![NAMES],
            "decode = \"yolov5-heads\", anchors = [[10.0, 13.0]]",
            &["lists 1 grids, but the file has 3"],
        ),
        (of("d-fine").1, vec![NAMES], "decode = \"end-to-end\"", &["detector.decode = \"d-fine\""]),
        (of("detr").1, vec![NAMES], "decode = \"rt-detr\"", &["looks like `detr`"]),
        (vec![fixed("output0", &[1, 300, 6], centred)], vec![NAMES], "decode = \"end-to-end\"", &["centre and size"]),
        (
            vec![fixed("output0", &[1, 300, 6], swapped)],
            vec![NAMES],
            "decode = \"end-to-end\"",
            &["not a whole number"],
        ),
        (
            of("pose").1,
            of("pose").2,
            "decode = \"yolov8\", labels = \"coco\"",
            &["detector.labels is `coco`", "names 1 class (b)"],
        ),
        (of("efficient-nms").1, vec![NAMES], "decode = \"yolov8\"", &["looks like `efficient-nms`"]),
        (of("yolo-nas").1, vec![NAMES], "decode = \"yolov8\"", &["looks like `yolo-nas`"]),
        (
            of("end-to-end").1,
            vec![NAMES],
            "decode = \"end-to-end\", labels = \"coco\"",
            &["detector.labels is `coco`", "a, b, c's"],
        ),
        (of("yolov8").1, vec![NAMES, ("stride", "64")], "decode = \"yolov8\"", &["stride 64", "picture.width"]),
    ] {
        let bytes = file(&outputs, &metadata);
        std::fs::write(folder.path().join("odd.onnx"), &bytes).unwrap();
        std::fs::write(&registry, entry("odd", &bytes, detector)).unwrap();
        let registry = Registry::load(settings.models.registry.as_deref()).unwrap();
        let model = registry.models[0].clone();
        // `models verify`, `doctor` and a worker's start say it before the first trailer.
        let error = trial::try_model(&Models::open(&settings, registry).unwrap(), &model).err();
        let error = error.unwrap_or_else(|| panic!("{detector} with {metadata:?} was taken")).chain();
        assert!(words.iter().all(|word| error.contains(word)), "{detector}: {error}");
    }
}

#[test]
fn newer_files_and_attention_masks_are_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let registry = folder.path().join("models.toml");
    let Some(settings) = settings(folder.path(), Some(registry.clone())) else { return };
    let vectors = fixed("vectors", &[1, 10, 4], vec![0.0; 40]);
    let mut model = Model::decode(&file(&[vectors], &[])[..]).unwrap();
    let refused = |model: &Model| {
        let bytes = model.encode_to_vec();
        std::fs::write(folder.path().join("sound.onnx"), &bytes).unwrap();
        let entry = format!(
            "version = 1\n[[model]]\nname = \"sound\"\nrole = \"audio-embedding\"\nfile = \"sound.onnx\"\nsha256 = \"{}\"\n\
             waveform = {{ sample_rate_hz = 16000, frame_samples = 400, hop_samples = 320 }}\n",
            jhalak_common::hash::of_bytes(&bytes)
        );
        std::fs::write(&registry, entry).unwrap();
        let registry = Registry::load(settings.models.registry.as_deref()).unwrap();
        let entry = registry.models[0].clone();
        Models::open(&settings, registry).unwrap().session(&entry).err().map(|e| e.chain()).unwrap_or_default()
    };
    let graph = model.graph.as_mut().unwrap();
    graph.input.push(value("attention_mask", INT64, &[1, 3]));
    let error = refused(&model);
    for words in ["`attention_mask`", "nothing here is padded", "first input alone"] {
        assert!(error.contains(words), "{error}");
    }
    model.ir_version = 99;
    let error = refused(&model);
    for words in ["IR version 99", "takes up to", "m.ir_version = ", "models.onnxruntime"] {
        assert!(error.contains(words), "{error}");
    }
    (model.ir_version, model.opset_import[0].version) = (IR_VERSION, 999);
    let error = refused(&model);
    assert!(error.contains("opset 999") && error.contains("opset_version=17"), "{error}");
}

/// The folder of a case in ../shared/cases; prints why the test is skipped if it is missing.
fn case(name: &str) -> Option<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = above.map(|a| a.join("shared/cases").join(name)).find(|folder| folder.is_dir());
    if found.is_none() {
        println!("skipped: no ../shared/cases/{name} here");
    }
    found
}

fn case_settings(name: &str, change: impl Fn(&str) -> String) -> Option<(Settings, tempfile::TempDir)> {
    let folder = case(name)?;
    let scratch = tempfile::tempdir().unwrap();
    let registry = scratch.path().join("models.toml");
    std::fs::write(&registry, change(&std::fs::read_to_string(folder.join("models.toml")).unwrap())).unwrap();
    Some((settings(&folder, Some(registry))?, scratch))
}

/// Returns the objects that a model of a case finds in its picture of 640 x 320.
fn in_case(settings: &Settings, name: &str) -> jhalak_common::Result<Vec<(String, f32, [f32; 4])>> {
    let grey = Picture { width: 640, height: 320, rgb: vec![114; 640 * 320 * 3].into() };
    let mut detector = opened(settings, name)?.with(Thresholds { score: 0.25, overlap: 0.45 });
    let objects = detector.detect(&[grey])?.remove(0);
    let labels = detector.how().labels.clone();
    let edges = |o: &jhalak_media::Object| [o.bounds.left, o.bounds.top, o.bounds.right, o.bounds.bottom];
    Ok(objects.iter().map(|o| (labels.name(o.class as usize), o.confidence, edges(o))).collect())
}

#[test]
fn reported_boxes_in_shares_are_refused_and_read_with_the_setting() {
    let name = "yolo-normalised-boxes";
    let Some((plain, _kept)) = case_settings(name, str::to_owned) else { return };
    let error = in_case(&plain, "norm8").unwrap_err().chain();
    assert!(error.contains("detector.boxes = \"shares\""), "{error}");
    let error = in_case(&plain, "rtdetr84").unwrap_err().chain();
    assert!(error.contains("names 1 class (person)") && error.contains("state detector.labels"), "{error}");
    let shares = |text: &str| text.replace("\"yolov8\" }", "\"yolov8\", labels = \"coco\", boxes = \"shares\" }");
    let Some((stated, _kept)) = case_settings(name, shares) else { return };
    for (model, shown) in [("norm8", [240.0, 0.0, 400.0, 320.0]), ("rtdetr84", [240.0, 80.0, 400.0, 240.0])] {
        let objects = in_case(&stated, model).unwrap_or_else(|e| panic!("{model}: {}", e.chain()));
        let edges = objects[0].2;
        assert!(objects.len() == 1 && edges.iter().zip(shown).all(|(a, b)| (a - b).abs() < 0.1), "{model} {objects:?}");
    }
}

#[test]
fn reported_pose_and_segmentation_models_give_boxes_and_their_own_names() {
    let Some((settings, _kept)) = case_settings("yolo-pose-segment", str::to_owned) else { return };
    for (model, label) in [("pose", "person"), ("seg", "c"), ("segout", "c")] {
        let objects = in_case(&settings, model).unwrap_or_else(|e| panic!("{model}: {}", e.chain()));
        let is_right = |o: &(String, f32, [f32; 4])| o.0.starts_with(label) && o.1 <= 1.0;
        assert!(!objects.is_empty() && objects.iter().all(is_right), "{model}: {objects:?}");
        println!("{model}: {objects:?}");
    }
    for (model, count) in [("pose52", "52"), ("seg112", "112")] {
        let error = in_case(&settings, model).unwrap_err().chain();
        assert!(error.contains(count) && error.contains("the file's metadata names"), "{error}");
    }
    let Some((own, _kept)) = case_settings("yolo-own-names", str::to_owned) else { return };
    let objects = in_case(&own, "own80").unwrap();
    assert!(!objects.is_empty() && objects.iter().all(|o| o.0.starts_with("part_")), "{objects:?}");
    let coco = |text: &str| text.replace("\"yolov8\" }", "\"yolov8\", labels = \"coco\" }");
    let Some((coco, _kept)) = case_settings("yolo-own-names", coco) else { return };
    let error = in_case(&coco, "own80").unwrap_err().chain();
    assert!(error.contains("part_0, part_1"), "{error}");
}
