//! Copies of calls, over HTTP/2 to the mirror.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gateway_testkit::http2::backend::{Exchange, H2Backend, send as respond};
use gateway_testkit::http2::client::{connected, send};
use gateway_testkit::wait::{self, WAIT_TIMEOUT};
use http::Response;

use crate::common::{metric, with_gateway};
use crate::{backends, call, http};

const ROUTE: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: copied, namespace: team2}
spec:
  parentRefs: [{name: shared-gateway, namespace: ingress}]
  hostnames: [copied.example]
  rules:
    - filters:
        - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-rule, value: '1'}]}}
        - {type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 80}}}
      backendRefs: [{name: calls, port: 80}]
";

/// A copy: the method's path, its host, the field of the rule's filter, and the messages.
type Copied = (String, String, bool, Vec<u8>);

#[test]
fn calls_are_copied_to_a_mirror_over_http_2() {
    with_gateway("copied-calls", |_, running| {
        let _backends = backends::serve(running);
        let copies = Arc::<Mutex<Vec<Copied>>>::default();
        let seen = Arc::clone(&copies);
        let shadow = H2Backend::start(move |mut exchange: Exchange| {
            let seen = Arc::clone(&seen);
            async move {
                let Some((body, _)) = exchange.body().await else { return };
                let uri = exchange.request.uri();
                let host = uri.authority().map_or("", |authority| authority.as_str()).to_owned();
                let has_field = exchange.request.headers().contains_key("x-rule");
                seen.lock().unwrap().push((uri.path().to_owned(), host, has_field, body.to_vec()));
                let Ok(stream) = exchange.response.send_response(Response::new(()), false) else { return };
                let _ = respond(stream, "ignored".into(), None).await;
            }
        });
        let objects = [ROUTE.to_owned(), backends::service("shadow", shadow.address(), "kubernetes.io/h2c")];
        running.config.write("copied.yaml", &objects.join("---\n")).unwrap();
        const MESSAGES: [&[u8]; 2] = [b"\0\0\0\0\x02hi", b"\0\0\0\0\x02ho"];
        connected(http(), |mut client| async move {
            let end = Instant::now() + WAIT_TIMEOUT;
            loop {
                let request = call("http://copied.example/a.Echo/Ready");
                let response = send(&mut client, request, &[MESSAGES[0]], None).await.unwrap();
                if response.body == MESSAGES[0] {
                    break;
                }
                assert!(Instant::now() < end, "the route is not served: {response:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            for message in MESSAGES {
                let request = call("http://copied.example/a.Echo/Say");
                let response = send(&mut client, request, &[message], None).await.unwrap();
                assert_eq!((response.status.as_u16(), response.body.as_slice()), (200, message));
            }
        });
        for message in MESSAGES {
            let copied = ("/a.Echo/Say".to_owned(), "copied.example".to_owned(), true, message.to_vec());
            wait::until("a copy", || copies.lock().unwrap().contains(&copied).then_some(()));
        }
        let mirrored = || metric("sluice_mirrored_total", &[]) == copies.lock().unwrap().len() as f64;
        wait::until("the count", || mirrored().then_some(()));
    });
}
