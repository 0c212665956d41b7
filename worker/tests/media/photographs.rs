//! JPEG and other images have the pixels that OpenCV reads (`golden/photograph_golden.py`); damaged
//! ones are reported.

use jhalak_common::hash;
use jhalak_worker::media::decode::{Hooks, run_with};
use jhalak_worker::media::frame_visitor::{FramePosition, FrameVisitor};
use jhalak_worker::media::picture::Picture;
use jhalak_worker::media::{DecodeReport, DecodeRequest, FrameSettings, MediaError};
use serde_json::Value;
use std::path::Path;

/// Keeps every frame.
#[derive(Default)]
struct Keeps(Vec<(FramePosition, Picture)>);

impl FrameVisitor for Keeps {
    fn visit(&mut self, position: FramePosition, picture: Picture) -> Result<(), MediaError> {
        self.0.push((position, picture));
        Ok(())
    }
}

fn look(file: &Path) -> Result<(DecodeReport, Keeps), MediaError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut request = DecodeRequest::new("photograph", file, folder.path());
    request.frames = Some(FrameSettings { stride: 1 });
    let mut seen = Keeps::default();
    let report = run_with(&request, &mut |_, _| {}, Hooks { visitor: Some(&mut seen), ..Hooks::default() })?;
    Ok((report, seen))
}

#[test]
fn images_have_the_pixels_and_the_rotation_of_opencv() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/photographs");
    let golden = std::fs::read(folder.join("photographs.json")).expect("golden answers");
    let golden: Value = serde_json::from_slice(&golden).expect("JSON");
    let photographs = golden["photographs"].as_object().expect("an object");
    assert_eq!(photographs.len(), 7);
    for (name, due) in photographs {
        let (report, seen) = look(&folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let [(position, picture)] = seen.0.as_slice() else { panic!("{name}: {} pictures", seen.0.len()) };
        assert_eq!((position.frame, report.is_picture, report.errors), (0, true, 0), "{name}");
        assert_eq!(
            (Value::from(picture.width), Value::from(picture.height)),
            (due["width"].clone(), due["height"].clone()),
            "{name}"
        );
        assert_eq!(hash::of_bytes(&picture.rgb).to_string(), due["sha256"], "{name}");
    }
}

#[test]
fn a_truncated_image_is_reported() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/photographs/420.jpg");
    let bytes = std::fs::read(whole).expect("a photograph");
    let cut = folder.path().join("cut.jpg");
    for length in [bytes.len() / 2, bytes.len() - 40] {
        std::fs::write(&cut, &bytes[..length]).expect("room on disk");
        match look(&cut) {
            Ok((report, seen)) => assert!(report.errors > 0 && seen.0.len() == 1, "{length} bytes: {report:?}"),
            Err(error) => panic!("{length} bytes: {error}"),
        }
    }
}
