//! Support of the tests against golden answers.

use jhalak_worker::media::picture::Picture;

/// Draws the picture of `golden/detector_golden.py` and `golden/image_golden.py`, whose formula is
/// the same.
pub fn formula_picture(width: i64, height: i64) -> Picture {
    let mut rgb = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let disc = (x - width / 2).pow(2) + (y - height / 2).pow(2) < (height / 4).pow(2);
            let square = ((x / 16 + y / 16) % 2) * 200 + (x * y) % 56;
            let pixel =
                if disc { [220, 40, 60] } else { [x * 255 / (width - 1).max(1), (x * 3 + y * 7) % 256, square] };
            rgb.extend(pixel.map(|v| u8::try_from(v).unwrap()));
        }
    }
    Picture { width: width as u32, height: height as u32, rgb: rgb.into() }
}
