//! Draws boxes with their labels into a picture.

use jhalak_common::models::Labels;
use jhalak_media::detector::Object;
use jhalak_media::picture::Picture;
use jhalak_media::picture::boxes::{self, LabelledBox};

/// Draws `objects` into `picture`, the first, with the highest score, on top.
pub fn draw(picture: &mut Picture, objects: &[Object], labels: &Labels) {
    let labelled: Vec<LabelledBox> = objects
        .iter()
        .map(|object| LabelledBox {
            bounds: object.bounds,
            label: format!("{} {:.2}", labels.name(object.class as usize), object.confidence),
            class: object.class,
        })
        .collect();
    boxes::draw(picture, &labelled);
}
