//! The metadata that exporters write into a detector's file: task, names of the classes, input size
//! and stride. The keys and values are those of Ultralytics.

use std::collections::BTreeMap;

use jhalak_common::models::{COCO, DetectorTask};
use jhalak_common::{Error, Result};

/// The metadata of a detector's file, as far as it is understood.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    /// The task.
    pub task: Option<DetectorTask>,
    /// The names of the classes, in the model's order.
    pub names: Option<Vec<String>>,
    /// Whether there are names that cannot be read.
    pub has_odd_names: bool,
    /// Values per box that hold keypoints.
    pub keypoint_values: Option<usize>,
    /// Width and height of the input.
    pub size: Option<(u32, u32)>,
    /// The largest distance of grid cells in pixels: width and height must be multiples of it.
    pub stride: Option<u32>,
    /// Whether the file chooses the boxes itself: score and class follow the box.
    pub is_end_to_end: bool,
    /// Whether the head is RT-DETR's.
    pub is_rt_detr: bool,
}

impl Metadata {
    /// Reads the metadata of a file.
    ///
    /// # Errors
    /// InvalidInput if the file was exported for a task whose output is not read.
    pub fn of(properties: &BTreeMap<String, String>) -> Result<Metadata> {
        let text = |key: &str| properties.get(key).map(|text| text.trim());
        let task = match text("task") {
            None => None,
            Some("detect") => Some(DetectorTask::Detect),
            Some("pose") => Some(DetectorTask::Pose),
            Some("segment") => Some(DetectorTask::Segment),
            Some("obb") => Some(DetectorTask::Obb),
            Some("classify") => {
                return Err(Error::invalid(
                    "it is a classifier (task `classify` in the file's metadata) and returns no boxes: export a model of the task `detect`",
                ));
            }
            Some(other) => {
                return Err(Error::invalid(format!(
                    "its metadata states the task `{}`, but only detect, pose, segment and obb are read",
                    other.escape_default()
                )));
            }
        };
        let names = text("names").map(names);
        let whole = |key: &str| text(key).map(numbers).unwrap_or_default();
        let size = match whole("imgsz")[..] {
            [height, width] => Some((width, height)),
            [side] => Some((side, side)),
            _ => None,
        };
        let keypoints = whole("kpt_shape");
        Ok(Metadata {
            task,
            has_odd_names: names.as_ref().is_some_and(Option::is_none),
            names: names.flatten(),
            keypoint_values: (keypoints.len() == 2).then(|| keypoints.iter().map(|&n| n as usize).product()),
            size: size.filter(|&(width, height)| (1..=4_096).contains(&width) && (1..=4_096).contains(&height)),
            stride: whole("stride").into_iter().max().filter(|stride| (1..=1_024).contains(stride)),
            is_end_to_end: text("end2end").is_some_and(|value| value.eq_ignore_ascii_case("true")),
            is_rt_detr: text("head").is_some_and(|head| head.starts_with("RTDETR"))
                || text("description").is_some_and(describes_rt_detr),
        })
    }
}

/// Whether a description is that of an RT-DETR: "Ultralytics RT-DETR-l model trained on x.yaml".
/// Exports before Ultralytics 8.4 do not state their head. The name of the dataset does not count.
fn describes_rt_detr(description: &str) -> bool {
    let model = description.to_ascii_lowercase().replace(['-', '_', ' '], "");
    let model = model.split("trainedon").next().unwrap_or_default();
    model.contains("rtdetr")
}

/// Whether these are COCO's classes, in any of their usual spellings (`tv`, `tvmonitor`).
pub fn are_coco(names: &[String]) -> bool {
    let same = names.iter().zip(COCO).filter(|(name, coco)| name.eq_ignore_ascii_case(coco)).count();
    names.len() == COCO.len() && same * 10 >= COCO.len() * 9
}

/// Returns the whole numbers in a text such as `[640, 640]`.
fn numbers(text: &str) -> Vec<u32> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).take(8).collect()
}

/// Parses names: `{0: 'person', 1: "child's seat"}` or `['person']`, as Python prints them, or
/// JSON. Returns none unless they are numbered 0, 1, 2, ...
fn names(text: &str) -> Option<Vec<String>> {
    let mut rest = Literal(text);
    let is_map = match rest.next()? {
        '{' => true,
        '[' => false,
        _ => return None,
    };
    let close = if is_map { '}' } else { ']' };
    let mut found = BTreeMap::new();
    while rest.peek()? != close {
        let index = match is_map {
            true => rest.index()?,
            false => found.len(),
        };
        if found.insert(index, rest.string()?).is_some() || found.len() > 10_000 {
            return None;
        }
        match rest.next()? {
            ',' => {}
            other if other == close => return finish(found),
            _ => return None,
        }
    }
    finish(found)
}

fn finish(found: BTreeMap<usize, String>) -> Option<Vec<String>> {
    let is_complete = !found.is_empty() && found.keys().copied().eq(0..found.len());
    is_complete.then(|| found.into_values().collect())
}

/// The rest of a literal.
struct Literal<'a>(&'a str);

impl Literal<'_> {
    fn peek(&mut self) -> Option<char> {
        self.0 = self.0.trim_start();
        self.0.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let found = self.peek()?;
        self.0 = &self.0[found.len_utf8()..];
        Some(found)
    }

    /// A number, quoted or not, and the colon after it.
    fn index(&mut self) -> Option<usize> {
        let digits = match self.peek()? {
            '\'' | '"' => self.string()?,
            _ => {
                let end = self.0.find(|c: char| !c.is_ascii_digit())?;
                let digits = self.0[..end].to_owned();
                self.0 = &self.0[end..];
                digits
            }
        };
        (self.next()? == ':').then(|| digits.parse().ok()).flatten()
    }

    fn string(&mut self) -> Option<String> {
        let quote = self.next().filter(|c| "'\"".contains(*c))?;
        let mut found = String::new();
        let mut chars = self.0.chars();
        loop {
            match chars.next()? {
                c if c == quote => break,
                '\\' => match chars.next()? {
                    'n' => found.push('\n'),
                    't' => found.push('\t'),
                    'x' => found.push(code(&mut chars, 2)?),
                    'u' => found.push(code(&mut chars, 4)?),
                    'U' => found.push(code(&mut chars, 8)?),
                    other => found.push(other),
                },
                c => found.push(c),
            }
        }
        self.0 = chars.as_str();
        Some(found)
    }
}

fn code(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let text: String = chars.take(digits).collect();
    char::from_u32(u32::from_str_radix(&text, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(pairs: &[(&str, &str)]) -> Result<Metadata> {
        Metadata::of(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn names_are_read_as_python_and_json_write_them() {
        for (text, expected) in [
            ("{0: 'person', 1: \"child's seat\"}", Some(&["person", "child's seat"][..])),
            ("{\"0\": \"a\", \"1\": \"b\"}", Some(&["a", "b"])),
            ("['caf\\xe9', 'it\\'s',]", Some(&["caf\u{e9}", "it's"])),
            ("{1: 'b', 0: 'a'}", Some(&["a", "b"])),
            ("{0: 'a', 2: 'c'}", None),
            ("{0: 'a'", None),
            ("{}", None),
            ("person, dog", None),
            ("{0: {'x': 1}}", None),
        ] {
            let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
            assert_eq!(names(text), expected, "{text}");
        }
    }

    #[test]
    fn task_size_and_stride_are_read_and_other_tasks_are_refused() {
        let found = metadata(&[("task", "pose"), ("imgsz", "[384, 640]"), ("stride", "32"), ("kpt_shape", "[17, 3]")])
            .expect("metadata");
        assert_eq!((found.task, found.size), (Some(DetectorTask::Pose), Some((640, 384))));
        assert_eq!((found.stride, found.keypoint_values), (Some(32), Some(51)));
        assert_eq!(metadata(&[]).expect("nothing"), Metadata::default());
        assert_eq!(metadata(&[("task", "obb")]).expect("a task").task, Some(DetectorTask::Obb));
        for (description, expected) in [
            ("Ultralytics RT-DETR-l model", true),
            ("Ultralytics rtdetr-x model trained on coco.yaml", true),
            ("Ultralytics YOLO11n model trained on rtdetr-data.yaml", false),
        ] {
            let found = metadata(&[("description", description)]).expect("a description");
            assert_eq!(found.is_rt_detr, expected, "{description}");
        }
        for (task, expected) in [("classify", "classifier"), ("depth", "`depth`")] {
            let error = metadata(&[("task", task)]).expect_err("refused").chain();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn coco_is_recognised_in_its_older_spelling() {
        let mut names: Vec<String> = COCO.iter().map(|name| (*name).to_owned()).collect();
        (names[62], names[57]) = ("tvmonitor".into(), "sofa".into());
        assert!(are_coco(&names));
        assert!(!are_coco(&names[1..]));
        names.rotate_left(1);
        assert!(!are_coco(&names));
    }
}
