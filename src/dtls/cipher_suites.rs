//! The configured cipher suites of DTLS 1.2.

use dtls_server::suite::{Authentication, CipherSuite};

/// Whether the server needs a certificate with an RSA key for it.
pub(crate) fn needs_rsa(suite: CipherSuite) -> bool {
    suite.authentication() == Authentication::Rsa
}

/// Cipher suites, best first, each at most once. Empty: all that the server's certificates allow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CipherSuites([Option<CipherSuite>; CipherSuite::ALL.len()]);

impl CipherSuites {
    /// In order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = CipherSuite> {
        self.0.iter().flatten().copied()
    }
}

impl FromIterator<CipherSuite> for CipherSuites {
    /// A suite that comes again is left out.
    fn from_iter<I: IntoIterator<Item = CipherSuite>>(suites: I) -> CipherSuites {
        let mut list = CipherSuites::default();
        for suite in suites {
            if !list.0.contains(&Some(suite))
                && let Some(free) = list.0.iter_mut().find(|place| place.is_none())
            {
                *free = Some(suite);
            }
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_in_order_and_each_is_there_once() {
        let [first, second, ..] = CipherSuite::ALL;
        let list: CipherSuites = [second, first, second].into_iter().collect();
        assert_eq!(list.iter().collect::<Vec<_>>(), [second, first]);
        let all: CipherSuites = CipherSuite::ALL
            .into_iter()
            .chain(CipherSuite::ALL)
            .collect();
        assert_eq!(all.iter().collect::<Vec<_>>(), CipherSuite::ALL);
        assert_eq!(CipherSuites::default().iter().next(), None);
    }
}
