//! `snug run`: streams and descriptors are the caller's own.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]

use snug_testbed::{Bed, Container};

/// Appends to `$1`, for each stream, 1 where it is a terminal and 0 where not.
const ISATTY: &str = r#"exec 9>>"$1"; for n in 0 1 2; do
    if test -t $n; then printf 1 >&9; else printf 0 >&9; fi; done; echo >&9"#;

/// Lists what is open; the tests themselves may have been given more than three.
const OPEN: &str = "sh -c 'ls /proc/self/fd | xargs'";

fn guest() -> &'static Container<'static> {
    Bed::shared("tester", "streams", "local:debian/13")
}

/// stdout of a line of bash on the host that ends with 0 and prints nothing on stderr.
fn says(line: &str) -> String {
    let out = guest().bash(line).run().expect("it ends").success();
    assert_eq!(out.err(), "");
    out.out()
}

#[test]
fn the_three_streams_stay_three() {
    let out = guest().run(["sh", "-c", "cat; echo err >&2; echo out"]).input("in\n").run().unwrap().success();
    assert_eq!((out.out().as_str(), out.err().as_str()), ("in\nout\n", "err\n"));
}

#[test]
fn each_combination_of_terminals_and_others_is_seen_as_it_is() {
    // Devices, files and pipes stand for what is no terminal.
    for (no_in, no_out) in [("</dev/null", ">/dev/null"), ("<~/empty", ">>~/empty"), ("< <(:)", "> >(cat)")] {
        let mut line = String::from("rm -f ~/isatty; : >~/empty; ");
        let mut expected = String::new();
        for bits in 0..8 {
            let redirect = |bit: i32, number: &str, other: &str| {
                if bits & bit != 0 { String::new() } else { format!("{number}{other} ") }
            };
            let streams = redirect(4, "", no_in) + &redirect(2, "1", no_out) + &redirect(1, "2", no_out);
            line += &format!("snug run sh -c '{ISATTY}' sh ~/isatty {streams}; ");
            expected += &format!("{:03b}\n", bits);
        }
        line += "echo; cat ~/isatty; rm ~/isatty ~/empty";
        let mut pty = guest().bash(&line).on_pty().unwrap();
        let shown = pty.ends_with(0).replace('\r', "");
        assert!(shown.ends_with(&expected), "with {no_in}: {shown}");
    }
}

#[test]
fn a_pipe_beside_a_terminal_gets_its_bytes_unchanged() {
    let mut pty = guest().shell(r"snug run printf 'a\nb\n' | od -An -c").on_pty().unwrap();
    assert_eq!(pty.ends_with(0).trim(), r"a  \n   b  \n");
}

#[test]
fn binary_data_passes_both_ways_with_the_same_hash() {
    let line = "head -c 1G /dev/urandom >~/data; \
                cmp <(sha256sum <~/data) <(cat ~/data | snug run cat | sha256sum) && echo same; rm ~/data";
    assert_eq!(says(line), "same\n");
}

#[test]
fn the_end_of_the_input_arrives() {
    assert_eq!(says("printf 12345 | snug run wc -c"), "5\n");
    assert_eq!(says("snug run wc -c </dev/null"), "0\n");
    assert_eq!(says("echo hi | snug run sh -c 'cat; echo end'"), "hi\nend\n");
}

#[test]
fn a_reader_that_leaves_ends_the_command() {
    assert_eq!(says("snug run yes | head -1"), "y\n");
    assert_eq!(says("set -o pipefail; snug run yes | head -1; echo $?"), "y\n141\n");
}

#[test]
fn a_command_that_reads_no_more_ends_the_writer() {
    assert_eq!(says("yes | snug run head -1; echo ${PIPESTATUS[0]}"), "y\n141\n");
}

#[test]
fn a_loop_over_lines_loses_none() {
    let line = "seq 50 | while read l; do snug run -T echo $l </dev/null; done | sha256sum";
    assert_eq!(says(line), says("seq 50 | sha256sum"));
    // Nothing reads ahead either: what the command does not read stays.
    let line = "seq 50 | while read l; do snug run -T echo $l; done | sha256sum";
    assert_eq!(says(line), says("seq 50 | sha256sum"));
}

#[test]
fn a_loop_over_lines_loses_none_on_a_terminal_either() {
    let line = "seq 20 | while read l; do snug run echo $l; done; seq 20 | while read l; do snug run -T echo $l; done";
    let mut pty = guest().bash(line).on_pty().unwrap();
    let twice: String = (1..=20).chain(1..=20).map(|n| format!("{n}\r\n")).collect();
    assert_eq!(pty.ends_with(0), twice);
}

#[test]
fn a_file_is_shared_with_its_offset() {
    let line = "seq 3 >~/lines; { snug run sh -c 'read a; echo guest $a'; read b; echo host $b; snug run cat; } <~/lines; \
                rm ~/lines";
    assert_eq!(says(line), "guest 1\nhost 2\n3\n");
}

#[test]
fn process_substitutions_arrive() {
    let out = guest().bash("snug run diff <(echo a) <(echo b)").run().unwrap().ends_with(1);
    assert_eq!(out.out(), "1c1\n< a\n---\n> b\n");
    assert_eq!(says("snug run tee >(tr a-z A-Z) <<<hi >/dev/null | cat"), "HI\n");
}

#[test]
fn descriptors_3_to_9_arrive_under_their_numbers() {
    let line = "exec 3< <(echo three) 4< <(echo four) 5< <(echo five) 6< <(echo six) 7< <(echo seven) 8< <(echo eight) \
                9< <(echo nine); snug run sh -c 'for n in 9 8 7 6 5 4 3; do cat <&$n; done'";
    assert_eq!(says(line), "nine\neight\nseven\nsix\nfive\nfour\nthree\n");
}

#[test]
fn descriptors_with_high_and_sparse_numbers_arrive() {
    assert_eq!(
        says(
            "exec 200< <(echo high) 77>&1; snug run bash -c 'cat <&200 >&77; ls /proc/self/fd | grep -wE \"77|200\"'"
        ),
        "high\n200\n77\n"
    );
}

#[test]
fn a_job_server_of_make_works() {
    // Make hands two pipe ends to its children by number; the guest's part takes a token and gives it back.
    let line = "mkfifo ~/jobs; exec 3<>~/jobs; rm ~/jobs; printf ++ >&3; \
                snug run bash -c 'read -rn1 -u3 token; echo took $token; printf %s \"$token\" >&3'; \
                read -rn2 -u3 tokens; echo $tokens";
    assert_eq!(says(line), "took +\n++\n");
}

#[test]
fn a_device_above_two_is_the_guests_own() {
    let line = "snug run sh -c 'readlink /proc/self/fd/3; cat <&4 | head -c 2 | wc -c; echo x >&3' \
                3>/dev/null 4</dev/zero";
    assert_eq!(says(line), "/dev/null\n2\n");
}

#[test]
fn the_terminal_above_two_is_the_guests_terminal() {
    let line = "snug run sh -c 'test -t 3 && tty <&3 && echo to-terminal >&3; echo to-file' 3>&1 >~/file; cat ~/file; \
                rm ~/file";
    let shown = guest().bash(line).on_pty().unwrap().ends_with(0);
    assert!(shown.starts_with("to-terminal\r\n/dev/pts/") && shown.ends_with("\r\nto-file\r\n"), "{shown}");
}

#[test]
fn a_terminal_that_is_only_above_two_is_one_too() {
    let line = "snug run sh -c 'test -t 5 && echo asked >&5; read answer <&5; echo $answer' \
                5<>/dev/tty </dev/null >~/answer 2>/dev/null; cat ~/answer; rm ~/answer";
    let mut pty = guest().bash(line).on_pty().unwrap();
    pty.until("asked\r\n").unwrap();
    pty.line("forty-two").unwrap();
    assert!(pty.ends_with(0).ends_with("forty-two\r\n"));
}

#[test]
fn a_directory_above_two_stays_outside() {
    assert_eq!(says("snug run sh -c 'ls /proc/self/fd | xargs' 7</ 8</home/tester"), says(OPEN));
}

#[test]
fn nothing_of_the_clients_own_is_open_in_the_command() {
    let on_host = says(OPEN);
    assert_eq!(says(&format!("snug run {OPEN}")), on_host);
    let mut pty = guest().bash(&format!("snug run {OPEN}")).on_pty().unwrap();
    assert_eq!(pty.ends_with(0).replace('\r', ""), on_host);
}

#[test]
fn a_directory_as_a_stream_is_refused() {
    for (line, stream) in
        [("snug run true </", "standard input"), ("snug run -T true </etc", "standard input")]
    {
        let out = guest().bash(line).run().unwrap().ends_with(125);
        assert!(out.err().starts_with("error: ") && out.err().contains(stream), "{}", out.err());
        assert!(out.err().contains("hint: "), "{}", out.err());
    }
}

#[test]
fn harmless_devices_as_streams_are_the_guests_own() {
    assert_eq!(says("snug run readlink /proc/self/fd/0 </dev/null"), "/dev/null\n");
    assert_eq!(says("snug run head -c 4 </dev/zero | od -An -tx1"), " 00 00 00 00\n");
    assert_eq!(says("snug run cat </dev/zero | head -c 100000 | wc -c"), "100000\n");
    assert_eq!(says("snug run head -c 9 </dev/urandom | wc -c"), "9\n");
    let out = guest().bash("snug run cat /etc/hostname >/dev/full").run().unwrap().ends_with(1);
    assert!(out.err().contains("No space left"), "{}", out.err());
}

#[test]
fn a_closed_stream_is_closed_in_the_command() {
    for (number, redirect) in [(0, "<&-"), (1, ">&-"), (2, "2>&-")] {
        let line = format!(
            "snug run sh -c 'test -e /proc/$$/fd/{number}; echo $? >~/closed' {redirect}; cat ~/closed; rm ~/closed"
        );
        let out = guest().bash(&line).run().unwrap().success();
        assert_eq!(out.out(), "1\n", "stream {number}");
    }
}

#[test]
fn a_forced_terminal_makes_all_three_streams_one() {
    let out = guest()
        .bash("echo typed | snug run -t sh -c 'test -t 0 && test -t 1 && test -t 2 && read l && echo got $l'")
        .run()
        .unwrap()
        .success();
    assert!(out.out().ends_with("got typed\r\n"), "{:?}", out.out());
}

#[test]
fn what_a_pipe_types_into_a_forced_terminal_ends_with_the_pipe() {
    // After a line without its end a terminal takes two characters for the end of the input.
    for (typed, counted) in [("whole\\n", "6"), ("half", "4"), ("one\\nhalf", "8"), ("", "0")] {
        let line = format!("printf '{typed}' | snug run -t sh -c 'stty -echo; cat | wc -c'");
        let out = guest().bash(&line).run().unwrap().success();
        assert!(out.out().ends_with(&format!("{counted}\r\n")), "{typed:?}: {:?}", out.out());
    }
    // The caller's own character for it.
    let line = "stty eof ^X -echo; printf 'one\\nhalf' | snug run -t wc -c";
    let shown = guest().bash(line).on_pty().unwrap().ends_with(0);
    assert!(shown.ends_with("8\r\n"), "{shown:?}");
}

#[test]
fn without_a_terminal_none_of_the_streams_is_one() {
    let line = format!("snug run -T sh -c '{ISATTY}' sh ~/never; cat ~/never; rm ~/never");
    assert_eq!(guest().bash(&line).on_pty().unwrap().ends_with(0), "000\r\n");
}

#[test]
fn relayed_streams_of_a_terminal_pass_input_and_output() {
    let mut pty = guest()
        .snug(["run", "-T", "sh", "-c", "echo ask; read l; echo got $l; echo err >&2"])
        .on_pty()
        .unwrap();
    pty.until("ask\r\n").unwrap();
    pty.line("answer").unwrap();
    let shown = pty.ends_with(0);
    assert!(shown.contains("got answer\r\n") && shown.contains("err\r\n"), "{shown}");
}

#[test]
fn output_written_last_is_not_lost() {
    for line in ["snug run sh -c 'seq 20000' | tail -1", "snug run -T sh -c 'seq 20000' | tail -1"] {
        assert_eq!(says(line), "20000\n");
    }
    let mut pty = guest().run(["seq", "20000"]).on_pty().unwrap();
    assert!(pty.ends_with(0).ends_with("\r\n20000\r\n"));
}
