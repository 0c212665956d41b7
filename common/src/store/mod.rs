//! The object store holds trailers, artifacts and runs. It is the source of truth of every run.
//!
//! One narrow trait, implemented by a local folder ([`local::LocalStore`]) and by S3
//! ([`s3::S3Store`]); both pass the same [`conformance`] suite. Trailers may also be read from web
//! servers ([`https::HttpsSource`]).

pub mod conformance;
pub mod https;
mod interface;
mod key;
mod listed;
pub mod local;
pub mod manifest;
mod metered;
mod open;
pub mod s3;

pub use interface::{ObjectMeta, ObjectStore, PutOutcome, exists};
pub use key::{check_key, check_prefix};
pub use listed::Listed;
pub use open::{open, open_source, open_to_read};
