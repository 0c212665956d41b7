//! A decoded frame as packed RGB, converted like the `ffmpeg` program does.
//!
//! FFmpeg's scale filter, which `ffmpeg` inserts for `-pix_fmt rgb24`, sets three things that a
//! plain swscale context lacks: the frame's colour matrix, its range, and the chroma siting of
//! 4:2:0. Without them, tagged material (BT.709, full range) gets other colours. Tests compare
//! every byte with the `ffmpeg` program.

pub mod boxes;
pub mod image_file;
pub mod jpeg_decoder;
pub mod jpeg_encoder;
pub mod orientation;
pub mod pixels;
pub mod resample;
pub(crate) mod scaler;
pub mod text;

use crate::error::MediaError;
use crate::picture::pixels::Pixels;
use crate::picture::scaler::{Order, Scaler};
use ffmpeg::ffi;
use ffmpeg::frame;
use ffmpeg_next as ffmpeg;
use std::ffi::c_int;
use std::ptr;

/// Most pixels of a picture: 8192 x 8192.
pub const MAX_PIXELS: u64 = 8192 * 8192;
/// Longest side of a picture, in pixels.
pub const MAX_SIDE: u32 = 16_384;

/// A picture in memory: 8-bit RGB, rows from the top, no padding, `width * height * 3` bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Picture {
    /// Pixels per row.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
    /// The pixels.
    pub rgb: Pixels,
}

/// Refuses pictures without pixels and pictures that exceed [`MAX_PIXELS`] or [`MAX_SIDE`].
pub fn check_size(width: u32, height: u32) -> Result<(), MediaError> {
    if width == 0 || height == 0 {
        return Err(MediaError::permanent(format!("the video's picture is {width}x{height} pixels")));
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS || width.max(height) > MAX_SIDE {
        let message =
            format!("the video's picture is {width}x{height} pixels, more than {MAX_PIXELS} or a side over {MAX_SIDE}");
        return Err(MediaError::permanent(message));
    }
    Ok(())
}

/// The frame properties that a swscale context depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    width: u32,
    height: u32,
    format: c_int,
    matrix: c_int,
    range: c_int,
}

/// Converts frames to [`Picture`]. Keeps its context while the shape of the frames stays the same.
#[derive(Default)]
pub struct RgbConverter {
    scaler: Option<(Shape, Scaler)>,
}

impl RgbConverter {
    /// Converts a frame like `ffmpeg -pix_fmt rgb24`, without rotation. Fails on sizes above the
    /// limits and on pixel formats that swscale cannot read.
    pub fn convert(&mut self, frame: &frame::Video) -> Result<Picture, MediaError> {
        let mut picture = Picture::default();
        self.convert_into(frame, &mut picture)?;
        Ok(picture)
    }

    /// Like [`convert`](Self::convert), into memory that is reused.
    #[expect(unsafe_code, reason = "ffmpeg-next's enums do not hold every value of a container")]
    pub fn convert_into(&mut self, frame: &frame::Video, picture: &mut Picture) -> Result<(), MediaError> {
        let (width, height) = (frame.width(), frame.height());
        check_size(width, height)?;
        // SAFETY: the frame is alive. Matrix and range are read as the integers that they are in C:
        // a container may have put any value there, and a Rust enum must not hold one that it does
        // not know.
        let shape = unsafe {
            let raw = frame.as_ptr();
            let matrix = ptr::addr_of!((*raw).colorspace).cast::<c_int>().read();
            let range = ptr::addr_of!((*raw).color_range).cast::<c_int>().read();
            Shape { width, height, format: (*raw).format, matrix, range }
        };
        let scaler = self.scaler_for(shape)?;
        // Pads rows for vector code that writes beyond the end of a row.
        let (row, stride) = (width as usize * 3, (width as usize * 3).next_multiple_of(64));
        let rgb = &mut picture.rgb;
        rgb.resize(Self::buffer_bytes(width, height));
        // SAFETY: the context was made for exactly this size and format; the target holds `height`
        // rows of `stride` bytes and 64 bytes more.
        let rows = unsafe { scaler.convert(frame, rgb, stride) };
        if rows != height as c_int {
            return Err(MediaError::permanent(format!("cannot convert a {width}x{height} frame to RGB")));
        }
        if stride > row {
            (1..height as usize).for_each(|y| rgb.copy_within(y * stride..y * stride + row, y * row));
        }
        rgb.resize(row * height as usize);
        (picture.width, picture.height) = (width, height);
        Ok(())
    }

    /// Returns the bytes that the conversion to a picture of this size needs.
    #[inline]
    pub fn buffer_bytes(width: u32, height: u32) -> usize {
        (width as usize * 3).next_multiple_of(64) * height as usize + 64
    }

    /// Returns the context for frames of this shape.
    fn scaler_for(&mut self, shape: Shape) -> Result<&mut Scaler, MediaError> {
        const YUV420P: c_int = ffi::AVPixelFormat::AV_PIX_FMT_YUV420P as c_int;
        if self.scaler.as_ref().is_none_or(|(current, _)| *current != shape) {
            self.scaler = None;
            let siting: &[_] = if shape.format == YUV420P { &[(c"src_v_chr_pos", 128)] } else { &[] };
            let mut scaler = Scaler::new((shape.width, shape.height), shape.format, Order::Rgb, siting)?;
            scaler.set_source_colours(shape.matrix, shape.range);
            self.scaler = Some((shape, scaler));
        }
        let (_, scaler) = self.scaler.as_mut().ok_or_else(|| MediaError::bug("no swscale context"))?;
        Ok(scaler)
    }
}
