//! Finds the resource that a Uri-Path names: ThingsBoard's CoAP grammar, for devices with certificates.
//!
//! ThingsBoard's `CoapTransportResource` reads the feature by its position, and firmware relies on that. So here too:
//!
//! * four segments or more: the fourth is the feature (`api/v1/{token}/telemetry`), except that of
//!   exactly four with a number at the end the third is (`api/v1/rpc/17`);
//! * exactly three: the third is (`api/v1/telemetry`);
//! * the RPC id is the fifth segment if there are five, else the fourth; if it is no number, the resource is that of
//!   client-side RPC;
//! * features are read in any case; a path that is sent as one option is split;
//! * a path with a query in it is refused with a hint to Uri-Query.
//!
//! ThingsBoard has packages at `fw/{token}` and `sw/{token}` alone. Here `fw` and `sw` work without a token too, and
//! `firmware` and `software` are features like others.
//!
//! A token in the path is ignored: the certificate says which device it is. No segment goes upstream: a path becomes one of
//! the [`Resource`]s, or an error.

use super::resource::Resource;
use crate::upstream::Package;
use std::sync::LazyLock;

/// Why a path names no resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoute {
    /// 4.04.
    NotFound,
    /// It begins with `api/v1`, but is not in ThingsBoard's grammar: 4.00, as ThingsBoard answers.
    Malformed(&'static str),
}

static UNKNOWN_FEATURE: LazyLock<String> = LazyLock::new(|| {
    let features = Resource::ALL.into_iter().filter_map(Resource::feature);
    let (names, last): (Vec<&str>, &str) =
        features.fold((Vec::new(), ""), |(mut names, last), next| {
            names.extend(Some(last).filter(|last| !last.is_empty()));
            (names, next)
        });
    format!("unknown feature: {} or {last}", names.join(", "))
});

/// Finds the resource that the Uri-Path options of a request name.
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
        // ThingsBoard's documentation has `attributes/updates`.
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
    let feature = name.to_ascii_lowercase();
    match Resource::with_feature(&feature) {
        Some(Resource::Rpc { .. }) => rpc(id.copied()),
        Some(resource) => Ok(resource),
        None => Err(NoRoute::Malformed(&UNKNOWN_FEATURE)),
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

    #[test]
    fn the_hint_of_an_unknown_feature_lists_all_of_them() {
        let hint =
            "unknown feature: telemetry, attributes, rpc, claim, provision, firmware or software";
        assert_eq!(resolve("api/v1/unknown"), Err(NoRoute::Malformed(hint)));
    }

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
    fn the_token_form_names_the_feature_fourth_and_the_token_is_ignored() {
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
    fn a_query_in_the_path_is_refused_with_a_hint_to_uri_query() {
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
    fn other_paths_name_no_resource() {
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
