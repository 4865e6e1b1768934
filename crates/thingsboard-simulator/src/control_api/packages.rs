//! `/simulator/packages`, and which package devices have assigned.

use super::extract::{Input, JsonBody, PackageBody, Params, Segments};
use super::{ApiError, JsonLine, NO_CONTENT, NoContent, deleted};
use crate::control::Control;
use crate::packages::{Assignee, Package, PackageId, PackageKind, Served, Source, StoredPackage};
use axum::Extension;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// The path's kind, title and version.
type Id = Segments<(PackageKind, String, String)>;

impl Id {
    fn package(&self) -> PackageId {
        let Segments((kind, title, version)) = self;
        PackageId::new(*kind, title, version)
    }
}

#[derive(Serialize)]
struct PackageJson<'a> {
    r#type: PackageKind,
    title: &'a str,
    version: &'a str,
    tag: Option<&'a str>,
    served: Served,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
}

impl<'a> PackageJson<'a> {
    fn new((id, stored): (&'a PackageId, &'a StoredPackage)) -> PackageJson<'a> {
        let (size, sha256, url) = match &stored.source {
            Source::Local { bytes, checksum } => (Some(bytes.len()), Some(&**checksum), None),
            Source::External(url) => (None, None, Some(&**url)),
        };
        PackageJson {
            r#type: id.kind,
            title: &id.title,
            version: &id.version,
            tag: stored.tag.as_deref(),
            served: stored.served,
            size,
            sha256,
            url,
        }
    }
}

pub(super) async fn list(control: Control) -> Response {
    let state = control.0.lock();
    let packages: Vec<PackageJson<'_>> = state.packages.iter().map(PackageJson::new).collect();
    JsonLine(packages).into_response()
}

pub(super) async fn show(control: Control, id: Id) -> Result<Response, ApiError> {
    package(&control, &id.package())
}

fn package(control: &Control, id: &PackageId) -> Result<Response, ApiError> {
    let state = control.0.lock();
    let stored = state.packages.get(id);
    let stored = stored.ok_or_else(|| ApiError::not_found(format!("there is no {id}")))?;
    Ok(JsonLine(PackageJson::new((id, stored))).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PackageInput {
    size: Option<usize>,
    seed: Option<u64>,
    url: Option<String>,
    tag: Option<String>,
}

impl Input for PackageInput {
    const EXAMPLE: &str = r#"{"size":1048576}"#;
}

pub(super) async fn define(
    control: Control,
    id: Id,
    JsonBody(input): JsonBody<PackageInput>,
) -> Result<Response, ApiError> {
    let content = match (input.size, input.seed, input.url) {
        (Some(size), None, None) => Package::generated(size),
        (Some(size), Some(seed), None) => Package::seeded(size, seed),
        (None, None, Some(url)) => Package::external(&url),
        (None, ..) => {
            return Err(ApiError::bad_request(
                "say what it is made of: a size (with a seed, or without), or a url",
            ));
        }
        (Some(_), _, Some(_)) => {
            return Err(ApiError::bad_request(
                "a package with a url has no bytes here, so no size",
            ));
        }
    };
    add(&control, &id.package(), content, input.tag)
}

#[derive(Deserialize)]
pub(super) struct Tag {
    tag: Option<String>,
}

pub(super) async fn upload(
    control: Control,
    id: Id,
    Params(Tag { tag }): Params<Tag>,
    PackageBody(bytes): PackageBody,
) -> Result<Response, ApiError> {
    add(&control, &id.package(), Package::of(bytes), tag)
}

fn add(
    control: &Control,
    id: &PackageId,
    content: Package,
    tag: Option<String>,
) -> Result<Response, ApiError> {
    let content = match tag {
        Some(tag) => content.with_tag(&tag),
        None => content,
    };
    control.add_package(id, content)?;
    package(control, id)
}

pub(super) async fn remove(control: Control, id: Id) -> NoContent {
    let id = id.package();
    deleted(control.remove_package(&id)?, "package", &id.to_string())
}

/// The title and version of the package that is assigned.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Assigned {
    title: String,
    version: String,
}

impl Input for Assigned {
    const EXAMPLE: &str = r#"{"title":"meter","version":"1.1"}"#;
}

fn assignee(device: Option<&Path<String>>) -> Assignee<'_> {
    device.map_or(Assignee::All, |Path(name)| Assignee::Device(name))
}

/// Of a device: the package it is served, its own or that of all.
pub(super) async fn assigned(
    control: Control,
    Extension(kind): Extension<PackageKind>,
    device: Option<Path<String>>,
) -> Result<JsonLine<Option<Assigned>>, ApiError> {
    let id = control.assigned_package(assignee(device.as_ref()), kind)?;
    Ok(JsonLine(id.map(|id| Assigned {
        title: id.title.as_ref().to_owned(),
        version: id.version.as_ref().to_owned(),
    })))
}

pub(super) async fn assign(
    control: Control,
    Extension(kind): Extension<PackageKind>,
    device: Option<Path<String>>,
    JsonBody(package): JsonBody<Assigned>,
) -> NoContent {
    let id = PackageId::new(kind, &package.title, &package.version);
    control.assign_package(assignee(device.as_ref()), &id)?;
    NO_CONTENT
}

pub(super) async fn unassign(
    control: Control,
    Extension(kind): Extension<PackageKind>,
    device: Option<Path<String>>,
) -> NoContent {
    let existed = control.unassign_package(assignee(device.as_ref()), kind)?;
    deleted(existed, "assignment of", kind.name())
}
