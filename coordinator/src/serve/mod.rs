//! The page of `jhalak serve`: runs, trailers, quarantined jobs and recommendations, read from a
//! store.
//!
//! Pages are rendered on the server from the templates in `templates/`. Every page is a value that
//! is either rendered or, below `/api/v1`, written as JSON; `openapi` describes those values.
//! Nothing here writes to the store. Text from a store is untrusted input: the template engine
//! escapes it, and the content security policy forbids scripts and styles of other origins.
//!
//! Start with [`routes`] (which address is which page), then [`site`] (what pages share), [`guard`]
//! (who may ask) and `pages`.

mod answer;
mod cache;
mod etag;
mod failure;
mod guard;
mod held_models;
mod index;
mod measured;
mod model;
mod nearest;
mod openapi;
mod pages;
mod pictures;
mod query;
mod routes;
mod server;
mod site;
mod svg;
mod templates;
#[cfg(test)]
mod tests;
mod token;
mod uploads;

pub use guard::Access;
pub use routes::router;
pub use server::serve;
pub use site::{Site, UPLOAD_LIMIT_MB};
pub use token::Token;
