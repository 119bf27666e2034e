//! The certificate authorities that the host's administrator has added, where the guest's own program takes them from. That program
//! is the guest's: it alone knows what else it has to make of them.

use std::fs;
use std::io;

use super::guest_program;
use crate::files::{entries, read, replace};
use crate::places::{Guest, Places};

/// Directories of distributions with the programs that read them. The last one is made where there is none: Debian's package
/// reads it when it is installed.
const DIRECTORIES: [(&str, &str); 4] = [
    ("/etc/pki/ca-trust/source/anchors", "/usr/bin/update-ca-trust"),
    ("/etc/ca-certificates/trust-source/anchors", "/usr/bin/update-ca-trust"),
    ("/etc/pki/trust/anchors", "/usr/sbin/update-ca-certificates"),
    ("/usr/local/share/ca-certificates", "/usr/sbin/update-ca-certificates"),
];

/// What our files begin with, and end with: Debian's program takes no others.
const PREFIX: &str = "snug-";
const SUFFIX: &str = ".crt";

/// Puts them into the guest, and removes those that the host has no more. The guest's program is for [`update`].
pub fn place(guest: &Guest, places: &Places, certificates: &[(String, String)]) -> io::Result<()> {
    let (directory, _) = chosen(guest);
    let directory = guest.path(directory);
    let mut changed = false;
    let stem = |name: &str| name.trim_end_matches(SUFFIX).trim_end_matches(".pem").to_owned();
    let is_plain = |name: &str| !name.is_empty() && !name.contains('/');
    let named: Vec<_> = certificates
        .iter()
        .filter(|(name, _)| is_plain(name))
        .map(|(name, text)| (directory.join(format!("{PREFIX}{}{SUFFIX}", stem(name))), text))
        .collect();
    if !named.is_empty() {
        fs::create_dir_all(&directory)?;
    }
    for (file, text) in &named {
        if !read(file).is_ok_and(|present| present == text.as_bytes()) {
            replace(file, text.as_bytes(), 0o644)?;
            changed = true;
        }
    }
    for file in entries(&directory).unwrap_or_default() {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let is_ours = name.starts_with(PREFIX) && name.ends_with(SUFFIX);
        if is_ours && !named.iter().any(|(kept, _)| *kept == file) {
            fs::remove_file(&file)?;
            changed = true;
        }
    }
    if changed {
        fs::create_dir_all(&places.state)?;
        fs::write(places.certificates_changed(), "")?;
    }
    Ok(())
}

/// Has the guest's program make of them what its other programs read, if something has changed and it has one. It is not waited
/// for: it takes a second, and nothing here depends on it.
pub fn update(guest: &Guest, places: &Places) -> io::Result<()> {
    let (_, program) = chosen(guest);
    guest_program::start_if_changed(guest, places, &places.certificates_changed(), &[program]).map(drop)
}

fn chosen(guest: &Guest) -> (&'static str, &'static str) {
    let [others @ .., last] = DIRECTORIES;
    others.into_iter().find(|(directory, _)| guest.path(directory).is_dir()).unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_where_the_guests_distribution_looks_and_go_with_the_hosts() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        let places = Places { run: directory.path().join("run"), state: directory.path().join("state") };
        let known = |names: &[&str]| -> Vec<(String, String)> {
            names.iter().map(|name| ((*name).to_owned(), format!("of {name}"))).collect()
        };
        let names = |at: &str| {
            let mut names: Vec<String> = entries(&guest.path(at))
                .unwrap()
                .iter()
                .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        let changed = || {
            let there = places.certificates_changed().exists();
            let _ = fs::remove_file(places.certificates_changed());
            there
        };
        let debian = "/usr/local/share/ca-certificates";
        place(&guest, &places, &[]).unwrap();
        assert!(!changed() && !guest.path(debian).exists());
        place(&guest, &places, &known(&["company.crt", "other.pem"])).unwrap();
        assert_eq!(names(debian), ["snug-company.crt", "snug-other.crt"]);
        assert!(changed());
        place(&guest, &places, &known(&["company.crt", "other.pem"])).unwrap();
        assert!(!changed());
        fs::write(guest.path(debian).join("own.crt"), "").unwrap();
        place(&guest, &places, &known(&["other.pem"])).unwrap();
        assert!(changed());
        assert_eq!(names(debian), ["own.crt", "snug-other.crt"]);
        let fedora = "/etc/pki/ca-trust/source/anchors";
        fs::create_dir_all(guest.path(fedora)).unwrap();
        place(&guest, &places, &known(&["company.crt", "../evil"])).unwrap();
        assert_eq!(names(fedora), ["snug-company.crt"]);
    }
}
