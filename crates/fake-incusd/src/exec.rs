//! What commands of exec do.

use std::collections::BTreeMap;

/// What a command does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Program {
    /// Writes its standard input to its standard output until the input ends, then exits with 0.
    Cat,
    /// Writes and exits.
    Output {
        /// Standard output.
        stdout: Vec<u8>,
        /// Standard error.
        stderr: Vec<u8>,
        /// Exit code.
        code: i32,
    },
    /// Runs until it is killed or gets a signal.
    Sleep,
    /// Cannot be executed: the operation fails with 126 or 127, as Incus does, and still has its `return`.
    NotExecuted(i32),
    /// The operation fails and no code is known.
    Broken(String),
}

impl Program {
    /// What a command does of which the test has said nothing.
    pub(crate) fn default_for(command: &[String]) -> Self {
        let word = command.first().map(String::as_str).unwrap_or_default();
        let output =
            |stdout: String, code| Self::Output { stdout: stdout.into_bytes(), stderr: Vec::new(), code };
        match word.rsplit('/').next().unwrap_or_default() {
            "true" => output(String::new(), 0),
            "false" => output(String::new(), 1),
            "echo" => output(format!("{}\n", command[1..].join(" ")), 0),
            "cat" => Self::Cat,
            "sleep" => Self::Sleep,
            _ => Self::NotExecuted(127),
        }
    }
}

/// A command that was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecLog {
    /// Instance.
    pub instance: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Variables of the request.
    pub environment: BTreeMap<String, String>,
    /// Uid.
    pub user: u64,
    /// Gid.
    pub group: u64,
    /// Working directory of the request.
    pub cwd: String,
    /// Whether on a terminal.
    pub interactive: bool,
    /// What came in.
    pub stdin: Vec<u8>,
    /// Whether the end of the input was announced by a text frame.
    pub stdin_ended: bool,
    /// Sizes from control messages, as texts.
    pub resizes: Vec<(String, String)>,
    /// Signals from control messages.
    pub signals: Vec<i64>,
    /// Whether it was killed because the control socket was lost.
    pub killed: bool,
    /// Exit code, when it has ended.
    pub code: Option<i32>,
}
