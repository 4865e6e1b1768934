//! Whether devices can be served, and why not, in words.

/// What came of looking at one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It is as it should be.
    Fine(String),
    /// It is not, but devices are served all the same.
    Warning(String),
    /// Devices can't be served.
    NotReady(String),
}

/// Whether there is nothing that keeps devices from being served, and everything that was found, a line each.
pub(super) fn told(findings: &[Finding]) -> (bool, String) {
    let ready = !findings
        .iter()
        .any(|finding| matches!(finding, Finding::NotReady(_)));
    let mut text = String::from(if ready { "ready\n" } else { "not ready\n" });
    for finding in findings {
        let (kind, words) = match finding {
            Finding::Fine(words) => ("ok", words),
            Finding::Warning(words) => ("warning", words),
            Finding::NotReady(words) => ("not ready", words),
        };
        text.extend([kind, ": ", words, "\n"]);
    }
    (ready, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_alone_leaves_it_ready_and_one_reason_makes_it_not() {
        let fine = Finding::Fine("it serves".into());
        let warning = Finding::Warning("the sky is grey".into());
        let reason = Finding::NotReady("it is stopping".into());
        assert_eq!(
            told(&[fine.clone(), warning.clone()]),
            (
                true,
                "ready\nok: it serves\nwarning: the sky is grey\n".into()
            )
        );
        assert_eq!(
            told(&[reason, warning]),
            (
                false,
                "not ready\nnot ready: it is stopping\nwarning: the sky is grey\n".into()
            )
        );
    }
}
