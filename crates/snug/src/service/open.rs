//! Links and files that a guest's program wants to have opened as the owner's desktop does.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Access, access, stat};
use snug_core::text::escape_bytes;
use snug_exec::command;
use snug_exec::session::Session;
use snug_exec::start::Failure;
use snug_wire::host::{MAX_TARGET, scheme};
use snug_wire::message::{Exec, FailureKind, FromAgent, Open, Stdio};

use super::complaint::Complaint;
use super::system::Host;

/// What a container that is not its owner may have opened: pages, and a letter to write.
const HARMLESS: [&[u8]; 3] = [b"http", b"https", b"mailto"];
/// Programs that open things as the desktop does, in the order of preference, with what stands before the target.
const OPENERS: [&[&str]; 3] = [&["xdg-open"], &["gio", "open"], &["kde-open"]];

/// Status of xdg-open(1) for an action that failed.
const FAILED: u8 = 4;

/// Opens it and stays until the opener has ended.
pub fn run(host: Host, session: &mut Session, open: Open) {
    let checked = check(&host, &open).and_then(|()| opener(host.path()));
    let opener = match checked {
        Ok(opener) => opener,
        Err(Failure { kind, text }) => {
            session.tell(&FromAgent::Failed { kind, text }, &[]);
            return;
        }
    };
    let mut argv: Vec<Vec<u8>> = opener.iter().map(|word| word.as_bytes().to_vec()).collect();
    argv.push(open.target);
    let mut exec = Exec {
        environment: open.environment,
        early: true,
        umask: snug_wire::pack::umask(),
        ..Exec::plain(argv)
    };
    // What programs of the host say may name files of it: nothing for a sandbox.
    let complaint = host.trusts().then(Complaint::new).and_then(Result::ok);
    let mut handed = Vec::new();
    if let Some(stream) = complaint.as_ref().and_then(|complaint| complaint.stream().ok()) {
        exec.stdio[2] = Stdio::Passed;
        handed.push((2, stream));
    }
    // The sandbox would have as many openers at a time as it likes, if they did not count when it leaves them.
    let counts = !host.trusts();
    let last_words = || complaint.as_ref().map(Complaint::last_words).unwrap_or_default();
    let told = |end| told(opener, end, &last_words);
    command::run_by_itself(&host.for_opener(), session, exec, handed, &told, counts);
}

/// What the caller is told of the opener's end: which program it was and what it said, and a status of xdg-open's.
fn told(opener: &[&str], end: FromAgent, last_words: &dyn Fn() -> String) -> Vec<FromAgent> {
    let how = match &end {
        FromAgent::Exited(0) => return vec![end],
        FromAgent::Exited(status) => format!("ended with status {status}"),
        FromAgent::Killed { signal, .. } => format!("was ended by signal {signal}"),
        _ => return vec![end],
    };
    let words = last_words();
    let colon = if words.is_empty() { "" } else { ": " };
    let notice = format!("`{}` on the host {how}{colon}{words}", opener.join(" "));
    let end = match end {
        FromAgent::Exited(_) if opener != OPENERS[0] => FromAgent::Exited(FAILED),
        end => end,
    };
    vec![FromAgent::Notice(notice.into()), end]
}

fn refused(text: impl Into<Vec<u8>>) -> Failure {
    Failure::new(FailureKind::Denied, text)
}

/// Whether this container may have that opened.
fn check(host: &Host, open: &Open) -> Result<(), Failure> {
    if !host.opens() {
        return Err(refused("the container may open nothing on the host: it has no grant `host-open`"));
    }
    if open.target.len() > MAX_TARGET || open.target.iter().any(u8::is_ascii_control) {
        return Err(refused("that is too long, or holds control characters"));
    }
    match open.file {
        Some(_) if !host.trusts() => {
            Err(refused("files of a container that shares nothing with the host cannot be opened there"))
        }
        Some(identity) => check_file(&open.target, identity),
        None => check_link(&open.target, host.trusts()),
    }
}

/// The file of that path must be the one that the guest means.
fn check_file(path: &[u8], (device, inode): (u64, u64)) -> Result<(), Failure> {
    let there = Path::new(OsStr::from_bytes(path));
    let same = there.is_absolute()
        && stat(there).is_ok_and(|status| status.st_dev == device && status.st_ino == inode);
    if same {
        return Ok(());
    }
    Err(refused(format!("{} is not shared with the host", escape_bytes(path))))
}

fn check_link(link: &[u8], trusted: bool) -> Result<(), Failure> {
    let shown = || escape_bytes(link);
    let Some(scheme) = scheme(link) else { return Err(refused(format!("{} is no link", shown()))) };
    if scheme.eq_ignore_ascii_case(b"file") {
        return Err(refused(format!("{}: files are opened by their path", shown())));
    }
    if trusted {
        return Ok(());
    }
    if !HARMLESS.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(refused(format!("{}: this container may open http, https and mailto alone", shown())));
    }
    // What else there is, programs on the way take for their own syntax.
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!&'()*+,;=%".contains(byte);
    if !link.iter().all(allowed) {
        return Err(refused(format!("{}: a link of this container may hold no such characters", shown())));
    }
    if scheme.eq_ignore_ascii_case(b"mailto") && !is_plain_letter(link) {
        return Err(refused(format!("{}: a letter may have addresses, a subject and a plain text", shown())));
    }
    Ok(())
}

/// Whether a `mailto` link asks for nothing but what is written (RFC 6068): addresses, a subject and a text.
///
/// xdg-email(1) makes an argument of Thunderbird's from it, `to='…',subject='…',body=…`, in which a quote or a comma, written or
/// in percent, begins another field: `attachment='file:///…'` takes a file along.
fn is_plain_letter(link: &[u8]) -> bool {
    const FIELDS: [&[u8]; 5] = [b"to", b"cc", b"bcc", b"subject", b"body"];
    let rest = &link[link.iter().position(|byte| *byte == b':').map_or(0, |at| at + 1)..];
    let (addresses, query) = match rest.iter().position(|byte| *byte == b'?') {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &b""[..]),
    };
    let are_fields = query.split(|byte| *byte == b'&').filter(|field| !field.is_empty()).all(|field| {
        let (name, value) = match field.iter().position(|byte| *byte == b'=') {
            Some(at) => (&field[..at], &field[at + 1..]),
            None => (field, &b""[..]),
        };
        FIELDS.iter().any(|known| name.eq_ignore_ascii_case(known)) && is_plain_text(value)
    });
    is_plain_text(addresses) && are_fields
}

/// Whether that is text and nothing else for whoever reads it, in percent or decoded.
fn is_plain_text(text: &[u8]) -> bool {
    let written = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@+:/!*()".contains(&byte);
    // What is not ASCII is a letter of some language; a percent sign would be decoded once more by the next program.
    let meant = |byte: u8| written(byte) || !byte.is_ascii() || b" ?#[]$^|{}=".contains(&byte);
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            if !written(*first) {
                return false;
            }
            continue;
        }
        let Some((digits, after)) = rest.split_first_chunk::<2>() else { return false };
        let byte = std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if !byte.is_some_and(meant) {
            return false;
        }
        rest = after;
    }
    true
}

/// The first opener that the host has.
fn opener(path: &[u8]) -> Result<&'static [&'static str], Failure> {
    let exists = |name: &str| {
        path.split(|byte| *byte == b':').any(|directory| {
            let program = Path::new(OsStr::from_bytes(directory)).join(name);
            program.is_file() && access(&program, Access::EXEC_OK).is_ok()
        })
    };
    OPENERS.into_iter().find(|words| words.first().is_some_and(|name| exists(name))).ok_or_else(|| {
        Failure::new(FailureKind::NotFound, "the host has no program that opens links: it needs xdg-open")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_a_scheme_and_an_untrusted_guest_few_of_them() {
        for link in [&b"https://x/?a=b:c"[..], b"MAILTO:a@b?subject=x&body=y", b"http:x"] {
            assert!(check_link(link, false).is_ok(), "{link:?}");
        }
        for link in [
            &b"mailto:"[..],
            b"mailto:a@b",
            b"mailto:a+c@b.example",
            b"mailto:?to=a@b&cc=c@d&bcc=e%40f",
            b"mailto:a@b?Subject=two%20words&body=gr%C3%BC%c3%9fe%3F",
        ] {
            assert!(check_link(link, false).is_ok(), "{link:?}");
        }
        for link in [
            &b"mailto:a@b?attach=/etc/passwd"[..],
            b"mailto:a@b?attachment=/etc/passwd",
            b"mailto:a@b?body=x&attach=/etc/passwd",
            b"mailto:a@b?body=x;attach=/etc/passwd",
            b"mailto:a@b?body=x,attachment='file:///etc/passwd'",
            b"mailto:a@b?body=x,attachment=file:///etc/passwd",
            b"mailto:a@b%27,attachment=%27file:///etc/passwd",
            b"mailto:a@b%27%2Cattachment=%27file:///etc/passwd",
            b"mailto:a@b?subject=x%2cattachment%3dy",
            b"mailto:a@b?subject=%22",
            b"mailto:a@b?body=x%26attach=/etc/passwd",
            b"mailto:a@b?body=x%0Aattach",
            b"mailto:a@b?body=x%0d",
            b"mailto:a@b?body=%00",
            b"mailto:a@b?body=%7F",
            b"mailto:a@b?body=%2527",
            b"mailto:a@b?body=%5C",
            b"mailto:a@b?body=%60id%60",
            b"mailto:a@b?body=%2",
            b"mailto:a@b?body=%+1",
            b"mailto:a@b?body=x?attach=y",
            b"mailto:a@b,c@d",
            b"mailto:a@b?sub%6Aect=x",
        ] {
            assert!(check_link(link, false).is_err(), "{link:?}");
            assert!(check_link(link, true).is_ok(), "{link:?}");
        }
        for link in [&b"steam://run/1"[..], b"zoom+x:1", b"magnet:?x"] {
            assert!(check_link(link, true).is_ok() && check_link(link, false).is_err(), "{link:?}");
        }
        for link in
            [&b""[..], b"/etc/passwd", b"x", b":x", b"1x:y", b"-x:y", b"file:///etc/passwd", b"FILE:/x"]
        {
            assert!(check_link(link, true).is_err(), "{link:?}");
        }
    }

    #[test]
    fn who_asked_is_told_which_program_failed_and_how_by_xdg_opens_statuses() {
        let words = || "no method available".to_owned();
        assert_eq!(told(OPENERS[0], FromAgent::Exited(0), &words), [FromAgent::Exited(0)]);
        for (opener, status, notice, shown) in [
            (OPENERS[0], 3, "`xdg-open` on the host ended with status 3: no method available", 3),
            (OPENERS[1], 2, "`gio open` on the host ended with status 2: no method available", 4),
        ] {
            let told = told(opener, FromAgent::Exited(status), &words);
            assert_eq!(told, [FromAgent::Notice(notice.into()), FromAgent::Exited(shown)]);
        }
        let killed = FromAgent::Killed { signal: 9, core: false };
        let notice = "`xdg-open` on the host was ended by signal 9";
        assert_eq!(
            told(OPENERS[0], killed.clone(), &String::new),
            [FromAgent::Notice(notice.into()), killed]
        );
    }

    #[test]
    fn a_file_is_opened_only_where_it_is_the_same_on_both_sides() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (directory.path().join("one"), directory.path().join("other"));
        std::fs::write(&one, "").unwrap();
        std::fs::write(&other, "").unwrap();
        let status = stat(&one).unwrap();
        let identity = (status.st_dev, status.st_ino);
        assert!(check_file(one.as_os_str().as_bytes(), identity).is_ok());
        assert!(check_file(other.as_os_str().as_bytes(), identity).is_err());
        assert!(check_file(b"one", identity).is_err());
        assert!(check_file(b"/nowhere", identity).is_err());
    }
}
