//! Netty from Debian's packages: libnetty-java, and any JDK.
//!
//! `netty/Echo.java` is compiled for each run, which takes a second or two. If a package is
//! missing, the error names it.

use std::fs;
use std::path::Path;
use std::process::Command;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/netty/Echo.java");
const CLASSES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/netty");
const JARS: &str = "/usr/share/java";

const NEEDED: [&str; 6] = [
    "netty-buffer",
    "netty-codec",
    "netty-common",
    "netty-handler",
    "netty-resolver",
    "netty-transport",
];

/// Compiles the server and returns its command, without arguments.
pub(crate) fn compile() -> Result<String, String> {
    let mut path = String::new();
    for jar in NEEDED {
        let file = format!("{JARS}/{jar}.jar");
        if !Path::new(&file).exists() {
            return Err(format!("{file} is missing: apt-get install libnetty-java"));
        }
        path += &format!("{file}:");
    }
    fs::create_dir_all(CLASSES).map_err(|error| format!("{CLASSES}: {error}"))?;
    let compiler = Command::new("javac")
        .args(["-cp", &path, "-d", CLASSES, SOURCE])
        .output()
        .map_err(|error| format!("javac: {error}: apt-get install default-jdk-headless"))?;
    if !compiler.status.success() {
        return Err(String::from_utf8_lossy(&compiler.stderr).into_owned());
    }
    Ok(format!("java -cp '{path}{CLASSES}' Echo"))
}
