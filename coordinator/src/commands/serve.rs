//! `jhalak serve`: the page over a store.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use jhalak_common::process::{exit, shutdown};
use jhalak_common::settings::Settings;
use jhalak_common::store;
use jhalak_common::{Error, Result};
use serde_json::json;
use tokio::net::TcpListener;

use crate::commands::numbers;
use crate::console::output::Output;
use crate::serve::{self, Access, Site, Token, UPLOAD_LIMIT_MB};

/// The environment variable with the token.
const TOKEN_VARIABLE: &str = "JHALAK_SERVE_TOKEN";

/// Show runs, trailers and recommendations on a web page
///
/// Reads the store and writes nothing to it. Every page is JSON below /api/v1, described by /api/v1/openapi.json.
/// Listens on this machine alone unless --listen names another address; then a token is required.
#[derive(Args)]
#[command(after_help = "Examples:
  # Open http://127.0.0.1:8080 in a browser
  jhalak serve --store .local/store
  # Let others in, with a token of 32 letters or more in a file
  jhalak serve --listen 0.0.0.0:8080 --token-file token --host films.example.org")]
pub struct Serve {
    /// Address and port to listen on
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", help_heading = "Access")]
    listen: SocketAddr,
    /// File with a token that visitors must know
    ///
    /// The environment variable JHALAK_SERVE_TOKEN may hold the token instead. Required unless --listen is a loopback
    /// address.
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    token_file: Option<PathBuf>,
    /// Name under which browsers reach the server, in addition to localhost and addresses; repeatable
    ///
    /// Requests under other names are refused, so that no other site can read the pages.
    #[arg(long, value_name = "NAME", help_heading = "Access")]
    host: Vec<String>,
    /// Largest trailer that visitors may upload, in MB; 0 to refuse uploads
    #[arg(long, value_name = "MB", default_value_t = UPLOAD_LIMIT_MB, value_parser = numbers::whole::<u64>, help_heading = "Access")]
    upload_mb: u64,
}

impl Serve {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let stop = shutdown::on_signal()?;
        let access = Access::new(&self.listen, self.token()?, self.host)?;
        let store = store::open_to_read(&settings.store, &settings.s3).await?;
        let shown = store.url();
        let site = Site::new(store, settings, self.upload_mb, stop.clone())?;
        let listen = self.listen;
        let cannot = |e: std::io::Error| {
            Error::unable(format!("cannot listen on {listen}: name another address with --listen")).with_source(e)
        };
        let listener = TcpListener::bind(listen).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let text = format!("http://{address} shows {shown}; stop with Ctrl-C");
        output.print(&json!({ "address": format!("http://{address}"), "store": shown }), &text)?;
        serve::serve(listener, serve::router(site, access), stop).await?;
        Ok(exit::DONE)
    }

    fn token(&self) -> Result<Option<Token>> {
        match (&self.token_file, std::env::var(TOKEN_VARIABLE)) {
            (Some(file), _) => Token::read(file).map(Some),
            (None, Ok(text)) => Token::new(&text, &format!("the variable {TOKEN_VARIABLE}")).map(Some),
            (None, Err(_)) => Ok(None),
        }
    }
}
