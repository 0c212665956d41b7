//! Text in pictures, in the typeface Hack (licence: `HACK-LICENCE.txt` next to this file). The same
//! text gives the same pixels on every machine.

use super::Picture;
use ab_glyph::{Font, FontRef, PxScale, ScaleFont};
use std::sync::LazyLock;

/// Hack has Latin, Greek and Cyrillic letters.
static FONT: LazyLock<Option<FontRef<'static>>> =
    LazyLock::new(|| FontRef::try_from_slice(epaint_default_fonts::HACK_REGULAR).ok());

/// Returns the width of a line of text in pixels, `size` pixels high.
pub fn width(text: &str, size: f32) -> usize {
    let Some(font) = &*FONT else { return 0 };
    let scaled = font.as_scaled(PxScale::from(size));
    text.chars().map(|c| scaled.h_advance(glyph_of(font, c))).sum::<f32>().ceil() as usize
}

/// Draws a line of text, `size` pixels high, with its upper left corner at `left` and `top`. What
/// exceeds the picture, or the column `right`, is left out. Letters that the typeface lacks become
/// a question mark.
pub fn draw(picture: &mut Picture, text: &str, [left, top]: [usize; 2], size: f32, right: usize, color: [u8; 3]) {
    let Some(font) = &*FONT else { return };
    let scaled = font.as_scaled(PxScale::from(size));
    let (columns, rows) = (picture.width as usize, picture.height as usize);
    let right = right.min(columns);
    let (mut x, baseline) = (left as f32, top as f32 + scaled.ascent());
    for c in text.chars() {
        let id = glyph_of(font, c);
        let glyph = id.with_scale_and_position(PxScale::from(size), ab_glyph::point(x, baseline));
        x += scaled.h_advance(id);
        if x > right as f32 + 0.5 {
            return;
        }
        let Some(outline) = font.outline_glyph(glyph) else { continue };
        let bounds = outline.px_bounds();
        outline.draw(|dx, dy, coverage| {
            let (column, row) = (bounds.min.x + dx as f32, bounds.min.y + dy as f32);
            if column < 0.0 || row < 0.0 || column >= right as f32 || row >= rows as f32 {
                return;
            }
            let at = (row as usize * columns + column as usize) * 3;
            for (sample, wanted) in picture.rgb[at..at + 3].iter_mut().zip(color) {
                let mixed = f32::from(*sample) + (f32::from(wanted) - f32::from(*sample)) * coverage.clamp(0.0, 1.0);
                *sample = mixed.round() as u8;
            }
        });
    }
}

fn glyph_of(font: &FontRef<'_>, c: char) -> ab_glyph::GlyphId {
    let id = font.glyph_id(c);
    if id.0 == 0 { font.glyph_id('?') } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_drawn_in_its_rectangle_and_nowhere_else() {
        let mut picture = Picture { width: 120, height: 40, rgb: vec![0; 120 * 40 * 3].into() };
        draw(&mut picture, "Ägypten 7", [10, 8], 16.0, 120, [255; 3]);
        let lit: Vec<(usize, usize)> =
            (0..120 * 40).filter(|n| picture.rgb[n * 3] > 0).map(|n| (n % 120, n / 120)).collect();
        assert!(lit.len() > 100);
        assert!(lit.iter().all(|(x, y)| (9..10 + width("Ägypten 7", 16.0) + 1).contains(x) && (8..27).contains(y)));
    }

    #[test]
    fn letters_outside_the_picture_or_the_typeface_do_no_harm() {
        for (width, height) in [(1, 1), (3, 50), (50, 3)] {
            let mut picture = Picture { width, height, rgb: vec![0; (width * height * 3) as usize].into() };
            draw(&mut picture, "फिल्म \u{1b}[31m 🎬 long text", [0, 0], 40.0, 1000, [255; 3]);
        }
        assert_eq!(width("फ", 16.0), width("?", 16.0));
    }
}
