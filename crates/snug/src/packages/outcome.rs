//! What became of a container's upgrade.

use snug_packages::answer::{Change as Version, ChangeKind, Package};

/// How an upgrade was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// The container has been started anew.
    Restarted,
    /// It runs on, and answers: a restart would have ended these programs.
    Answers(Vec<String>),
    /// It runs on, and answers: there is nothing to go back to if it did not start.
    AnswersAlone,
}

/// What became of a container.
#[derive(Debug)]
pub enum Outcome {
    /// It has no package manager that is known.
    NoManager,
    /// Nothing is newer.
    Nothing,
    /// It was upgraded.
    Upgraded {
        /// What is another version now, or new.
        changes: Vec<Version>,
        /// How it was looked at.
        checked: Checked,
    },
}

impl Outcome {
    /// What has become of it with a second change.
    pub fn and(self, then: Self) -> Self {
        match (self, then) {
            (Self::Upgraded { changes: mut all, .. }, Self::Upgraded { changes, checked }) => {
                all.retain(|earlier| !changes.iter().any(|later| later.name == earlier.name));
                all.extend(changes);
                Self::Upgraded { changes: all, checked }
            }
            (_, then) => then,
        }
    }
}

/// What is another version, or new. What is gone is the manager's own doing, and in its log.
pub fn changed(before: &[Package], after: &[Package]) -> Vec<Version> {
    let change = |package: &Package| {
        let was = before.iter().filter(|was| was.name == package.name);
        let was: Vec<&str> = was.map(|was| was.version.as_str()).collect();
        // Of several architectures, or of several versions of a kernel, one may have stayed.
        if was.contains(&package.version.as_str()) {
            return None;
        }
        let kind = if was.is_empty() { ChangeKind::Install } else { ChangeKind::Upgrade };
        let from = was.last().map(|&version| version.to_owned());
        Some(Version { kind, name: package.name.clone(), from, to: Some(package.version.clone()) })
    };
    let mut all: Vec<Version> = after.iter().filter_map(change).collect();
    all.sort_by(|a, b| (&a.name, &a.to).cmp(&(&b.name, &b.to)));
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use snug_packages::name::PackageName;

    use super::*;

    fn package(name: &str, version: &str) -> Package {
        Package { name: PackageName::read(name.as_bytes()).unwrap(), version: version.to_owned() }
    }

    #[test]
    fn what_has_changed_is_what_has_another_version() {
        let before = [package("a", "1"), package("b", "1"), package("libc6", "2"), package("gone", "1")];
        let after = [
            package("b", "2"),
            package("a", "1"),
            package("new", "1"),
            package("libc6", "2"),
            package("libc6", "2"),
        ];
        let change = |kind, name: &str, from: Option<&str>, to: &str| Version {
            kind,
            name: PackageName::read(name.as_bytes()).unwrap(),
            from: from.map(str::to_owned),
            to: Some(to.to_owned()),
        };
        assert_eq!(
            changed(&before, &after),
            [change(ChangeKind::Upgrade, "b", Some("1"), "2"), change(ChangeKind::Install, "new", None, "1")]
        );
    }
}
