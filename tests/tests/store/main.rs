//! The object store: one suite, run on a local folder and on a real S3 server, behind faults too.

mod crash;
mod faults;
mod https;
mod local;
mod s3;
