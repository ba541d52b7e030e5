//! Clients that finish sending before they have their response.

mod support;

use std::io::Write;
use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use gateway_io::Driver;
use gateway_proxy::{ProxyConfig, Timeouts};
use gateway_testkit::http::Client;
use support::Gateway;
use support::backend::Backend;
use support::ir::Config;

on_every_driver![
    a_response_that_has_begun_is_delivered_to_its_end,
    a_response_that_begins_in_time_is_delivered,
    all_requests_before_the_end_are_served,
    a_client_that_finished_is_waited_for_no_longer_than_it_should,
    it_may_be_ended_at_once,
    a_reset_ends_the_exchange_at_once,
    the_oldest_of_too_many_is_ended,
    an_unfinished_request_is_none,
];

fn limits(half_close: Duration) -> ProxyConfig {
    ProxyConfig { timeouts: Timeouts { half_close, ..Timeouts::default() }, ..ProxyConfig::default() }
}

const LONG_TIME: Duration = Duration::from_secs(600);

/// A backend that responds to each request when it is told to.
fn on_command(response: &'static [&'static [u8]]) -> (Backend, Sender<()>) {
    let (go, going) = channel::<()>();
    let going: Mutex<Receiver<()>> = Mutex::new(going);
    let backend = Backend::start(move |mut exchange| {
        while exchange.request().is_some() {
            for part in response {
                if going.lock().unwrap().recv().is_err() || exchange.stream.write_all(part).is_err() {
                    return;
                }
            }
        }
    });
    (backend, go)
}

fn ask(gateway: &Gateway) -> Client {
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    client
}

fn finish(client: &Client) {
    client.stream().shutdown(Shutdown::Write).unwrap();
}

const WHOLE: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"];

fn a_response_that_has_begun_is_delivered_to_its_end(driver: Driver) {
    let (backend, go) = on_command(&[b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\none", b"two", b"six"]);
    // Also where one that has not begun would be ended at once.
    let gateway = Gateway::with(driver, &Config::to(backend.address()), limits(Duration::ZERO));
    let mut client = ask(&gateway);
    go.send(()).unwrap();
    let mut begun = [0; 1];
    client.stream().peek(&mut begun).unwrap();
    finish(&client);
    std::thread::sleep(Duration::from_millis(300));
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!(client.response().unwrap().text(), "onetwosix");
    assert!(client.at_end().unwrap());
}

fn a_response_that_begins_in_time_is_delivered(driver: Driver) {
    let (backend, go) = on_command(WHOLE);
    let gateway = Gateway::with(driver, &Config::to(backend.address()), limits(LONG_TIME));
    let mut client = ask(&gateway);
    finish(&client);
    gateway.until("the end to be seen", |counters| counters.half_closed == 1);
    go.send(()).unwrap();
    let response = client.response().unwrap();
    assert_eq!((response.text().as_str(), response.header("connection")), ("done", Some("close")));
    assert!(client.at_end().unwrap());
    gateway.until("its place to come back", |counters| counters.half_closed == 0);
}

fn all_requests_before_the_end_are_served(driver: Driver) {
    let backend = Backend::named("here");
    let gateway = Gateway::with(driver, &Config::to(backend.address()), limits(LONG_TIME));
    let mut client = gateway.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3)).unwrap();
    finish(&client);
    for _ in 0..3 {
        assert_eq!(client.response().unwrap().text(), "here");
    }
    assert!(client.at_end().unwrap());
}

fn a_client_that_finished_is_waited_for_no_longer_than_it_should(driver: Driver) {
    let (backend, _go) = on_command(WHOLE);
    let gateway = Gateway::with(driver, &Config::to(backend.address()), limits(Duration::from_millis(300)));
    let mut client = ask(&gateway);
    finish(&client);
    assert!(client.at_end().unwrap(), "nothing was said");
    assert_eq!(gateway.log_lines(1)[0]["reason"], "client_closed");
}

fn it_may_be_ended_at_once(driver: Driver) {
    let (backend, _go) = on_command(WHOLE);
    let gateway = Gateway::with(driver, &Config::to(backend.address()), limits(Duration::ZERO));
    let mut client = ask(&gateway);
    finish(&client);
    assert!(client.at_end().unwrap());
    assert_eq!(gateway.log_lines(1)[0]["reason"], "client_closed");
}

fn a_reset_ends_the_exchange_at_once(driver: Driver) {
    let (backend, _go) = on_command(WHOLE);
    let gateway = Gateway::with(driver, &Config::to(backend.address()), limits(LONG_TIME));
    let client = ask(&gateway);
    finish(&client);
    gateway.until("the end to be seen", |counters| counters.half_closed == 1);
    // SO_LINGER of no time: the close is a reset.
    socket_reset(client);
    gateway.until("the exchange to end", |counters| counters.active_requests == 0);
    assert_eq!(gateway.log_lines(1)[0]["reason"], "client_closed");
}

fn socket_reset(client: Client) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    nix::sys::socket::setsockopt(client.stream(), nix::sys::socket::sockopt::Linger, &linger).unwrap();
    drop(client);
}

fn the_oldest_of_too_many_is_ended(driver: Driver) {
    let (backend, go) = on_command(WHOLE);
    // Five in a hundred.
    let config = ProxyConfig { max_connections: 40, ..limits(LONG_TIME) };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), config);
    let mut clients: Vec<_> = (0..2)
        .map(|count| {
            let client = ask(&gateway);
            finish(&client);
            gateway.until("the end to be seen", |counters| counters.half_closed == count + 1);
            client
        })
        .collect();
    let third = ask(&gateway);
    finish(&third);
    assert!(clients[0].at_end().unwrap(), "the oldest one makes room");
    clients.push(third);
    // One for the oldest client's, which nobody waits for.
    (0..3).for_each(|_| go.send(()).unwrap());
    for client in &mut clients[1..] {
        assert_eq!(client.response().unwrap().text(), "done");
    }
}

fn an_unfinished_request_is_none(driver: Driver) {
    let backend = Backend::named("here");
    let gateway = Gateway::with(driver, &Config::to(backend.address()), limits(LONG_TIME));
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").unwrap();
    finish(&client);
    assert!(client.at_end().unwrap());
    assert_eq!(gateway.log_lines(1)[0]["reason"], "client_closed");
}
