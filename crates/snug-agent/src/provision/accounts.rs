//! The texts of `passwd`, `group`, `shadow`, `gshadow` and `subuid` with the owner in them. Pure: text in, text out, and a second
//! time nothing changes. Of others nothing changes but what cannot stay: groups lose an earlier owner as a member, shadow files the lines
//! that belong to nobody.

use crate::users::number;

/// The owner, as this guest's files shall have him.
pub struct Owner<'a> {
    /// Login name.
    pub name: &'a [u8],
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Its name.
    pub group: &'a [u8],
    /// Full name and the like.
    pub gecos: &'a [u8],
    /// Home directory.
    pub home: &'a [u8],
    /// A shell that the guest has.
    pub shell: &'a [u8],
}

fn fields(line: &[u8]) -> Vec<&[u8]> {
    line.split(|byte| *byte == b':').collect()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn joined<'a>(lines: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    lines.into_iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect()
}

/// Puts `ours` in the place of the first line that `is_his` knows, drops the further ones; without any, at the end,
/// but before NIS entries, behind which nothing is found.
fn put<'a>(text: &'a [u8], ours: &[u8], is_his: impl Fn(&[&'a [u8]]) -> bool) -> Vec<u8> {
    let mut result: Vec<Vec<u8>> = Vec::new();
    let mut placed = false;
    for line in lines(text) {
        let his = is_his(&fields(line));
        if !placed && (his || line.starts_with(b"+")) {
            result.push(ours.to_vec());
            placed = true;
        }
        if !his {
            result.push(line.to_vec());
        }
    }
    if !placed {
        result.push(ours.to_vec());
    }
    joined(&result)
}

/// A text without what would end a field or a line.
fn clean(field: &[u8]) -> Vec<u8> {
    field.iter().copied().filter(|byte| !matches!(byte, b':' | b'\n' | b'\r' | 0)).collect()
}

/// Names of accounts that had the owner's uid: his now.
pub fn taken_over(passwd: &[u8], owner: &Owner<'_>) -> Vec<Vec<u8>> {
    lines(passwd)
        .map(fields)
        .filter(|fields| {
            fields.get(2).copied().and_then(number) == Some(owner.uid) && fields[0] != owner.name
        })
        .map(|fields| fields[0].to_vec())
        .collect()
}

/// `/etc/passwd`: one line of that name and that uid, the owner's.
pub fn passwd(text: &[u8], owner: &Owner<'_>) -> Vec<u8> {
    let line = [
        &clean(owner.name),
        &b"x"[..],
        owner.uid.to_string().as_bytes(),
        owner.gid.to_string().as_bytes(),
        &clean(owner.gecos),
        &clean(owner.home),
        &clean(owner.shell),
    ]
    .join(&b':');
    put(text, &line, |fields| {
        fields[0] == owner.name || fields.get(2).copied().and_then(number) == Some(owner.uid)
    })
}

/// `/etc/shadow`: no password unless the guest's user has set one, and never expired.
pub fn shadow(text: &[u8], owner: &Owner<'_>, taken_over: &[Vec<u8>]) -> Vec<u8> {
    let own = lines(text).map(fields).find(|fields| fields[0] == owner.name);
    let password =
        own.and_then(|fields| fields.get(1).copied()).filter(|password| password.starts_with(b"$"));
    let line = [owner.name, b":", password.unwrap_or(b"!*"), b":::::::"].concat();
    put(text, &line, |fields| fields[0] == owner.name || taken_over.iter().any(|name| name == fields[0]))
}

/// `/etc/group`: the owner's primary group, under its number and name, and he in each of `memberships` that exists.
pub fn group(text: &[u8], owner: &Owner<'_>, taken_over: &[Vec<u8>], memberships: &[&str]) -> Vec<u8> {
    let is_primary = |fields: &[&[u8]]| {
        fields[0] == owner.group || fields.get(2).copied().and_then(number) == Some(owner.gid)
    };
    let mut members: Vec<Vec<u8>> = Vec::new();
    for line in lines(text).map(fields).filter(|fields| is_primary(fields)) {
        for member in renamed(line.get(3).copied().unwrap_or_default(), owner, taken_over) {
            if !members.contains(&member) {
                members.push(member);
            }
        }
    }
    let number = owner.gid.to_string();
    let line = [owner.group, b"x", number.as_bytes(), &members.join(&b',')].join(&b':');
    let text = put(text, &line, is_primary);
    let result: Vec<Vec<u8>> = lines(&text)
        .map(|line| {
            let fields = fields(line);
            let [name, password, number, members] = fields[..] else { return line.to_vec() };
            let mut names = renamed(members, owner, taken_over);
            let wanted = memberships.iter().any(|group| group.as_bytes() == name);
            if wanted && !names.iter().any(|member| member == owner.name) {
                names.push(owner.name.to_vec());
            }
            [name, password, number, &names.join(&b',')].join(&b':')
        })
        .collect();
    joined(&result)
}

/// `/etc/gshadow` in step with the text of `/etc/group`: the same groups and members, passwords and administrators kept.
pub fn group_shadow(text: &[u8], group: &[u8]) -> Vec<u8> {
    let groups: Vec<Vec<&[u8]>> = lines(group).map(fields).filter(|fields| fields.len() == 4).collect();
    let mut result: Vec<Vec<u8>> = Vec::new();
    let mut known: Vec<&[u8]> = Vec::new();
    for line in lines(text) {
        let [name, password, administrators, _] = fields(line)[..] else { continue };
        if let Some(group) = groups.iter().find(|group| group[0] == name) {
            result.push([name, password, administrators, group[3]].join(&b':'));
            known.push(name);
        }
    }
    for group in groups.iter().filter(|group| !known.contains(&group[0])) {
        result.push([group[0], b"!", b"", group[3]].join(&b':'));
    }
    joined(&result)
}

fn renamed(members: &[u8], owner: &Owner<'_>, taken_over: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for member in members.split(|byte| *byte == b',').filter(|member| !member.is_empty()) {
        let member = if taken_over.iter().any(|name| name == member) { owner.name } else { member };
        if !names.iter().any(|name| name == member) {
            names.push(member.to_vec());
        }
    }
    names
}

/// First of the ids that a user's containers inside the guest get, and how many (useradd's own defaults).
const SUBORDINATE: (u32, u32) = (100_000, 65_536);

/// `/etc/subuid` or `/etc/subgid`: a range for the owner, if he has none, behind all others.
pub fn subordinate(text: &[u8], owner: &Owner<'_>, taken_over: &[Vec<u8>]) -> Vec<u8> {
    let uid = owner.uid.to_string();
    let mut result: Vec<Vec<u8>> = Vec::new();
    let (mut has_range, mut next) = (false, SUBORDINATE.0);
    for line in lines(text) {
        let mut fields = fields(line);
        if taken_over.iter().any(|name| name == fields[0]) {
            fields[0] = owner.name;
        }
        has_range |= fields[0] == owner.name || fields[0] == uid.as_bytes();
        if let [_, start, count] = fields[..]
            && let (Some(start), Some(count)) = (number(start), number(count))
        {
            next = next.max(start.saturating_add(count));
        }
        result.push(fields.join(&b':'));
    }
    if !has_range {
        let range = format!(":{next}:{}", SUBORDINATE.1);
        result.push([owner.name, range.as_bytes()].concat());
    }
    joined(&result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anna() -> Owner<'static> {
        Owner {
            name: b"anna",
            uid: 1000,
            gid: 1000,
            group: b"anna",
            gecos: b"Anna,,,",
            home: b"/home/anna",
            shell: b"/bin/bash",
        }
    }

    const LINE: &str = "anna:x:1000:1000:Anna,,,:/home/anna:/bin/bash\n";

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_owner_takes_over_whoever_has_his_name_or_number() {
        let root = "root:x:0:0:root:/root:/bin/bash\n";
        let table = [
            (String::new(), LINE.to_owned()),
            (root.into(), format!("{root}{LINE}")),
            (format!("{root}ubuntu:x:1000:1000:Ubuntu:/home/ubuntu:/bin/sh\n"), format!("{root}{LINE}")),
            (format!("anna:x:70:70::/nowhere:/bin/false\n{root}"), format!("{LINE}{root}")),
            (format!("anna:x:7:7:::\nubuntu:x:1000:1:::\n{root}"), format!("{LINE}{root}")),
            (format!("{root}+::::::\n"), format!("{root}{LINE}+::::::\n")),
            (root.trim_end().into(), format!("{root}{LINE}")),
        ];
        for (before, after) in table {
            let once = passwd(before.as_bytes(), &anna());
            assert_eq!(text(once.clone()), after, "{before}");
            assert_eq!(passwd(&once, &anna()), once, "a second time nothing changes");
        }
        let names = taken_over(b"ubuntu:x:1000:1:::\nanna:x:7:7:::\n", &anna());
        assert_eq!(names, [b"ubuntu"]);
    }

    #[test]
    fn a_gecos_field_cannot_make_a_second_account() {
        let gecos = b"x:/:/bin/sh\nevil:x:0:0::/:/bin/sh";
        let result = text(passwd(b"", &Owner { gecos, ..anna() }));
        assert_eq!(result.lines().count(), 1);
        assert_eq!(result.matches(':').count(), 6);
    }

    #[test]
    fn other_lines_stay_byte_for_byte() {
        let odd = b"b\xff:x:5:5:\xc3::\n# comment\nbroken\n";
        assert!(passwd(odd, &anna()).starts_with(odd));
        assert!(group(odd, &anna(), &[], &[]).starts_with(odd));
    }

    #[test]
    fn a_password_that_was_set_in_the_guest_is_kept_and_none_expires() {
        let before = b"root:*:1::::::\nanna:$y$hash:19000:0:9:7:1:1:\n";
        assert_eq!(text(shadow(before, &anna(), &[])), "root:*:1::::::\nanna:$y$hash:::::::\n");
        let before = b"ubuntu:!:19000:0:99999:7:::\n";
        assert_eq!(text(shadow(before, &anna(), &[b"ubuntu".to_vec()])), "anna:!*:::::::\n");
    }

    #[test]
    fn groups_are_the_guests_with_the_owner_in_them() {
        let before = "root:x:0:\nsudo:x:27:ubuntu,bob\nvideo:x:44:\nubuntu:x:1000:\n";
        let once = group(before.as_bytes(), &anna(), &[b"ubuntu".to_vec()], &["video", "sudo", "render"]);
        assert_eq!(text(once.clone()), "root:x:0:\nsudo:x:27:anna,bob\nvideo:x:44:anna\nanna:x:1000:\n");
        assert_eq!(group(&once, &anna(), &[], &["video", "sudo", "render"]), once);
        let before = b"anna:x:7:bob\nother:x:1000:carl\n";
        assert_eq!(text(group(before, &anna(), &[], &[])), "anna:x:1000:bob,carl\n");
    }

    #[test]
    fn group_passwords_stay_in_step_with_the_groups() {
        let group = b"root:x:0:\nsudo:x:27:anna\nanna:x:1000:\n";
        let once = group_shadow(b"root:*::\nsudo:$y$x:bob:ubuntu\nubuntu:!::\n", group);
        assert_eq!(text(once.clone()), "root:*::\nsudo:$y$x:bob:anna\nanna:!::\n");
        assert_eq!(group_shadow(&once, group), once);
    }

    #[test]
    fn a_range_for_containers_inside_lies_behind_all_others() {
        assert_eq!(text(subordinate(b"", &anna(), &[])), "anna:100000:65536\n");
        let one = subordinate(b"bob:100000:65536\n", &anna(), &[]);
        assert_eq!(text(one.clone()), "bob:100000:65536\nanna:165536:65536\n");
        assert_eq!(subordinate(&one, &anna(), &[]), one);
        let taken = subordinate(b"ubuntu:100000:65536\n", &anna(), &[b"ubuntu".to_vec()]);
        assert_eq!(text(taken), "anna:100000:65536\n");
        assert_eq!(text(subordinate(b"1000:5:6\n", &anna(), &[])), "1000:5:6\n");
    }

    proptest::proptest! {
        #[test]
        fn any_text_ends_up_with_exactly_one_owner(before in "([a-c:x0-9+,\n]|anna|1000|\n){0,60}") {
            let after = passwd(before.as_bytes(), &anna());
            let count = lines(&after)
                .map(fields)
                .filter(|fields| fields[0] == b"anna" || fields.get(2).copied().and_then(number) == Some(1000))
                .count();
            proptest::prop_assert_eq!(count, 1);
            proptest::prop_assert_eq!(passwd(&after, &anna()), after);
            let groups = group(before.as_bytes(), &anna(), &[], &["video"]);
            proptest::prop_assert_eq!(group(&groups, &anna(), &[], &["video"]), groups);
        }
    }
}
