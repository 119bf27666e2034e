//! Whatever bytes arrive, decoding ends with a message or an error; whatever is sent arrives as it was.

use proptest::collection::vec;
use proptest::prelude::*;
use snug_wire::message::{
    Directory, Exec, FailureKind, FromAgent, Limit, Message, Open, PROTOCOL, Stdio, Terminal, TerminalModes,
    ToAgent, User, WindowSize, Wish,
};
use snug_wire::policy::Policy;
use snug_wire::provision::{Followed, Provision};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

fn stdio() -> impl Strategy<Value = Stdio> {
    prop::sample::select(vec![
        Stdio::Tty,
        Stdio::Passed,
        Stdio::Relayed,
        Stdio::Null,
        Stdio::Zero,
        Stdio::Full,
        Stdio::Random,
        Stdio::Urandom,
        Stdio::Closed,
    ])
}

fn size() -> impl Strategy<Value = WindowSize> {
    any::<[u16; 4]>().prop_map(|[rows, columns, x_pixels, y_pixels]| WindowSize {
        rows,
        columns,
        x_pixels,
        y_pixels,
    })
}

fn modes() -> impl Strategy<Value = TerminalModes> {
    (any::<[u32; 4]>(), any::<[u8; 19]>()).prop_map(|([input, output, control, local], characters)| {
        TerminalModes { input, output, control, local, characters }
    })
}

fn terminal() -> impl Strategy<Value = Terminal> {
    (size(), prop::option::of(modes()), prop::option::of((bytes(), bytes())), any::<bool>())
        .prop_map(|(size, modes, terminfo, relayed)| Terminal { size, modes, terminfo, relayed })
}

fn directory() -> impl Strategy<Value = Directory> {
    prop_oneof![
        (bytes(), any::<u64>(), any::<u64>(), any::<bool>())
            .prop_map(|(path, device, inode, or_home)| Directory::Same { path, device, inode, or_home }),
        bytes().prop_map(Directory::Guest),
        Just(Directory::Home),
    ]
}

fn user() -> impl Strategy<Value = User> {
    prop_oneof![Just(User::Owner), Just(User::Root), bytes().prop_map(User::Named)]
}

fn limit() -> impl Strategy<Value = Limit> {
    (any::<u8>(), any::<u64>(), any::<u64>()).prop_map(|(resource, soft, hard)| Limit {
        resource,
        soft,
        hard,
    })
}

fn exec() -> impl Strategy<Value = Exec> {
    let words = (vec(bytes(), 0..5), vec(bytes(), 0..5), vec(bytes(), 0..5), any::<[bool; 3]>());
    let place = (user(), directory(), [stdio(), stdio(), stdio()], prop::option::of(terminal()));
    let rest = (any::<u32>(), vec(limit(), 0..20), any::<u64>(), vec((any::<u32>(), stdio()), 0..5));
    (words, place, rest).prop_map(
        |(
            (argv, environment, overrides, [clean, login, early]),
            (user, directory, stdio, terminal),
            (umask, limits, ignored, further),
        )| Exec {
            protocol: PROTOCOL,
            argv,
            environment,
            overrides,
            clean,
            login,
            early,
            user,
            directory,
            stdio,
            terminal,
            umask,
            limits,
            ignored,
            further,
        },
    )
}

fn to_agent() -> impl Strategy<Value = ToAgent> {
    prop_oneof![
        vec(any::<u32>(), 0..250).prop_map(ToAgent::Fds),
        exec().prop_map(|exec| ToAgent::Exec(Box::new(exec))),
        (any::<[u8; 16]>(), any::<u8>()).prop_map(|(token, stream)| ToAgent::Attach { token, stream }),
        any::<u8>().prop_map(ToAgent::Signal),
        size().prop_map(ToAgent::Resize),
        Just(ToAgent::Resume),
        any::<u32>().prop_map(|grace| ToAgent::HangUpAll { grace }),
        followed().prop_map(ToAgent::Follow),
        Just(ToAgent::Offer),
        prop::sample::select(vec![Wish::Command, Wish::Open, Wish::Bus]).prop_map(ToAgent::Dial),
        open().prop_map(ToAgent::Open),
        Just(ToAgent::JoinBus),
    ]
}

fn open() -> impl Strategy<Value = Open> {
    (bytes(), prop::option::of(any::<(u64, u64)>()), vec(bytes(), 0..4))
        .prop_map(|(target, file, environment)| Open { target, file, environment })
}

fn followed() -> impl Strategy<Value = Followed> {
    let text = || prop::option::of(".{0,60}");
    let pairs = || vec((".{0,20}", ".{0,20}"), 0..4);
    (text(), pairs(), text(), pairs()).prop_map(|(timezone, locale, resolv_conf, certificates)| Followed {
        timezone,
        locale,
        resolv_conf,
        certificates,
    })
}

fn from_agent() -> impl Strategy<Value = FromAgent> {
    let kind = prop::sample::select(vec![
        FailureKind::NotFound,
        FailureKind::NotExecutable,
        FailureKind::Directory,
        FailureKind::User,
        FailureKind::Protocol,
        FailureKind::Denied,
        FailureKind::Other,
    ]);
    prop_oneof![
        (any::<u16>(), any::<u16>(), bytes(), any::<[bool; 2]>()).prop_map(
            |(protocol, oldest, version, [settled, offered])| {
                FromAgent::Hello { protocol, oldest, version, settled, offered }
            }
        ),
        bytes().prop_map(FromAgent::Notice),
        any::<[u8; 16]>().prop_map(|token| FromAgent::Streams { token }),
        Just(FromAgent::Pty),
        any::<u32>().prop_map(|pid| FromAgent::Started { pid }),
        any::<u8>().prop_map(FromAgent::Stopped),
        any::<u8>().prop_map(FromAgent::Exited),
        (any::<u8>(), any::<bool>()).prop_map(|(signal, core)| FromAgent::Killed { signal, core }),
        (kind, bytes()).prop_map(|(kind, text)| FromAgent::Failed { kind, text }),
        Just(FromAgent::Done),
        Just(FromAgent::Dialled),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_request_arrives_as_it_was_also_with_a_tail(message in to_agent(), tail in bytes()) {
        let (kind, mut body) = message.encode();
        prop_assert_eq!(ToAgent::decode(kind, &body), Ok(message.clone()));
        // A list of descriptors has no end of its own; every other message may grow.
        if !matches!(message, ToAgent::Fds(_) | ToAgent::Exec(_)) {
            body.extend_from_slice(&tail);
            prop_assert_eq!(ToAgent::decode(kind, &body), Ok(message));
        }
    }

    #[test]
    fn every_reply_arrives_as_it_was_also_with_a_tail(message in from_agent(), tail in bytes()) {
        let (kind, mut body) = message.encode();
        body.extend_from_slice(&tail);
        prop_assert_eq!(FromAgent::decode(kind, &body), Ok(message));
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(kind in any::<u8>(), body in vec(any::<u8>(), 0..400)) {
        let _ = ToAgent::decode(kind, &body);
        let _ = ToAgent::decode(kind % 9, &body);
        let _ = FromAgent::decode(kind, &body);
        let _ = FromAgent::decode(126 + kind % 14, &body);
    }

    #[test]
    fn a_request_that_is_cut_or_changed_is_a_message_or_an_error(
        message in to_agent(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let (kind, mut body) = message.encode();
        if body.is_empty() {
            return Ok(());
        }
        let at = at.index(body.len());
        let _ = ToAgent::decode(kind, &body[..at]);
        body[at] = byte;
        let _ = ToAgent::decode(kind, &body);
    }

    #[test]
    fn any_text_is_a_policy_and_trust_needs_its_own_line(text in "[a-z=\n ]{0,60}|(trusted=yes|\n|entry=daemon|x){0,6}") {
        let policy = Policy::parse(&text);
        prop_assert_eq!(policy.trusted, text.lines().any(|line| line == "trusted=yes"));
    }

    #[test]
    fn any_text_is_a_provision_or_an_error(text in "[{}\\[\\]\",:a-z0-9]{0,80}") {
        let _ = serde_json::from_str::<Provision>(&text);
    }
}
