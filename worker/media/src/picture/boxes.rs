//! Boxes with labels in a picture.

use super::{Picture, text};
use crate::bounds::Bounds;

/// A box and its label.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledBox {
    /// The box in pixels of the picture.
    pub bounds: Bounds,
    /// The label.
    pub label: String,
    /// The class, which decides the color.
    pub class: u32,
}

/// Places down from the top of a box that are tried for its label.
const MAX_STEPS: usize = 8;

/// Draws boxes, the first one on top. Strokes and letters scale with the picture. No label covers
/// another one: where no side of its box has room, it is left out.
pub fn draw(picture: &mut Picture, boxes: &[LabelledBox]) {
    let short = picture.width.min(picture.height) as usize;
    let (stroke, size) = ((short / 220).max(1), (short as f32 / 24.0).clamp(10.0, 96.0));
    let (width, height) = (picture.width as usize, picture.height as usize);
    for one in boxes.iter().rev() {
        let [left, top, right, bottom] = edges(one.bounds, width, height);
        let color = color_of(one.class);
        fill(picture, [left, top, right, top + stroke], color);
        fill(picture, [left, bottom.saturating_sub(stroke), right, bottom], color);
        fill(picture, [left, top, left + stroke, bottom], color);
        fill(picture, [right.saturating_sub(stroke), top, right, bottom], color);
    }
    let mut taken: Vec<[usize; 4]> = Vec::new();
    for one in boxes {
        let (pad, line) = ((size / 6.0) as usize + 1, (size * 1.2) as usize);
        let extent = [text::width(&one.label, size) + 2 * pad, line];
        let Some(place) = place(edges(one.bounds, width, height), extent, [width, height], &taken) else { continue };
        fill(picture, place, color_of(one.class));
        text::draw(picture, &one.label, [place[0] + pad, place[1]], size, place[2], [255; 3]);
        taken.push(place);
    }
}

/// Returns left, upper, right and lower edge inside the picture.
fn edges(bounds: Bounds, width: usize, height: usize) -> [usize; 4] {
    let edge = |value: f32, end: usize| (value.max(0.0).round() as usize).min(end);
    [edge(bounds.left, width), edge(bounds.top, height), edge(bounds.right, width), edge(bounds.bottom, height)]
}

/// Returns where a label of this extent is free: above the box, inside at its top, below it, inside
/// at its bottom or further down from its top, from the left or from the right edge.
fn place(
    [left, top, right, bottom]: [usize; 4],
    [wide, high]: [usize; 2],
    [width, height]: [usize; 2],
    taken: &[[usize; 4]],
) -> Option<[usize; 4]> {
    // A label that is wider than the picture begins at its left edge.
    let room = width.saturating_sub(wide);
    let lefts = [left.min(room), right.saturating_sub(wide).min(room)];
    let tops = [top.checked_sub(high), Some(top), Some(bottom), bottom.checked_sub(high)];
    let further = (1..=MAX_STEPS).map(|step| top + step * high).take_while(|place| place + high <= bottom);
    let places = tops
        .into_iter()
        .flatten()
        .chain(further)
        .flat_map(|top| lefts.map(|left| [left, top, left + wide, top + high]));
    let inside = |place: &[usize; 4]| place[3] <= height;
    let apart = |a: &[usize; 4], b: &[usize; 4]| a[2] <= b[0] || a[0] >= b[2] || a[3] <= b[1] || a[1] >= b[3];
    places.into_iter().find(|place| inside(place) && taken.iter().all(|other| apart(place, other)))
}

/// Fills a rectangle, ends excluded, clipped to the picture.
fn fill(picture: &mut Picture, [left, top, right, bottom]: [usize; 4], color: [u8; 3]) {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let (left, right) = (left.min(width), right.min(width));
    for row in top.min(height)..bottom.min(height) {
        if left < right {
            let line = row * width;
            picture.rgb[(line + left) * 3..(line + right) * 3].as_chunks_mut::<3>().0.fill(color);
        }
    }
}

/// Returns distinct colors for adjacent classes: hues a golden angle apart, dark enough for white
/// letters.
fn color_of(class: u32) -> [u8; 3] {
    let hue = (f64::from(class) * 0.618_034).fract() * 6.0;
    let part = |shift: f64| {
        let distance = ((hue + shift).rem_euclid(6.0) - 3.0).abs() - 1.0;
        (25.0 + 150.0 * distance.clamp(0.0, 1.0)) as u8
    };
    [part(0.0), part(4.0), part(2.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn black(width: u32, height: u32) -> Picture {
        Picture { width, height, rgb: vec![7; (width * height * 3) as usize].into() }
    }

    fn labelled(class: u32, [left, top, right, bottom]: [f32; 4]) -> LabelledBox {
        LabelledBox { bounds: Bounds { left, top, right, bottom }, label: format!("class {class} 0.50"), class }
    }

    #[test]
    fn boxes_and_labels_stay_inside_pictures_of_any_size() {
        for (width, height) in [(1, 1), (3, 200), (640, 360)] {
            let mut picture = black(width, height);
            draw(&mut picture, &[labelled(79, [-5.0, -5.0, width as f32 + 9.0, height as f32 + 9.0])]);
            assert_eq!(&picture.rgb[..3], color_of(79), "the corner is drawn");
        }
    }

    #[test]
    fn a_box_is_a_frame_around_an_untouched_middle() {
        let mut picture = black(400, 300);
        draw(&mut picture, &[labelled(0, [100.0, 100.0, 200.0, 200.0])]);
        let at = |x: usize, y: usize| &picture.rgb[(y * 400 + x) * 3..][..3];
        assert_eq!((at(100, 150), at(199, 150), at(150, 199)), (&color_of(0)[..], &color_of(0)[..], &color_of(0)[..]));
        assert_eq!((at(150, 150), at(99, 150), at(200, 150)), (&[7; 3][..], &[7; 3][..], &[7; 3][..]));
        assert!((100..190).any(|x| (86..100).any(|y| at(x, y)[0] > 200)), "a white label is above");
    }

    #[test]
    fn labels_of_boxes_at_one_place_do_not_cover_each_other() {
        let mut taken = Vec::new();
        for n in 0..12 {
            let own = [50 + n, 40 + n, 200 + n, 150 + n];
            if let Some(found) = place(own, [90, 14], [320, 180], &taken) {
                assert!(found[2] <= 320 && found[3] <= 180);
                for other in &taken {
                    let other: &[usize; 4] = other;
                    let apart =
                        found[2] <= other[0] || found[0] >= other[2] || found[3] <= other[1] || found[1] >= other[3];
                    assert!(apart, "{found:?} covers {other:?}");
                }
                taken.push(found);
            }
        }
        assert!((5..12).contains(&taken.len()), "{}", taken.len());
    }
}
