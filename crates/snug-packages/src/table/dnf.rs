//! dnf 4 and dnf5: Fedora, RHEL and what is made of them. Installed packages are rpm's, which answers in milliseconds where dnf takes
//! seconds.

use super::{environment, newest_of};
use crate::answer::Package;
use crate::command::{Ask, Do, Nothing, SHELL};
use crate::manager::{Manager, PathIs, Refresh, Removal, TermIs};
use crate::name::{Capability, NameRule, PackageName};
use crate::read::{columns, commands, guest, rpm};
use crate::stage::Format;

/// Letters, digits and these: Fedora's packaging guidelines, "Naming". After a dot an architecture.
pub(super) const RPM_NAMES: NameRule = NameRule { capitals: true, first: "_", more: "+-._" };

// Questions for rpm(8), the same for dnf, dnf5 and zypper. rpm ends with the number of words it had nothing for, and says so on standard
// output, in lines that no reader takes for a row.

pub(super) const FILES: Ask<Vec<std::path::PathBuf>> = Ask {
    argv: &["rpm", "-q", "--qf", "[%{FILEFLAGS:fflags}\\t%{FILENAMES}\\n]", "--", "{}"],
    as_root: false,
    nothing: Nothing::Counted,
    read: rpm::files,
};
pub(super) const OWNER: Ask<Vec<PackageName>> = Ask {
    argv: &["rpm", "-qf", "--qf", "%{NAME}\\n", "--", "{}"],
    as_root: false,
    nothing: Nothing::Counted,
    read: columns::names,
};
pub(super) const DEPENDENCIES: Ask<Vec<Capability>> = Ask {
    argv: &["rpm", "-q", "--qf", "[%{REQUIRENAME}\\n]", "--", "{}"],
    as_root: false,
    nothing: Nothing::Counted,
    read: columns::capabilities,
};
pub(super) const PROVIDERS: Ask<Vec<PackageName>> = Ask {
    argv: &["rpm", "-q", "--whatprovides", "--qf", "%{NAME}\\n", "--", "{}"],
    as_root: false,
    nothing: Nothing::Counted,
    read: columns::names,
};
pub(super) const INSTALLED: Ask<Vec<Package>> = Ask {
    argv: &["rpm", "-q", "--qf", "%{NAME}\\t%{EVR}\\n", "--", "{}"],
    as_root: false,
    nothing: Nothing::Counted,
    read: columns::packages,
};
/// `--nomanifest`: else a file that is no package is read as a list of packages to open (measured: rpm tries each word of /etc/passwd).
/// `--noglob`: else a path is a pattern, and of `[x] y.rpm` nothing is found, with status 0.
pub(super) const IDENTIFY: Ask<Vec<Package>> = Ask {
    argv: &[
        "rpm",
        "-qp",
        "--nomanifest",
        "--noglob",
        "--nosignature",
        "--qf",
        "%{NAME}\\t%{EVR}\\n",
        "--",
        "{}",
    ],
    as_root: false,
    nothing: Nothing::Never,
    read: columns::packages,
};

/// Where a command of a package is: the paths that are in the small part of a repository's metadata (`primary`).
macro_rules! provides {
    ($program:literal) => {
        Ask {
            argv: &[
                $program,
                "-q",
                "-y",
                "repoquery",
                "--latest-limit=1",
                "--qf",
                "%{name} %{evr} %{summary}\n",
                "--",
                "/usr/bin/{}",
                "/bin/{}",
                "/usr/sbin/{}",
                "/sbin/{}",
                "/usr/local/bin/{}",
                "/usr/games/{}",
            ],
            as_root: true,
            nothing: Nothing::Never,
            read: columns::found,
        }
    };
}

/// All commands, of which dnf 4 tells the packages by its library alone (dnf's API reference, "Package"). The paths are those of `primary`.
const COMMANDS_4: &[&str] = &[
    SHELL,
    "-c",
    r#"for p in /usr/libexec/platform-python /usr/bin/python3; do [ -x "$p" ] && exec "$p" -c "$1"; done
echo 'there is no python of dnf' >&2; exit 127"#,
    "sh",
    r#"import dnf
base = dnf.Base()
base.conf.read()
base.conf.substitutions.update_from_etc(base.conf.installroot)
base.read_all_repos()
base.fill_sack(load_system_repo=False)
places = ("/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/", "/usr/local/bin/", "/usr/games/")
for package in base.sack.query().available().latest():
    print("@%s %s" % (package.name, package.evr))
    for path in package.files:
        if path.startswith(places):
            print(path)"#,
];
/// dnf5 has them in a format, and fetches all lists of files for it.
const COMMANDS_5: &[&str] = &[
    SHELL,
    "-c",
    r#"dnf5 -q -y repoquery --latest-limit=1 --qf '@%{name} %{evr}
%{files}
' | LC_ALL=C grep -aE '^(@|(/usr)?/s?bin/[^/]+$|/usr/(local/bin|games)/[^/]+$)'; exit 0"#,
];

macro_rules! row {
    ($name:literal, $program:literal, $programs:expr, $format:expr, $cache:literal, $commands:expr, $no_repository:literal) => {
        Manager {
            name: $name,
            programs: $programs,
            families: &["fedora", "rhel", "centos"],
            environment: environment!(),
            format: $format,
            names: RPM_NAMES,
            version_after: Some("-"),
            file_endings: &[".rpm"],
            refresh: Refresh::Alone(Do { argv: &[$program, "-y", "makecache", "--refresh"], done: &[] }),
            refreshed: newest_of!($cache),
            install: Do { argv: &[$program, "-y", "install", "--", "{}"], done: &[] },
            install_files: Do { argv: &[$program, "-y", "install", "--", "{}"], done: &[] },
            preview_removal: Ask {
                argv: &[$program, "--assumeno", "remove", "--", "{}"],
                as_root: true,
                // "Operation aborted", as it was told to.
                nothing: Nothing::Statuses(&[1]),
                read: rpm::transaction,
            },
            removal: Removal::ByItself(Do { argv: &[$program, "-y", "remove", "--", "{}"], done: &[] }),
            upgrades: Ask {
                argv: &[
                    $program,
                    "-q",
                    "-y",
                    "repoquery",
                    "--upgrades",
                    "--latest-limit=1",
                    "--qf",
                    "%{name} %{evr}\n",
                ],
                as_root: true,
                nothing: Nothing::Never,
                read: rpm::upgrades,
            },
            upgrades_rolling: None,
            upgrade_all: Do { argv: &[$program, "-y", "upgrade"], done: &[] },
            upgrade_rolling: None,
            upgrade_named: Some(Do { argv: &[$program, "-y", "upgrade", "--", "{}"], done: &[] }),
            unfinished: None,
            search: Ask {
                argv: &[$program, "-q", "-y", "search", "--", "{}"],
                as_root: true,
                nothing: Nothing::Never,
                read: rpm::search,
            },
            term: TermIs::Text,
            available: Ask {
                argv: &[
                    $program,
                    "-q",
                    "-y",
                    "repoquery",
                    "--latest-limit=1",
                    "--qf",
                    "%{name} %{evr} %{summary}\n",
                    "--",
                    "{}",
                ],
                as_root: true,
                nothing: Nothing::Never,
                read: columns::found,
            },
            // `repoquery` of dnf 4 knows nothing of what packages provide.
            meaning: Ask {
                argv: &[$program, "--assumeno", "install", "--", "{}"],
                as_root: true,
                // "Operation aborted", as it was told to; and for what there is not.
                nothing: Nothing::Statuses(&[1]),
                read: rpm::meaning,
            },
            provides: provides!($program),
            command: TermIs::Text,
            index: None,
            commands: Ask { argv: $commands, as_root: true, nothing: Nothing::Never, read: commands::rpm },
            files: FILES,
            owner: OWNER,
            paths: PathIs::Path,
            dependencies: DEPENDENCIES,
            providers: PROVIDERS,
            provided: None,
            installed: INSTALLED,
            identify: IDENTIFY,
            asked_for: Ask {
                // Without repositories: what is installed is known here.
                argv: &[
                    SHELL,
                    "-c",
                    concat!(
                        $program,
                        " -q -y ",
                        $no_repository,
                        " repoquery --userinstalled --qf '%{name}\n' || exit; exec rpm -qa --qf '%{INSTALLTIME} %{NAME}\\n'"
                    ),
                ],
                as_root: true,
                nothing: Nothing::Never,
                read: guest::asked_for,
            },
        }
    };
}

/// dnf 4: RHEL 8 and 9, Fedora before 41. Facts: dnf(8), rpm(8).
///
/// - It renews old metadata by itself; [`Manager::refresh`] does it at once.
/// - *Removal* takes along what only these needed (`clean_requirements_on_remove`, dnf.conf(5)) and what needs them; protected packages
///   and their dependencies stay. A name that is not installed is no failure.
/// - A local file's signature is not looked at (`localpkg_gpgcheck`, dnf.conf(5)).
/// - Fields of a row have spaces between them: `\t` is a tab to dnf 4 and two characters to dnf5 (measured).
pub static DNF: Manager = row!(
    "dnf",
    "dnf",
    &["/usr/bin/dnf"],
    Format::Dnf,
    "/var/cache/dnf/*/repodata/*",
    COMMANDS_4,
    "--disablerepo='*'"
);

/// dnf5: Fedora 41 and later. Facts: dnf5(8) and its commands' pages. As [`DNF`]; its progress goes to standard error.
pub static DNF5: Manager = row!(
    "dnf5",
    "dnf5",
    &["/usr/bin/dnf5"],
    Format::Dnf5,
    "/var/cache/libdnf5/*/repodata/*",
    COMMANDS_5,
    "--disable-repo='*'"
);
