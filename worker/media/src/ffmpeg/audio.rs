//! The sound track, resampled to mono 16-bit samples like `ffmpeg -ac 1 -f s16le` and streamed to a
//! file.
//!
//! The unsafe code calls swresample directly: ffmpeg-next's wrapper sizes its output for equal
//! rates, so a slow input accumulates inside the resampler without bound, and it loses channel
//! layouts that FFmpeg 5.1 knows.

use crate::error::MediaError;
use crate::report::SoundChoice;
use ffmpeg::ffi;
use ffmpeg::frame;
use ffmpeg_next as ffmpeg;
use std::ffi::c_int;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::mem::{MaybeUninit, transmute};
use std::path::{Path, PathBuf};
use std::ptr;

/// File name of the sound in the output folder.
pub const FILE_NAME: &str = "audio.s16le";

/// Writes sound to a file.
pub struct SoundWriter {
    path: PathBuf,
    file: BufWriter<File>,
    sample_rate: u32,
    samples: u64,
    resampler: Option<Resampler>,
    choice: Option<SoundChoice>,
}

impl SoundWriter {
    /// Creates or replaces `audio.s16le` in `folder`, for the track that was chosen of several.
    pub fn create(folder: &Path, sample_rate: u32, choice: Option<SoundChoice>) -> Result<Self, MediaError> {
        let path = folder.join(FILE_NAME);
        let file = File::create(&path).map_err(|error| MediaError::from_io("cannot create", &path, &error))?;
        Ok(Self { path, file: BufWriter::new(file), sample_rate, samples: 0, resampler: None, choice })
    }

    /// Adds a decoded frame. Starts a new resampler where format, rate or channels change.
    pub fn push(&mut self, sound: &frame::Audio) -> Result<(), MediaError> {
        let fits = self.resampler.as_ref().is_some_and(|resampler| resampler.accepts(sound));
        if !fits {
            self.drain()?;
            self.resampler = Some(Resampler::new(sound, self.sample_rate)?);
        }
        match &mut self.resampler {
            Some(resampler) => {
                let bytes = resampler.convert(Some(sound))?;
                self.samples += bytes.len() as u64 / 2;
                let written = self.file.write_all(bytes);
                written.map_err(|error| MediaError::from_io("cannot write", &self.path, &error))
            }
            None => Ok(()),
        }
    }

    /// Returns which of several tracks this is.
    pub fn choice(&self) -> Option<SoundChoice> {
        self.choice
    }

    /// Drains the resampler and closes the file. Returns its path and the number of samples.
    pub fn finish(mut self) -> Result<(PathBuf, u64), MediaError> {
        self.drain()?;
        self.file.flush().map_err(|error| MediaError::from_io("cannot write", &self.path, &error))?;
        Ok((self.path, self.samples))
    }

    fn drain(&mut self) -> Result<(), MediaError> {
        let Some(mut resampler) = self.resampler.take() else {
            return Ok(());
        };
        loop {
            let bytes = resampler.convert(None)?;
            if bytes.is_empty() {
                return Ok(());
            }
            self.samples += bytes.len() as u64 / 2;
            self.file.write_all(bytes).map_err(|error| MediaError::from_io("cannot write", &self.path, &error))?;
        }
    }
}

/// Converts frames of one format, rate and channel layout to mono 16-bit with swresample.
struct Resampler {
    context: *mut ffi::SwrContext,
    format: c_int,
    rate: c_int,
    layout: ffi::AVChannelLayout,
    output: Vec<u8>,
}

#[expect(unsafe_code, reason = "see the module documentation")]
impl Resampler {
    fn new(sound: &frame::Audio, target_rate: u32) -> Result<Self, MediaError> {
        let failed = |code: c_int| MediaError::from_ffmpeg("cannot resample the sound", ffmpeg::Error::from(code));
        // SAFETY: the frame is alive. The format is one of FFmpeg's, checked before it becomes a
        // Rust enum. The context is freed by Drop, which also frees the layout's copy.
        unsafe {
            let raw = sound.as_ptr();
            let (format, rate) = ((*raw).format, (*raw).sample_rate);
            let known = 0..ffi::AVSampleFormat::AV_SAMPLE_FMT_NB as c_int;
            if !known.contains(&format) || rate <= 0 || (*raw).ch_layout.nb_channels <= 0 {
                let channels = (*raw).ch_layout.nb_channels;
                let message = format!("sound of format {format}, {rate} Hz, {channels} channels");
                return Err(MediaError::permanent(message));
            }
            let mut layout = MaybeUninit::<ffi::AVChannelLayout>::zeroed().assume_init();
            let copied = ffi::av_channel_layout_copy(&mut layout, &(*raw).ch_layout);
            if copied < 0 {
                return Err(failed(copied));
            }
            let mut new = Self { context: ptr::null_mut(), format, rate, layout, output: Vec::new() };
            // Channels without positions get the default positions for their number.
            let mut positions = new.layout;
            if positions.order == ffi::AVChannelOrder::AV_CHANNEL_ORDER_UNSPEC {
                ffi::av_channel_layout_default(&mut positions, new.layout.nb_channels);
            }
            let mut mono = MaybeUninit::<ffi::AVChannelLayout>::zeroed().assume_init();
            ffi::av_channel_layout_default(&mut mono, 1);
            let set = ffi::swr_alloc_set_opts2(
                &mut new.context,
                &mut mono,
                ffi::AVSampleFormat::AV_SAMPLE_FMT_S16,
                target_rate as c_int,
                &mut positions,
                transmute::<c_int, ffi::AVSampleFormat>(format),
                rate,
                0,
                ptr::null_mut(),
            );
            if set < 0 {
                return Err(failed(set));
            }
            match ffi::swr_init(new.context) {
                code if code < 0 => Err(failed(code)),
                _ => Ok(new),
            }
        }
    }

    /// Whether a frame has the format, rate and layout of this resampler.
    fn accepts(&self, sound: &frame::Audio) -> bool {
        // SAFETY: both layouts are alive; plain integers are read.
        unsafe {
            let raw = sound.as_ptr();
            (*raw).format == self.format
                && (*raw).sample_rate == self.rate
                && ffi::av_channel_layout_compare(&self.layout, &(*raw).ch_layout) == 0
        }
    }

    /// Returns the samples that are ready after `sound`, or the rest at the end; valid until the
    /// next call.
    fn convert(&mut self, sound: Option<&frame::Audio>) -> Result<&[u8], MediaError> {
        // SAFETY: the context is initialised for frames like this one (`accepts`); the frame has
        // `nb_samples` samples in each plane of `extended_data`; the output holds the number of
        // samples that is passed with it.
        let made = unsafe {
            let (planes, count) = match sound {
                Some(sound) => ((*sound.as_ptr()).extended_data.cast::<*const u8>(), (*sound.as_ptr()).nb_samples),
                None => (ptr::null_mut(), 0),
            };
            let capacity = ffi::swr_get_out_samples(self.context, count).clamp(0, 1 << 24) + 64;
            self.output.resize(capacity as usize * 2, 0);
            let mut output = self.output.as_mut_ptr();
            ffi::swr_convert(self.context, &mut output, capacity, planes, count)
        };
        match usize::try_from(made) {
            Ok(samples) => Ok(&self.output[..samples * 2]),
            Err(_) => Err(MediaError::from_ffmpeg("cannot resample the sound", ffmpeg::Error::from(made))),
        }
    }
}

#[expect(unsafe_code, reason = "releases what Resampler::new allocated")]
impl Drop for Resampler {
    fn drop(&mut self) {
        // SAFETY: both were allocated by FFmpeg for this value alone, or are null.
        unsafe {
            ffi::swr_free(&mut self.context);
            ffi::av_channel_layout_uninit(&mut self.layout);
        }
    }
}
