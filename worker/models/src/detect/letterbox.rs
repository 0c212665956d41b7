//! The location of a picture in the input of a detector, and the mapping back to picture pixels.

use jhalak_common::models::Resize;

/// The location of the resized picture in the input, in input pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Letterbox {
    /// Columns to its left.
    pub left: u32,
    /// Rows above it.
    pub top: u32,
    /// Its width.
    pub width: u32,
    /// Its height.
    pub height: u32,
    /// Input pixels per picture pixel, horizontally and vertically.
    pub scale: (f64, f64),
}

impl Letterbox {
    /// Computes the location of a picture of `size` in an input of size `input` (width, height),
    /// both above 0.
    ///
    /// - `stretch`: the whole input.
    /// - `letterbox`: the largest size with the aspect ratio of the picture, sides rounded half to
    ///   even, centered; an odd remainder goes to the right and bottom. As in YOLOv5 and its
    ///   successors.
    /// - `letterbox-top-left`: the same with sides rounded down, at the top left. As in YOLOX.
    pub fn of(resize: Resize, size: (u32, u32), input: (u32, u32)) -> Letterbox {
        let exact = (f64::from(input.0) / f64::from(size.0), f64::from(input.1) / f64::from(size.1));
        let one = exact.0.min(exact.1);
        let side = |side: u32, round: fn(f64) -> f64| round(f64::from(side) * one).max(1.0) as u32;
        match resize {
            Resize::Stretch | Resize::Crop => {
                Letterbox { left: 0, top: 0, width: input.0, height: input.1, scale: exact }
            }
            Resize::Letterbox => {
                let (width, height) = (side(size.0, f64::round_ties_even), side(size.1, f64::round_ties_even));
                let (left, top) = ((input.0 - width) / 2, (input.1 - height) / 2);
                Letterbox { left, top, width, height, scale: (one, one) }
            }
            Resize::LetterboxTopLeft => {
                let (width, height) = (side(size.0, f64::floor), side(size.1, f64::floor));
                Letterbox { left: 0, top: 0, width, height, scale: (one, one) }
            }
        }
    }

    /// Maps a point of the input to picture pixels, without clipping.
    pub fn to_picture(&self, x: f32, y: f32) -> (f32, f32) {
        let axis = |at: f32, start: u32, scale: f64| ((f64::from(at) - f64::from(start)) / scale) as f32;
        (axis(x, self.left, self.scale.0), axis(y, self.top, self.scale.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_match_yolov5_and_yolox() {
        // (resize, picture, input) -> left, top, width, height; the letterbox rows computed by the
        // code of YOLOv5 and YOLOX.
        let cases = [
            (Resize::Letterbox, (1280, 720), (640, 640), (0, 140, 640, 360)),
            (Resize::Letterbox, (1280, 720), (416, 416), (0, 91, 416, 234)),
            (Resize::Letterbox, (427, 239), (640, 640), (0, 141, 640, 358)),
            (Resize::Letterbox, (239, 427), (640, 640), (141, 0, 358, 640)),
            (Resize::Letterbox, (1, 1), (416, 416), (0, 0, 416, 416)),
            (Resize::Letterbox, (16384, 1), (416, 416), (0, 207, 416, 1)),
            (Resize::LetterboxTopLeft, (1280, 720), (416, 416), (0, 0, 416, 234)),
            (Resize::LetterboxTopLeft, (427, 239), (416, 416), (0, 0, 416, 232)),
            (Resize::Stretch, (427, 239), (640, 320), (0, 0, 640, 320)),
        ];
        for (resize, size, input, (left, top, width, height)) in cases {
            let found = Letterbox::of(resize, size, input);
            assert_eq!((found.left, found.top, found.width, found.height), (left, top, width, height), "{size:?}");
        }
    }

    #[test]
    fn to_picture_inverts_the_letterbox() {
        let letterbox = Letterbox::of(Resize::Letterbox, (1280, 720), (416, 416));
        let (x, y) = letterbox.to_picture(416.0, 91.0 + 234.0);
        assert!((x - 1280.0).abs() < 1e-3 && (y - 720.0).abs() < 1e-3, "{x} {y}");
    }
}
