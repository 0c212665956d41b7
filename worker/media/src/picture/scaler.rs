//! A swscale context that converts frames to packed RGB or BGR of the same size.
//!
//! ffmpeg-next's wrapper requires the size of the context and of the frame to be equal, and it
//! cannot set swscale's options, colour matrix and range: hence the unsafe code.

use crate::error::MediaError;
use ffmpeg::ffi;
use ffmpeg::frame;
use ffmpeg_next as ffmpeg;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;

/// The order of the bytes of a packed pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

impl Order {
    fn format(self) -> c_int {
        match self {
            Self::Rgb => ffi::AVPixelFormat::AV_PIX_FMT_RGB24 as c_int,
            Self::Bgr => ffi::AVPixelFormat::AV_PIX_FMT_BGR24 as c_int,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rgb => "RGB",
            Self::Bgr => "BGR",
        }
    }
}

/// Owns a swscale context.
pub struct Scaler {
    context: *mut ffi::SwsContext,
}

#[expect(unsafe_code, reason = "see the module documentation")]
impl Scaler {
    /// Creates a context for frames of `format` (an `AVPixelFormat`) and of a size within
    /// [`check_size`](super::check_size). `options` are further options of swscale.
    ///
    /// # Errors
    /// A format that swscale cannot read, or not enough memory.
    pub fn new(
        (width, height): (u32, u32),
        format: c_int,
        order: Order,
        options: &[(&CStr, i64)],
    ) -> Result<Self, MediaError> {
        // SAFETY: no arguments; the result is checked and released by `drop`.
        let context = unsafe { ffi::sws_alloc_context() };
        if context.is_null() {
            return Err(MediaError::MemoryExceeded { limit_mb: 0, message: "no memory for swscale".to_owned() });
        }
        let scaler = Self { context };
        let common = [
            (c"srcw", i64::from(width)),
            (c"srch", i64::from(height)),
            (c"src_format", i64::from(format)),
            (c"dstw", i64::from(width)),
            (c"dsth", i64::from(height)),
            (c"dst_format", i64::from(order.format())),
            (c"sws_flags", i64::from(ffi::SWS_BICUBIC)),
        ];
        let set = |&(name, value): &(&CStr, i64)| {
            // SAFETY: the context is alive and its first field is its class, as options require;
            // names are terminated; values outside an option's range are refused.
            unsafe { ffi::av_opt_set_int(context.cast::<c_void>(), name.as_ptr(), value, 0) >= 0 }
        };
        // SAFETY: the context is alive; null means no filter.
        let initialise = || unsafe { ffi::sws_init_context(context, ptr::null_mut(), ptr::null_mut()) >= 0 };
        if common.iter().chain(options).all(set) && initialise() {
            return Ok(scaler);
        }
        let name = order.name();
        Err(MediaError::permanent(format!("cannot convert pixel format {format} at {width}x{height} to {name}")))
    }

    /// Sets the colour matrix and range of the frames as FFmpeg's scale filter does. Both are
    /// FFmpeg's numbers; untagged, reserved and unknown matrices are BT.601, and range 0 leaves the
    /// range as it is.
    pub fn set_source_colours(&mut self, matrix: c_int, range: c_int) {
        const FULL_RANGE: c_int = ffi::AVColorRange::AVCOL_RANGE_JPEG as c_int;
        let (mut source, mut target) = (ptr::null_mut::<c_int>(), ptr::null_mut::<c_int>());
        let (mut source_full, mut target_full) = (0, 0);
        let (mut brightness, mut contrast, mut saturation) = (0, 0, 0);
        // SAFETY: the context is alive; all out-parameters are valid for writes; the coefficients
        // are a static table of swscale.
        unsafe {
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
            if known < 0 {
                return;
            }
            let matrix = if (1..=10).contains(&matrix) && matrix != 8 { matrix } else { 5 };
            let table = ffi::sws_getCoefficients(matrix);
            if range != 0 {
                source_full = c_int::from(range == FULL_RANGE);
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

    /// Converts all rows of a frame into `target`, whose rows lie `stride` bytes apart. Returns the
    /// number of rows written, negative on error.
    ///
    /// # Safety
    /// The frame has the format of the context, and its memory holds the context's width in every
    /// row. `target` holds the context's rows at this stride, and 64 bytes more: vector code writes
    /// beyond the end of a row.
    pub unsafe fn convert(&mut self, frame: &frame::Video, target: &mut [u8], stride: usize) -> c_int {
        let planes = [target.as_mut_ptr(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut()];
        let strides = [stride as c_int, 0, 0, 0];
        // SAFETY: the context and the frame are alive; the rest is the caller's promise.
        unsafe {
            let raw = frame.as_ptr();
            ffi::sws_scale(
                self.context,
                ptr::addr_of!((*raw).data).cast(),
                ptr::addr_of!((*raw).linesize).cast(),
                0,
                frame.height() as c_int,
                planes.as_ptr(),
                strides.as_ptr(),
            )
        }
    }
}

#[expect(unsafe_code, reason = "see the module documentation")]
impl Drop for Scaler {
    fn drop(&mut self) {
        // SAFETY: a context of our own, released once.
        unsafe { ffi::sws_freeContext(self.context) };
    }
}
