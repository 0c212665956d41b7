//! A contact sheet: all keyframes of an archive in one picture, each with its boxes, number, time,
//! scene and objects.

use crate::bounds::Bounds;
use crate::error::MediaError;
use crate::keyframes::archive;
use crate::picture::Picture;
use crate::picture::boxes::{self, LabelledBox};
use crate::picture::{image_file, jpeg_decoder, text};
use crate::report::{Keyframe, Padding};
use jhalak_common::models::COCO;
use serde::Deserialize;
use std::path::Path;

/// Keyframes per row.
const COLUMNS: usize = 4;
/// Longest side of a keyframe on the sheet, in pixels.
const SIDE: u32 = 320;
/// Pixels between keyframes.
const GAP: usize = 8;
/// Size of letters in pixels.
const LETTERS: f32 = 15.0;
/// Height of a line of text in pixels.
const LINE: usize = 18;
/// Height of the two lines below a keyframe in pixels.
const TEXT: usize = 2 * LINE + GAP / 2;
/// Grey level of the background.
const BACKGROUND: u8 = 24;
/// Grey levels of the first and the second line.
const TEXT_COLOURS: [u8; 2] = [235, 165];

/// Draws the keyframes of the archive `tar` and writes them to `sheet`, as JPEG or PNG by the
/// ending of its name.
pub fn write(tar: &Path, sheet: &Path) -> Result<(), MediaError> {
    image_file::write(&draw(&thumbnails(tar)?), sheet)
}

/// A keyframe on the sheet, with its two lines of text.
type Thumbnail = (Picture, [String; 2]);

/// Reads the keyframes of an archive, reduced, with their boxes and texts.
fn thumbnails(tar: &Path) -> Result<Vec<Thumbnail>, MediaError> {
    let broken = |what: &str| MediaError::permanent(format!("{} is not a keyframe archive: {what}", tar.display()));
    let mut thumbnails = Vec::new();
    archive::read(tar, |sample| {
        let picture = jpeg_decoder::decode(&sample.jpeg).map_err(|error| broken(&error.to_string()))?;
        let mut small = reduced(&picture);
        let label = match serde_json::from_slice(&sample.about) {
            Ok(About::Keyframe(keyframe)) => {
                let ratio = small.width as f32 / picture.width.max(1) as f32;
                boxes::draw(&mut small, &labelled(&keyframe, ratio));
                label(&keyframe)
            }
            Ok(About::Padding(padding)) => [format!("#{}", padding.index + 1), "black: no more keyframes".to_owned()],
            Err(error) => return Err(broken(&error.to_string())),
        };
        thumbnails.push((small, label));
        Ok(())
    })?;
    Ok(thumbnails)
}

/// Returns the boxes of a keyframe that is shown this much smaller.
fn labelled(keyframe: &Keyframe, ratio: f32) -> Vec<LabelledBox> {
    let objects = keyframe.objects.iter().flat_map(|found| &found.objects);
    objects
        .map(|object| {
            let Bounds { left, top, right, bottom } = object.bounds;
            LabelledBox {
                bounds: Bounds { left: left * ratio, top: top * ratio, right: right * ratio, bottom: bottom * ratio },
                label: COCO
                    .get(object.class as usize)
                    .map_or_else(|| format!("class {}", object.class), |n| (*n).to_owned()),
                class: object.class,
            }
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(untagged)]
enum About {
    Keyframe(Keyframe),
    Padding(Padding),
}

/// Returns the two lines: number and time, then scene and objects. Numbers count from 1, as in
/// lists of scenes.
fn label(keyframe: &Keyframe) -> [String; 2] {
    let mut second = Vec::new();
    second.extend(keyframe.scene.as_ref().map(|scene| format!("scene {}", scene.index + 1)));
    second.extend(keyframe.objects.as_ref().map(|found| {
        let plural = |count: usize, one: &str, more: &str| format!("{count} {}", if count == 1 { one } else { more });
        format!(
            "{} of {}",
            plural(found.objects.len(), "object", "objects"),
            plural(found.classes as usize, "class", "classes")
        )
    }));
    second.extend(keyframe.repeats.map(|other| format!("as #{}", other + 1)));
    [format!("#{}  {:.2} s", keyframe.index + 1, keyframe.time_s), second.join("  ")]
}

/// Reduces a picture to the sheet's size by averaging. Small pictures stay as they are.
fn reduced(picture: &Picture) -> Picture {
    let longest = picture.width.max(picture.height);
    if longest <= SIDE {
        return picture.clone();
    }
    let side = |n: u32| (u64::from(n) * u64::from(SIDE) / u64::from(longest)).max(1) as usize;
    let (width, height) = (side(picture.width), side(picture.height));
    let (from_width, from_height) = (picture.width as usize, picture.height as usize);
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        let rows = y * from_height / height..((y + 1) * from_height / height);
        for x in 0..width {
            let columns = x * from_width / width..((x + 1) * from_width / width);
            let mut sums = [0u32; 3];
            for row in rows.clone() {
                let pixels = &picture.rgb[(row * from_width + columns.start) * 3..(row * from_width + columns.end) * 3];
                for pixel in pixels.chunks_exact(3) {
                    sums.iter_mut().zip(pixel).for_each(|(sum, &sample)| *sum += u32::from(sample));
                }
            }
            let count = (rows.len() * columns.len()) as u32;
            rgb.extend(sums.map(|sum| ((sum + count / 2) / count) as u8));
        }
    }
    Picture { width: width as u32, height: height as u32, rgb: rgb.into() }
}

fn draw(thumbnails: &[Thumbnail]) -> Picture {
    let largest = |side: fn(&Picture) -> u32| thumbnails.iter().map(|(picture, _)| side(picture)).max().unwrap_or(0);
    let (cell_width, cell_height) = (largest(|p| p.width).max(SIDE / 2) as usize, largest(|p| p.height) as usize);
    let columns = thumbnails.len().clamp(1, COLUMNS);
    let width = columns * (cell_width + GAP) + GAP;
    let height = thumbnails.len().div_ceil(COLUMNS) * (cell_height + TEXT + GAP) + GAP;
    let mut sheet =
        Picture { width: width as u32, height: height as u32, rgb: vec![BACKGROUND; width * height * 3].into() };
    for (index, (picture, label)) in thumbnails.iter().enumerate() {
        let left = GAP + index % COLUMNS * (cell_width + GAP);
        let top = GAP + index / COLUMNS * (cell_height + TEXT + GAP);
        let row = picture.width as usize * 3;
        for (y, line) in picture.rgb.chunks_exact(row).enumerate() {
            sheet.rgb[((top + y) * width + left) * 3..][..row].copy_from_slice(line);
        }
        for ((line, grey), place) in label.iter().zip(TEXT_COLOURS).zip(0..) {
            let corner = [left, top + cell_height + GAP / 2 + place * LINE];
            text::draw(&mut sheet, line, corner, LETTERS, left + cell_width, [grey; 3]);
        }
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_averaged_and_small_ones_are_kept() {
        let stripes: Vec<u8> = (0..640 * 4).flat_map(|n| [[0, 100, 200], [50, 100, 220]][n % 2]).collect();
        let small = reduced(&Picture { width: 640, height: 4, rgb: stripes.into() });
        assert_eq!((small.width, small.height), (320, 2));
        assert!(small.rgb.chunks_exact(3).all(|pixel| pixel == [25, 100, 210]));
        let tiny = Picture { width: 3, height: 5, rgb: vec![9; 45].into() };
        assert_eq!(reduced(&tiny), tiny);
    }

    #[test]
    fn every_keyframe_is_drawn_with_its_label() {
        let thumbnail = |grey| {
            let lines = ["#1  2.50 s".to_owned(), String::new()];
            (Picture { width: 320, height: 180, rgb: vec![grey; 320 * 180 * 3].into() }, lines)
        };
        let sheet = draw(&(0..6).map(|n| thumbnail(100 + n)).collect::<Vec<_>>());
        assert_eq!((sheet.width, sheet.height), (4 * 328 + 8, 2 * (180 + TEXT as u32 + 8) + 8));
        let at = |x: usize, y: usize| sheet.rgb[(y * sheet.width as usize + x) * 3];
        assert_eq!((at(8, 8), at(8 + 328, 8), at(8 + 328, 8 + 180 + TEXT + 8)), (100, 101, 105));
        assert!((0..LINE).any(|y| (0..60).any(|x| at(8 + x, 8 + 180 + 4 + y) > 200)), "a line of text is below");
        let none = draw(&[]);
        assert_eq!(none.rgb.len(), none.width as usize * none.height as usize * 3);
    }
}
