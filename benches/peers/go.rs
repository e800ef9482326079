//! Package net of Go, which is compiled for each run: golang-go from Debian's packages, or another.

use std::fs;
use std::process::Command;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/go/echo.go");
const FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/go");

/// The command of the server, without its port, after it was compiled.
pub(crate) fn compile() -> Result<String, String> {
    fs::create_dir_all(FOLDER).map_err(|error| format!("{FOLDER}: {error}"))?;
    let program = format!("{FOLDER}/echo");
    let compiler = Command::new("go")
        .args(["build", "-o", &program, SOURCE])
        .current_dir(FOLDER)
        .envs([("GOCACHE", FOLDER), ("GO111MODULE", "off")])
        .output()
        .map_err(|error| format!("go: {error}: apt-get install golang-go"))?;
    match compiler.status.success() {
        true => Ok(format!("'{program}'")),
        false => Err(String::from_utf8_lossy(&compiler.stderr).into_owned()),
    }
}
