//! The pages, one file each: what each shows, and how it is read from the store.

pub mod audience;
pub mod compare;
pub mod findings;
pub mod live;
pub mod media;
pub mod neighbours;
pub mod quarantine;
pub mod recommend;
pub mod run;
pub mod runs;
pub mod trailer;
pub mod trailers;
pub mod upload;
