//! What a command leaves of the terminal that it ran on.

use rustix::termios::Termios;
use snug_testbed::{Container, Pty};

/// What of the modes a person would notice.
pub fn modes(pty: &Pty) -> impl PartialEq + std::fmt::Debug + use<> {
    let Termios { input_modes, output_modes, control_modes, local_modes, .. } = pty.modes().expect("modes");
    (input_modes, output_modes, control_modes, local_modes)
}

/// Runs a line on a terminal, and checks that its modes are the same before and after.
pub fn leaves_the_terminal(guest: &Container<'_>, line: &str, keys: &[(&str, &str)]) -> String {
    // The shell waits for a key first, so that the modes before are those that no client has touched.
    let mut pty =
        guest.bash(&format!("read -rsn1; {line}; echo; echo status=$?")).on_pty().expect("it starts");
    let before = modes(&guest.shell("sleep 0").on_pty().expect("it starts"));
    pty.write("x").expect("a key");
    let mut shown = String::new();
    for (text, answer) in keys {
        shown += &pty.until(text).unwrap_or_else(|error| panic!("{error}"));
        pty.write(answer).expect("keys");
    }
    shown += &pty.until("status=").unwrap_or_else(|error| panic!("{error}"));
    pty.finish().expect("it ends");
    assert_eq!(modes(&pty), before, "after {line}");
    shown
}
