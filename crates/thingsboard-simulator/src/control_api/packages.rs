//! Firmware and software packages, and who has them assigned.

use axum::http::Method;
use bytes::Bytes;

use super::super::packages::{Assignee, Package, PackageId, PackageKind};
use super::{Answered, Call, done, done_if, input, nothing, output, query_parameter, shown};

/// Is a package itself the body of this call?
pub(super) fn is_upload(method: &Method, path: &[&str]) -> bool {
    method == Method::PUT && matches!(path, ["simulator", "packages", _, _, _, "data"])
}

impl Call<'_> {
    pub(super) fn packages(&self, method: &Method, path: &[&str]) -> Answered {
        match path {
            ["simulator", "packages"] if method == Method::GET => {
                Ok(shown(output::packages(self.control)))
            }
            ["simulator", "packages", kind, title, version, rest @ ..] => {
                let id = PackageId::new(self::kind(kind)?, title, version);
                match (method.as_str(), rest) {
                    ("GET", []) => self.package(&id),
                    ("PUT", []) => self.define(&id, input::package(self.body)?),
                    ("PUT", ["data"]) => self.define(&id, self.uploaded()),
                    ("DELETE", []) => done_if(
                        self.control.remove_package(&id)?,
                        "package",
                        &id.to_string(),
                    ),
                    _ => self.thingsboard(method, path),
                }
            }
            ["simulator", kind @ ("firmware" | "software")] => {
                self.assignment(method, Assignee::All, self::kind(kind)?)
            }
            [
                "simulator",
                "devices",
                name,
                kind @ ("firmware" | "software"),
            ] => self.assignment(method, Assignee::Device(name), self::kind(kind)?),
            _ => self.thingsboard(method, path),
        }
    }

    fn package(&self, id: &PackageId) -> Answered {
        match output::package(self.control, id) {
            Some(package) => Ok(shown(package)),
            None => Err(nothing(&format!("there is no {id}"))),
        }
    }

    fn define(&self, id: &PackageId, package: Package) -> Answered {
        self.control.add_package(id, package)?;
        self.package(id)
    }

    /// The body is the package; `?tag=` is its tag.
    fn uploaded(&self) -> Package {
        // A copy of the right size: the buffer it was read into may be twice as large.
        let package = Package::of(Bytes::copy_from_slice(self.bytes));
        match query_parameter(self.query, "tag") {
            Some(tag) => package.tagged(&tag),
            None => package,
        }
    }

    fn assignment(&self, method: &Method, whom: Assignee<'_>, kind: PackageKind) -> Answered {
        match method.as_str() {
            "GET" => Ok(shown(output::assignment(self.control, whom, kind)?)),
            "PUT" => {
                let (title, version) = input::assignment(self.body)?;
                let id = PackageId::new(kind, &title, &version);
                self.control.assign_package(whom, &id)?;
                Ok(done())
            }
            "DELETE" => {
                let was_there = self.control.unassign_package(whom, kind)?;
                done_if(was_there, "assignment of", kind.name())
            }
            _ => Err(nothing(&format!("{} has no {method}", kind.name()))),
        }
    }
}

fn kind(name: &str) -> Result<PackageKind, String> {
    let found = PackageKind::ALL
        .into_iter()
        .find(|kind| kind.name() == name);
    found.ok_or_else(|| format!("a package is firmware or software, not {name:?}"))
}
