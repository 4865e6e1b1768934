//! What is logged, and how.

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A level, or directives such as `info,coaps_gateway::dtls=debug`.
    pub level: String,
    /// For people or for programs.
    pub format: Format,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            level: "info".to_owned(),
            format: Format::Text,
        }
    }
}
