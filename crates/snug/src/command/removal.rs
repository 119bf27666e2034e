//! Asking before a container goes: for `snug rm`, and for `snug create --replace`.

use crate::bus::view::Container;
use crate::words;

/// The container's name and what goes with it: `container dev (5.0 GiB, 2 snapshots)`.
fn described(container: &Container) -> String {
    let mut what = Vec::new();
    if container.is_running() {
        what.push("running".to_owned());
    }
    if let Some(size) = container.size {
        what.push(words::size(size));
    }
    if container.snapshots > 0 {
        what.push(words::count(container.snapshots as usize, "snapshot"));
    }
    let what = if what.is_empty() { String::new() } else { format!(" ({})", what.join(", ")) };
    format!("container {}{what}", container.name)
}

/// The question of `snug rm`.
pub fn question(container: &Container) -> String {
    format!("Remove {}?", described(container))
}

/// The question of `snug create --replace`.
pub fn replacement_question(container: &Container) -> String {
    format!("Remove {}, with all that is installed in it, and make a new one?", described(container))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_tells_what_is_known() {
        let container = |size| Container { name: "dev".to_owned(), size, ..Container::default() };
        assert_eq!(question(&container(Some(5 << 30))), "Remove container dev (5.0 GiB)?");
        assert_eq!(question(&container(None)), "Remove container dev?");
    }
}
