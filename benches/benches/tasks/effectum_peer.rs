use std::path::Path;
use std::process::{Command, Stdio};

use crate::Fail;
use crate::measure::Measured;

/// Builds the program in `benches/effectum` if it is not built yet, and runs one round of it.
pub(crate) fn sqlite(smoke: bool) -> Result<Measured, Fail> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("effectum");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--release", "--locked", "--manifest-path"]).arg(package.join("Cargo.toml"));
    // The build is no part of what is measured: it is over before the program begins to take the time.
    let output = cargo.arg("--").args(smoke.then_some("--smoke")).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("benches/effectum ended with {}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let figures: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let figures = figures.try_into().map_err(|_| format!("benches/effectum printed {text:?} and not seven figures"))?;
    Ok(Measured::of(figures))
}
