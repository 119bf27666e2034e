use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use super::*;
use crate::command::Output;

fn subject(path: &Path, names: &[&str], files: &[&Path]) -> Subject {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let listed = among(files.iter().map(|file| file.to_path_buf()).collect());
    Subject::new(path.into(), &names, &listed)
}

/// Asks this machine.
fn ask(subjects: &[Subject]) -> Vec<(PathBuf, Vec<u8>)> {
    let query = query(subjects);
    let argv = &query.command.argv;
    let output = Command::new(&argv[0])
        .args(&argv[1..])
        .stdin(Stdio::null())
        .output()
        .expect("this machine has a shell");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    query
        .read(&Output { status: output.status.code().unwrap(), stdout: output.stdout, stderr: Vec::new() })
        .unwrap()
}

/// What is about a command where no shell has anything of its own.
fn of_subject(answer: &[(PathBuf, Vec<u8>)], subject: &Subject) -> Vec<Document> {
    super::of_subject(answer, subject, &BTreeSet::new())
}

fn put(path: PathBuf, content: &[u8]) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut child =
        Command::new("gzip").arg("-n").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap().stdout
}

fn shown(documents: &[Document]) -> Vec<String> {
    let mut all: Vec<String> = documents
        .iter()
        .map(|document| match &document.kind {
            Kind::Page { language, section, ending } => {
                format!(
                    "{}{}.{section}{ending}",
                    language.as_deref().map(|l| format!("{l}/")).unwrap_or_default(),
                    document.word
                )
            }
            kind => format!("{kind:?} {}", document.word),
        })
        .collect();
    all.sort();
    all
}

#[test]
fn a_file_is_known_by_its_path() {
    let page = |language: Option<&str>, section: &str, ending| Kind::Page {
        language: language.map(str::to_owned),
        section: section.to_owned(),
        ending,
    };
    for (path, kind, word) in [
        ("/usr/share/man/man1/rg.1.gz", page(None, "1", ".gz"), "rg"),
        ("/usr/share/man/man1/rg.1", page(None, "1", ""), "rg"),
        ("/usr/share/man/man1/python3.11.1.zst", page(None, "1", ".zst"), "python3.11"),
        ("/usr/share/man/pt_BR.UTF-8/man8/useradd.8.xz", page(Some("pt_BR.UTF-8"), "8", ".xz"), "useradd"),
        ("/opt/x/share/man/man1/x.1ssl.bz2", page(None, "1ssl", ".bz2"), "x"),
        ("/usr/share/bash-completion/completions/rg", Kind::Bash, "rg"),
        ("/usr/share/bash-completion/completions/fd.bash", Kind::Bash, "fd"),
        ("/usr/share/bash-completion/completions/_x", Kind::Bash, "x"),
        ("/etc/bash_completion.d/gh", Kind::Bash, "gh"),
        ("/usr/share/zsh/vendor-completions/_rg", Kind::Zsh, "rg"),
        ("/usr/share/fish/completions/fd.fish", Kind::Fish, "fd"),
    ] {
        assert_eq!(what(Path::new(path)), Some((kind, word.to_owned())), "{path}");
    }
    for path in [
        "/usr/share/man/man1",
        "/usr/share/man/man1/rg.gz",
        "/usr/share/man/man1/rg.x.gz",
        "/usr/share/man/man1/rg.5.gz",
        "/usr/share/man/man1/.1.gz",
        "/usr/share/man/man1/-x.1.gz",
        "/usr/share/man/../man1/rg.1.gz",
        "/usr/share/man/a b/man1/rg.1.gz",
        "/usr/share/man/de/fr/man1/rg.1.gz",
        "/usr/share/zsh/vendor-completions/rg",
        "/usr/share/zsh/vendor-completions/_",
        "/usr/share/fish/completions/.fish",
        "/usr/share/fish/completions/rg",
        "/usr/share/doc/rg",
        "/",
    ] {
        assert_eq!(what(Path::new(path)), None, "{path}");
    }
}

#[test]
fn what_a_command_has_in_its_own_prefix_is_brought() {
    let root = tempfile::tempdir().unwrap();
    let share = root.path().join("share");
    put(share.join("man/man1/tool.1.gz"), &gzip("the page"));
    put(share.join("man/de/man1/tool.1"), "die Seite, deutsch".as_bytes());
    put(share.join("man/man1/tool-other.1"), b"nobody asked for it");
    put(share.join("man/man5/tool.5"), b"nor for that");
    put(share.join("bash-completion/completions/tool"), b"bash \0\xff");
    put(share.join("zsh/site-functions/_tool"), b"zsh");
    put(share.join("fish/vendor_completions.d/tool.fish"), b"fish");
    put(share.join("fish/completions/tool.fish"), b"of fish itself");
    let tool = subject(&root.path().join("bin/tool"), &[], &[]);
    let answer = ask(std::slice::from_ref(&tool));
    let found = of_subject(&answer, &tool);
    assert_eq!(shown(&found), ["Bash tool", "Fish tool", "Zsh tool", "de/tool.1", "tool.1.gz"]);
    let bash = found.iter().find(|document| document.kind == Kind::Bash).unwrap();
    assert_eq!(bash.content, b"bash \0\xff");
    assert_eq!(found.iter().find(|document| document.kind == Kind::Fish).unwrap().content, b"fish");
    let own = BTreeSet::from([share.join("bash-completion/completions/tool")]);
    assert_eq!(shown(&super::of_subject(&answer, &tool, &own)).first().unwrap(), "Fish tool");
    // None of it is another command's.
    assert_eq!(of_subject(&answer, &subject(&root.path().join("bin/to"), &[], &[])), []);
}

#[test]
fn of_its_package_a_command_has_files_of_other_names_too() {
    let root = tempfile::tempdir().unwrap();
    let share = root.path().join("share");
    let files = [
        put(share.join("man/man1/fdfind.1.gz"), &gzip("page")),
        put(share.join("man/man1/fdfind-more.1"), b"its own command's"),
        put(share.join("man/man5/fdfind.5"), b"its file's"),
        put(share.join("man/man1/unrelated.1"), b"another command's"),
        put(share.join("bash-completion/completions/fd.bash"), b"bash"),
        put(share.join("zsh/vendor-completions/_fd"), b"zsh"),
        put(share.join("fish/completions/fd.fish"), b"fish"),
    ];
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let fd = subject(&root.path().join("bin/fdfind"), &["fd"], &files);
    let found = of_subject(&ask(std::slice::from_ref(&fd)), &fd);
    assert_eq!(shown(&found), ["Bash fd", "Fish fd", "Zsh fd", "fdfind-more.1", "fdfind.1.gz", "fdfind.5"]);
}

#[test]
fn a_page_that_refers_to_another_one_is_that_one() {
    let root = tempfile::tempdir().unwrap();
    let man = root.path().join("share/man");
    put(man.join("man1/real.1.gz"), &gzip(&"a real page\n".repeat(200)));
    put(man.join("man1/by-name.1"), b".\\\" a comment\n.so man1/real.1\n");
    put(man.join("man1/packed.1.gz"), &gzip(".so real.1.gz\n"));
    put(man.join("man1/lost.1"), b".so man1/nowhere.1\n");
    put(man.join("man1/loop.1"), b".so man1/loop.1\n");
    put(man.join("man1/out.1"), b".so ../../../secret\n");
    put(root.path().join("secret"), b"a file that is no page, but the owner may read it there anyway");
    symlink("real.1.gz", man.join("man1/linked.1.gz")).unwrap();
    let real = fs::read(man.join("man1/real.1.gz")).unwrap();
    for (command, brought) in [
        ("by-name", vec!["by-name.1.gz"]),
        ("packed", vec!["packed.1.gz"]),
        ("linked", vec!["linked.1.gz"]),
        ("lost", vec![]),
    ] {
        let subject = subject(&root.path().join("bin").join(command), &[], &[]);
        let found = of_subject(&ask(std::slice::from_ref(&subject)), &subject);
        assert_eq!(shown(&found), brought, "{command}");
        assert!(found.iter().all(|document| document.content == real), "{command}");
    }
    let subject = subject(&root.path().join("bin/loop"), &[], &[]);
    assert!(of_subject(&ask(std::slice::from_ref(&subject)), &subject).len() <= 1);
}

#[test]
fn what_is_too_long_or_no_regular_file_is_left_out() {
    let root = tempfile::tempdir().unwrap();
    let completions = root.path().join("share/bash-completion/completions");
    put(completions.join("long"), &vec![b'x'; LONGEST + 1]);
    put(completions.join("empty"), b"");
    fs::create_dir(completions.join("directory")).unwrap();
    symlink("/dev/zero", completions.join("device")).unwrap();
    assert!(Command::new("mkfifo").arg(completions.join("pipe")).status().unwrap().success());
    put(completions.join("good"), &vec![b'x'; LONGEST]);
    let subjects: Vec<Subject> = ["long", "empty", "directory", "device", "pipe", "good", "a*", "[x", "$(x)"]
        .map(|name| subject(&root.path().join("bin").join(name), &[], &[]))
        .into();
    let answer = ask(&subjects);
    let of: Vec<usize> = subjects.iter().map(|subject| of_subject(&answer, subject).len()).collect();
    assert_eq!(of, [0, 0, 0, 0, 0, 1, 0, 0, 0]);
}

#[test]
fn an_answer_that_is_none_brings_nothing() {
    assert_eq!(
        files(b"/a\x003\0abc/b\x001\0x"),
        [("/a".into(), b"abc".to_vec()), ("/b".into(), b"x".to_vec())]
    );
    for answer in [
        &b""[..],
        b"/a",
        b"/a\0",
        b"/a\x005\0abc",
        b"/a\0x\0abc",
        b"/a\x00-1\0abc",
        b"/a\x0099999999999999999999\0",
    ] {
        assert_eq!(files(answer), [], "{answer:?}");
    }
    // What could not be a file's name is left out, and what comes after it is not.
    assert_eq!(files(b"a\nb\x001\0x/c\x001\0y"), [("/c".into(), b"y".to_vec())]);
    let rg = subject(Path::new("/usr/bin/rg"), &[], &[]);
    for output in read::hostile() {
        let answer = files(&output);
        assert!(of_subject(&answer, &rg).is_empty());
    }
    // A guest may answer what nobody has asked for.
    let answer = [
        "/etc/passwd",
        "/tmp/man/man1/rg.1",
        "/usr/share/man/man1/ssh.1",
        "/usr/share/fish/completions/rg.fish",
    ]
    .map(|path| (PathBuf::from(path), b"x".to_vec()));
    assert!(of_subject(&answer, &rg).is_empty());
}
