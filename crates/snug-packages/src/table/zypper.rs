//! zypper: openSUSE and SUSE.

use super::{dnf, environment, newest_of};
use crate::command::{Ask, Do, Nothing, SHELL};
use crate::manager::{Manager, PathIs, Refresh, Removal, TermIs};
use crate::read::{commands, guest, zypper};
use crate::stage::Format;

/// Changed, and something is to be restarted: ZYPPER_EXIT_INF_REBOOT_NEEDED, ZYPPER_EXIT_INF_RESTART_NEEDED.
const RESTART: &[i32] = &[102, 103];
/// Nothing of that name: ZYPPER_EXIT_INF_CAP_NOT_FOUND. For searches alone: an installation of it fails.
const NOT_FOUND: Nothing = Nothing::Statuses(&[104]);

/// zypper, with rpm for what is installed. Facts: zypper(8), "EXIT CODES"; rpm(8).
///
/// - `zypper install -- -x` removes x, and so does `x-` of others: names alone go through.
/// - Nothing is refreshed on the way (`--no-refresh`): the one who asks decides by [`Manager::refreshed`].
/// - *Removal*: `--clean-deps` takes along what only these needed, and zypper what needs them.
/// - A local file need not be signed (`--allow-unsigned-rpm`); what it needs from repositories must be.
/// - zypper tells no paths of packages: all commands are in the repositories' metadata as it has fetched them (`primary`).
/// - Distributions without releases upgrade by `dist-upgrade`, as openSUSE's documentation asks for.
pub static ZYPPER: Manager = Manager {
    name: "zypper",
    programs: &["/usr/bin/zypper"],
    families: &["suse", "opensuse"],
    environment: environment!(("ZYPP_LOCK_TIMEOUT", "120")),
    format: Format::Zypper,
    names: dnf::RPM_NAMES,
    version_after: Some("="),
    file_endings: &[".rpm"],
    refresh: Refresh::Alone(Do { argv: &["zypper", "--non-interactive", "refresh"], done: &[] }),
    refreshed: newest_of!("/var/cache/zypp/raw/*/repodata/repomd.xml", "/var/cache/zypp/raw/*/content"),
    install: Do {
        argv: &["zypper", "--non-interactive", "--no-refresh", "install", "--", "{}"],
        done: RESTART,
    },
    install_files: Do {
        argv: &["zypper", "--non-interactive", "--no-refresh", "install", "--allow-unsigned-rpm", "--", "{}"],
        done: RESTART,
    },
    preview_removal: Ask {
        argv: &[
            "zypper",
            "--non-interactive",
            "--no-refresh",
            "--xmlout",
            "remove",
            "--clean-deps",
            "--dry-run",
            "--",
            "{}",
        ],
        as_root: true,
        nothing: NOT_FOUND,
        read: zypper::changes,
    },
    removal: Removal::ByItself(Do {
        argv: &["zypper", "--non-interactive", "--no-refresh", "remove", "--clean-deps", "--", "{}"],
        done: RESTART,
    }),
    upgrades: Ask {
        argv: &["zypper", "--non-interactive", "--no-refresh", "--xmlout", "list-updates"],
        as_root: true,
        nothing: Nothing::Never,
        read: zypper::updates,
    },
    upgrades_rolling: Some(Ask {
        argv: &["zypper", "--non-interactive", "--no-refresh", "--xmlout", "dist-upgrade", "--dry-run"],
        as_root: true,
        nothing: Nothing::Statuses(RESTART),
        read: zypper::changes,
    }),
    upgrade_all: Do { argv: &["zypper", "--non-interactive", "--no-refresh", "update"], done: RESTART },
    upgrade_rolling: Some(Do {
        argv: &["zypper", "--non-interactive", "--no-refresh", "dist-upgrade"],
        done: RESTART,
    }),
    upgrade_named: Some(Do {
        argv: &["zypper", "--non-interactive", "--no-refresh", "update", "--", "{}"],
        done: RESTART,
    }),
    unfinished: None,
    search: Ask {
        argv: &[
            "zypper",
            "--non-interactive",
            "--no-refresh",
            "--xmlout",
            "search",
            "--search-descriptions",
            "--type",
            "package",
            "--",
            "{}",
        ],
        as_root: true,
        nothing: NOT_FOUND,
        read: zypper::found,
    },
    term: TermIs::Text,
    available: Ask {
        argv: &[
            "zypper",
            "--non-interactive",
            "--no-refresh",
            "--xmlout",
            "search",
            "--match-exact",
            "--details",
            "--type",
            "package",
            "--",
            "{}",
        ],
        as_root: true,
        nothing: NOT_FOUND,
        read: zypper::found,
    },
    meaning: Ask {
        argv: &[
            "zypper",
            "--non-interactive",
            "--no-refresh",
            "--xmlout",
            "install",
            "--dry-run",
            "--",
            "{}",
        ],
        as_root: true,
        nothing: NOT_FOUND,
        read: zypper::meaning,
    },
    provides: Ask {
        argv: &[
            "zypper",
            "--non-interactive",
            "--no-refresh",
            "--xmlout",
            "search",
            "--provides",
            "--match-exact",
            "--type",
            "package",
            "--",
            "/usr/bin/{}",
            "/bin/{}",
            "/usr/sbin/{}",
            "/sbin/{}",
            "/usr/local/bin/{}",
            "/usr/games/{}",
        ],
        as_root: true,
        nothing: NOT_FOUND,
        read: zypper::found,
    },
    command: TermIs::Text,
    index: None,
    commands: Ask {
        argv: &[
            SHELL,
            "-c",
            r#"for f in /var/cache/zypp/raw/*/repodata/*primary.xml*; do
  case $f in
  *.xml) cat -- "$f" ;;
  *.gz) gzip -dc -- "$f" ;;
  *.zst) zstd -qdc -- "$f" ;;
  *.xz) xz -dc -- "$f" ;;
  esac
done | LC_ALL=C grep -aoE '<name>[^<]*|<version [^>]*|<file>(/usr)?/(s?bin|local/bin|games)/[^</]+'
exit 0"#,
        ],
        as_root: true,
        nothing: Nothing::Never,
        read: commands::primary,
    },
    files: dnf::FILES,
    owner: dnf::OWNER,
    paths: PathIs::Path,
    dependencies: dnf::DEPENDENCIES,
    providers: dnf::PROVIDERS,
    provided: None,
    installed: dnf::INSTALLED,
    identify: dnf::IDENTIFY,
    asked_for: Ask {
        // libzypp keeps the names of what came for another's sake; all others were asked for.
        argv: &[
            SHELL,
            "-c",
            r"a=/var/lib/zypp/AutoInstalled; [ -r $a ] || a=/dev/null
rpm -qa --qf '%{NAME}\n' | grep -vxF -e gpg-pubkey -f $a
exec rpm -qa --qf '%{INSTALLTIME} %{NAME}\n'",
        ],
        as_root: false,
        nothing: Nothing::Never,
        read: guest::asked_for,
    },
};
