//! Errors of the bus and of the daemon, in a person's words. The daemon's names are those of `docs/reference/dbus.md`.

use crate::error::{CommandError, Kind};

const PREFIX: &str = "org.snug.Snug1.Error.";

/// The bus cannot be reached.
pub fn connecting(error: zbus::Error) -> CommandError {
    let (place, why) = match &error {
        zbus::Error::Connection(why, address) => (format!(" at {address}"), why.to_string()),
        zbus::Error::InputOutput(why) => (String::new(), why.to_string()),
        other => (String::new(), other.to_string()),
    };
    CommandError::new(Kind::Unavailable, format!("the system bus cannot be reached{place}: {why}"))
        .hint("Snug's daemon is asked over D-Bus; `systemctl status dbus` shows whether the bus runs")
        .hint("in a container or chroot without a system bus, Snug cannot be used")
}

/// A call failed.
pub fn from_call(error: &zbus::Error) -> CommandError {
    match error {
        zbus::Error::MethodError(name, text, _) => {
            let (message, hints) = split(text.as_deref().unwrap_or_default());
            let message = if message.is_empty() { name.to_string() } else { message };
            from_daemon(name.as_str(), &message, hints)
        }
        zbus::Error::FDO(error) => from_bus(error),
        zbus::Error::InputOutput(_) => {
            CommandError::new(Kind::Unavailable, "the connection to the system bus broke")
                .hint("try again; if it goes on, `snug doctor` looks for the cause")
        }
        other => CommandError::failed(format!("snugd gave an answer that is not understood: {other}"))
            .hint("snug and snugd may be of two versions: `snug --version`, `snug doctor`"),
    }
}

/// A call about a job failed: that the job is unknown means that its daemon has gone.
pub fn from_job(error: &zbus::Error) -> CommandError {
    use zbus::fdo::Error as Bus;
    match error {
        zbus::Error::FDO(fdo)
            if matches!(
                **fdo,
                Bus::UnknownObject(_)
                    | Bus::UnknownInterface(_)
                    | Bus::UnknownMethod(_)
                    | Bus::NoReply(_)
                    | Bus::ServiceUnknown(_)
                    | Bus::NameHasNoOwner(_)
                    | Bus::Disconnected(_)
            ) =>
        {
            daemon_left()
        }
        other => from_call(other),
    }
}

/// The daemon left the bus while a job of ours was under way.
pub fn daemon_left() -> CommandError {
    CommandError::new(Kind::Unavailable, "snugd ended while it was working on this")
        .hint("what was half done is undone or finished when it starts again: just try again")
        .hint("`journalctl -u snugd` says why it ended")
}

fn from_bus(error: &zbus::fdo::Error) -> CommandError {
    use zbus::fdo::Error as Bus;
    let text = zbus::DBusError::description(error).unwrap_or_default().to_owned();
    match error {
        Bus::ServiceUnknown(_) | Bus::NameHasNoOwner(_) => {
            CommandError::new(Kind::Unavailable, "snugd, Snug's daemon, is not installed on this system")
                .hint("it comes with Snug's package; after installing by hand, the bus has to read its files again: `systemctl reload dbus`")
        }
        Bus::SpawnExecFailed(_)
        | Bus::SpawnChildExited(_)
        | Bus::SpawnChildSignaled(_)
        | Bus::SpawnFailed(_)
        | Bus::TimedOut(_)
        | Bus::Timeout(_) => {
            CommandError::new(Kind::Unavailable, format!("snugd, Snug's daemon, cannot be started: {text}"))
                .hint("`systemctl status snugd` and `journalctl -u snugd` say why")
        }
        Bus::NoReply(_) | Bus::Disconnected(_) => daemon_left(),
        Bus::AccessDenied(_) => {
            CommandError::new(Kind::NotAuthorized, format!("the system bus does not let you talk to snugd: {text}"))
                .hint("`/usr/share/dbus-1/system.d/org.snug.Snug1.conf` decides; is Snug's package complete?")
        }
        Bus::UnknownMethod(_) => CommandError::new(Kind::Unavailable, format!("this snugd is too old for that: {text}"))
            .hint("an update is not in use yet: `systemctl restart snugd`"),
        Bus::UnknownObject(_) => CommandError::new(Kind::NotFound, text),
        Bus::InteractiveAuthorizationRequired(_) => not_authorized(&text, Vec::new()),
        _ => CommandError::failed(format!("snugd: {text}")),
    }
}

/// An error that the daemon named.
pub fn from_daemon(name: &str, message: &str, mut hints: Vec<String>) -> CommandError {
    let short = name.strip_prefix(PREFIX).unwrap_or(name);
    let (kind, hint) = match short {
        "NotFound" => (Kind::NotFound, Some("`snug list` shows the containers that exist")),
        "ImageUnknown" => (Kind::UnknownImage, Some("`snug image list` shows images that can be used")),
        "InvalidArgument" => (Kind::User, None),
        "Exists" => (Kind::User, Some("take another name, or replace it with `snug create --replace`")),
        "Busy" => (Kind::User, Some("something else is working on it; try again when that is done")),
        "Running" => (Kind::User, Some("stop it first, or use `-f`")),
        "NotRunning" => (Kind::User, Some("`snug start` starts it")),
        "NotAuthorized" => return not_authorized(message, hints),
        "NotEligible" => (Kind::NotAuthorized, None),
        "Unsupported" => (Kind::Unsupported, None),
        "NoIncus" | "IncusTooOld" => (Kind::Unavailable, Some("`snug doctor` says what is missing")),
        "ImageUnreachable" => {
            (Kind::Unavailable, Some("images that are on this machine already: `snug image list`"))
        }
        "ImageBroken" => {
            (Kind::Failed, Some("it is damaged or no image at all: remove it and fetch or import it again"))
        }
        "NoSpace" => (
            Kind::Failed,
            Some("`snug list --size` shows what takes the space, `snug prune` removes leftovers"),
        ),
        "Cancelled" => (Kind::Cancelled(rustix::process::Signal::INT.as_raw()), None),
        "Interrupted" => (Kind::Unavailable, Some("try again")),
        _ => (Kind::Failed, None),
    };
    if hints.is_empty() {
        hints.extend(hint.map(str::to_owned));
    }
    let situation = (short == "NoIncus").then_some("no-incus");
    CommandError { situation, ..CommandError::new(kind, message).with_hints(hints) }
}

fn not_authorized(message: &str, mut hints: Vec<String>) -> CommandError {
    if hints.is_empty() {
        let hint = "an administrator has to agree, and nobody could be asked: that takes a desktop session, or a terminal with \
                    polkit's `pkttyagent` in a login that logind knows (`loginctl`)";
        hints.push(hint.into());
    }
    CommandError::new(Kind::NotAuthorized, message).with_hints(hints)
}

/// The first line says what failed; each further one that starts with `hint: ` what to do.
fn split(text: &str) -> (String, Vec<String>) {
    let mut message = String::new();
    let mut hints = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("hint: ") {
            Some(hint) => hints.push(hint.to_owned()),
            None if message.is_empty() => message.push_str(line),
            None => {
                message.push('\n');
                message.push_str(line);
            }
        }
    }
    (message, hints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_of_the_daemon_win_over_our_own() {
        let error = from_daemon("org.snug.Snug1.Error.Running", "dev is running", vec!["wait".into()]);
        assert_eq!((error.kind, error.hints), (Kind::User, vec!["wait".to_owned()]));
        let error = from_daemon("org.snug.Snug1.Error.Running", "dev is running", Vec::new());
        assert_eq!(error.hints, ["stop it first, or use `-f`"]);
    }

    #[test]
    fn a_name_without_prefix_is_understood_and_an_unknown_one_is_a_failure() {
        assert_eq!(from_daemon("NotFound", "no dev", Vec::new()).kind, Kind::NotFound);
        assert_eq!(from_daemon("org.snug.Snug1.Error.NewOne", "odd", Vec::new()).kind, Kind::Failed);
    }

    #[test]
    fn the_message_is_split_from_its_hints() {
        let (message, hints) =
            split("no space in pool default: 1 MiB free\nhint: remove something\nhint: or grow it");
        assert_eq!(message, "no space in pool default: 1 MiB free");
        assert_eq!(hints, ["remove something", "or grow it"]);
    }
}
