//! The question to polkit. No answer is never a yes.

use std::collections::HashMap;

use zbus::{Connection, Variant};

use crate::error::{Error, ErrorKind, Result};

const NAME: &str = "org.freedesktop.PolicyKit1";
const PATH: &str = "/org/freedesktop/PolicyKit1/Authority";
const INTERFACE: &str = "org.freedesktop.PolicyKit1.Authority";

/// Questions under way at once: the bus allows a connection 128 calls without an answer (`max_replies_per_connection` of
/// dbus-daemon; a crowd of clients met it), and jobs make calls, too. Those that a person answers may take minutes and do
/// not count: they must not hold up the others.
static QUESTIONS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(48);

/// What a caller wants to do; the names are those of `data/org.snug.policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// One's own containers.
    Use,
    /// Containers of other users.
    ManageAll,
    /// What needs an administrator.
    Privileged,
}

impl Action {
    /// The action's id.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Use => "org.snug.use",
            Self::ManageAll => "org.snug.manage-all",
            Self::Privileged => "org.snug.privileged",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Use => "use containers",
            Self::ManageAll => "manage other users' containers",
            Self::Privileged => "make a container that has power over the host",
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Unique name of the connection.
    pub connection: &'a str,
    /// Its uid, from the bus.
    pub uid: u32,
    /// The message allows that a person is asked.
    pub interactive: bool,
}

/// Asks whether `subject` may do `action`; `details` name what it is about, for the person who is asked.
///
/// # Errors
/// [`ErrorKind::NotAuthorized`] when the answer is no, or when there is nobody to answer and the caller is not root.
pub async fn authorise(
    bus: &Connection,
    subject: Subject<'_>,
    action: Action,
    details: &HashMap<&str, &str>,
) -> Result<()> {
    // polkit itself never refuses uid 0 (polkitbackendinteractiveauthority.c); asking would only start it.
    if subject.uid == 0 {
        return Ok(());
    }
    let who = HashMap::from([("name", Variant::from(subject.connection))]);
    let flags = u32::from(subject.interactive);
    // The semaphore is never closed.
    let _turn = if subject.interactive { None } else { QUESTIONS.acquire().await.ok() };
    let body = (("system-bus-name", who), action.id(), details, flags, "");
    let answer = bus.call_method(Some(NAME), PATH, Some(INTERFACE), "CheckAuthorization", &body).await;
    let answer = answer.map_err(|error| unavailable(action, &error))?;
    let ((authorised, challenge, _),): ((bool, bool, HashMap<String, String>),) =
        answer.body().deserialize().map_err(|error| unavailable(action, &error))?;
    if authorised {
        return Ok(());
    }
    let refusal = Error::new(
        ErrorKind::NotAuthorized,
        format!("not authorized to {} ({})", action.words(), action.id()),
    );
    Err(if challenge {
        // Whether the caller has a terminal is not seen here; without a session polkit takes no agent from it.
        refusal.hint(
            "an administrator must agree, and nobody could be asked: that takes a desktop session, or a terminal with polkit's \
             `pkttyagent` in a login that logind knows (`loginctl`)",
        )
    } else if subject.interactive {
        // polkit does not tell a wrong password from a rule (seen with 126).
        refusal.hint("nobody who may agree did, or polkit's rules refuse it (/etc/polkit-1/rules.d)")
    } else {
        refusal.hint("polkit's rules refuse it: an administrator can change that in /etc/polkit-1/rules.d")
    })
}

fn unavailable(action: Action, error: &zbus::Error) -> Error {
    Error::new(
        ErrorKind::NotAuthorized,
        format!("cannot ask polkit whether you may {}: {error}", action.words()),
    )
    .hint("is polkit installed and running? without it only root may use Snug")
}

#[cfg(test)]
mod tests {
    const POLICY: &str = include_str!("../../../../data/polkit/org.snug.policy");

    fn defaults(action: &str) -> Vec<&'static str> {
        let action = POLICY.split("<action id=").find(|text| text.starts_with(&format!("\"{action}\"")));
        let action = action.unwrap_or_default().split("</action>").next().unwrap_or_default();
        let allows = action.split("<allow_").skip(1);
        allows.filter_map(|text| text.split_once('>')?.1.split('<').next()).collect()
    }

    /// polkit keeps an answer for each action and process, not for what was agreed to: `auth_admin_keep` would agree to the
    /// next grant, too.
    #[test]
    fn an_administrator_is_asked_each_time_and_everyone_may_use_his_own() {
        assert_eq!(defaults("org.snug.use"), ["yes"; 3]);
        for action in [super::Action::ManageAll, super::Action::Privileged] {
            assert_eq!(defaults(action.id()), ["auth_admin"; 3], "{}", action.id());
        }
    }

    #[test]
    fn the_question_names_what_is_agreed_to() {
        for detail in ["$(owner)", "$(method)", "$(grants)"] {
            assert_eq!(POLICY.matches(detail).count(), 1, "{detail}");
        }
    }
}
