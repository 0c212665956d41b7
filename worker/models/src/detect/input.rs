//! Converts a picture to the input of a detector: resize, letterbox, padding, scale and layout.

use jhalak_common::models::{Channels, Layout, PictureInput};
use jhalak_common::{Error, Result};

use super::bilinear::BilinearResizer;
use super::letterbox::Letterbox;
use jhalak_media::picture::Picture;
use jhalak_media::picture::resample;

/// Default padding value: the gray of YOLO.
const PAD: u8 = 114;

/// Writes pictures to the input of one model.
pub struct InputWriter {
    how: PictureInput,
    /// Input value of each byte, per channel of the input.
    values: [[f32; 256]; 3],
    /// Picture channel of each channel of the input.
    sources: [usize; 3],
    bilinear: BilinearResizer,
}

impl InputWriter {
    /// Creates a writer for inputs as the registry entry describes them.
    pub fn new(how: &PictureInput) -> InputWriter {
        let value = |channel: usize, byte: usize| {
            (byte as f32 / how.divide_by.unwrap_or(1.0) - how.mean[channel]) / how.std[channel]
        };
        let sources = match how.channels {
            Channels::Rgb => [0, 1, 2],
            Channels::Bgr => [2, 1, 0],
        };
        InputWriter {
            how: how.clone(),
            values: std::array::from_fn(|channel| std::array::from_fn(|byte| value(channel, byte))),
            sources,
            bilinear: BilinearResizer::default(),
        }
    }

    /// Number of values in the input of one picture.
    pub fn len(&self) -> usize {
        3 * self.how.width as usize * self.how.height as usize
    }

    /// Whether the input has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes `picture` to `input`, [`InputWriter::len`] values. Returns its location there.
    pub fn write(&mut self, picture: &Picture, input: &mut [f32]) -> Result<Letterbox> {
        let size = (picture.width, picture.height);
        if size.0 == 0 || size.1 == 0 || picture.rgb.len() != size.0 as usize * size.1 as usize * 3 {
            return Err(Error::bug(format!("a picture of {} x {} holds {} bytes", size.0, size.1, picture.rgb.len())));
        }
        if input.len() != self.len() {
            return Err(Error::bug(format!("an input of {} values, expected {}", input.len(), self.len())));
        }
        let letterbox = Letterbox::of(self.how.resize, size, (self.how.width, self.how.height));
        let sink = Sink { values: &self.values, sources: self.sources, how: &self.how, letterbox };
        sink.pad(input);
        let Some(filter) = crate::resize_filter::pillow(self.how.filter) else {
            self.bilinear.rows(&picture.rgb, size, &letterbox, |y, line| sink.line(y, line, input));
            return Ok(letterbox);
        };
        let resized = resample::resize(picture, resample::whole(picture), letterbox.width, letterbox.height, filter);
        let stride = letterbox.width as usize * 3;
        resized.chunks_exact(stride).enumerate().for_each(|(y, line)| sink.line(y, line, input));
        Ok(letterbox)
    }
}

/// Writes the lines of a resized picture to the input.
struct Sink<'a> {
    values: &'a [[f32; 256]; 3],
    sources: [usize; 3],
    how: &'a PictureInput,
    letterbox: Letterbox,
}

impl Sink<'_> {
    /// Fills the area outside the picture.
    fn pad(&self, input: &mut [f32]) {
        let pad = [0, 1, 2].map(|channel| self.values[channel][usize::from(self.how.pad.unwrap_or(PAD))]);
        match self.how.layout {
            Layout::Nchw => {
                let area = input.len() / 3;
                input.chunks_exact_mut(area).zip(pad).for_each(|(plane, value)| self.pad_plane(plane, value));
            }
            Layout::Nhwc => self.pad_plane(input.as_chunks_mut::<3>().0, pad),
        }
    }

    fn pad_plane<T: Copy>(&self, plane: &mut [T], value: T) {
        let Letterbox { left, top, width, height, .. } = self.letterbox;
        let inside = |y: usize| (top as usize..(top + height) as usize).contains(&y);
        for (y, line) in plane.chunks_exact_mut(self.how.width as usize).enumerate() {
            match inside(y) {
                true => {
                    line[..left as usize].fill(value);
                    line[(left + width) as usize..].fill(value);
                }
                false => line.fill(value),
            }
        }
    }

    fn line(&self, y: usize, line: &[u8], input: &mut [f32]) {
        let (columns, area) = (self.how.width as usize, input.len() / 3);
        let start = (self.letterbox.top as usize + y) * columns + self.letterbox.left as usize;
        let pixels = line.as_chunks::<3>().0;
        match self.how.layout {
            Layout::Nchw => {
                for (channel, (values, &source)) in self.values.iter().zip(&self.sources).enumerate() {
                    let out = &mut input[channel * area + start..][..pixels.len()];
                    out.iter_mut().zip(pixels).for_each(|(out, pixel)| *out = values[usize::from(pixel[source])]);
                }
            }
            Layout::Nhwc => {
                for (out, pixel) in input.as_chunks_mut::<3>().0[start..].iter_mut().zip(pixels) {
                    for channel in 0..3 {
                        out[channel] = self.values[channel][usize::from(pixel[self.sources[channel]])];
                    }
                }
            }
        }
    }
}
