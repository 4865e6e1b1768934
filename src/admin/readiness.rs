//! The readiness report: whether devices can be served, and why not.

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    Fine(String),
    /// It has failed, but devices can be served.
    Warning(String),
    /// It has failed, and devices can't be served.
    NotReady(String),
}

/// Whether all is ready, and one line for each finding.
pub(super) fn report(findings: &[Finding]) -> (bool, String) {
    let ready = !findings
        .iter()
        .any(|finding| matches!(finding, Finding::NotReady(_)));
    let mut text = String::from(if ready { "ready\n" } else { "not ready\n" });
    for finding in findings {
        let (result, detail) = match finding {
            Finding::Fine(detail) => ("ok", detail),
            Finding::Warning(detail) => ("warning", detail),
            Finding::NotReady(detail) => ("not ready", detail),
        };
        text.extend([result, ": ", detail, "\n"]);
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
            report(&[fine.clone(), warning.clone()]),
            (
                true,
                "ready\nok: it serves\nwarning: the sky is grey\n".into()
            )
        );
        assert_eq!(
            report(&[reason, warning]),
            (
                false,
                "not ready\nnot ready: it is stopping\nwarning: the sky is grey\n".into()
            )
        );
    }
}
