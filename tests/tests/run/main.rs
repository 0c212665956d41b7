//! The whole job as a user runs it: the built programs on datasets made on the spot, embedded and
//! over real servers.

mod bad_input;
mod cluster;
mod command_line;
mod datasets;
mod detect;
mod embedded;
mod embedders;
mod evaluate;
mod examples;
mod extract;
mod given_embeddings;
mod keyframes;
mod killed;
mod outputs;
mod readme;
mod report_page;
mod serve;
mod serve_pages;
mod serving;
mod videos;
