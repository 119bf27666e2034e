//! A shell that somebody works in shows which container it is in: its environment leads it to the files of
//! [`crate::provision`]'s `shells`, whichever files its user has.

use snug_exec::environment::{set, value};
use snug_wire::message::Exec;
use snug_wire::shell::{DIRECTORY, HINT, NEVER, PROMPT};

/// Of bash(1): run before each prompt.
const PROMPT_COMMAND: &[u8] = b"PROMPT_COMMAND";
/// Of zsh(1): where its user's files are.
const ZDOTDIR: &[u8] = b"ZDOTDIR";
/// What that was; the file there sets it again.
const OLD_ZDOTDIR: &[u8] = b"SNUG_ZDOTDIR";
/// Of the XDG Base Directory Specification: fish(1) reads `fish/vendor_conf.d` in them.
const DATA_DIRECTORIES: &[u8] = b"XDG_DATA_DIRS";
/// Without a value.
const USUAL_DATA_DIRECTORIES: &[u8] = b"/usr/local/share:/usr/share";

/// Has a login shell on a terminal show the container's name, if whoever opened it wants that.
pub fn show(environment: &mut Vec<Vec<u8>>, exec: &Exec, shell: &[u8], container: &str) {
    let wanted = value(&exec.overrides, HINT.as_bytes()).is_some_and(|hint| hint != NEVER.as_bytes());
    if !wanted || !exec.login || !exec.argv.is_empty() || exec.terminal.is_none() {
        return;
    }
    let led = |directory: &str| [DIRECTORY.as_bytes(), directory.as_bytes()].concat();
    let old = |name| value(environment, name).filter(|value| !value.is_empty()).map(<[u8]>::to_vec);
    match shell.rsplit(|byte| *byte == b'/').next() {
        Some(b"bash") => {
            // Silent in a chroot, which has not got it.
            let ours = [b". ", &led("/prompt.bash")[..], b" 2>/dev/null"].concat();
            let all = old(PROMPT_COMMAND).map_or(ours.clone(), |old| [&ours[..], b"; ", &old].concat());
            set(environment, PROMPT_COMMAND, &all);
        }
        Some(b"zsh") => {
            if let Some(old) = old(ZDOTDIR) {
                set(environment, OLD_ZDOTDIR, &old);
            }
            set(environment, ZDOTDIR, &led("/zsh"));
        }
        Some(b"fish") => {
            let old = old(DATA_DIRECTORIES).unwrap_or_else(|| USUAL_DATA_DIRECTORIES.to_vec());
            set(environment, DATA_DIRECTORIES, &[&led(":"), &old[..]].concat());
        }
        _ => return,
    }
    set(environment, PROMPT.as_bytes(), format!("({container}) ").as_bytes());
}

#[cfg(test)]
mod tests {
    use snug_wire::message::{Terminal, WindowSize};

    use super::*;

    fn shown(hint: &str, shell: &str, before: &[&str]) -> Vec<String> {
        let exec = Exec {
            login: true,
            overrides: vec![format!("{HINT}={hint}").into_bytes()],
            terminal: Some(Terminal {
                size: WindowSize::default(),
                modes: None,
                terminfo: None,
                relayed: false,
            }),
            ..Exec::plain(Vec::new())
        };
        let mut environment: Vec<Vec<u8>> = before.iter().map(|text| text.as_bytes().to_vec()).collect();
        show(&mut environment, &exec, shell.as_bytes(), "dev");
        environment.into_iter().map(|text| String::from_utf8(text).unwrap()).collect()
    }

    #[test]
    fn each_shell_is_led_to_its_file_and_what_was_there_is_kept() {
        let prompt = "SNUG_PROMPT=(dev) ";
        assert_eq!(
            shown("auto", "/bin/bash", &["PROMPT_COMMAND=mine"]),
            ["PROMPT_COMMAND=. /run/snug/shell/prompt.bash 2>/dev/null; mine", prompt]
        );
        assert_eq!(
            shown("always", "/usr/bin/zsh", &["ZDOTDIR=/x"]),
            ["ZDOTDIR=/run/snug/shell/zsh", "SNUG_ZDOTDIR=/x", prompt]
        );
        assert_eq!(
            shown("auto", "fish", &[]),
            ["XDG_DATA_DIRS=/run/snug/shell:/usr/local/share:/usr/share", prompt]
        );
        for (hint, shell) in [("never", "/bin/bash"), ("auto", "/bin/dash"), ("auto", "/bin/nu")] {
            assert_eq!(shown(hint, shell, &["A=1"]), ["A=1"], "{hint} {shell}");
        }
    }
}
