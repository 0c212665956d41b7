//! Tries models before they are used: loads each, and runs a detector on a picture, so that an
//! entry that does not fit its file is an error at the start of a run and not at its first trailer.

use jhalak_common::Result;
use jhalak_common::models::{Model, Role};
use jhalak_common::settings::Settings;

use super::detector::ObjectDetector;
use crate::inference::Models;
use jhalak_media::picture::Picture;

/// Loads `model`, compares its file with its entry and, for a detector, holds its answer for a
/// picture to what it means. Returns what the entry and the file state differently.
///
/// # Errors
/// Those of [`Models::session`], [`ObjectDetector::open`] and [`ObjectDetector::detect`].
pub fn try_model(models: &Models, model: &Model) -> Result<Vec<String>> {
    if model.role != Role::Detector {
        return models.session(model).map(|_| Vec::new());
    }
    let mut detector = ObjectDetector::open(models, model)?;
    detector.detect(&[picture()])?;
    Ok(detector.notes().to_vec())
}

/// Tries the models that the settings select, and logs the notes on them.
///
/// # Errors
/// Those of [`try_model`].
pub fn try_chosen(models: &Models, settings: &Settings) -> Result<()> {
    for model in models.chosen(settings)? {
        for note in try_model(models, model)? {
            tracing::warn!(model = %model.name, "{note}");
        }
    }
    Ok(())
}

/// Returns a picture for a trial: a disc before a gradient.
pub fn picture() -> Picture {
    let (width, height) = (480u32, 360u32);
    let mut rgb = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            let (dx, dy) = (x.abs_diff(width / 2), y.abs_diff(height / 2));
            let pixel = match dx * dx + dy * dy < (height / 4).pow(2) {
                true => [220, 40, 60],
                false => [(x * 255 / width) as u8, (y * 255 / height) as u8, ((x / 16 + y / 16) % 2 * 200) as u8],
            };
            rgb.extend(pixel);
        }
    }
    Picture { width, height, rgb: rgb.into() }
}
