//! Traces through messages.

use std::collections::{BTreeMap, HashMap};

use bedplate_observability::messaging::{Correlation, Messaging};
use bedplate_observability::propagation::{B3, Baggage, Destination, Propagator, SpanBaggage as _};
use bedplate_observability::{Observability, SpanContext, SpanExt as _, SpanId, TraceFlags, TraceId};

fn within<T>(work: impl FnOnce() -> T) -> T {
    let telemetry = Observability::builder("test").build().unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch(), work)
}

#[test]
fn a_consumer_begins_a_trace_of_its_own_unless_asked_to_be_a_child() {
    within(|| {
        let (orders, propagator) = (Messaging::new("nats", "orders"), Propagator::default());
        let mut headers = HashMap::<String, String>::new();
        let sent = orders.send(&propagator, &mut headers).context().unwrap();
        assert_eq!(headers.len(), 1);
        let around = tracing::info_span!("consumer loop").entered();
        let linked = orders.process(&propagator, &headers, Correlation::Link).context().unwrap();
        let child = orders.process(&propagator, &headers, Correlation::Parent).context().unwrap();
        assert_ne!(linked.trace_id(), sent.trace_id());
        assert_ne!(linked.trace_id(), around.context().unwrap().trace_id());
        assert_eq!(child.trace_id(), sent.trace_id());
        assert_eq!(propagator.stats().injected, 1);
    });
}

#[test]
fn a_message_s_request_id_goes_on_and_what_is_not_allowed_does_not() {
    within(|| {
        let (orders, propagator) = (Messaging::new("nats", "orders"), Propagator::default());
        let outer = tracing::info_span!("request");
        let mut baggage = Baggage::new();
        assert!(baggage.insert("request_id", "r-1") && baggage.insert("user_id", "u-1"));
        assert!(outer.set_baggage(baggage));
        let mut headers = Vec::<(String, String)>::new();
        drop(outer.in_scope(|| orders.send(&propagator, &mut headers)));
        let sent: BTreeMap<String, String> = headers.into_iter().collect();
        assert_eq!(sent["baggage"], "request_id=r-1");
        let span = orders.process(&propagator, &sent, Correlation::Link);
        assert_eq!(span.baggage().unwrap().to_string(), "request_id=r-1");
    });
}

#[test]
fn a_batch_of_any_size_has_one_span() {
    within(|| {
        let (orders, propagator) = (Messaging::new("nats", "orders"), Propagator::default());
        let messages: Vec<BTreeMap<String, String>> = (0..200)
            .map(|_| {
                let mut headers = BTreeMap::new();
                drop(orders.send(&propagator, &mut headers));
                headers
            })
            .collect();
        let span = orders.process_batch(&propagator, &messages);
        assert!(span.context().is_some());
        // The 128 links are taken.
        let one_more = SpanContext::new(TraceId::random(), SpanId::random(), TraceFlags::NONE);
        assert!(!span.add_link(one_more));
        assert_eq!(propagator.stats().continued, 200);
    });
}

#[test]
fn strangers_get_the_trace_alone_and_old_headers_are_replaced() {
    within(|| {
        let propagator = Propagator::builder().trusted_hosts(["*.internal", "partner.example"]).build().unwrap();
        for (host, expected) in [
            ("db.internal", Destination::Trusted),
            ("PARTNER.example", Destination::Trusted),
            ("internal", Destination::Untrusted),
            ("evil-internal", Destination::Untrusted),
            ("partner.example.evil", Destination::Untrusted),
        ] {
            assert_eq!(propagator.destination(host), expected, "{host}");
        }
        let mut headers = BTreeMap::from([
            ("traceparent".to_owned(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
            ("TraceState".to_owned(), "a=1".to_owned()),
            ("Baggage".to_owned(), "request_id=r-1".to_owned()),
        ]);
        let caller = propagator.extract(&headers);
        let span = tracing::info_span!("request");
        assert!(span.set_parent(caller.context().unwrap()) && span.set_baggage(caller.baggage().clone()));
        assert!(propagator.inject(&span, Destination::Untrusted, &mut headers));
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["traceparent"]);
        assert!(!propagator.inject(&tracing::Span::none(), Destination::Trusted, &mut headers));
        assert!(headers.is_empty());
    });
}

#[test]
fn malformed_headers_are_counted_and_the_trace_begins_anew() {
    let propagator = Propagator::builder().b3(B3::ReadAndWrite).build().unwrap();
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let b3 = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1";
    let read = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        propagator.extract(&pairs).context().is_some()
    };
    assert!(read(&[("b3", b3)]));
    assert!(read(&[("traceparent", "00-"), ("b3", b3)]));
    assert!(!read(&[("b3", "x-y")]));
    assert!(!read(&[("b3", b3), ("b3", b3)]));
    assert!(!read(&[("traceparent", good), ("traceparent", good)]));
    assert!(read(&[("traceparent", good), ("tracestate", "="), ("baggage", "=,ok=1")]));
    assert!(read(&[("traceparent", good), ("tracestate", &"x".repeat(20_000))]));
    assert!(!read(&[]));
    let stats = propagator.stats();
    assert_eq!((stats.continued, stats.absent, stats.invalid_b3), (4, 4, 2));
    assert_eq!((stats.invalid_traceparent, stats.invalid_tracestate, stats.invalid_baggage), (2, 2, 1));
}

/// Ids become labels of log lines and headers of further calls.
#[test]
fn an_id_in_a_message_that_is_none_is_not_taken() {
    let telemetry = Observability::builder("test").build().unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        for (id, taken) in [("r-1", true), ("a%0Ab", false), ("%20", false), (&*"x".repeat(200), false)] {
            let headers = vec![("baggage".to_owned(), format!("request_id={id}"))];
            let span = Messaging::new("nats", "orders").process(&Propagator::default(), &headers, Correlation::Link);
            let found = span.in_scope(bedplate_observability::RequestContext::current);
            assert_eq!(found.request().is_some(), taken, "{id}");
        }
    });
}

#[test]
fn a_state_over_the_limit_is_cut_on_its_way_out() {
    let propagator = Propagator::builder().state_limit(512).build().unwrap();
    let members: Vec<String> = (0..32).map(|index| format!("k{index}={}", "v".repeat(40))).collect();
    let headers = vec![
        ("traceparent".to_owned(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        ("tracestate".to_owned(), members.join(",")),
    ];
    let context = propagator.extract(&headers).context().cloned().unwrap();
    let marked = context.with_state_member("ot", "th:8").unwrap();
    let mut out = BTreeMap::new();
    propagator.inject_context(Some(&marked), None, Destination::Trusted, &mut out);
    let state = &out["tracestate"];
    assert!(state.len() <= 512 && state.starts_with("ot=th:8,k0="), "{state}");
    assert_eq!(propagator.stats().truncated_tracestate, 1);
    for (field, built) in [
        ("propagation.state_limit", Propagator::builder().state_limit(100).build()),
        ("propagation.baggage", Propagator::builder().baggage(["no name"]).build()),
    ] {
        assert_eq!(built.unwrap_err().field, field);
    }
}

#[test]
fn the_wire_s_types_are_send_and_sync() {
    const fn check<T: Send + Sync + 'static>() {}
    check::<Propagator>();
    check::<Baggage>();
    check::<SpanContext>();
    check::<Messaging<'static>>();
    check::<bedplate_observability::anomaly::Anomalies>();
    check::<bedplate_observability::anomaly::Detector>();
    check::<bedplate_observability::Counter>();
    check::<bedplate_observability::Gauge>();
    check::<bedplate_observability::Histogram>();
    #[cfg(feature = "http")]
    check::<bedplate_observability::http::ClientSpan>();
    #[cfg(feature = "tower")]
    check::<bedplate_observability::http::ServerLayer>();
    #[cfg(feature = "reqwest")]
    {
        const fn send<T: Send>(_: &T) {}
        use bedplate_observability::http::RequestBuilderExt as _;
        send(&reqwest::Client::new().get("http://127.0.0.1").traced().send());
    }
}
