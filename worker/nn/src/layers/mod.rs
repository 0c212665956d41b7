//! Layers with a forward and a backward pass.

pub mod activation;
mod buffer;
pub mod dropout;
pub mod linear;
pub mod mlp;
pub mod multi_head_attention;
pub mod norm;
pub mod one_key_attention;
