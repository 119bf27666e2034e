use super::*;

struct Home {
    _directory: tempfile::TempDir,
    home: PathBuf,
    documents: Documents,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("home");
        let documents = Documents::new(&home.join(".local/bin"), &home.join(".local/share/snug"));
        Self { _directory: directory, home, documents }
    }

    fn share(&self, path: &str) -> PathBuf {
        self.home.join(".local/share").join(path)
    }

    /// All links below `~/.local/share`, by their paths there.
    fn links(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut directories = vec![self.share("")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    directories.push(entry.path());
                } else if entry.file_type().unwrap().is_symlink() {
                    let path = entry.path().strip_prefix(self.share("")).unwrap().to_owned();
                    found.push(path.to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }
}

fn name(name: &str) -> CommandName {
    name.parse().unwrap()
}

fn about(path: &str) -> About {
    About {
        container: "dev".parse().unwrap(),
        path: path.to_owned(),
        package: Some("ripgrep".to_owned()),
        version: Some("1.0-1".to_owned()),
    }
}

fn page(file: &str) -> Place {
    Place::Page(None, '1', file.to_owned())
}

fn file(place: Place, text: &str) -> File {
    File { place, content: text.as_bytes().to_vec() }
}

fn all_kinds() -> Vec<File> {
    vec![
        file(page("rg.1.gz"), "page"),
        file(Place::Page(Some("de".to_owned()), '1', "rg.1".to_owned()), "Seite"),
        file(Place::Bash("rg".to_owned()), "bash"),
        file(Place::Fish("rg".to_owned()), "fish"),
        file(Place::Zsh("rg".to_owned()), "zsh"),
        file(Place::Source("bash", "rg".to_owned()), "source"),
    ]
}

const LINKS: [&str; 4] = [
    "bash-completion/completions/rg",
    "fish/vendor_completions.d/rg.fish",
    "man/de/man1/rg.1",
    "man/man1/rg.1.gz",
];

#[test]
fn what_is_put_is_where_the_host_looks_until_it_is_removed() {
    let home = Home::new();
    let rg = name("rg");
    assert_eq!(home.documents.about(&rg), None);
    for _ in 0..2 {
        assert!(home.documents.put(&rg, &about("/usr/bin/rg"), &all_kinds()).unwrap().is_empty());
        assert_eq!(home.links(), LINKS);
    }
    assert_eq!(fs::read_to_string(home.share("man/man1/rg.1.gz")).unwrap(), "page");
    assert_eq!(fs::read_to_string(home.share("bash-completion/completions/rg")).unwrap(), "bash");
    assert_eq!(fs::read_to_string(home.share("snug/documents/rg/zsh/_rg")).unwrap(), "zsh");
    assert_eq!(home.documents.about(&rg), Some(about("/usr/bin/rg")));
    assert_eq!(home.documents.names(), std::slice::from_ref(&rg));
    // A new version has other pages.
    let newer = [file(page("rg.1.gz"), "newer"), file(page("rg-more.1"), "more")];
    home.documents.put(&rg, &about("/usr/bin/rg"), &newer).unwrap();
    assert_eq!(home.links(), ["man/man1/rg-more.1", "man/man1/rg.1.gz"]);
    assert_eq!(fs::read_to_string(home.share("man/man1/rg.1.gz")).unwrap(), "newer");
    for _ in 0..2 {
        assert!(home.documents.remove(&rg).unwrap().is_empty());
        assert!(home.links().is_empty());
    }
    assert_eq!(fs::read_dir(home.share("snug/documents")).unwrap().count(), 0, "nothing is left");
}

#[test]
fn what_is_the_users_own_stays_and_is_named() {
    let home = Home::new();
    let rg = name("rg");
    let mine = [home.share("man/man1/rg.1.gz"), home.share("bash-completion/completions/rg")];
    for place in &mine {
        fs::create_dir_all(place.parent().unwrap()).unwrap();
    }
    fs::write(&mine[0], "mine").unwrap();
    symlink("/etc/hostname", &mine[1]).unwrap();
    let put = || {
        let mut foreign = home.documents.put(&rg, &about("/usr/bin/rg"), &all_kinds()).unwrap();
        foreign.sort();
        foreign
    };
    assert_eq!(put(), [mine[1].clone(), mine[0].clone()]);
    // One that came into the place of a link.
    let fish = home.share("fish/vendor_completions.d/rg.fish");
    fs::remove_file(&fish).unwrap();
    fs::write(&fish, "mine").unwrap();
    assert_eq!(put().len(), 3);
    assert_eq!(home.documents.remove(&rg).unwrap().len(), 3);
    assert_eq!(fs::read_to_string(&mine[0]).unwrap(), "mine");
    assert_eq!(fs::read_link(&mine[1]).unwrap(), Path::new("/etc/hostname"));
    assert_eq!(fs::read_to_string(&fish).unwrap(), "mine");
}

#[test]
fn a_page_that_two_commands_have_is_the_firsts_as_long_as_that_is_there() {
    let home = Home::new();
    let (git, shell) = (name("git"), name("git-shell"));
    let files = [file(page("git-shell.1"), "x")];
    home.documents.put(&shell, &about("/usr/bin/git-shell"), &files).unwrap();
    home.documents.put(&git, &about("/usr/bin/git"), &files).unwrap();
    home.documents.remove(&git).unwrap();
    assert_eq!(home.links(), ["man/man1/git-shell.1"]);
    home.documents.put(&git, &about("/usr/bin/git"), &files).unwrap();
    home.documents.remove(&shell).unwrap();
    home.documents.put(&git, &about("/usr/bin/git"), &files).unwrap();
    assert!(home.share("man/man1/git-shell.1").exists());
}

#[test]
fn who_was_interrupted_leaves_nothing_that_stays() {
    let home = Home::new();
    let rg = name("rg");
    home.documents.put(&rg, &about("/usr/bin/rg"), &all_kinds()).unwrap();
    // Between the old directory and the new one: links lead nowhere.
    fs::rename(home.share("snug/documents/rg"), home.share("snug/documents/.snug-old")).unwrap();
    home.documents.put(&rg, &about("/usr/bin/rg"), &all_kinds()).unwrap();
    assert_eq!(home.links(), LINKS);
    assert!(home.share("man/man1/rg.1.gz").exists());
    assert!(!home.share("snug/documents/.snug-old").exists());
    // Before all links were there.
    fs::remove_file(home.share("man/de/man1/rg.1")).unwrap();
    assert!(home.documents.remove(&rg).unwrap().is_empty());
    assert!(home.links().is_empty());
}

#[test]
fn a_home_may_have_another_spelling() {
    let home = Home::new();
    let rg = name("rg");
    home.documents.put(&rg, &about("/usr/bin/rg"), &all_kinds()).unwrap();
    let other = home.home.parent().unwrap().join("other");
    symlink(&home.home, &other).unwrap();
    let documents = Documents::new(&other.join(".local/bin"), &other.join(".local/share/snug"));
    assert!(documents.put(&rg, &about("/usr/bin/rg"), &all_kinds()).unwrap().is_empty());
    assert!(documents.remove(&rg).unwrap().is_empty());
    assert!(home.links().is_empty());
}

#[test]
fn no_name_leads_out_of_the_directory() {
    let home = Home::new();
    for bad in ["", ".", "..", "../x", "a/b", "/x", ".x", "a\nb", "x\0", &"x".repeat(256)] {
        for place in [
            page(bad),
            Place::Page(Some(bad.to_owned()), '1', "x.1".to_owned()),
            Place::Bash(bad.to_owned()),
            Place::Source("bash", bad.to_owned()),
        ] {
            let put = home.documents.put(&name("rg"), &about("/x"), &[file(place.clone(), "x")]);
            assert_eq!(put.unwrap_err().kind(), io::ErrorKind::InvalidInput, "{place:?}");
        }
    }
    assert!(home.links().is_empty() && home.documents.names().is_empty());
}

#[test]
fn what_has_a_name_of_something_half_written_is_removed_whatever_it_is() {
    let home = Home::new();
    let own = home.share("snug/documents");
    let kept = home.share("kept");
    fs::create_dir_all(own.join(".snug-half/man")).unwrap();
    fs::create_dir_all(&kept).unwrap();
    fs::write(own.join(".snug-file"), "").unwrap();
    symlink(&kept, own.join(".snug-link")).unwrap();
    home.documents.put(&name("rg"), &about("/usr/bin/rg"), &all_kinds()).unwrap();
    let names = fs::read_dir(&own).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["rg"]);
    assert!(kept.is_dir());
}
