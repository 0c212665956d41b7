//! Draws boxes with their labels into a picture.

use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts};
use jhalak_common::models::Labels;

use jhalak_media::detector::Object;
use jhalak_media::picture::Picture;

/// Width and height of a letter in pixels at scale 1.
const LETTER: usize = 8;

/// Draws `objects` into `picture`, the highest score last so that it is on top. Strokes and letters
/// scale with the picture.
pub fn draw(picture: &mut Picture, objects: &[Object], labels: &Labels) {
    let short = picture.width.min(picture.height) as usize;
    let (stroke, scale) = ((short / 200).max(1), (short / 360).clamp(1, 16));
    let mut drawing = Drawing { width: picture.width as usize, height: picture.height as usize, rgb: &mut picture.rgb };
    for object in objects.iter().rev() {
        let color = color_of(object.class);
        let edge = |value: f32, end: usize| (value.max(0.0).round() as usize).min(end);
        let (left, right) = (edge(object.bounds.left, drawing.width), edge(object.bounds.right, drawing.width));
        let (top, bottom) = (edge(object.bounds.top, drawing.height), edge(object.bounds.bottom, drawing.height));
        drawing.fill(left, top, right, top + stroke, color);
        drawing.fill(left, bottom.saturating_sub(stroke), right, bottom, color);
        drawing.fill(left, top, left + stroke, bottom, color);
        drawing.fill(right.saturating_sub(stroke), top, right, bottom, color);
        let text = format!("{} {:.2}", labels.name(object.class as usize), object.confidence);
        drawing.label(left, top, &text, scale, color);
    }
}

/// Returns distinct colors for adjacent classes: hues a golden angle apart, dark enough for white
/// letters.
fn color_of(class: u32) -> [u8; 3] {
    let hue = (f64::from(class) * 0.618_034).fract() * 6.0;
    let part = |shift: f64| {
        let distance = ((hue + shift).rem_euclid(6.0) - 3.0).abs() - 1.0;
        (30.0 + 170.0 * distance.clamp(0.0, 1.0)) as u8
    };
    [part(0.0), part(4.0), part(2.0)]
}

struct Drawing<'a> {
    width: usize,
    height: usize,
    rgb: &'a mut [u8],
}

impl Drawing<'_> {
    /// Fills columns `left` to `right` of rows `top` to `bottom`, ends excluded, clipped to the
    /// picture.
    fn fill(&mut self, left: usize, top: usize, right: usize, bottom: usize, color: [u8; 3]) {
        let (left, right) = (left.min(self.width), right.min(self.width));
        for row in top.min(self.height)..bottom.min(self.height) {
            let line = row * self.width;
            if left < right {
                self.rgb[(line + left) * 3..(line + right) * 3].as_chunks_mut::<3>().0.fill(color);
            }
        }
    }

    /// Writes `text` in white on `color`, above the corner of the box if there is room, else inside
    /// the box, moved left to stay in the picture.
    fn label(&mut self, left: usize, top: usize, text: &str, scale: usize, color: [u8; 3]) {
        let (wide, high) = ((text.chars().count() * LETTER + 2) * scale, (LETTER + 2) * scale);
        let left = left.min(self.width.saturating_sub(wide));
        let top = if top >= high { top - high } else { top };
        self.fill(left, top, left + wide, top + high, color);
        for (place, letter) in text.chars().enumerate() {
            let glyph = BASIC_FONTS.get(letter).or_else(|| LATIN_FONTS.get(letter)).or_else(|| BASIC_FONTS.get('?'));
            let x = left + (place * LETTER + 1) * scale;
            for (row, bits) in glyph.unwrap_or_default().into_iter().enumerate() {
                for column in (0..LETTER).filter(|column| bits >> column & 1 == 1) {
                    let (x, y) = (x + column * scale, top + (row + 1) * scale);
                    self.fill(x, y, x + scale, y + scale, [255; 3]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_media::detector::Bounds;

    #[test]
    fn boxes_and_labels_stay_inside_pictures_of_any_size() {
        for (width, height) in [(1, 1), (3, 200), (640, 360)] {
            let mut picture = Picture { width, height, rgb: vec![0; (width * height * 3) as usize].into() };
            let bounds = Bounds { left: -5.0, top: -5.0, right: width as f32 + 9.0, bottom: height as f32 + 9.0 };
            draw(&mut picture, &[Object { class: 79, confidence: 1.0, bounds }], &Labels::default());
            assert_eq!(&picture.rgb[..3], color_of(79), "the corner is drawn");
        }
    }

    #[test]
    fn a_box_is_a_frame_around_an_untouched_middle() {
        let mut picture = Picture { width: 400, height: 300, rgb: vec![7; 400 * 300 * 3].into() };
        let bounds = Bounds { left: 100.0, top: 100.0, right: 200.0, bottom: 200.0 };
        draw(&mut picture, &[Object { class: 0, confidence: 0.5, bounds }], &Labels::default());
        let at = |x: usize, y: usize| &picture.rgb[(y * 400 + x) * 3..][..3];
        assert_eq!((at(100, 150), at(199, 150), at(150, 199)), (&color_of(0)[..], &color_of(0)[..], &color_of(0)[..]));
        assert_eq!((at(150, 150), at(99, 150), at(200, 150)), (&[7; 3][..], &[7; 3][..], &[7; 3][..]));
        assert!((100..180).any(|x| at(x, 95) == [255; 3]), "a white label is above");
    }
}
