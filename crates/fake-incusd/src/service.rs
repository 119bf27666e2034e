//! HTTP: connections, faults, records.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use crate::Core;
use crate::answer::{Answer, error_envelope};
use crate::fault::Fault;
use crate::handlers;
use crate::record::{RecordedRequest, read_query};
use crate::socket;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Accepts connections until it is stopped.
pub(crate) async fn accept(
    core: Arc<Core>,
    listener: std::os::unix::net::UnixListener,
    mut stopped: watch::Receiver<bool>,
) {
    let Ok(listener) = UnixListener::from_std(listener) else { return };
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    core.world().connections += 1;
                    core.changed();
                    tokio::spawn(serve(Arc::clone(&core), stream));
                }
                Err(_) => return,
            },
        }
    }
}

/// Serves one connection until it ends or is cut.
async fn serve(core: Arc<Core>, stream: UnixStream) {
    let mut generation = core.generation.subscribe();
    let service = service_fn({
        let core = Arc::clone(&core);
        move |request| respond(Arc::clone(&core), request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        // Its error is a fault that was asked for, or a client that went away.
        _ = connection => {}
        _ = generation.changed() => {}
    }
}

/// The connection is to end without an answer.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped on demand")
    }
}

impl std::error::Error for Dropped {}

async fn respond(core: Arc<Core>, mut request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
    let recorded = record(&mut request).await.map_err(|_| Dropped)?;
    let fault = {
        let mut world = core.world();
        world.requests.push(recorded.clone());
        let due: Vec<_> =
            world.faults.iter_mut().map(|fault| fault.due(&recorded.method, &recorded.path)).collect();
        due.into_iter().flatten().next()
    };
    core.changed();
    let answer = match &fault {
        Some(Fault::Drop) => return Err(Dropped),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Status(status, text)) => Some(Answer::error(*status, text)),
        Some(Fault::NoJson(status, text)) => Some(Answer::raw(*status, text.as_bytes())),
        Some(Fault::PreconditionFailed) => Some(Answer::error(412, "Precondition failed")),
        Some(Fault::ErrorAfter200(code, text)) => Some(Answer::json(200, &error_envelope(*code, text))),
        Some(Fault::HugeReply(size)) => Some(Answer::raw(200, vec![b' '; *size])),
        Some(Fault::Delay(delay)) => {
            tokio::time::sleep(*delay).await;
            None
        }
        Some(Fault::Hold(gate)) => {
            gate.passed().await;
            None
        }
        Some(Fault::DropAfter | Fault::HalfReply) | None => None,
    };
    if answer.is_none() && fault.is_none() && request.headers().contains_key(http::header::UPGRADE) {
        return Ok(socket::upgrade(&core, request, &recorded).await.map_or_else(whole, |response| {
            response.map(|()| Full::default().map_err(never).boxed_unsync())
        }));
    }
    let answer = match answer.or_else(|| programmed(&core, &recorded)) {
        Some(answer) => answer,
        None => handlers::handle(&core, &recorded).await,
    };
    core.changed();
    match fault {
        Some(Fault::DropAfter) => Err(Dropped),
        Some(Fault::HalfReply) => Ok(half(answer)),
        _ => Ok(whole(answer)),
    }
}

fn programmed(core: &Core, request: &RecordedRequest) -> Option<Answer> {
    let mut world = core.world();
    let found = world
        .answers
        .iter()
        .position(|(route, left, _)| *left != Some(0) && route.matches(&request.method, &request.path))?;
    let (_, left, answer) = &mut world.answers[found];
    if let Some(left) = left {
        *left -= 1;
    }
    Some(answer.clone())
}

async fn record(request: &mut Request<Incoming>) -> Result<RecordedRequest, hyper::Error> {
    let body = request.body_mut().collect().await?.to_bytes().to_vec();
    let headers: BTreeMap<_, _> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    Ok(RecordedRequest {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: read_query(request.uri().query().unwrap_or_default()),
        headers,
        body,
    })
}

fn never(never: Infallible) -> io::Error {
    match never {}
}

fn head(answer: &Answer) -> http::response::Builder {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name, HeaderValue::from_str(value).ok()?)))
        .fold(Response::builder().status(status), |builder, (name, value)| builder.header(name, value))
}

fn whole(answer: Answer) -> Response<Body> {
    let head = head(&answer);
    head.body(Full::from(answer.body).map_err(never).boxed_unsync())
        .expect("the parts were checked one by one")
}

/// The whole length is announced, half of it is sent, then the connection breaks.
fn half(answer: Answer) -> Response<Body> {
    let head = head(&answer).header(http::header::CONTENT_LENGTH, answer.body.len());
    let first = Bytes::copy_from_slice(&answer.body[..answer.body.len() / 2]);
    let frames = stream::unfold(Some(first), |first| async move {
        match first {
            Some(first) => Some((Ok(Frame::data(first)), None)),
            None => {
                // Lets the first half leave before the break.
                for _ in 0..8 {
                    tokio::task::yield_now().await;
                }
                Some((Err(io::Error::other("broken on demand")), None))
            }
        }
    });
    head.body(StreamBody::new(frames).boxed_unsync()).expect("the parts were checked one by one")
}
