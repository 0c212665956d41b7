//! FFmpeg: an opened file, its packets, its decoders, its sound.

pub mod audio;
pub mod decoder;
pub mod demux;
pub mod nal;
pub mod packet_index;
pub mod source;
pub mod timestamps;
