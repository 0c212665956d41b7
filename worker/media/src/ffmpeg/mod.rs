//! Everything that drives FFmpeg: the opened file, its packets, its decoders, timestamps and sound.

pub mod audio;
pub mod decode_loop;
pub mod decoder;
pub mod demux;
pub mod edit_list;
pub mod frame_stamper;
pub mod nal;
pub mod packet_index;
pub mod packet_syntax;
pub mod picture_file;
pub mod source;
pub mod video_timing;
