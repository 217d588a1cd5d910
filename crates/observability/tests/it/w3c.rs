//! The 41 cases of the W3C's own harness for Trace Context (github.com/w3c/trace-context, test/test.py, level 2 strict),
//! as a table of ours: each is sent over TCP to a service with our server layer and client, and what the service sends
//! on is looked at.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::routing::post;
use axum::{Json, Router};
use bedplate_observability::Observability;
use bedplate_observability::http::{RequestBuilderExt as _, ServerLayer};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const TRACE: &str = "12345678901234567890123456789012";
const PARENT: &str = "1234567890123456";

/// One request to the service and what must come out.
struct Step {
    headers: Vec<(&'static str, String)>,
    calls: usize,
    trace: Trace,
    state: State,
}

enum Trace {
    Any,
    /// The caller's trace goes on, under new parents.
    Kept,
    /// Neither of the caller's.
    Fresh,
    /// As kept, with the random flag.
    Random,
}

enum State {
    Any,
    /// None of the caller's is sent on.
    Dropped,
    /// These members, in this order, and no others.
    Is(String),
}

/// A step with this traceparent alone.
fn parent(traceparent: impl Into<String>, trace: Trace) -> Step {
    Step { headers: vec![("traceparent", traceparent.into())], calls: 1, trace, state: State::Any }
}

fn kept(traceparent: impl Into<String>) -> Step {
    parent(traceparent, Trace::Kept)
}

fn fresh(traceparent: impl Into<String>) -> Step {
    parent(traceparent, Trace::Fresh)
}

/// A step with a good traceparent and these tracestate lines.
fn state<const N: usize>(lines: [&str; N], state: State) -> Step {
    let mut step = kept(good("00"));
    step.headers.extend(lines.map(|line| ("tracestate", line.to_owned())));
    Step { state, ..step }
}

fn passes<const N: usize>(lines: [&str; N], expected: &str) -> Step {
    state(lines, State::Is(expected.to_owned()))
}

fn dropped<const N: usize>(lines: [&str; N]) -> Step {
    state(lines, State::Dropped)
}

fn good(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

fn named(name: &'static str, value: impl Into<String>, trace: Trace) -> Step {
    Step { headers: vec![(name, value.into())], calls: 1, trace, state: State::Any }
}

/// A good traceparent, and a tracestate under this name.
fn state_named(name: &'static str, expected: State) -> Step {
    let mut step = kept(good("00"));
    step.headers.push((name, "foo=1".to_owned()));
    Step { state: expected, ..step }
}

fn times(calls: usize, step: Step) -> Step {
    Step { calls, ..step }
}

fn traceparent_cases() -> Vec<(&'static str, Vec<Step>)> {
    let none = || Step { headers: Vec::new(), calls: 1, trace: Trace::Any, state: State::Dropped };
    let twice = || {
        let first = format!("00-12345678901234567890123456789011-{PARENT}-01");
        vec![("traceparent", first), ("traceparent", good("01"))]
    };
    vec![
        ("both_traceparent_and_tracestate_missing", vec![none()]),
        ("traceparent_included_tracestate_missing", vec![kept(good("01"))]),
        ("traceparent_duplicated", vec![Step { headers: twice(), ..fresh("") }]),
        (
            "traceparent_header_name",
            ["trace-parent", "trace.parent"].map(|name| named(name, good("01"), Trace::Fresh)).into(),
        ),
        (
            "traceparent_header_name_valid_casing",
            ["TraceParent", "TrAcEpArEnT", "TRACEPARENT"].map(|name| named(name, good("01"), Trace::Kept)).into(),
        ),
        (
            "traceparent_version_0x00",
            [".", "-what-the-future-will-be-like"].map(|rest| fresh(good("01") + rest)).into(),
        ),
        (
            "traceparent_version_0xcc",
            vec![
                kept(format!("cc-{TRACE}-{PARENT}-01")),
                kept(format!("cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like")),
                fresh(format!("cc-{TRACE}-{PARENT}-01.what-the-future-will-be-like")),
            ],
        ),
        ("traceparent_version_0xff", vec![fresh(format!("ff-{TRACE}-{PARENT}-01"))]),
        ("traceparent_version_illegal_characters", version([".0", "0."])),
        ("traceparent_version_too_long", version(["000", "0000"])),
        ("traceparent_version_too_short", version(["0"])),
        ("traceparent_trace_id_all_zero", trace_id(["00000000000000000000000000000000"])),
        (
            "traceparent_trace_id_illegal_characters",
            trace_id([".2345678901234567890123456789012", "1234567890123456789012345678901."]),
        ),
        ("traceparent_trace_id_too_long", trace_id(["123456789012345678901234567890123"])),
        ("traceparent_trace_id_too_short", trace_id(["1234567890123456789012345678901"])),
        ("traceparent_parent_id_all_zero", parent_id(["0000000000000000"])),
        ("traceparent_parent_id_illegal_characters", parent_id([".234567890123456", "123456789012345."])),
        ("traceparent_parent_id_too_long", parent_id(["12345678901234567"])),
        ("traceparent_parent_id_too_short", parent_id(["123456789012345"])),
        ("traceparent_trace_flags_illegal_characters", [".0", "0."].map(|flags| fresh(good(flags))).into()),
        ("traceparent_trace_flags_too_long", vec![fresh(good("001"))]),
        ("traceparent_trace_flags_too_short", vec![fresh(good("1"))]),
        (
            "traceparent_ows_handling",
            [(" ", ""), ("\t", ""), ("", " "), ("", "\t"), ("\t ", " \t")]
                .map(|(before, after)| kept(format!("{before}{}{after}", good("01"))))
                .into(),
        ),
    ]
}

fn version<const N: usize>(versions: [&str; N]) -> Vec<Step> {
    versions.map(|version| fresh(format!("{version}-{TRACE}-{PARENT}-01"))).into()
}

fn trace_id<const N: usize>(ids: [&str; N]) -> Vec<Step> {
    ids.map(|id| fresh(format!("00-{id}-{PARENT}-01"))).into()
}

fn parent_id<const N: usize>(ids: [&str; N]) -> Vec<Step> {
    ids.map(|id| fresh(format!("00-{TRACE}-{id}-01"))).into()
}

fn tracestate_cases() -> Vec<(&'static str, Vec<Step>)> {
    let orphan = |line: &str| Step { state: State::Dropped, ..named("tracestate", line, Trace::Any) };
    let key = "abcdefghijklmnopqrstuvwxyz0123456789_-*/";
    let value: String = (0x20_u8..=0x7e).map(char::from).filter(|c| !matches!(c, ',' | '=')).collect();
    let (plain, vendor) = (format!("{key}={value}"), format!("{key}@a-z0-9_-*/={value}"));
    let line = |range: std::ops::RangeInclusive<u32>| {
        range.map(|index| format!("bar{index:02}={index:02}")).collect::<Vec<_>>().join(",")
    };
    let (tens, last) = ([line(1..=10), line(11..=20), line(21..=30)], [line(31..=32), line(31..=33)]);
    let long = |length: usize| format!("{}=1", "z".repeat(length));
    let tenant = format!("{}@{}=1", "t".repeat(241), "v".repeat(14));
    vec![
        ("tracestate_included_traceparent_missing", vec![orphan("foo=1"), orphan("foo=1,bar=2")]),
        ("tracestate_included_traceparent_included", vec![passes(["foo=1,bar=2"], "foo=1,bar=2")]),
        ("tracestate_header_name", ["trace-state", "trace.state"].map(|name| state_named(name, State::Dropped)).into()),
        (
            "tracestate_header_name_valid_casing",
            ["TraceState", "TrAcEsTaTe", "TRACESTATE"]
                .map(|name| state_named(name, State::Is("foo=1".to_owned())))
                .into(),
        ),
        (
            "tracestate_empty_header",
            vec![dropped([""]), passes(["foo=1", ""], "foo=1"), passes(["", "foo=1"], "foo=1")],
        ),
        (
            "tracestate_multiple_headers_different_keys",
            vec![passes(["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3")],
        ),
        (
            "tracestate_duplicated_keys",
            vec![
                dropped(["foo=1,foo=1"]),
                dropped(["foo=1,foo=2"]),
                dropped(["foo=1", "foo=1"]),
                dropped(["foo=1", "foo=2"]),
            ],
        ),
        ("tracestate_all_allowed_characters", vec![passes([&plain], &plain), passes([&vendor], &vendor)]),
        (
            "tracestate_ows_handling",
            vec![
                passes(["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
                passes(["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], "foo=1,bar=2,baz=3"),
                passes([" foo=1"], "foo=1"),
                passes(["\tfoo=1"], "foo=1"),
                passes(["foo=1 "], "foo=1"),
                passes(["foo=1\t"], "foo=1"),
                passes(["\t foo=1 \t"], "foo=1"),
            ],
        ),
        ("tracestate_key_illegal_characters", ["foo =1", "FOO=1", "foo.bar=1"].map(|line| dropped([line])).into()),
        ("tracestate_key_illegal_vendor_format", vec![dropped(["@foo=1,bar=2"])]),
        (
            "tracestate_member_count_limit",
            vec![
                passes([&tens[0], &tens[1], &tens[2], &last[0]], &line(1..=32)),
                dropped([&tens[0], &tens[1], &tens[2], &last[1]]),
            ],
        ),
        (
            "tracestate_key_length_limit",
            vec![
                passes(["foo=1", &long(256)], &format!("foo=1,{}", long(256))),
                dropped(["foo=1", &long(257)]),
                passes(["foo=1", &tenant], &format!("foo=1,{tenant}")),
            ],
        ),
        ("tracestate_value_illegal_characters", vec![dropped(["foo=bar=baz"]), dropped(["foo=,bar=3"])]),
    ]
}

fn several_calls_and_level_2() -> Vec<(&'static str, Vec<Step>)> {
    let zero = format!("00-00000000000000000000000000000000-{PARENT}-01");
    let none = Step { headers: Vec::new(), ..parent("", Trace::Any) };
    vec![
        ("multiple_requests_with_valid_traceparent", vec![times(3, kept(good("01")))]),
        ("multiple_requests_without_traceparent", vec![times(3, none)]),
        ("multiple_requests_with_illegal_traceparent", vec![times(3, fresh(zero))]),
        ("propagates_random_flag", vec![parent(good("02"), Trace::Random)]),
    ]
}

/// What was sent on, one entry for each call.
type Captured = Arc<Mutex<Vec<HeaderMap>>>;

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(tokio::spawn(async move { axum::serve(listener, router).await }));
    address
}

/// The harness's contract: POST each url with its arguments under the propagated context.
async fn act(client: reqwest::Client, actions: Value) -> StatusCode {
    for action in actions.as_array().into_iter().flatten() {
        let call = client.post(action["url"].as_str().unwrap()).json(&action["arguments"]);
        if call.traced().send().await.is_err() {
            return StatusCode::BAD_GATEWAY;
        }
    }
    StatusCode::OK
}

/// Sends the step's request as the bytes say, and returns what the service sent on.
async fn run(step: &Step, service: SocketAddr, callback: SocketAddr, captured: &Captured) -> Vec<HeaderMap> {
    captured.lock().unwrap().clear();
    let actions = vec![json!({"url": format!("http://{callback}/"), "arguments": []}); step.calls];
    let body = Value::from(actions).to_string();
    let mut request = format!(
        "POST /test HTTP/1.1\r\nhost: {service}\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n",
        body.len()
    );
    for (name, value) in &step.headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    request += "\r\n";
    request += &body;
    let mut stream = TcpStream::connect(service).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    captured.lock().unwrap().clone()
}

fn verify(step: &Step, sent: &[HeaderMap]) -> Result<(), String> {
    let mut parents = std::collections::BTreeSet::new();
    if sent.len() != step.calls {
        return Err(format!("{} calls", sent.len()));
    }
    for headers in sent {
        let values: Vec<_> = headers.get_all("traceparent").iter().collect();
        let [value] = values.as_slice() else { return Err(format!("{} traceparents", values.len())) };
        let fields: Vec<&str> = value.to_str().unwrap().split('-').collect();
        let [version, trace, parent, flags] = fields.as_slice() else { return Err(format!("{value:?}")) };
        let hex = |text: &str, digits| {
            text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
        if *version != "00" || !hex(trace, 32) || !hex(parent, 16) || !hex(flags, 2) || zero(trace) || zero(parent) {
            return Err(format!("{value:?} is no traceparent"));
        }
        let given = |trace: &str| step.headers.iter().any(|(_, value)| value.contains(trace));
        let right = match step.trace {
            Trace::Any => true,
            Trace::Kept => *trace == TRACE,
            Trace::Fresh => !given(trace),
            Trace::Random => *trace == TRACE && u8::from_str_radix(flags, 16).unwrap() & 2 == 2,
        };
        if !right || *parent == PARENT || !parents.insert((*parent).to_owned()) {
            return Err(format!("traceparent {value:?}"));
        }
        let states: Vec<&str> = headers.get_all("tracestate").iter().map(|value| value.to_str().unwrap()).collect();
        let states = states.join(",");
        match &step.state {
            State::Dropped if !states.is_empty() => return Err(format!("tracestate {states:?}")),
            State::Is(expected) if *expected != states => return Err(format!("tracestate {states:?}")),
            _ => {}
        }
    }
    Ok(())
}

#[tokio::test]
async fn w3c_harness() {
    // A new trace that belongs to the baseline says so in its tracestate; here none does, so that each step has one outcome.
    let traces = bedplate_observability::Traces::new().baseline(0.0);
    let telemetry = Observability::builder("w3c").traces(traces).build().unwrap();
    // The runtime has one thread, so this holds for the service's tasks as well.
    let _subscriber = tracing::dispatcher::set_default(&telemetry.dispatch());
    let captured = Captured::default();
    let keep = Arc::clone(&captured);
    let callback = serve(Router::new().fallback(async move |headers: HeaderMap| {
        keep.lock().unwrap().push(headers);
    }))
    .await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let test = post(async move |Json(actions): Json<Value>| act(client, actions).await);
    let layer = ServerLayer::new(&telemetry).unwrap();
    let service = serve(Router::new().route("/test", test).layer(layer)).await;

    let cases: Vec<_> =
        traceparent_cases().into_iter().chain(tracestate_cases()).chain(several_calls_and_level_2()).collect();
    let mut failures = Vec::new();
    for (name, steps) in &cases {
        let mut wrong = Vec::new();
        for step in steps {
            let sent = run(step, service, callback, &captured).await;
            wrong.extend(verify(step, &sent).err().map(|error| format!("{name}: {:?}: {error}", step.headers)));
        }
        failures.extend(wrong.first().cloned());
    }
    crate::show(format_args!("W3C {}/{}", cases.len() - failures.len(), cases.len()));
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(cases.len(), 41);
}
