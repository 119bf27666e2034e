//! Commands.

use fake_incusd::Program;
use incus_client::{ErrorKind, ExecRequest, TerminalSize, exec::exit_code};

use crate::{in_time, route, start_with_container};

const SIZE: TerminalSize = TerminalSize { width: 80, height: 24 };

#[tokio::test]
async fn a_command_gets_its_input_and_its_output_comes_back_whole() {
    let (fake, client) = start_with_container();
    // Several frames, each byte value, no line ends needed.
    let input: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (instances, request) = (client.instances(), ExecRequest::new(["cat"]));
    let output = in_time(instances.exec_output("c1", &request, &input)).await.unwrap();
    assert_eq!((output.code, output.stdout.len()), (0, input.len()));
    assert!(output.stdout == input && output.stderr.is_empty());
    let log = &fake.execs()[0];
    assert!(log.stdin_ended && !log.killed);
}

#[tokio::test]
async fn streams_stay_apart_and_the_code_is_kept() {
    let (fake, client) = start_with_container();
    let program = Program::Output { stdout: b"out".to_vec(), stderr: b"err".to_vec(), code: 42 };
    fake.program("make", program);
    let output = client.instances().exec_output("c1", &ExecRequest::new(["make"]), b"").await.unwrap();
    assert_eq!((output.code, &output.stdout[..], &output.stderr[..]), (42, &b"out"[..], &b"err"[..]));
}

#[tokio::test]
async fn a_request_says_who_where_and_with_which_variables() {
    let (fake, client) = start_with_container();
    let request = ExecRequest::new(["true", "a b", "$x", ""]).user(1000, 100).cwd("/srv").env("K", "V=1");
    client.instances().exec_output("c1", &request, b"").await.unwrap();
    let log = &fake.execs()[0];
    assert_eq!(log.command, ["true", "a b", "$x", ""]);
    assert_eq!((log.user, log.group, log.cwd.as_str()), (1000, 100, "/srv"));
    assert_eq!(log.environment["K"], "V=1");
}

#[tokio::test]
async fn all_sockets_are_opened_side_by_side() {
    let (fake, client) = start_with_container();
    // None is answered before all have been asked for.
    fake.set_exec_barrier(true);
    let instances = client.instances();
    assert_eq!(in_time(instances.exec_output("c1", &ExecRequest::new(["true"]), b"")).await.unwrap().code, 0);
    let session = in_time(instances.exec_interactive("c1", &ExecRequest::new(["true"]), SIZE)).await.unwrap();
    assert_eq!(in_time(session.wait()).await.unwrap(), 0);
}

#[tokio::test]
async fn codes_126_and_127_are_results_though_incus_calls_the_operation_failed() {
    let (fake, client) = start_with_container();
    fake.program("/etc/passwd", Program::NotExecuted(126));
    for (command, code) in [("/etc/passwd", 126), ("no-such-program", 127)] {
        let request = ExecRequest::new([command]);
        let output = in_time(client.instances().exec_output("c1", &request, b"")).await.unwrap();
        assert_eq!(output.code, code);
        let operation = client.instances().exec_detached("c1", &request).await.unwrap();
        let ended = in_time(operation.wait_end()).await.unwrap();
        assert!(!ended.err.is_empty());
        assert_eq!(exit_code(ended).unwrap(), code);
    }
}

#[tokio::test]
async fn an_exec_that_never_ran_is_an_error_and_no_code() {
    let (fake, client) = start_with_container();
    fake.program("x", Program::Broken("Failed to retrieve PID of executing child process".into()));
    let error =
        in_time(client.instances().exec_output("c1", &ExecRequest::new(["x"]), b"")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OperationFailed);
}

#[tokio::test]
async fn a_terminal_has_one_stream_a_size_and_ends_by_control_d() {
    let (fake, client) = start_with_container();
    let request = ExecRequest::new(["cat"]);
    let mut session = client.instances().exec_interactive("c1", &request, SIZE).await.unwrap();
    assert!(session.stderr.is_none());
    session.control.resize(TerminalSize { width: 132, height: 43 }).await;
    fake.until(|fake| !fake.execs()[0].resizes.is_empty()).await;
    session.stdin.write_all(b"hello\x04").await.unwrap();
    assert_eq!(in_time(session.stdout.read_to_end(1000)).await.unwrap(), "hello");
    assert_eq!(in_time(session.wait()).await.unwrap(), 0);
    let body = fake.requests_of(&route("POST", "/1.0/instances/c1/exec"))[0].json();
    assert_eq!(
        (&body["interactive"], &body["width"], &body["height"]),
        (&true.into(), &80.into(), &24.into())
    );
    let log = &fake.execs()[0];
    assert_eq!(log.resizes, [("132".to_owned(), "43".to_owned())]);
}

#[tokio::test]
async fn waiting_reads_what_was_not_read_and_closes_the_terminal_so_that_the_operation_ends() {
    let (fake, client) = start_with_container();
    let program = Program::Output { stdout: vec![b'x'; 1 << 20], stderr: Vec::new(), code: 7 };
    fake.program("flood", program);
    let request = ExecRequest::new(["flood"]);
    let session = client.instances().exec_interactive("c1", &request, SIZE).await.unwrap();
    assert_eq!(in_time(session.wait()).await.unwrap(), 7);
    let session = client.instances().exec("c1", &request).await.unwrap();
    assert_eq!(in_time(session.wait()).await.unwrap(), 7);
}

#[tokio::test]
async fn a_signal_reaches_the_command_and_its_death_is_128_and_the_number() {
    let (fake, client) = start_with_container();
    let session = client.instances().exec("c1", &ExecRequest::new(["sleep", "1000"])).await.unwrap();
    session.control.signal(15).await;
    assert_eq!(in_time(session.wait()).await.unwrap(), 143);
    assert_eq!(fake.execs()[0].signals, [15]);
}

#[tokio::test]
async fn dropping_the_session_kills_the_command() {
    let (fake, client) = start_with_container();
    let session = client.instances().exec("c1", &ExecRequest::new(["sleep", "1000"])).await.unwrap();
    drop(session);
    fake.until(|fake| fake.execs()[0].killed).await;
}

#[tokio::test]
async fn a_clone_of_the_control_keeps_the_command_alive() {
    let (fake, client) = start_with_container();
    let session = client.instances().exec("c1", &ExecRequest::new(["sleep", "1000"])).await.unwrap();
    let (control, operation) = (session.control.clone(), session.operation().clone());
    drop(session);
    control.signal(9).await;
    assert_eq!(exit_code(in_time(operation.wait_end()).await.unwrap()).unwrap(), 137);
    assert!(!fake.execs()[0].killed);
}

#[tokio::test]
async fn output_beyond_the_limit_is_refused_and_the_command_killed() {
    let (fake, client) = start_with_container();
    let session = client.instances().exec("c1", &ExecRequest::new(["cat"])).await.unwrap();
    let error = in_time(session.communicate(&[b'x'; 200_000], 100_000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    fake.until(|fake| fake.execs()[0].killed || fake.execs()[0].code.is_some()).await;
}

#[tokio::test]
async fn a_command_that_does_not_read_its_input_is_no_error() {
    let (_fake, client) = start_with_container();
    let input = vec![b'x'; 4 << 20];
    let output =
        in_time(client.instances().exec_output("c1", &ExecRequest::new(["echo", "hi"]), &input)).await;
    let output = output.unwrap();
    assert_eq!((output.code, &output.stdout[..]), (0, &b"hi\n"[..]));
}

#[tokio::test]
async fn output_that_breaks_off_is_no_end_of_output() {
    let (fake, client) = start_with_container();
    let mut session = client.instances().exec("c1", &ExecRequest::new(["cat"])).await.unwrap();
    session.stdin.write_all(b"half").await.unwrap();
    assert_eq!(in_time(session.stdout.next()).await.unwrap().unwrap(), "half");
    fake.restart();
    let error = in_time(session.stdout.next()).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    assert_eq!(in_time(session.wait()).await.unwrap_err().kind(), ErrorKind::Unknown);
}

#[tokio::test]
async fn a_detached_command_needs_no_sockets_and_still_tells_its_code() {
    let (fake, client) = start_with_container();
    let operation = client.instances().exec_detached("c1", &ExecRequest::new(["false"])).await.unwrap();
    assert_eq!(in_time(operation.wait()).await.unwrap().exit_code(), Some(1));
    let body = fake.requests_of(&route("POST", "/1.0/instances/c1/exec"))[0].json();
    assert_eq!(body["wait-for-websocket"], false);
    assert_eq!(body.get("record-output"), None);
}

#[tokio::test]
async fn recorded_output_is_read_and_then_deleted() {
    let (fake, client) = start_with_container();
    let program = Program::Output { stdout: b"out".to_vec(), stderr: b"err".to_vec(), code: 3 };
    fake.program("job", program);
    let output = in_time(client.instances().exec_recorded("c1", &ExecRequest::new(["job"]))).await.unwrap();
    assert_eq!((output.code, &output.stdout[..], &output.stderr[..]), (3, &b"out"[..], &b"err"[..]));
    let deleted = fake.requests_of(&route("DELETE", "/1.0/instances/c1/logs/exec-output/*"));
    assert_eq!(deleted.len(), 2);
}

#[tokio::test]
async fn a_stopped_instance_executes_nothing() {
    let (fake, client) = start_with_container();
    fake.add_instance(serde_json::json!({"name": "c2"}));
    let error = client.instances().exec("c2", &ExecRequest::new(["true"])).await.unwrap_err();
    assert_eq!(error.status(), Some(400));
}
