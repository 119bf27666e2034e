//! Files by which a shell shows in its prompt which container it is in. They are read by a shell whose environment leads to them
//! (`session::prompt`); no file of its user's is changed.

use std::fs;
use std::io;

use snug_wire::shell::DIRECTORY;

use crate::files::replace;
use crate::places::Guest;

/// Names below [`DIRECTORY`], and texts.
const FILES: [(&str, &str); 3] = [
    ("prompt.bash", include_str!("../../shell/prompt.bash")),
    ("zsh/.zshenv", include_str!("../../shell/zsh/.zshenv")),
    ("fish/vendor_conf.d/snug.fish", include_str!("../../shell/fish/vendor_conf.d/snug.fish")),
];

/// Writes them.
pub fn make(guest: &Guest) -> io::Result<()> {
    FILES.iter().try_for_each(|(name, text)| {
        let path = guest.path(DIRECTORY).join(name);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        replace(&path, text.as_bytes(), 0o644)
    })
}
