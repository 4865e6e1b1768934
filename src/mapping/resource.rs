//! Which resource a path names: ThingsBoard's CoAP grammar, for certificate devices.
//!
//! ThingsBoard's `CoapTransportResource` reads the feature by position, not by name, and firmware is
//! written for it as it is. So here too:
//!
//! * four segments or more: the fourth is the feature (`api/v1/{token}/telemetry`), except that of
//!   exactly four with a number at the end the third is (`api/v1/rpc/17`);
//! * exactly three: the third is (`api/v1/telemetry`);
//! * the RPC id is the fifth segment if there are five, else the fourth, and what is no number there
//!   makes it a client-side RPC;
//! * features are read in any case; a path that comes whole in one option is split;
//! * a query that was put into the path is refused with a word about where it belongs.
//!
//! Packages have root resources of their own there, in the form with a token alone; here `fw` and `sw` go
//! without one too, and `firmware` and `software` are features like others.
//!
//! A token in the path is never looked at: the certificate says who the device is. No segment goes
//! upstream either: a path becomes one of the [`Resource`]s, or nothing.

use crate::upstream::Package;

/// What a device addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// `api/v1/telemetry`
    Telemetry,
    /// `api/v1/attributes`, also as `api/v1/attributes/updates`
    Attributes,
    /// `api/v1/rpc`, or `api/v1/rpc/{id}`
    Rpc {
        /// The command replied to; none for a client-side RPC.
        id: Option<u32>,
    },
    /// `api/v1/claim`
    Claim,
    /// `api/v1/provision`
    Provision,
    /// `fw`, `sw`, `api/v1/firmware`, `api/v1/software`
    Package(Package),
    /// `.well-known/core` (RFC 6690)
    WellKnownCore,
}

/// Why a path leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoute {
    /// Nothing is there: 4.04.
    NotFound,
    /// Under `api/v1`, but not as ThingsBoard has it: 4.00, as there.
    Malformed(&'static str),
}

/// Says which resource the Uri-Path options of a request name.
pub fn resolve(path: &[String]) -> Result<Resource, NoRoute> {
    let segments: Vec<&str> = match path {
        // Simple clients send "api/v1/telemetry" or "/api/v1/telemetry" as one option.
        [whole] if whole.contains('/') => whole.trim_start_matches('/').split('/').collect(),
        separate => separate.iter().map(String::as_str).collect(),
    };
    if let Some((last, before)) = segments.split_last()
        && let Some((last, _query)) = last.split_once('?')
        && named(&[before, &[last]].concat()).is_ok()
    {
        return Err(NoRoute::Malformed(
            "the path ends with '?': send what follows in Uri-Query options",
        ));
    }
    named(&segments)
}

fn named(segments: &[&str]) -> Result<Resource, NoRoute> {
    match segments {
        [".well-known", "core"] => Ok(Resource::WellKnownCore),
        ["api", "v1", rest @ ..] => feature(rest),
        ["fw"] | ["fw", _] => Ok(Resource::Package(Package::Firmware)),
        ["sw"] | ["sw", _] => Ok(Resource::Package(Package::Software)),
        _ => Err(NoRoute::NotFound),
    }
}

/// The rest of the path after `api/v1`.
fn feature(rest: &[&str]) -> Result<Resource, NoRoute> {
    if rest
        .iter()
        .any(|segment| matches!(*segment, "" | "." | ".."))
    {
        return Err(NoRoute::Malformed("a path segment is empty, '.' or '..'"));
    }
    let (name, id) = match rest {
        [feature] => (feature, None),
        [feature, number] if is_number(number) => (feature, Some(number)),
        // `attributes/updates` is written in ThingsBoard's own documentation.
        [feature, updates]
            if feature.eq_ignore_ascii_case("attributes")
                && updates.eq_ignore_ascii_case("updates") =>
        {
            (feature, None)
        }
        [_token, feature] => (feature, None),
        [_token, feature, id, ..] => (feature, Some(id)),
        [] => return Err(NoRoute::Malformed("the path ends before a feature")),
    };
    match name.to_ascii_lowercase().as_str() {
        "telemetry" => Ok(Resource::Telemetry),
        "attributes" => Ok(Resource::Attributes),
        "rpc" => rpc(id.copied()),
        "claim" => Ok(Resource::Claim),
        "provision" => Ok(Resource::Provision),
        "firmware" => Ok(Resource::Package(Package::Firmware)),
        "software" => Ok(Resource::Package(Package::Software)),
        _ => Err(NoRoute::Malformed(
            "unknown feature: telemetry, attributes, rpc, claim, provision, firmware or software",
        )),
    }
}

fn rpc(id: Option<&str>) -> Result<Resource, NoRoute> {
    let id = id
        .filter(|id| is_number(id))
        .map(|id| {
            // ThingsBoard's ids are Java's int.
            id.parse::<i32>().ok().and_then(|id| u32::try_from(id).ok())
        })
        .map(|id| id.ok_or(NoRoute::Malformed("the RPC id is above 2147483647")))
        .transpose()?;
    Ok(Resource::Rpc { id })
}

fn is_number(segment: &str) -> bool {
    !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(path: &str) -> Result<Resource, NoRoute> {
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        super::resolve(&segments)
    }

    #[test]
    fn the_certificate_form_names_the_feature_third() {
        assert_eq!(resolve("api/v1/telemetry"), Ok(Resource::Telemetry));
        assert_eq!(resolve("api/v1/attributes"), Ok(Resource::Attributes));
        assert_eq!(resolve("api/v1/claim"), Ok(Resource::Claim));
        assert_eq!(resolve("api/v1/provision"), Ok(Resource::Provision));
        assert_eq!(resolve("api/v1/rpc"), Ok(Resource::Rpc { id: None }));
        assert_eq!(resolve("api/v1/rpc/17"), Ok(Resource::Rpc { id: Some(17) }));
        assert_eq!(resolve(".well-known/core"), Ok(Resource::WellKnownCore));
    }

    #[test]
    fn the_token_form_names_the_feature_fourth_and_the_token_is_not_looked_at() {
        for token in ["A1_TEST_TOKEN", "telemetry", "rpc", "17", "%2e%2e"] {
            assert_eq!(
                resolve(&format!("api/v1/{token}/telemetry")),
                Ok(Resource::Telemetry)
            );
            assert_eq!(
                resolve(&format!("api/v1/{token}/rpc/17")),
                Ok(Resource::Rpc { id: Some(17) })
            );
            assert_eq!(
                resolve(&format!("api/v1/{token}/rpc")),
                Ok(Resource::Rpc { id: None })
            );
        }
    }

    #[test]
    fn features_are_read_in_any_case_and_updates_is_an_alias() {
        assert_eq!(resolve("api/v1/Telemetry"), Ok(Resource::Telemetry));
        assert_eq!(resolve("api/v1/T/ATTRIBUTES"), Ok(Resource::Attributes));
        assert_eq!(
            resolve("api/v1/attributes/updates"),
            Ok(Resource::Attributes)
        );
        assert_eq!(
            resolve("api/v1/T/attributes/updates"),
            Ok(Resource::Attributes)
        );
    }

    #[test]
    fn a_whole_path_in_one_option_is_split() {
        for whole in [
            "api/v1/telemetry",
            "/api/v1/telemetry",
            "api/v1/T/telemetry",
        ] {
            assert_eq!(super::resolve(&[whole.to_owned()]), Ok(Resource::Telemetry));
        }
    }

    #[test]
    fn an_option_with_a_slash_among_others_stays_one_segment() {
        let path = ["api", "v1", "x/telemetry"].map(str::to_owned);
        assert!(matches!(super::resolve(&path), Err(NoRoute::Malformed(_))));
    }

    #[test]
    fn an_rpc_id_that_is_no_number_makes_a_client_side_rpc() {
        assert_eq!(resolve("api/v1/T/rpc/x"), Ok(Resource::Rpc { id: None }));
        assert!(matches!(
            resolve("api/v1/rpc/2147483648"),
            Err(NoRoute::Malformed(_))
        ));
        assert!(matches!(
            resolve("api/v1/rpc/99999999999999999999"),
            Err(NoRoute::Malformed(_))
        ));
    }

    #[test]
    fn packages_have_short_paths_and_long_ones_with_and_without_a_token() {
        let firmware = Ok(Resource::Package(Package::Firmware));
        for path in ["fw", "fw/T", "api/v1/firmware", "api/v1/T/Firmware"] {
            assert_eq!(resolve(path), firmware, "{path}");
        }
        let software = Ok(Resource::Package(Package::Software));
        for path in ["sw", "sw/T", "api/v1/software", "api/v1/T/software"] {
            assert_eq!(resolve(path), software, "{path}");
        }
        assert_eq!(super::resolve(&["fw/T".to_owned()]), firmware);
    }

    #[test]
    fn a_query_in_the_path_is_told_where_it_belongs() {
        let whole = ["api/v1/attributes?sharedKeys=x", "/fw?title=a&version=1"];
        let separate = [
            "api/v1/attributes?sharedKeys=x",
            "api/v1/T/attributes?clientKeys=a&sharedKeys=b",
            "fw?title=a",
            "api/v1/rpc/17?x",
            "api/v1/telemetry?",
        ];
        let whole = whole.map(|path| super::resolve(&[path.to_owned()]));
        for resolved in separate.map(resolve).iter().chain(&whole) {
            let Err(NoRoute::Malformed(why)) = resolved else {
                panic!("{resolved:?}");
            };
            assert!(why.contains("Uri-Query"), "{why}");
        }
        // A token may hold anything, and what is no resource stays none.
        assert_eq!(resolve("api/v1/a?b/telemetry"), Ok(Resource::Telemetry));
        assert_eq!(resolve("nowhere?a=b"), Err(NoRoute::NotFound));
    }

    #[test]
    fn other_paths_lead_nowhere() {
        for path in [
            "",
            "api",
            "api/v2/telemetry",
            "fw/T/x",
            "FW",
            "telemetry",
            "API/v1/claim",
        ] {
            assert_eq!(resolve(path), Err(NoRoute::NotFound), "{path}");
        }
        for path in [
            "api/v1",
            "api/v1/unknown",
            "api/v1/T/unknown",
            "api/v1/telemetry/",
            "api/v1/../telemetry",
            "api/v1//telemetry",
            "api/v1/T/./rpc",
            "api/v1/T/17",
        ] {
            assert!(
                matches!(resolve(path), Err(NoRoute::Malformed(_))),
                "{path}"
            );
        }
    }
}
