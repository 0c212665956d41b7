//! The server over a small store, asked over TCP as a browser and as a hostile client.

mod fixture;
mod hostile;
mod large;
mod pages;
mod schema;
