//! A contact sheet: all keyframes of an archive in one JPEG, each labelled with its number, time,
//! scene and objects.

use crate::error::MediaError;
use crate::keyframes::archive;
use crate::picture::Picture;
use crate::picture::jpeg_decoder;
use crate::picture::jpeg_encoder;
use crate::report::{Keyframe, Padding};
use font8x8::{BASIC_FONTS, UnicodeFonts};
use serde::Deserialize;
use std::path::Path;

/// Keyframes per row.
const COLUMNS: usize = 4;
/// Longest side of a keyframe on the sheet, in pixels.
const SIDE: u32 = 320;
/// Pixels between keyframes.
const GAP: usize = 8;
/// Width and height of a letter in pixels.
const LETTER: usize = 8;
/// Height of a line of text in pixels.
const TEXT: usize = LETTER + GAP;
/// Grey level of the background.
const BACKGROUND: u8 = 24;
/// Grey level of the text.
const TEXT_COLOUR: u8 = 230;

/// Draws the keyframes of the archive `tar` and writes them to `sheet` as JPEG.
pub fn write(tar: &Path, sheet: &Path) -> Result<(), MediaError> {
    let drawn = draw(&thumbnails(tar)?);
    std::fs::write(sheet, jpeg_encoder::encode(&drawn, 85)?)
        .map_err(|error| MediaError::from_io("cannot write", sheet, &error))
}

/// Reads the keyframes of an archive, reduced, with their labels.
fn thumbnails(tar: &Path) -> Result<Vec<(Picture, String)>, MediaError> {
    let broken = |what: &str| MediaError::permanent(format!("{} is not a keyframe archive: {what}", tar.display()));
    let mut thumbnails = Vec::new();
    archive::read(tar, |sample| {
        let picture = jpeg_decoder::decode(&sample.jpeg).map_err(|error| broken(&error.to_string()))?;
        let label = match serde_json::from_slice(&sample.about) {
            Ok(About::Keyframe(keyframe)) => label(&keyframe),
            Ok(About::Padding(padding)) => format!("#{} -", padding.index),
            Err(error) => return Err(broken(&error.to_string())),
        };
        thumbnails.push((reduced(&picture), label));
        Ok(())
    })?;
    Ok(thumbnails)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum About {
    Keyframe(Keyframe),
    Padding(Padding),
}

/// Returns the label: number, time, scene and objects.
fn label(keyframe: &Keyframe) -> String {
    let mut label = format!("#{} {:.2}s", keyframe.index, keyframe.time_s);
    if let Some(scene) = &keyframe.scene {
        label += &format!(" scene {}", scene.index);
    }
    if let Some(found) = &keyframe.objects {
        label += &format!(" {}x{}", found.objects.len(), found.classes);
    }
    label
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

fn draw(thumbnails: &[(Picture, String)]) -> Picture {
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
        print(&mut sheet, label, left, top + cell_height + GAP / 2, left + cell_width);
    }
    sheet
}

/// Prints a line of text, cut off at `right`. Letters outside ASCII stay blank.
fn print(sheet: &mut Picture, text: &str, mut left: usize, top: usize, right: usize) {
    for letter in text.chars() {
        if left + LETTER > right {
            return;
        }
        for (row, dots) in BASIC_FONTS.get(letter).unwrap_or_default().into_iter().enumerate() {
            for column in (0..LETTER).filter(|column| dots >> column & 1 == 1) {
                let at = ((top + row) * sheet.width as usize + left + column) * 3;
                sheet.rgb[at..at + 3].fill(TEXT_COLOUR);
            }
        }
        left += LETTER;
    }
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
        let thumbnail =
            |grey| (Picture { width: 320, height: 180, rgb: vec![grey; 320 * 180 * 3].into() }, "#1 2.5s".to_owned());
        let sheet = draw(&(0..6).map(|n| thumbnail(100 + n)).collect::<Vec<_>>());
        assert_eq!((sheet.width, sheet.height), (4 * 328 + 8, 2 * (180 + 16 + 8) + 8));
        let at = |x: usize, y: usize| sheet.rgb[(y * sheet.width as usize + x) * 3];
        assert_eq!((at(8, 8), at(8 + 328, 8), at(8 + 328, 8 + 204)), (100, 101, 105));
        assert!((0..8).any(|y| (0..8).any(|x| at(8 + x, 8 + 180 + 4 + y) == TEXT_COLOUR)));
        let none = draw(&[]);
        assert_eq!(none.rgb.len(), none.width as usize * none.height as usize * 3);
    }
}
