//! What several tests need.

use std::io::Write as _;
use std::path::PathBuf;

use bedplate::{Bedplate, BedplateBuilder};
use bytes::Bytes;

/// The content of one of the examples' files.
pub(crate) fn asset(name: &str) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/assets").join(name);
    std::fs::read(path).unwrap().into()
}

pub(crate) async fn built(builder: BedplateBuilder) -> Bedplate {
    builder.build().await.unwrap()
}

/// Says on the standard error, past the test runner's capture, that a test did not run.
pub(crate) fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    writeln!(std::io::stderr(), "SKIPPED {test}: {why}").unwrap();
}

/// The address of a service, or `None` with a word on why the test is skipped; where services are required, a failure.
pub(crate) fn service(variable: &str) -> Option<String> {
    let url = std::env::var_os(variable).and_then(|url| url.into_string().ok());
    if url.is_none() {
        assert!(std::env::var_os("BEDPLATE_REQUIRE_SERVICES").is_none(), "{variable} is not set");
        skipped(&format!("{variable} is not set; scripts/services.sh up starts the services"));
    }
    url
}
