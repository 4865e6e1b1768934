//! The token of a device to be added, and where the registry finds it.

use super::super::Failed;
use crate::device::AccessToken;
use crate::shown::Shown;
use clap::Args;
use std::convert::Infallible;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;
use zeroize::{Zeroize, Zeroizing};

/// Bytes read of a token; none has that many.
const LONGEST: u64 = 4096;

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct TokenArgs {
    /// Its access token, written into the registry. It shows in `ps`: better give -, to read it from standard input
    #[arg(long, value_name = "TOKEN|-")]
    token: Option<Secret>,
    /// A file that holds the token; its path is written into the registry
    #[arg(long, value_name = "FILE")]
    token_file: Option<String>,
    /// A variable in the gateway's environment that holds the token; its name is written into the registry
    #[arg(long, value_name = "NAME")]
    token_env: Option<String>,
}

/// A token argument, which clap does not repeat in errors and `Debug` does not show.
#[derive(Clone)]
struct Secret(Zeroizing<String>);

impl std::str::FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Secret(Zeroizing::new(text.to_owned())))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// The registry's field for the token, and its value.
pub(super) fn read(args: &TokenArgs) -> Result<(&'static str, Zeroizing<String>), Failed> {
    if let Some(path) = &args.token_file {
        plain("--token-file", path)?;
        let shown = Shown::path(Path::new(path));
        let file = open(path).map_err(|error| format!("--token-file: {shown}: {error}"))?;
        token(file).map_err(|error| format!("--token-file: {shown}: {error}"))?;
        return Ok(("token_file", Zeroizing::new(path.clone())));
    }
    if let Some(name) = &args.token_env {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            // Not repeated: it may be the token itself.
            return Err("--token-env: not a valid variable NAME (letters, digits, _)".into());
        }
        return Ok(("token_env", Zeroizing::new(name.clone())));
    }
    let given = match &args.token {
        Some(Secret(given)) if given.as_str() != "-" => {
            valid(given.to_string()).map_err(|error| format!("--token: {error}"))?
        }
        _ => {
            let input = std::io::stdin().lock();
            if input.is_terminal() {
                // A closed standard error is ignored.
                let _ = write!(std::io::stderr(), "Access token, then Enter: ");
            }
            token(input).map_err(|error| format!("--token -: standard input: {error}"))?
        }
    };
    Ok(("token", given))
}

fn open(path: &str) -> std::io::Result<File> {
    if !std::fs::metadata(Path::new(path))?.is_file() {
        return Err(std::io::Error::other("this is no file"));
    }
    File::open(path)
}

/// Reads a token, up to the end of its line.
fn token(input: impl Read) -> Result<Zeroizing<String>, String> {
    let mut text = Zeroizing::new(String::with_capacity(
        usize::try_from(LONGEST).unwrap_or(0) + 1,
    ));
    let mut input = BufReader::new(input.take(LONGEST));
    input
        .read_line(&mut text)
        .map_err(|error| error.to_string())?;
    valid(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn valid(mut text: String) -> Result<Zeroizing<String>, String> {
    let token =
        AccessToken::new(text.as_str()).map(|token| Zeroizing::new(token.expose().to_owned()));
    text.zeroize();
    token.map_err(|error| error.to_string())
}

/// Checks that a path can be one line of text in the registry.
fn plain(option: &str, path: &str) -> Result<(), Failed> {
    if path.is_empty() || path.chars().any(char::is_control) {
        let shown = Shown::misplaced(path);
        return Err(
            format!("{option}: this ({shown}) is empty or has control characters in it").into(),
        );
    }
    Ok(())
}
