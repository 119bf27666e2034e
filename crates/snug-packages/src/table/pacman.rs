//! pacman: Arch and what is made of it.

use super::environment;
use crate::command::{Ask, Do, Nothing, SHELL};
use crate::manager::{Index, Manager, PathIs, Refresh, Removal, TermIs};
use crate::name::NameRule;
use crate::read::{columns, commands, guest, pacman};
use crate::stage::Format;

/// What is said to pacman when it changes something. It answers its own questions with what it would do by itself: no to a replacement of
/// one package by another that conflicts with it.
macro_rules! change {
    ($($word:expr),+ $(,)?) => { &["pacman", "--noconfirm", "--noprogressbar", "--color", "never", $($word),+] };
}

/// pacman. Facts: pacman(8), pacman.conf(5), Arch's wiki, "System maintenance: Partial upgrades are unsupported".
///
/// - *Metadata* are not renewed without an upgrade of everything (`-Sy` and then `-S x` may install what does not fit). So there is no
///   refresh alone, `install` with fresh metadata is `-Syu x`, and one package alone is not upgraded.
/// - `--check` looks at metadata of its own, in a directory that goes with the shell: those of the system stay as they are.
/// - *Removal*: `-Rs` takes along what only these needed and nobody asked for; it refuses where others need them.
/// - *Provides* needs the lists of files (`-Fy`), which are only for that.
/// - Their age is when they were written here (the change of the inode): pacman gives a file the time that the server names. Metadata may
///   look older than they are, where the last update found nothing new.
/// - One version of each package. A local file's signature is checked as `LocalFileSigLevel` says.
/// - `-Q` and `-F` know no `--noprogressbar`.
pub static PACMAN: Manager = Manager {
    name: "pacman",
    programs: &["/usr/bin/pacman"],
    families: &["arch", "archlinux"],
    environment: environment!(),
    format: Format::Pacman,
    // PKGBUILD(5), "pkgname": no hyphen or dot at its beginning.
    names: NameRule { capitals: true, first: "@_", more: "@._+-" },
    version_after: None,
    file_endings: &[".pkg.tar.*"],
    refresh: Refresh::WithUpgrade(Do { argv: change!("-Syu", "--needed", "--", "{}"), done: &[] }),
    refreshed: Ask {
        argv: &[
            SHELL,
            "-c",
            "cd /var/lib/pacman/sync && set -- *.db && [ -e \"$1\" ] && stat -c %Z -- . \"$@\"; exit 0",
        ],
        as_root: true,
        nothing: Nothing::Never,
        read: guest::newest,
    },
    install: Do { argv: change!("-S", "--needed", "--", "{}"), done: &[] },
    install_files: Do { argv: change!("-U", "--", "{}"), done: &[] },
    preview_removal: Ask {
        argv: change!("-Rsp", "--print-format", "%n %v", "--", "{}"),
        as_root: false,
        nothing: Nothing::Never,
        read: pacman::removals,
    },
    removal: Removal::ByItself(Do { argv: change!("-Rs", "--", "{}"), done: &[] }),
    upgrades: Ask {
        argv: &[
            SHELL,
            "-ec",
            r#"d=$(mktemp -d /var/tmp/snug.XXXXXXXXXX)
trap 'rm -rf -- "$d"' EXIT
trap 'exit 130' INT TERM HUP
chmod 755 "$d"
ln -s /var/lib/pacman/local "$d/local"
pacman --noconfirm --noprogressbar --color never --dbpath "$d" --logfile /dev/null -Sy >&2
pacman --color never --dbpath "$d" -Qu || [ $? = 1 ]"#,
        ],
        as_root: true,
        nothing: Nothing::Never,
        read: pacman::upgrades,
    },
    upgrades_rolling: None,
    upgrade_all: Do { argv: change!("-Syu"), done: &[] },
    upgrade_rolling: None,
    upgrade_named: None,
    unfinished: None,
    search: Ask {
        argv: change!("-Ss", "--", "{}"),
        as_root: false,
        nothing: Nothing::Statuses(&[1]),
        read: pacman::search,
    },
    term: TermIs::Regex,
    available: Ask {
        argv: change!("-Si", "--", "{}"),
        as_root: false,
        nothing: Nothing::Statuses(&[1]),
        read: pacman::information,
    },
    meaning: Ask {
        argv: change!("-Sp", "--print-format", "%n", "--", "{}"),
        as_root: false,
        nothing: Nothing::Statuses(&[1]),
        read: columns::meaning,
    },
    provides: Ask {
        argv: &[
            "pacman",
            "--color",
            "never",
            "-Fq",
            "--",
            "/usr/bin/{}",
            "/usr/local/bin/{}",
            "/usr/games/{}",
        ],
        as_root: false,
        nothing: Nothing::Counted,
        read: pacman::providers,
    },
    command: TermIs::Text,
    index: Some(Index {
        refresh: Do { argv: &["pacman", "--color", "never", "-Fy"], done: &[] },
        refreshed: Ask {
            argv: &[SHELL, "-c", "stat -c %Z -- /var/lib/pacman/sync/*.files 2>/dev/null; exit 0"],
            as_root: true,
            nothing: Nothing::Never,
            read: guest::newest,
        },
        apart: false,
    }),
    commands: Ask {
        argv: &[
            "pacman",
            "--color",
            "never",
            "-Fx",
            "--machinereadable",
            "--",
            "^usr/(bin|local/bin|games)/[^/]+$",
        ],
        as_root: false,
        nothing: Nothing::Counted,
        read: commands::pacman,
    },
    files: Ask {
        argv: &["pacman", "--color", "never", "-Qlq", "--", "{}"],
        as_root: false,
        nothing: Nothing::Counted,
        read: pacman::files,
    },
    owner: Ask {
        argv: &["pacman", "--color", "never", "-Qoq", "--", "{}"],
        as_root: false,
        nothing: Nothing::Counted,
        read: columns::names,
    },
    paths: PathIs::Path,
    dependencies: Ask {
        argv: &["pacman", "--color", "never", "-Qi", "--", "{}"],
        as_root: false,
        nothing: Nothing::Counted,
        read: pacman::dependencies,
    },
    providers: Ask {
        argv: &["pacman", "--color", "never", "-Qq", "--", "{}"],
        as_root: false,
        nothing: Nothing::Counted,
        read: columns::names,
    },
    provided: None,
    installed: Ask {
        argv: &["pacman", "--color", "never", "-Q", "--", "{}"],
        as_root: false,
        nothing: Nothing::Counted,
        read: pacman::packages,
    },
    identify: Ask {
        argv: &["pacman", "--color", "never", "-Qp", "--", "{}"],
        as_root: false,
        nothing: Nothing::Never,
        read: pacman::packages,
    },
    asked_for: Ask {
        argv: &[
            SHELL,
            "-c",
            r"pacman --color never -Qqe || [ $? = 1 ] || exit; cd /var/lib/pacman/local && stat -c '%Y %n' -- */desc | sed 's/-[^-]*-[^-]*$//'; exit 0",
        ],
        as_root: false,
        nothing: Nothing::Never,
        read: guest::asked_for,
    },
};
