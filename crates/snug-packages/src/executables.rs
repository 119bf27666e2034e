//! Which files of a package are its commands, and by which name they are better known.

use std::path::{Path, PathBuf};

use crate::command::{Ask, Nothing, Query, SHELL};
use crate::name::{CommandName, GuestPath};
use crate::read::{columns, guest};

/// Where commands are. Games too: `/usr/games` is on the PATH of Debian's users (hier(7), login.defs(5) `ENV_PATH`).
pub const DIRECTORIES: [&str; 6] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/games"];

/// A command of a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Executable {
    /// What is typed.
    pub name: CommandName,
    /// Where it is.
    pub path: PathBuf,
}

/// A name by which people know a program that is called otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alternative {
    /// What is typed.
    pub name: CommandName,
    /// The package's own file.
    pub program: PathBuf,
}

/// The name of the command at a path, if it is directly in one of [`DIRECTORIES`].
pub fn command_name(path: &Path) -> Option<&str> {
    let directory = path.parent()?.to_str()?;
    DIRECTORIES.contains(&directory).then(|| path.file_name()?.to_str()).flatten()
}

/// The commands among a package's files, by their paths alone: each name once, of several paths the first directory's. Whether they are
/// programs has to be asked ([`programs`]): the list has directories and links too.
pub fn of_files<'a>(files: impl IntoIterator<Item = &'a Path>) -> Vec<Executable> {
    let place =
        |path: &Path| DIRECTORIES.iter().position(|directory| path.parent() == Some(Path::new(directory)));
    let executable = |path: &Path| {
        let name = CommandName::new(command_name(path)?).ok()?;
        Some(Executable { name, path: path.to_owned() })
    };
    let mut all: Vec<Executable> = files.into_iter().filter_map(executable).collect();
    all.sort_by(|a, b| (a.name.as_str(), place(&a.path)).cmp(&(b.name.as_str(), place(&b.path))));
    all.dedup_by(|later, earlier| later.name == earlier.name);
    all
}

/// Which of these files can be run, and are no links into `/etc/alternatives`: those a package of Fedora owns (and a package of Debian
/// never does: `update-alternatives` makes them on the system, and dpkg does not know them).
pub fn programs<'a>(executables: impl IntoIterator<Item = &'a Executable>) -> Query<Vec<PathBuf>> {
    let paths: Vec<&Path> = executables.into_iter().map(|executable| &*executable.path).collect();
    PROGRAMS.about(&paths, &[("LC_ALL", "C.UTF-8")])
}

/// Words are the script's arguments, never a part of it.
static PROGRAMS: Ask<Vec<PathBuf>> = Ask {
    argv: &[
        SHELL,
        "-c",
        r#"for f; do
  [ -f "$f" ] && [ -x "$f" ] || continue
  case $(readlink -- "$f") in /etc/alternatives/*) continue ;; esac
  printf '%s\0' "$f"
done"#,
        "sh",
        "{}",
    ],
    as_root: false,
    nothing: Nothing::Never,
    read: guest::paths,
};

/// Where a path leads to in the end, by whatever links; `None` where there is nothing.
pub fn behind(path: &GuestPath) -> Query<Option<PathBuf>> {
    BEHIND.about(&path.plain(), &[("LC_ALL", "C.UTF-8")])
}

static BEHIND: Ask<Option<PathBuf>> = Ask {
    argv: &["readlink", "-f", "--", "{}"],
    as_root: false,
    nothing: Nothing::Statuses(&[1]),
    read: |output| columns::paths(output).into_iter().next(),
};

/// The alternatives of the guest: each link of `/etc/alternatives` and where it leads (update-alternatives(1)).
pub fn alternatives() -> Query<Vec<(PathBuf, PathBuf)>> {
    ALTERNATIVES.about::<&str>(&[], &[("LC_ALL", "C.UTF-8")])
}

static ALTERNATIVES: Ask<Vec<(PathBuf, PathBuf)>> = Ask {
    argv: &[
        SHELL,
        "-c",
        r#"for f in /etc/alternatives/*; do [ -L "$f" ] && printf '%s\0%s\0' "$f" "$(readlink -- "$f")"; done; exit 0"#,
    ],
    as_root: false,
    nothing: Nothing::Never,
    read: guest::pairs,
};

/// Commands that a package has by an alternative which only gives its program the name that people know: `java` for
/// `/usr/lib/jvm/java-21/bin/java`, `vim` for `vim.basic`, `convert` for `convert-im6.q16`. Not names for whatever is chosen: `vi` for
/// `vim.tiny`, `editor`, `pager`, `awk`.
///
/// Where the link is that people's PATH has, only the guest knows: in one of [`DIRECTORIES`]. It stays when a new version has its program
/// elsewhere; [`programs`] would leave it out.
pub fn by_alternatives<'a>(
    files: impl IntoIterator<Item = &'a Path>,
    alternatives: &[(PathBuf, PathBuf)],
) -> Vec<Alternative> {
    let files: Vec<&Path> = files.into_iter().collect();
    let one = |(link, target): &(PathBuf, PathBuf)| {
        let (name, program) = (link.file_name()?.to_str()?, target.file_name()?.to_str()?);
        let is_named_so =
            program.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']));
        // Manual pages and other things that belong to a program are alternatives too.
        let directory = target.parent()?.file_name()?.to_str()?;
        let is_program = ["bin", "sbin", "games"].contains(&directory);
        let name = CommandName::new(name)
            .ok()
            .filter(|_| is_named_so && is_program && files.contains(&&**target))?;
        Some(Alternative { name, program: target.clone() })
    };
    alternatives.iter().filter_map(one).collect()
}

/// Commands that a distribution calls otherwise than those who wrote them, since another package had the name first. Of Debian's those
/// that its `Contents` files show (Debian 12) to be the package's only name for it.
const RENAMED: &[(&str, &str, &str)] = &[
    // package, its command, the name that it is known by
    ("bat", "batcat", "bat"),
    ("dotenv", "dotenv-rust", "dotenv"),
    ("fd-find", "fdfind", "fd"),
    ("gist", "gist-paste", "gist"),
    ("ht", "hte", "ht"),
    ("pat", "pat-winlink", "pat"),
    ("yarnpkg", "yarnpkg", "yarn"),
    // Of Arch and Fedora.
    ("go-task", "go-task", "task"),
    ("helix", "helix", "hx"),
    ("zed", "zeditor", "zed"),
];

/// The name by which a command of this package is better known.
pub fn known_as(package: &str, command: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(p, c, _)| (*p, *c) == (package, command)).map(|(_, _, known)| *known)
}

/// Other names by which a command of a package is typed once that is installed, as far as its name tells: the one that is better known
/// ([`known_as`]), and that of an alternative which only strips an ending ([`by_alternatives`]): `vim` for `vim.basic` of vim, `nc` for
/// `nc.openbsd` of netcat-openbsd, `convert` for `convert-im6.q16`.
pub fn other_names<'a>(package: &str, command: &'a str) -> impl Iterator<Item = &'a str> {
    let alternative = command.split_once('.').and_then(|(name, ending)| {
        let is_packages = package == name || package.rsplit('-').next() == Some(ending);
        (is_packages && !name.is_empty()).then_some(name)
    });
    let of_imagemagick = || {
        let (name, ending) = command.rsplit_once("-im")?;
        let is_version = ending.starts_with(|c: char| c.is_ascii_digit()) && ending.contains(".q");
        (is_version && package.starts_with("imagemagick")).then_some(name)
    };
    known_as(package, command).into_iter().chain(alternative.or_else(of_imagemagick))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(executables: &[Executable]) -> Vec<&str> {
        executables.iter().map(|executable| executable.name.as_str()).collect()
    }

    #[test]
    fn commands_are_directly_in_a_directory_of_commands() {
        let files = [
            "/usr/bin/rg",
            "/usr/games/sl",
            "/usr/sbin/useradd",
            "/sbin/ip",
            "/bin/ip",
            "/usr/local/bin/x",
            "/usr/bin",
            "/usr/bin/a/b",
            "/usr/lib/x/bin/y",
            "/opt/bin/z",
            "/usr/bin/-x",
            "/usr/bin/[",
            "/usr/share/man/man1/rg.1.gz",
            "/usr/bin/x y",
            "rg",
        ];
        let executables = of_files(files.map(Path::new));
        assert_eq!(names(&executables), ["ip", "rg", "sl", "useradd", "x"]);
        assert_eq!(executables[0].path, Path::new("/bin/ip"), "the first directory's");
    }

    #[test]
    fn what_update_alternatives_made_is_nobodys() {
        // Debian 13, dpkg -L vim-tiny: /usr/bin/vi is not there, only what it leads to.
        let files = ["/usr/bin/vim.tiny", "/usr/share/vim/vim91/debian.vim"];
        assert_eq!(names(&of_files(files.map(Path::new))), ["vim.tiny"]);
        let all = [
            ("/etc/alternatives/vi", "/usr/bin/vim.tiny"),
            ("/etc/alternatives/editor", "/usr/bin/vim.tiny"),
            ("/etc/alternatives/java", "/usr/lib/jvm/java-21-openjdk-amd64/bin/java"),
            ("/etc/alternatives/java.1.gz", "/usr/lib/jvm/java-21-openjdk-amd64/man/man1/java.1.gz"),
            ("/etc/alternatives/javac", "/usr/lib/jvm/java-21-openjdk-amd64/bin/javac"),
            ("/etc/alternatives/pager", "/usr/bin/less"),
            ("/etc/alternatives/vim", "/usr/bin/vim.basic"),
            ("/etc/alternatives/convert", "/usr/bin/convert-im6.q16"),
            ("/etc/alternatives/-x", "/usr/bin/-x.y"),
        ]
        .map(|(link, target)| (PathBuf::from(link), PathBuf::from(target)));
        assert!(by_alternatives(files.map(Path::new), &all).is_empty());
        let java = [
            "/usr/lib/jvm/java-21-openjdk-amd64/bin/java",
            "/usr/lib/jvm/java-21-openjdk-amd64/man/man1/java.1.gz",
        ];
        let java = by_alternatives(java.map(Path::new), &all);
        let program = Path::new("/usr/lib/jvm/java-21-openjdk-amd64/bin/java");
        assert_eq!(java, [Alternative { name: CommandName::new("java").unwrap(), program: program.into() }]);
        let renamed = ["/usr/bin/vim.basic", "/usr/bin/convert-im6.q16", "/usr/bin/less", "/usr/bin/-x.y"];
        let found = by_alternatives(renamed.map(Path::new), &all);
        let names: Vec<&str> = found.iter().map(|alternative| alternative.name.as_str()).collect();
        assert_eq!(names, ["vim", "convert"]);
    }

    #[test]
    fn renamed_commands_have_their_name_back() {
        assert_eq!(known_as("fd-find", "fdfind"), Some("fd"));
        assert_eq!(known_as("bat", "batcat"), Some("bat"));
        // Another package's.
        assert_eq!(known_as("bacula-console-qt", "bat"), None);
        assert_eq!(known_as("evil", "fdfind"), None);
    }

    #[test]
    fn a_command_has_the_name_that_its_alternative_will_have() {
        let names = |package, command| other_names(package, command).collect::<Vec<_>>();
        assert_eq!(names("fd-find", "fdfind"), ["fd"]);
        assert_eq!(names("vim", "vim.basic"), ["vim"]);
        assert_eq!(names("vim-tiny", "vim.tiny"), ["vim"]);
        assert_eq!(names("netcat-openbsd", "nc.openbsd"), ["nc"]);
        assert_eq!(names("imagemagick-6.q16", "convert-im6.q16"), ["convert"]);
        for (package, command) in
            [("python3.13", "python3.13"), ("x", "y.z"), ("a-b", ".b"), ("ripgrep", "rg"), ("x", "a-im6.q16")]
        {
            assert_eq!(names(package, command), [""; 0], "{package} {command}");
        }
    }

    #[test]
    fn paths_are_arguments_of_the_script() {
        let executable = Executable { name: CommandName::new("x").unwrap(), path: "/usr/bin/$(x)".into() };
        let query = programs([&executable]);
        assert_eq!(query.command.argv.last().unwrap(), "/usr/bin/$(x)");
        assert!(!query.command.argv[2].to_str().unwrap().contains("$(x)"));
    }
}
