//! A decoded frame as packed RGB, converted like the `ffmpeg` program does.
//!
//! FFmpeg's scale filter, which `ffmpeg` inserts for `-pix_fmt rgb24`, sets three things that a
//! plain swscale context lacks: the frame's colour matrix, its range, and the chroma siting of
//! 4:2:0. Without them, tagged material (BT.709, full range) gets other colours. ffmpeg-next cannot
//! set them, hence the unsafe code here. Tests compare every byte with the `ffmpeg` program.

pub mod jpeg_decoder;
pub mod jpeg_encoder;
pub mod orientation;
pub mod pixels;
pub mod resample;

use crate::error::MediaError;
use crate::picture::pixels::Pixels;
use ffmpeg::ffi;
use ffmpeg::frame;
use ffmpeg_next as ffmpeg;
use std::ffi::{c_int, c_void};
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
pub struct RgbConverter {
    context: *mut ffi::SwsContext,
    shape: Option<Shape>,
}

impl Default for RgbConverter {
    fn default() -> Self {
        Self { context: ptr::null_mut(), shape: None }
    }
}

#[expect(unsafe_code, reason = "ffmpeg-next cannot set swscale's matrix, range and chroma siting")]
impl RgbConverter {
    /// Converts a frame like `ffmpeg -pix_fmt rgb24`, without rotation. Fails on sizes above the
    /// limits and on pixel formats that swscale cannot read.
    pub fn convert(&mut self, frame: &frame::Video) -> Result<Picture, MediaError> {
        let mut picture = Picture::default();
        self.convert_into(frame, &mut picture)?;
        Ok(picture)
    }

    /// Like [`convert`](Self::convert), into memory that is reused.
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
        if self.shape != Some(shape) {
            self.configure(shape)?;
        }
        // Pads rows for vector code that writes beyond the end of a row.
        let (row, stride) = (width as usize * 3, (width as usize * 3).next_multiple_of(64));
        let rgb = &mut picture.rgb;
        rgb.resize(Self::buffer_bytes(width, height));
        let planes = [rgb.as_mut_ptr(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut()];
        let strides = [stride as c_int, 0, 0, 0];
        // SAFETY: the context was made for exactly this size and format; the source planes belong
        // to the live frame; the target holds `height` rows of `stride` bytes and 64 bytes more.
        let rows = unsafe {
            let raw = frame.as_ptr();
            ffi::sws_scale(
                self.context,
                ptr::addr_of!((*raw).data).cast(),
                ptr::addr_of!((*raw).linesize).cast(),
                0,
                height as c_int,
                planes.as_ptr(),
                strides.as_ptr(),
            )
        };
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

    fn configure(&mut self, shape: Shape) -> Result<(), MediaError> {
        const YUV420P: c_int = ffi::AVPixelFormat::AV_PIX_FMT_YUV420P as c_int;
        const RGB24: c_int = ffi::AVPixelFormat::AV_PIX_FMT_RGB24 as c_int;
        const FULL_RANGE: c_int = ffi::AVColorRange::AVCOL_RANGE_JPEG as c_int;
        self.release();
        // SAFETY: a fresh context, checked for null, configured through FFmpeg's own option names,
        // and released by `release` on every path. The tables that swscale hands out live as long
        // as the context or for ever.
        let ready = unsafe {
            self.context = ffi::sws_alloc_context();
            if self.context.is_null() {
                return Err(out_of_memory());
            }
            let context = self.context.cast::<c_void>();
            let mut options = vec![
                (c"srcw", shape.width as i64),
                (c"srch", shape.height as i64),
                (c"src_format", i64::from(shape.format)),
                (c"dstw", shape.width as i64),
                (c"dsth", shape.height as i64),
                (c"dst_format", i64::from(RGB24)),
                (c"sws_flags", i64::from(ffi::SWS_BICUBIC)),
            ];
            if shape.format == YUV420P {
                options.push((c"src_v_chr_pos", 128));
            }
            let set = options.iter().all(|(name, value)| ffi::av_opt_set_int(context, name.as_ptr(), *value, 0) >= 0);
            set && ffi::sws_init_context(self.context, ptr::null_mut(), ptr::null_mut()) >= 0
        };
        if !ready {
            self.release();
            let message =
                format!("cannot convert pixel format {} at {}x{} to RGB", shape.format, shape.width, shape.height);
            return Err(MediaError::permanent(message));
        }
        // SAFETY: as above; all out-parameters are valid for writes.
        unsafe {
            let (mut source, mut target) = (ptr::null_mut::<c_int>(), ptr::null_mut::<c_int>());
            let (mut source_full, mut target_full) = (0, 0);
            let (mut brightness, mut contrast, mut saturation) = (0, 0, 0);
            let known = ffi::sws_getColorspaceDetails(
                self.context,
                &mut source,
                &mut source_full,
                &mut target,
                &mut target_full,
                &mut brightness,
                &mut contrast,
                &mut saturation,
            );
            if known >= 0 {
                // FFmpeg's own fallback for untagged, reserved and unknown matrices is BT.601.
                let matrix = if (1..=10).contains(&shape.matrix) && shape.matrix != 8 { shape.matrix } else { 5 };
                let table = ffi::sws_getCoefficients(matrix);
                if shape.range != 0 {
                    source_full = c_int::from(shape.range == FULL_RANGE);
                }
                ffi::sws_setColorspaceDetails(
                    self.context,
                    table,
                    source_full,
                    table,
                    target_full,
                    brightness,
                    contrast,
                    saturation,
                );
            }
        }
        self.shape = Some(shape);
        Ok(())
    }

    fn release(&mut self) {
        self.shape = None;
        // SAFETY: null or a context of our own; swscale accepts null.
        unsafe { ffi::sws_freeContext(self.context) };
        self.context = ptr::null_mut();
    }
}

impl Drop for RgbConverter {
    fn drop(&mut self) {
        self.release();
    }
}

fn out_of_memory() -> MediaError {
    MediaError::MemoryExceeded { limit_mb: 0, message: "no memory for swscale".to_owned() }
}
