//! What a container has at the path of a device: what lies in its `/dev` only it can tell.

use snug_client::Target;
use snug_core::name::ContainerName;

use crate::bus::view::Check;
use crate::probe;

/// Where a container has the host's nodes; what its `/dev` has for one is a link to it.
const NODES: &str = snug_wire::devices::DIRECTORY;

/// What is at the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum There {
    /// The host's device.
    Device,
    /// Something of the container's own.
    Other,
    /// Nothing.
    Nothing,
    /// The container did not say.
    Unknown,
}

/// Asks the running container, by a shell: that is where `test` compares two files.
pub fn look(target: Target, node: &str) -> There {
    const SCRIPT: &str = r#"[ "$1" -ef "$2" ] && exit 40; [ -e "$1" ] || [ -L "$1" ] && exit 41; exit 42"#;
    let (path, shared) = (format!("/dev/{node}"), format!("{NODES}/{node}"));
    match probe::status(target, &["sh", "-c", SCRIPT, "sh", &path, &shared]) {
        Some(40) => There::Device,
        Some(41) => There::Other,
        Some(42) => There::Nothing,
        _ => There::Unknown,
    }
}

/// Makes that the check's answer.
pub fn tell(check: &mut Check, name: &ContainerName, there: There) {
    let path = format!("/dev/{}", check.node);
    let wrong = |text: String, hint: String| (String::from("error"), text, hint);
    (check.status, check.text, check.hint) = match there {
        There::Device => ("ok".into(), format!("'{name}' has it at {path}"), String::new()),
        There::Other => wrong(
            format!("'{name}' has something of its own at {path}, which stays"),
            format!(
                "remove it there, then start it again: snug run -c {name} --root rm {path}; snug restart {name}"
            ),
        ),
        There::Nothing => wrong(
            format!("'{name}' has nothing at {path}, though it was given the device"),
            format!("snug restart {name}"),
        ),
        There::Unknown => {
            let hint = format!("snug run -c {name} ls -lL {path}");
            ("notice".into(), format!("{}; '{name}' did not say", check.text), hint)
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_container_has_decides_and_what_it_does_not_say_is_told() {
        let name = "dev".parse().unwrap();
        for (there, status, text, hint) in [
            (There::Device, "ok", "has it at /dev/ttyS9", ""),
            (There::Other, "error", "something of its own at /dev/ttyS9", "rm /dev/ttyS9; snug restart dev"),
            (There::Nothing, "error", "has nothing at /dev/ttyS9", "snug restart dev"),
            (There::Unknown, "notice", "unless; 'dev' did not say", "ls -lL /dev/ttyS9"),
        ] {
            let mut check = Check {
                status: "ok".into(),
                text: "unless".into(),
                node: "ttyS9".into(),
                ..Check::default()
            };
            tell(&mut check, &name, there);
            assert_eq!(check.status, status, "{there:?}");
            assert!(check.text.contains(text) && check.hint.contains(hint), "{check:?}");
        }
    }
}
