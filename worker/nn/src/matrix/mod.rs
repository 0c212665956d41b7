//! Matrix products.

pub mod batch_kernels;
pub mod product;
