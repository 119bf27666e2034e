//! apk: Alpine and what is made of it.

use super::{environment, newest_of};
use crate::command::{Ask, Do, Nothing, SHELL};
use crate::manager::{Manager, PathIs, Refresh, Removal, TermIs};
use crate::name::NameRule;
use crate::read::{apk, columns, commands};
use crate::stage::Format;

/// What is said to apk.
macro_rules! apk {
    ($($word:expr),+ $(,)?) => { &["apk", "--no-interactive", "--no-progress", $($word),+] };
}

/// apk, versions 2.12 and later. Facts: apk(8) and its commands' pages, apk-world(5), apk-package(5).
///
/// - What is installed is what `/etc/apk/world` asks for: `x=1.0-r0` there holds x at this version for good, and a local file at its
///   checksum. A removal takes the word out, and everything goes that nothing in it needs; where others need the package, it stays and apk
///   says 0 (measured): ask [`Manager::installed`] afterwards.
/// - `--allow-untrusted` holds for repositories too, so files go by themselves.
/// - A package file of version 2 is a tar archive; that is what Alpine has, also with apk 3.
/// - *Provides*: packages provide `cmd:NAME` for their commands. All of them at once only the index itself tells (apk-index(5), fields `P`,
///   `V` and, after these, `p`).
pub static APK: Manager = Manager {
    name: "apk",
    programs: &["/sbin/apk", "/usr/sbin/apk", "/usr/bin/apk"],
    families: &["alpine"],
    environment: environment!(),
    format: Format::Apk,
    names: NameRule { capitals: true, first: "_", more: "+-._" },
    version_after: Some("="),
    file_endings: &[".apk"],
    refresh: Refresh::Alone(Do { argv: apk!("update"), done: &[] }),
    refreshed: newest_of!("/var/cache/apk/APKINDEX.*", "/etc/apk/cache/APKINDEX.*"),
    install: Do { argv: apk!("add", "--", "{}"), done: &[] },
    install_files: Do { argv: apk!("add", "--allow-untrusted", "--", "{}"), done: &[] },
    preview_removal: Ask {
        argv: apk!("del", "--simulate", "--", "{}"),
        as_root: true,
        nothing: Nothing::Never,
        read: apk::changes,
    },
    removal: Removal::ByItself(Do { argv: apk!("del", "--", "{}"), done: &[] }),
    upgrades: Ask {
        argv: apk!("upgrade", "--simulate"),
        as_root: true,
        nothing: Nothing::Never,
        read: apk::changes,
    },
    upgrades_rolling: None,
    upgrade_all: Do { argv: apk!("upgrade"), done: &[] },
    upgrade_rolling: None,
    upgrade_named: Some(Do { argv: apk!("upgrade", "--", "{}"), done: &[] }),
    unfinished: None,
    search: Ask {
        argv: apk!("search", "-v", "-d", "--", "{}"),
        as_root: false,
        nothing: Nothing::Counted,
        read: apk::search,
    },
    term: TermIs::Text,
    available: Ask {
        argv: apk!("search", "-v", "-e", "--", "{}"),
        as_root: false,
        nothing: Nothing::Counted,
        read: apk::search,
    },
    meaning: Ask {
        argv: apk!("search", "-v", "-e", "--", "{}"),
        as_root: false,
        nothing: Nothing::Counted,
        read: apk::meaning,
    },
    provides: Ask {
        argv: apk!("search", "-v", "-e", "--", "cmd:{}"),
        as_root: false,
        nothing: Nothing::Counted,
        read: apk::search,
    },
    command: TermIs::Text,
    index: None,
    commands: Ask {
        argv: &[
            SHELL,
            "-c",
            r#"for f in /var/cache/apk/APKINDEX.*.tar.gz /etc/apk/cache/APKINDEX.*.tar.gz; do
  [ -r "$f" ] && tar -xzOf "$f" APKINDEX
done | awk '/^P:/{name=substr($0, 3)} /^V:/{version=substr($0, 3)} /^p:/{
  n=split(substr($0, 3), all, " ")
  for (i=1; i<=n; i++) if (all[i] ~ /^cmd:/) { split(substr(all[i], 5), word, "="); print word[1] "\t" name "\t" version }
}'
exit 0"#,
        ],
        as_root: true,
        nothing: Nothing::Never,
        read: commands::rows,
    },
    files: Ask {
        argv: apk!("info", "-q", "-L", "--", "{}"),
        as_root: false,
        nothing: Nothing::Counted,
        read: apk::files,
    },
    owner: Ask {
        argv: apk!("info", "-q", "-W", "--", "{}"),
        as_root: false,
        nothing: Nothing::Counted,
        read: apk::owners,
    },
    paths: PathIs::Path,
    dependencies: Ask {
        argv: apk!("info", "-q", "-R", "--", "{}"),
        as_root: false,
        nothing: Nothing::Counted,
        read: columns::capabilities,
    },
    providers: Ask {
        argv: apk!("info", "-e", "--", "{}"),
        as_root: false,
        nothing: Nothing::Counted,
        read: columns::names,
    },
    provided: None,
    installed: Ask {
        argv: apk!("info", "-e", "-v", "--", "{}"),
        as_root: false,
        nothing: Nothing::Counted,
        read: apk::installed,
    },
    identify: Ask {
        argv: &["tar", "-xzOf", "{}", ".PKGINFO"],
        as_root: false,
        nothing: Nothing::Never,
        read: apk::package_information,
    },
    asked_for: Ask {
        argv: &["cat", "/etc/apk/world"],
        as_root: false,
        nothing: Nothing::Never,
        read: apk::world,
    },
};
