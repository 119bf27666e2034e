//! How a shell that somebody opens in a guest comes to show which container it is in.

/// Whether it shall: set by the client, as the configuration says, for the agent and for the files in [`DIRECTORY`].
pub const HINT: &str = "SNUG_PROMPT_HINT";
/// The hint is not wanted.
pub const NEVER: &str = "never";
/// What is to stand before the prompt.
pub const PROMPT: &str = "SNUG_PROMPT";
/// Where a guest has the files that its shells read for that.
pub const DIRECTORY: &str = "/run/snug/shell";
