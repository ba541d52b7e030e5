//! Bytes in, the response, and the bytes that reached the backend, compared one by one (RFC 9110, RFC 9112).
//!
//! What must not be understood in two ways is refused and reaches nobody; what is valid is passed on, in one normal form.

mod backends;
mod bodies;
mod fields;
mod framing;
mod hosts;
mod lines;
mod paths;
mod pipelines;
mod spec;
#[path = "../support/mod.rs"]
mod support;
mod table;

use gateway_io::Driver;

on_every_driver![
    request_lines,
    field_lines,
    message_framing,
    hosts_and_authorities,
    request_bodies,
    request_paths,
    encoded_separators_by_a_flag,
    kept_separators_by_a_flag,
    kept_trailers_by_a_flag,
    what_follows_a_request,
    unfinished_requests_wait,
    common_cases,
    lying_backends,
];

fn request_lines(driver: Driver) {
    table::check(driver, &table::defaults(), lines::ROWS);
}

fn field_lines(driver: Driver) {
    table::check(driver, &table::defaults(), fields::ROWS);
}

fn message_framing(driver: Driver) {
    table::check(driver, &table::defaults(), framing::ROWS);
}

fn hosts_and_authorities(driver: Driver) {
    table::check(driver, &table::defaults(), hosts::ROWS);
}

fn request_bodies(driver: Driver) {
    table::check(driver, &table::defaults(), bodies::ROWS);
}

fn request_paths(driver: Driver) {
    table::check(driver, &table::defaults(), paths::ROWS);
}

fn encoded_separators_by_a_flag(driver: Driver) {
    table::check(driver, &table::no_encoded_separators(), paths::REFUSED_SEPARATORS);
}

fn kept_separators_by_a_flag(driver: Driver) {
    table::check(driver, &table::kept_separators(), paths::KEPT_SEPARATORS);
}

fn kept_trailers_by_a_flag(driver: Driver) {
    table::check(driver, &table::kept_trailers(), bodies::KEPT_TRAILERS);
}

fn what_follows_a_request(driver: Driver) {
    table::check(driver, &table::defaults(), pipelines::ROWS);
}

fn unfinished_requests_wait(driver: Driver) {
    table::check_unfinished(driver, spec::UNFINISHED);
}

fn common_cases(driver: Driver) {
    table::check(driver, &table::defaults(), spec::ROWS);
}

fn lying_backends(driver: Driver) {
    backends::check(driver);
}
