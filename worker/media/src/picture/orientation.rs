//! Rotation and mirroring of a stored picture for display.

use crate::picture::Picture;
use ffmpeg::codec::packet::side_data::Type;
use ffmpeg::format::stream::Stream;
use ffmpeg_next as ffmpeg;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// A rotation by a multiple of 90 degrees, mirrored or not. To find the source of a displayed
/// pixel: swap row and column if `transpose`, then count rows (columns) from the other end if
/// `flip_rows` (`flip_columns`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orientation {
    /// Rows become columns.
    pub transpose: bool,
    /// Source rows are counted from the bottom.
    pub flip_rows: bool,
    /// Source columns are counted from the right.
    pub flip_columns: bool,
}

impl Orientation {
    /// Reads the display matrix of a stream; without one, as stored.
    pub fn of_stream(stream: &Stream<'_>) -> Self {
        display_matrix(stream).map_or_else(Self::default, |matrix| Self::of_matrix(&matrix))
    }

    /// Returns the rotation that OpenCV's video reader applies to a stream: the same angles, never
    /// mirrored.
    pub fn unmirrored_of_stream(stream: &Stream<'_>) -> Self {
        let degrees = display_matrix(stream).and_then(|matrix| degrees(&matrix)).unwrap_or(0.0);
        let (quarter, back) = (degrees == 90.0, degrees == -90.0);
        let half = degrees.abs() == 180.0;
        Self { transpose: quarter || back, flip_rows: quarter || half, flip_columns: back || half }
    }

    /// Returns the rotation of a 3x3 display matrix, as the `ffmpeg` program's autorotate reads it.
    /// Other angles than multiples of 90 degrees leave the picture as stored: a keyframe has no
    /// room for the corners.
    fn of_matrix(m: &[i32; 9]) -> Self {
        let Some(degrees) = degrees(m) else {
            return Self::default();
        };
        let [m0, _, _, m3, m4, ..] = *m;
        let rotation = |transpose, flip_rows, flip_columns| Self { transpose, flip_rows, flip_columns };
        match degrees.rem_euclid(360.0) {
            a if (a - 90.0).abs() < 1.0 => rotation(true, m3 <= 0, false),
            a if (a - 180.0).abs() < 1.0 => rotation(false, m4 < 0, m0 < 0),
            a if (a - 270.0).abs() < 1.0 => rotation(true, m3 < 0, true),
            a if !(1.0..=359.0).contains(&a) => rotation(false, m4 < 0, false),
            _ => Self::default(),
        }
    }

    /// Returns the rotation of an EXIF `Orientation` tag: 1 to 8; other values leave the picture as
    /// stored.
    fn of_exif(tag: u32) -> Self {
        let rotation = |transpose, flip_rows, flip_columns| Self { transpose, flip_rows, flip_columns };
        match tag {
            2 => rotation(false, false, true),
            3 => rotation(false, true, true),
            4 => rotation(false, true, false),
            5 => rotation(true, false, false),
            6 => rotation(true, true, false),
            7 => rotation(true, true, true),
            8 => rotation(true, false, true),
            _ => Self::default(),
        }
    }

    /// Reads the rotation from the EXIF data of an image file, in any format; without such data, as
    /// stored.
    pub fn of_exif_file(path: &Path) -> Self {
        let read = || {
            let file = BufReader::new(File::open(path).ok()?);
            let exif = exif::Reader::new().read_from_container(&mut { file }).ok()?;
            exif.get_field(exif::Tag::Orientation, exif::In::PRIMARY)?.value.get_uint(0)
        };
        read().map_or_else(Self::default, Self::of_exif)
    }

    /// Returns the displayed width and height of a picture stored with these.
    #[inline]
    pub fn shown_size(self, width: u32, height: u32) -> (u32, u32) {
        if self.transpose { (height, width) } else { (width, height) }
    }

    /// Rotates a stored picture for display.
    pub fn rotate(self, picture: &mut Picture) {
        if self != Self::default() {
            *picture = self.apply(std::mem::take(picture));
        }
    }

    /// Returns the picture as displayed.
    pub fn apply(self, stored: Picture) -> Picture {
        if self == Self::default() {
            return stored;
        }
        let (width, height) = self.shown_size(stored.width, stored.height);
        let (stored_width, stored_height) = (stored.width as usize, stored.height as usize);
        let mut rgb = Vec::with_capacity(stored.rgb.len());
        for row in 0..height as usize {
            for column in 0..width as usize {
                let (mut r, mut c) = if self.transpose { (column, row) } else { (row, column) };
                if self.flip_rows {
                    r = stored_height - 1 - r;
                }
                if self.flip_columns {
                    c = stored_width - 1 - c;
                }
                let at = (r * stored_width + c) * 3;
                rgb.extend_from_slice(&stored.rgb[at..at + 3]);
            }
        }
        Picture { width, height, rgb: rgb.into() }
    }
}

/// Reads the display matrix of a stream, if it has one.
fn display_matrix(stream: &Stream<'_>) -> Option<[i32; 9]> {
    let matrix = stream.side_data().find(|side| side.kind() == Type::DisplayMatrix)?;
    let mut cells = [0i32; 9];
    let bytes = matrix.data().get(..36)?;
    for (cell, bytes) in cells.iter_mut().zip(bytes.chunks_exact(4)) {
        *cell = i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    Some(cells)
}

/// Returns the clockwise rotation of a display matrix in degrees, rounded, -180 to 180; none for a
/// singular matrix.
fn degrees(m: &[i32; 9]) -> Option<f64> {
    let [m0, m1, _, m3, m4, ..] = *m;
    let length = |a: i32, b: i32| f64::from(a).hypot(f64::from(b));
    let (x, y) = (length(m0, m3), length(m1, m4));
    let angle = || (f64::from(m1) / y).atan2(f64::from(m0) / x).to_degrees().round();
    (x != 0.0 && y != 0.0).then(angle)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2 wide, 3 high, pixels numbered 1 to 6.
    fn numbered() -> Picture {
        Picture { width: 2, height: 3, rgb: (1..=6).flat_map(|n| [n, n, n]).collect::<Vec<_>>().into() }
    }

    fn shown(m: [i32; 4]) -> (u32, Vec<u8>) {
        let one = 1 << 16;
        let matrix = [m[0] * one, m[1] * one, 0, m[2] * one, m[3] * one, 0, 0, 0, 1 << 30];
        let picture = Orientation::of_matrix(&matrix).apply(numbered());
        (picture.width, picture.rgb.iter().copied().step_by(3).collect())
    }

    #[test]
    fn rotations_and_mirrors_move_every_pixel_to_its_position() {
        assert_eq!(shown([1, 0, 0, 1]), (2, vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(shown([0, 1, -1, 0]), (3, vec![5, 3, 1, 6, 4, 2]));
        assert_eq!(shown([-1, 0, 0, -1]), (2, vec![6, 5, 4, 3, 2, 1]));
        assert_eq!(shown([0, -1, 1, 0]), (3, vec![2, 4, 6, 1, 3, 5]));
        assert_eq!(shown([-1, 0, 0, 1]), (2, vec![2, 1, 4, 3, 6, 5]));
        assert_eq!(shown([1, 0, 0, -1]), (2, vec![5, 6, 3, 4, 1, 2]));
        assert_eq!(shown([0, 1, 1, 0]), (3, vec![1, 3, 5, 2, 4, 6]));
        assert_eq!(shown([0, -1, -1, 0]), (3, vec![6, 4, 2, 5, 3, 1]));
    }

    #[test]
    fn images_are_rotated_by_their_exif_orientation() {
        let shown = |tag| {
            let picture = Orientation::of_exif(tag).apply(numbered());
            (picture.width, picture.rgb.iter().copied().step_by(3).collect::<Vec<_>>())
        };
        assert_eq!(shown(1), (2, vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(shown(2), (2, vec![2, 1, 4, 3, 6, 5]));
        assert_eq!(shown(3), (2, vec![6, 5, 4, 3, 2, 1]));
        assert_eq!(shown(4), (2, vec![5, 6, 3, 4, 1, 2]));
        assert_eq!(shown(5), (3, vec![1, 3, 5, 2, 4, 6]));
        assert_eq!(shown(6), (3, vec![5, 3, 1, 6, 4, 2]), "the camera stood on its right side: rotate clockwise");
        assert_eq!(shown(7), (3, vec![6, 4, 2, 5, 3, 1]));
        assert_eq!(shown(8), (3, vec![2, 4, 6, 1, 3, 5]));
        assert_eq!(shown(9), shown(1));
    }

    #[test]
    fn odd_angles_and_empty_matrices_leave_the_picture_as_stored() {
        assert_eq!(Orientation::of_matrix(&[0; 9]), Orientation::default());
        assert_eq!(Orientation::of_matrix(&[46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30]), Orientation::default());
    }
}
