//! Tells the terminal emulator that a shell of a container is in front, so that it may show that: OSC 777 as VTE and Konsole
//! read it, `container;push;NAME;RUNTIME` and `container;pop;;`.

use std::os::fd::OwnedFd;

use rustix::io::{Errno, write};

/// A terminal that was told; it is told of the end when this is dropped.
pub struct Announcement {
    terminal: OwnedFd,
    container: String,
}

impl Announcement {
    /// Tells a terminal of `container`, unless its name holds what a terminal would obey.
    pub fn new(terminal: OwnedFd, container: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = !container.is_empty() && container.bytes().all(is_plain);
        let announcement = is_name.then(|| Self { terminal, container: container.to_owned() })?;
        announcement.push();
        Some(announcement)
    }

    /// The container is in front, again.
    pub fn push(&self) {
        self.write(&format!("container;push;{};snug", self.container));
    }

    /// The caller's shell is.
    pub fn pop(&self) {
        self.write("container;pop;;");
    }

    /// A terminal that takes nothing is not waited for: it is a hint.
    fn write(&self, text: &str) {
        let sequence = format!("\x1b]777;{text}\x1b\\");
        while let Err(Errno::INTR) = write(&self.terminal, sequence.as_bytes()) {}
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        self.pop();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn each_announcement_is_taken_back_and_only_a_plain_name_is_one() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let announcement = Announcement::new(writer.try_clone().unwrap().into(), "dev-1").unwrap();
        announcement.pop();
        announcement.push();
        drop(announcement);
        for name in ["", "a;b", "a\x1b\\", "a b", "\u{e4}"] {
            assert!(Announcement::new(writer.try_clone().unwrap().into(), name).is_none(), "{name}");
        }
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let (push, pop) = ("\x1b]777;container;push;dev-1;snug\x1b\\", "\x1b]777;container;pop;;\x1b\\");
        assert_eq!(text, [push, pop, push, pop].concat());
    }
}
