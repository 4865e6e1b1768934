//! Query parameters, as ThingsBoard reads them.

use coap::Request;

/// The value of a query parameter. Several parameters may stand in one Uri-Query option with `&` between them. If a
/// parameter is repeated, the last one counts.
pub(super) fn parameter<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request
        .query
        .iter()
        .rev()
        .flat_map(|option| option.rsplit('&'))
        .find_map(|parameter| parameter.strip_prefix(name)?.strip_prefix('='))
}
