//! A shell that is opened in a container shows which container it is.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use snug_testbed::{Bed, Container};

/// A guest with three shells.
fn guest() -> &'static Container<'static> {
    static INSTALL: Once = Once::new();
    let guest = Bed::shared("tester", "prompts", common::DEBIAN_13);
    INSTALL.call_once(|| {
        let line =
            "sudo apt-get update -qq && sudo apt-get install -qq -y --no-install-recommends zsh fish >/dev/null";
        let installed = guest.run(["sh", "-c", line]).env("DEBIAN_FRONTEND", "noninteractive");
        installed.deadline(Duration::from_secs(300)).run().unwrap().success();
    });
    guest
}

/// A file of the user's, which is as it was when this is dropped.
struct UserFile {
    path: PathBuf,
    before: Option<Vec<u8>>,
    /// The outermost directory that was made for it. The shell keeps more in it.
    made: Option<PathBuf>,
}

impl UserFile {
    fn new(name: &str, text: &str) -> Self {
        let account = Bed::require().account("tester");
        let path = account.home.join(name);
        let before = fs::read(&path).ok();
        let made = path.ancestors().skip(1).take_while(|directory| !directory.exists()).last();
        let made = made.map(Path::to_path_buf);
        let write = format!("mkdir -p \"$(dirname ~/{name})\" && cat > ~/{name}");
        Bed::require().shell("tester", &write).input(text).run().unwrap().success();
        Self { path, before, made }
    }
}

impl Drop for UserFile {
    fn drop(&mut self) {
        let _ = match &self.before {
            Some(text) => fs::write(&self.path, text),
            None => fs::remove_file(&self.path),
        };
        let _ = self.made.as_ref().map(fs::remove_dir_all);
    }
}

/// What a shell of this guest shows for its prompt, as far as the mark at its end.
fn prompt(shell: &str, hint: Option<&str>) -> String {
    let guest = guest();
    let line = format!("sudo usermod -s $(command -v {shell}) tester");
    guest.run(["sh", "-c", &line]).run().unwrap().success();
    let mut enter = guest.snug(["enter", guest.name()]);
    if let Some(hint) = hint {
        enter = enter.env("SNUG_PROMPT_HINT", hint);
    }
    let mut pty = enter.on_pty().unwrap();
    let shown = pty.until("END").unwrap();
    pty.write("exit\r").unwrap();
    pty.ends_with(0);
    shown
}

#[test]
fn bash_shows_it_where_its_prompt_does_not_and_as_is_wished() {
    let name = guest().name();
    let _plain = UserFile::new(".bash_profile", "PS1='plainEND '");
    assert!(prompt("bash", None).contains(&format!("({name}) plainEND")));
    assert!(!prompt("bash", Some("never")).contains(&format!("({name})")));
    let _host = UserFile::new(".bash_profile", "PS1='\\hEND '");
    let shown = prompt("bash", None);
    assert!(shown.contains(&format!("{name}END")) && !shown.contains(&format!("({name})")), "{shown:?}");
    assert!(prompt("bash", Some("always")).contains(&format!("({name}) {name}END")));
}

#[test]
fn zsh_reads_its_users_files_and_shows_it() {
    let name = guest().name();
    let _environment = UserFile::new(".zshenv", "export SEEN=zshenv");
    let _plain = UserFile::new(".zshrc", "PROMPT=\"plain$SEEN${ZDOTDIR-none}END \"");
    assert!(prompt("zsh", None).contains(&format!("({name}) plainzshenvnoneEND")));
    assert!(!prompt("zsh", Some("never")).contains(&format!("({name})")));
    let _host = UserFile::new(".zshrc", "PROMPT='%mEND '");
    assert!(!prompt("zsh", None).contains(&format!("({name})")));
    assert!(prompt("zsh", Some("always")).contains(&format!("({name}) {name}END")));
}

#[test]
fn zsh_goes_where_the_systems_own_file_sends_it() {
    let guest = guest();
    let _plain = UserFile::new(".snug-zsh/.zshrc", "PROMPT=\"elsewhereEND \"");
    let chosen = "cp -p /etc/zsh/zshenv /etc/zsh/zshenv.before; echo ': ${ZDOTDIR:=$HOME/.snug-zsh}' >> /etc/zsh/zshenv";
    guest.run(["sudo", "sh", "-c", chosen]).run().unwrap().success();
    let shown = prompt("zsh", None);
    guest.run(["sudo", "mv", "/etc/zsh/zshenv.before", "/etc/zsh/zshenv"]).run().unwrap().success();
    assert!(shown.contains(&format!("({}) elsewhereEND", guest.name())), "{shown:?}");
}

#[test]
fn fish_shows_it_and_keeps_its_data_directories() {
    let name = guest().name();
    let config = ".config/fish/config.fish";
    let _plain =
        UserFile::new(config, "function fish_prompt; echo -n \"plain$status$XDG_DATA_DIRS\"END; end");
    assert!(prompt("fish", None).contains(&format!("({name}) plain0END")));
    assert!(!prompt("fish", Some("never")).contains(&format!("({name})")));
    let _host = UserFile::new(config, "function fish_prompt; echo -n (prompt_hostname)END; end");
    assert!(!prompt("fish", None).contains(&format!("({name})")));
    assert!(prompt("fish", Some("always")).contains(&format!("({name}) {name}END")));
}
