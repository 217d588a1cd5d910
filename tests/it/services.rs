//! Whether the servers that tests may use are there. Stores and tiers that need them bring their own tests.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support;

/// Connects to the server that the variable names, or says that the test is skipped.
fn connect(variable: &str) -> Option<TcpStream> {
    let url = support::service(variable)?;
    let address = url.split("://").nth(1).unwrap().rsplit('@').next().unwrap();
    let stream = TcpStream::connect(address.split('/').next().unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    Some(stream)
}

#[test]
fn redis_answers_where_it_is_named() {
    let Some(mut redis) = connect("BEDPLATE_REDIS_URL") else {
        return;
    };
    redis.write_all(b"*1\r\n$4\r\nPING\r\n").unwrap();
    let mut answer = [0; 7];
    redis.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[test]
fn postgres_answers_where_it_is_named() {
    let Some(mut postgres) = connect("BEDPLATE_POSTGRES_URL") else {
        return;
    };
    // SSLRequest: length 8, code 80877103; a PostgreSQL server answers with one letter, S or N.
    postgres.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
    let mut answer = [0; 1];
    postgres.read_exact(&mut answer).unwrap();
    assert!(matches!(&answer, b"S" | b"N"), "{answer:?}");
}
