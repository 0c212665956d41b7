//! Output layouts of detectors: where boxes, scores and classes are.

use serde::{Deserialize, Serialize};

use super::coco::COCO;
use crate::error::{Error, Result};

/// How a detector's output becomes objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorOutput {
    /// The output layout.
    pub decode: Decode,
    /// The unit of the boxes. Default: shares for `rt-detr`, `rt-detr-chosen` and `detr`, pixels
    /// for all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes: Option<BoxUnit>,
    /// The task that the file was exported for. Default: the file's metadata or shapes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<DetectorTask>,
    /// The names of the classes, in the model's order. Default: those of the file's metadata, else
    /// COCO's.
    #[serde(default, skip_serializing_if = "Labels::is_unstated")]
    pub labels: Labels,
    /// Pixels of the input from one grid cell to the next, for each grid in the order of the
    /// output; for layouts with grids.
    #[serde(default = "strides")]
    pub strides: Vec<u32>,
    /// Width and height of the anchors of each grid in pixels of the input, finest grid first; for
    /// `yolov5-heads`. Default: those of YOLOv5 with three or four grids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anchors: Vec<Vec<f32>>,
    /// The reference point of distances within a cell, in cells; for `nanodet`.
    #[serde(default = "cell_point")]
    pub cell_point: f32,
    /// The default threshold: objects with at most this score are left out.
    #[serde(default = "threshold")]
    pub threshold: f32,
    /// The NMS threshold: of two boxes of one class whose intersection over union is larger, the
    /// one with the lower score is left out.
    #[serde(default = "nms")]
    pub nms: f32,
    /// Maximum number of objects per picture; those with the highest scores are kept.
    #[serde(default = "max_objects")]
    pub max_objects: usize,
}

/// The output layout of a detector: A rows (or columns), each one box. Boxes are in pixels of the
/// input, as centre, width and height unless stated otherwise. `[N, A, 4 + C]` and `[N, 4 + C, A]`
/// are distinguished by the number C of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decode {
    /// Box, objectness, one score per class; score = objectness x class. YOLOv5, YOLOv6 and YOLOv7
    /// exports: 1 x 25200 x 85.
    Yolov5,
    /// Box, one score per class. YOLOv8, YOLOv9, YOLO11, YOLO12 exports: 1 x 84 x 8400.
    #[serde(alias = "yolov9", alias = "yolo11", alias = "yolo12")]
    Yolov8,
    /// As `yolov8` in rows, without NMS; boxes are shares of the input. RT-DETR as Ultralytics
    /// exports it before 8.4: 1 x 300 x 84.
    #[serde(alias = "rtdetr")]
    RtDetr,
    /// Centre, width and height as shares of the input, score, class, of the most probable pairs of
    /// box and class. RT-DETR as Ultralytics exports it since 8.4: 1 x 300 x 6.
    RtDetrChosen,
    /// As `yolov5`, boxes relative to their cell: (xy + cell) x stride, exp(wh) x stride. YOLOX
    /// exports: 1 x 3549 x 85.
    Yolox,
    /// YOLOX exported with decoding included.
    YoloxDecoded,
    /// One score per class, then for each side a distribution over its distance from the reference
    /// point in strides. NanoDet.
    Nanodet,
    /// Left, top, right, bottom, score, class, after NMS. YOLOv10, YOLO26, exports with NMS
    /// included: 1 x 300 x 6. Rows of seven are picture, left, top, right, bottom, class, score, as
    /// YOLOv7 exports them.
    #[serde(alias = "yolov10", alias = "yolo26")]
    EndToEnd,
    /// Two outputs: left, top, right, bottom (1 x 8400 x 4), and one score per class
    /// (1 x 8400 x 80). YOLO-NAS.
    YoloNas,
    /// The heads of a YOLOv5 or YOLOv7 before decoding: for each grid 1 x 3 x 80 x 80 x 85, or
    /// 1 x 255 x 80 x 80; see [`DetectorOutput::anchors`].
    Yolov5Heads,
    /// Two outputs: logits (1 x 300 x 80) and boxes as shares (1 x 300 x 4). The most probable
    /// pairs of box and class are the objects. RT-DETR and D-FINE as Hugging Face Optimum exports
    /// them.
    Detr,
    /// Three outputs, after selection: labels (1 x 300), left, top, right, bottom (1 x 300 x 4) and
    /// scores (1 x 300), and a second input `orig_target_sizes`, which gets the size of the first.
    /// D-FINE, DEIM and RT-DETR as their own projects export them.
    #[serde(alias = "dfine", alias = "deim", alias = "rt-detrv2")]
    DFine,
    /// Four outputs, after NMS: number of boxes (1 x 1), left, top, right, bottom (1 x 100 x 4),
    /// scores (1 x 100) and classes (1 x 100). TensorRT's EfficientNMS plugin and its ONNX twins.
    EfficientNms,
}

/// The unit of a detector's boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoxUnit {
    /// Pixels of the input.
    Pixels,
    /// Shares of the input's width and height, 0 to 1.
    Shares,
}

impl BoxUnit {
    /// Returns the name used in the registry.
    pub fn name(self) -> &'static str {
        match self {
            BoxUnit::Pixels => "pixels",
            BoxUnit::Shares => "shares",
        }
    }
}

/// The task that a detector's file was exported for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DetectorTask {
    /// Boxes alone.
    Detect,
    /// Boxes and, after the scores, keypoints, which are ignored.
    Pose,
    /// Boxes and, after the scores, coefficients of masks, which are ignored.
    Segment,
    /// Rotated boxes: after the scores an angle in radians. Their upright bounds are read.
    Obb,
}

impl DetectorTask {
    /// Returns the name used in the registry.
    pub fn name(self) -> &'static str {
        match self {
            DetectorTask::Detect => "detect",
            DetectorTask::Pose => "pose",
            DetectorTask::Segment => "segment",
            DetectorTask::Obb => "obb",
        }
    }
}

impl Decode {
    /// Returns the name used in the registry.
    pub fn name(self) -> &'static str {
        match self {
            Decode::Yolov5 => "yolov5",
            Decode::Yolov8 => "yolov8",
            Decode::Yolox => "yolox",
            Decode::YoloxDecoded => "yolox-decoded",
            Decode::Nanodet => "nanodet",
            Decode::EndToEnd => "end-to-end",
            Decode::RtDetr => "rt-detr",
            Decode::RtDetrChosen => "rt-detr-chosen",
            Decode::YoloNas => "yolo-nas",
            Decode::EfficientNms => "efficient-nms",
            Decode::Yolov5Heads => "yolov5-heads",
            Decode::Detr => "detr",
            Decode::DFine => "d-fine",
        }
    }

    /// Returns the layout of the rows that outputs of this layout are joined to.
    pub fn joined(self) -> Decode {
        match self {
            Decode::Yolov5Heads => Decode::Yolov5,
            Decode::Detr | Decode::DFine => Decode::EndToEnd,
            one => one,
        }
    }

    /// Whether the boxes are final: no NMS follows.
    pub fn is_final(self) -> bool {
        match self {
            Decode::EndToEnd | Decode::RtDetr | Decode::RtDetrChosen => true,
            Decode::EfficientNms | Decode::Detr | Decode::DFine => true,
            Decode::Yolov5 | Decode::Yolov8 | Decode::Yolox | Decode::YoloxDecoded => false,
            Decode::Nanodet | Decode::YoloNas | Decode::Yolov5Heads => false,
        }
    }

    /// Whether the output's rows are the cells of grids, so that their number follows from the
    /// input's size.
    pub fn has_grids(self) -> bool {
        matches!(self, Decode::Yolox | Decode::Nanodet)
    }
}

/// The names of a detector's classes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Labels {
    /// Not stated: those of the file's metadata, else COCO's.
    #[default]
    Unstated,
    /// A known set of names: `coco`.
    Named(String),
    /// A list of names.
    List(Vec<String>),
}

impl Labels {
    /// Whether the entry states none.
    fn is_unstated(&self) -> bool {
        *self == Labels::Unstated
    }

    /// Whether these are COCO's, as far as the entry says.
    pub fn is_coco(&self) -> bool {
        match self {
            Labels::Unstated | Labels::Named(_) => true,
            Labels::List(names) => names.iter().eq(COCO.iter()),
        }
    }

    /// Returns their number.
    pub fn count(&self) -> usize {
        match self {
            Labels::Unstated | Labels::Named(_) => COCO.len(),
            Labels::List(names) => names.len(),
        }
    }

    /// Returns the name of `class`, or its number if it has no name.
    pub fn name(&self, class: usize) -> String {
        let name = match self {
            Labels::Unstated | Labels::Named(_) => COCO.get(class).copied(),
            Labels::List(names) => names.get(class).map(String::as_str),
        };
        name.map_or_else(|| class.to_string(), str::to_owned)
    }
}

impl DetectorOutput {
    pub(super) fn check(&self) -> Result<()> {
        let require = |valid: bool, message: String| if valid { Ok(()) } else { Err(Error::invalid(message)) };
        match &self.labels {
            Labels::Named(set) if set != "coco" => {
                return Err(Error::invalid(format!(
                    "detector.labels is `{set}`, but the only known set is `coco`: give a list of names for others"
                )));
            }
            labels => {
                require((1..=10_000).contains(&labels.count()), "detector.labels must hold 1 to 10000 names".into())?
            }
        }
        if self.decode.has_grids() && self.boxes == Some(BoxUnit::Shares) {
            return Err(Error::invalid(format!(
                "detector.boxes is `shares`, but boxes of `{}` are relative to cells: remove detector.boxes",
                self.decode.name()
            )));
        }
        let share = |value: f32| (0.0..=1.0).contains(&value);
        require(share(self.threshold), format!("detector.threshold is {} and must be 0 to 1", self.threshold))?;
        require(share(self.nms), format!("detector.nms is {} and must be 0 to 1", self.nms))?;
        require(share(self.cell_point), format!("detector.cell_point is {} and must be 0 to 1", self.cell_point))?;
        require(
            (1..=100_000).contains(&self.max_objects),
            format!("detector.max_objects is {} and must be 1 to 100000", self.max_objects),
        )?;
        require(
            (1..=16).contains(&self.strides.len()) && self.strides.iter().all(|s| (1..=1024).contains(s)),
            format!("detector.strides is {:?} and must be 1 to 16 numbers from 1 to 1024", self.strides),
        )
    }

    /// Returns the unit of the boxes.
    pub fn box_unit(&self) -> BoxUnit {
        let are_shares = matches!(self.decode, Decode::RtDetr | Decode::RtDetrChosen | Decode::Detr);
        let usual = if are_shares { BoxUnit::Shares } else { BoxUnit::Pixels };
        self.boxes.unwrap_or(usual)
    }

    /// Returns the number of cells of all grids over an input of this size.
    pub fn cells(&self, width: u32, height: u32) -> usize {
        self.strides.iter().map(|&s| width.div_ceil(s) as usize * height.div_ceil(s) as usize).sum()
    }
}

fn strides() -> Vec<u32> {
    vec![8, 16, 32]
}

fn cell_point() -> f32 {
    0.5
}

fn threshold() -> f32 {
    0.25
}

fn nms() -> f32 {
    0.45
}

fn max_objects() -> usize {
    300
}
