//! apt: Debian, Ubuntu and what is made of them.

use super::environment;
use crate::command::{Ask, Do, Nothing, SHELL};
use crate::manager::{Index, Manager, PathIs, Refresh, Removal, TermIs, Unfinished};
use crate::name::NameRule;
use crate::read::{commands, debian, guest};
use crate::stage::Format;

/// `apt-get` with what goes before its verb. Facts: apt-get(8), apt.conf(5), dpkg(1), debconf(7), apt's `README.progress-reporting`.
///
/// - The progress goes to a third descriptor, which the shell makes of the first. With `APT::Status-Fd=1` apt closes standard output for
///   dpkg and its scripts (measured with 2.6.1).
/// - `Pattern-Only`: a name with a dot is no regular expression. Without it `install snug.ool` installs snugtool (measured).
/// - The lock of another apt (unattended upgrades) is waited for.
macro_rules! apt_get {
    (after $first:literal, $($word:expr),+ $(,)?) => {
        &[
            SHELL, "-c", concat!($first, "exec \"$@\" 3>&1"), "sh",
            "apt-get", "-q", "-y",
            "-o", "APT::Status-Fd=3",
            "-o", "Dpkg::Use-Pty=0",
            "-o", "Dpkg::Options::=--force-confdef",
            "-o", "Dpkg::Options::=--force-confold",
            "-o", "DPkg::Lock::Timeout=120",
            "-o", "APT::Cmd::Pattern-Only=true",
            $($word),+
        ]
    };
    ($($word:expr),+ $(,)?) => { apt_get!(after "", $($word),+) };
}

/// What `apt-get` would do with words that are names, and no patterns.
macro_rules! apt_simulation {
    ($($word:expr),+) => {
        &["apt-get", "-q", "-y", "-o", "APT::Cmd::Pattern-Only=true", "--simulate", $($word),+]
    };
}

/// What reads the lists of commands: `Commands` where an archive has them (Ubuntu's), else `Contents`. In a place of their own,
/// so that neither an `apt-get update` of the user's removes them nor this one renews what he has. Facts: apt.conf(5) and sources.list(5),
/// "Acquire::IndexTargets"; old archives have `Contents` beside their components (the legacy place). One that is a fallback of another
/// is left out where that was seen, and then counts as seen itself (apt's `acquire-item.cc`; measured with 2.6.1).
macro_rules! contents_options {
    () => {
        concat!(
            "-o Dir::State::lists=/var/cache/snug/contents",
            " -o Acquire::IndexTargets::deb::Packages::DefaultEnabled=false",
            " -o Acquire::IndexTargets::deb::Translations::DefaultEnabled=false",
            " -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
            " -o Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled=false",
            " -o Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled=false",
            " -o Acquire::IndexTargets::deb::CNF::DefaultEnabled=false",
            " -o Acquire::IndexTargets::deb::Commands-deb::MetaKey='$(COMPONENT)/cnf/Commands-$(ARCHITECTURE)'",
            " -o Acquire::IndexTargets::deb::Commands-deb::ShortDescription='Commands-$(ARCHITECTURE)'",
            " -o Acquire::IndexTargets::deb::Commands-deb::Description='$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Commands'",
            " -o Acquire::IndexTargets::deb::Commands-deb::Identifier=Commands-deb",
            " -o Acquire::IndexTargets::deb::Commands-deb::KeepCompressed=true",
            " -o Acquire::IndexTargets::deb::Contents-deb::MetaKey='$(COMPONENT)/Contents-$(ARCHITECTURE)'",
            " -o Acquire::IndexTargets::deb::Contents-deb::ShortDescription='Contents-$(ARCHITECTURE)'",
            " -o Acquire::IndexTargets::deb::Contents-deb::Description='$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Contents'",
            " -o Acquire::IndexTargets::deb::Contents-deb::flatMetaKey='Contents-$(ARCHITECTURE)'",
            " -o Acquire::IndexTargets::deb::Contents-deb::flatDescription='$(RELEASE) Contents'",
            " -o Acquire::IndexTargets::deb::Contents-deb::Fallback-Of=Commands-deb",
            " -o Acquire::IndexTargets::deb::Contents-deb::Identifier=Contents-deb",
            " -o Acquire::IndexTargets::deb::Contents-deb::KeepCompressed=true",
            " -o Acquire::IndexTargets::deb::Contents-deb-legacy::MetaKey='Contents-$(ARCHITECTURE)'",
            " -o Acquire::IndexTargets::deb::Contents-deb-legacy::ShortDescription='Contents-$(ARCHITECTURE)'",
            " -o Acquire::IndexTargets::deb::Contents-deb-legacy::Description='$(RELEASE) $(ARCHITECTURE) Contents'",
            " -o Acquire::IndexTargets::deb::Contents-deb-legacy::Fallback-Of=Contents-deb",
            " -o Acquire::IndexTargets::deb::Contents-deb-legacy::Identifier=Contents-deb",
            " -o Acquire::IndexTargets::deb::Contents-deb-legacy::KeepCompressed=true "
        )
    };
}

/// Writes the lines of all `Contents` files, and those of `Commands` in their shape. `apt-helper` reads whatever they are compressed with.
macro_rules! contents {
    () => {
        concat!(
            "files() {\n  apt-get ",
            contents_options!(),
            "indextargets --format '$(FILENAME)' \"Identifier: $1\" | while IFS= read -r f; do\n",
            "    [ -e \"$f\" ] && /usr/lib/apt/apt-helper cat-file \"$f\"\n  done\n}\n",
            "files Contents-deb; files Contents-deb-legacy\n",
            "files Commands-deb | awk '/^(name|visible-pkgname): /{name=$2} /^commands: /{",
            "sub(/^commands: */, \"\"); n=split($0, all, /[, ]+/); for (i=1; i<=n; i++) print \"usr/bin/\" all[i] \" commands/\" name}'"
        )
    };
}

/// apt, by `apt-get` and `dpkg-query`, whose output is meant for programs (apt(8) says of `apt` that its own is not).
///
/// - *Removal*: `apt-get --auto-remove remove x` also removes what nobody had needed before. So a simulation says what would go, another
///   one what already nobody needs, and the difference is removed by name. Configuration files stay (`remove`, not `purge`).
/// - *Provides*: apt's metadata have no paths. `Commands` or `Contents` files of the same sources are fetched into `/var/cache/snug/contents`
///   (of Debian 12 46 MB, 77 MB as apt keeps them) and read as they are; `apt-file`, which reads the same files, is not needed. `/usr/lib/jvm` is
///   where alternatives of Java lead.
/// - *Upgrade*: `upgrade --with-new-pkgs`, as `apt upgrade` is: new dependencies come, nothing goes.
/// - *A name that ends in `+`* (`g++`) which does not exist is taken for its part before the `+`; one that ends in `-` is refused.
/// - Metadata: the directory `partial` is touched by each update, also where nothing was new (measured); in a stripped image the lists are
///   missing.
pub static APT: Manager = Manager {
    name: "apt",
    programs: &["/usr/bin/apt-get"],
    families: &["debian", "ubuntu"],
    environment: environment!(
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
        ("APT_LISTCHANGES_FRONTEND", "none"),
        // Lists which services want a restart and restarts none (needrestart(1)).
        ("NEEDRESTART_MODE", "l")
    ),
    format: Format::Apt,
    // Debian's policy, 5.6.1; after a colon an architecture.
    names: NameRule { capitals: false, first: "", more: "+-.:" },
    version_after: Some("="),
    file_endings: &[".deb"],
    refresh: Refresh::Alone(Do { argv: apt_get!("update"), done: &[] }),
    refreshed: Ask {
        argv: &[
            SHELL,
            "-c",
            "set -- /var/lib/apt/lists/*_Packages*; [ -e \"$1\" ] && stat -c %Y -- /var/lib/apt/lists /var/lib/apt/lists/partial; exit 0",
        ],
        as_root: true,
        nothing: Nothing::Never,
        read: guest::newest,
    },
    install: Do { argv: apt_get!("install", "--no-remove", "--", "{}"), done: &[] },
    install_files: Do { argv: apt_get!("install", "--no-remove", "--", "{}"), done: &[] },
    preview_removal: Ask {
        argv: apt_simulation!("--auto-remove", "remove", "--", "{}"),
        as_root: false,
        nothing: Nothing::Never,
        read: debian::changes,
    },
    removal: Removal::Listed(
        Ask {
            argv: &["apt-get", "-q", "-y", "--simulate", "autoremove"],
            as_root: false,
            nothing: Nothing::Never,
            read: debian::changes,
        },
        Do { argv: apt_get!("remove", "--", "{}"), done: &[] },
    ),
    upgrades: Ask {
        argv: &["apt-get", "-q", "-y", "--simulate", "upgrade", "--with-new-pkgs"],
        as_root: false,
        nothing: Nothing::Never,
        read: debian::changes,
    },
    upgrades_rolling: None,
    upgrade_all: Do { argv: apt_get!("upgrade", "--with-new-pkgs"), done: &[] },
    upgrade_rolling: None,
    upgrade_named: Some(Do {
        argv: apt_get!("install", "--only-upgrade", "--no-remove", "--", "{}"),
        done: &[],
    }),
    // apt-get does nothing while dpkg's journal is there (`CheckUpdates` of apt's debsystem.cc), which dpkg leaves when it is killed and takes
    // in when it is told to configure. What that cannot set up for want of other packages, apt-get then fetches.
    unfinished: Some(Unfinished {
        packages: Ask {
            argv: &[
                SHELL,
                "-c",
                r#"dpkg-query --show --showformat='${db:Status-Status}\t${Package}\n'
for f in /var/lib/dpkg/updates/[0-9]*; do [ -e "$f" ] && echo interrupted; break; done
exit 0"#,
            ],
            as_root: true,
            nothing: Nothing::Never,
            read: debian::unfinished,
        },
        finish: Do {
            argv: apt_get!(
                after "dpkg --force-confdef --force-confold --configure -a; ",
                "install",
                "--fix-broken",
                "--no-remove"
            ),
            done: &[],
        },
    }),
    search: Ask {
        argv: &["apt-cache", "search", "--", "{}"],
        as_root: false,
        nothing: Nothing::Never,
        read: debian::search,
    },
    term: TermIs::Regex,
    available: Ask {
        argv: &["apt-cache", "policy", "--", "{}"],
        as_root: false,
        nothing: Nothing::Never,
        read: debian::policy,
    },
    meaning: Ask {
        argv: apt_simulation!("install", "--no-remove", "--", "{}"),
        as_root: false,
        nothing: Nothing::Statuses(&[100]),
        read: debian::meaning,
    },
    provides: Ask {
        // Of 600 MB of lines the few with the command: the word is a regular expression of one name.
        argv: &[
            SHELL,
            "-c",
            concat!(
                "{ ",
                contents!(),
                "\n} | grep -aE -e \"^([.]/)?(usr/)?(s?bin|local/bin|games)/$1[[:space:]]\"; exit 0"
            ),
            "sh",
            "{}",
        ],
        as_root: false,
        nothing: Nothing::Never,
        read: debian::providers,
    },
    command: TermIs::Regex,
    index: Some(Index {
        refresh: Do {
            argv: &[
                SHELL,
                "-c",
                concat!(
                    "mkdir -p /var/cache/snug/contents/partial && exec apt-get -q ",
                    contents_options!(),
                    "update"
                ),
            ],
            done: &[],
        },
        refreshed: Ask {
            argv: &[
                SHELL,
                "-c",
                "for f in /var/cache/snug/contents/*Contents-* /var/cache/snug/contents/*Commands-*; do\n  [ -e \"$f\" ] && stat -c %Y -- /var/cache/snug/contents/partial && break\ndone; exit 0",
            ],
            as_root: true,
            nothing: Nothing::Never,
            read: guest::newest,
        },
        apart: true,
    }),
    commands: Ask {
        argv: &[
            SHELL,
            "-c",
            concat!(
                "{ ",
                contents!(),
                "\n} | LC_ALL=C grep -aE '^([.]/)?(usr/)?(s?bin|local/bin|games|lib/jvm/[^/]+/bin)/[^/[:space:]]+[[:space:]]'\n",
                "apt-cache dumpavail | LC_ALL=C grep -aE '^(Package|Version|Priority): '; exit 0"
            ),
        ],
        as_root: true,
        nothing: Nothing::Never,
        read: commands::debian,
    },
    files: Ask {
        argv: &["dpkg-query", "--listfiles", "--", "{}"],
        as_root: false,
        nothing: Nothing::Statuses(&[1]),
        read: debian::files,
    },
    owner: Ask {
        argv: &["dpkg-query", "--search", "--", "{}"],
        as_root: false,
        nothing: Nothing::Statuses(&[1]),
        read: debian::owners,
    },
    paths: PathIs::DpkgPattern,
    dependencies: Ask {
        argv: &["dpkg-query", "--show", "--showformat=${Pre-Depends},${Depends}\\n", "--", "{}"],
        as_root: false,
        nothing: Nothing::Statuses(&[1]),
        read: debian::dependencies,
    },
    providers: Ask {
        argv: &[
            "dpkg-query",
            "--show",
            "--showformat=${db:Status-Abbrev}\\t${Package}\\t${Version}\\n",
            "--",
            "{}",
        ],
        as_root: false,
        nothing: Nothing::Statuses(&[1]),
        read: debian::installed_names,
    },
    // dpkg-query looks for names alone. The words are operands of awk(1) that it never opens; base-files needs one.
    provided: Some(Ask {
        argv: &[
            SHELL,
            "-c",
            r#"dpkg-query --show --showformat='${db:Status-Abbrev}\t${Package}\t${Version}\t${Provides}\n' |
awk -F '\t' 'BEGIN { for (i = 1; i < ARGC; i++) asked[ARGV[i]]; ARGC = 1 }
{ n = split($4, all, ", *"); for (i = 1; i <= n; i++) { sub(/[ :(].*/, "", all[i]); if (all[i] in asked) { print; next } } }' "$@""#,
            "sh",
            "{}",
        ],
        as_root: false,
        nothing: Nothing::Never,
        read: debian::installed_names,
    }),
    installed: Ask {
        argv: &[
            "dpkg-query",
            "--show",
            "--showformat=${db:Status-Abbrev}\\t${Package}\\t${Version}\\n",
            "--",
            "{}",
        ],
        as_root: false,
        nothing: Nothing::Statuses(&[1]),
        read: debian::installed,
    },
    identify: Ask {
        argv: &["dpkg-deb", "--showformat=${Package}\\t${Version}\\n", "--show", "--", "{}"],
        as_root: false,
        nothing: Nothing::Never,
        read: crate::read::columns::packages,
    },
    asked_for: Ask {
        // dpkg writes a package's list when it unpacks it. Without an architecture in its name as apt-mark has it.
        argv: &[
            SHELL,
            "-c",
            r"apt-mark showmanual || exit; cd /var/lib/dpkg/info && stat -c '%Y %n' -- *.list | sed 's/\.list$//; s/:[^ ]*$//'; exit 0",
        ],
        as_root: false,
        nothing: Nothing::Never,
        read: guest::asked_for,
    },
};
