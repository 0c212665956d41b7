//! The token that a server on an address other than loopback asks for.

use std::fmt;
use std::path::Path;

use jhalak_common::{Error, Result, hash};
use subtle::ConstantTimeEq;

/// A token is at least this long, in bytes.
const MIN_BYTES: usize = 16;

/// A token has at most this many bytes.
const MAX_BYTES: usize = 512;

/// The secret that clients present: as a bearer token, or in the sign-in form, which sets a cookie
/// with a value derived from it.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// Accepts a token of 16 to 512 printable ASCII characters without blanks. `place` names its
    /// origin in errors.
    ///
    /// # Errors
    /// InvalidInput; the message does not hold the token.
    pub fn new(text: &str, place: &str) -> Result<Token> {
        let text = text.trim();
        let is_long_enough = (MIN_BYTES..=MAX_BYTES).contains(&text.len());
        match is_long_enough && text.bytes().all(|b| b.is_ascii_graphic()) {
            true => Ok(Token(text.to_owned())),
            false => Err(Error::invalid(format!(
                "{place} does not hold a token of {MIN_BYTES} to {MAX_BYTES} letters, digits and signs: write a random \
                 one, for example with `openssl rand -hex 32`"
            ))),
        }
    }

    /// Reads a token from a file. Blanks and line ends around it do not count.
    ///
    /// # Errors
    /// InvalidInput where the file cannot be read or holds no token.
    pub fn read(file: &Path) -> Result<Token> {
        let place = format!("the file {} (--token-file)", file.display());
        let text = std::fs::read_to_string(file)
            .map_err(|e| Error::invalid(format!("{place} cannot be read")).with_source(e))?;
        Token::new(&text, &place)
    }

    /// Whether `given` is the token, in a time that does not depend on how much of it is right.
    pub fn is(&self, given: &str) -> bool {
        same(&self.0, given.trim())
    }

    /// Whether `given` is the value of the cookie.
    pub fn is_cookie(&self, given: &str) -> bool {
        same(&self.cookie(), given)
    }

    /// Returns the value of the cookie. It does not reveal the token.
    pub fn cookie(&self) -> String {
        hash::of_bytes(format!("jhalak serve cookie\n{}", self.0).as_bytes()).to_string()
    }
}

/// Compares hashes of equal length, so that not even the length of the secret shows in the time.
fn same(secret: &str, given: &str) -> bool {
    let digest = |text: &str| hash::of_bytes(text.as_bytes()).to_string();
    digest(secret).as_bytes().ct_eq(digest(given).as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_and_its_cookie_are_accepted_and_neither_is_shown() {
        let secret = "0123456789abcdef-secret";
        let token = Token::new(&format!(" {secret}\n"), "a test").expect("long enough");
        assert!(token.is(secret));
        for wrong in ["", "0123456789abcdef", "0123456789abcdef-secreT", &token.cookie()] {
            assert!(!token.is(wrong), "{wrong}");
        }
        assert!(token.is_cookie(&token.cookie()) && !token.is_cookie(secret));
        assert!(!token.cookie().contains("secret") && !format!("{token:?}").contains("secret"));
    }

    #[test]
    fn short_and_unprintable_tokens_are_refused_without_being_shown() {
        for wrong in ["", "short-secret", "a token with blanks in it", &"x".repeat(513)] {
            let error = Token::new(wrong, "the file").expect_err("not a token").to_string();
            assert!(error.contains("openssl") && (wrong.is_empty() || !error.contains(wrong)), "{error}");
        }
    }
}
