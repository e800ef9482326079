//! Netty from Debian's packages: libnetty-java, and any JDK.
//!
//! `netty/Echo.java` is compiled for each run, which takes a second or two. If a package is
//! missing, the error names it.
//!
//! Debian does not package the native library of the epoll transport. It is one call of a C
//! compiler over the files in `transport-native-unix-common/src/main/c` and
//! `transport-native-epoll/src/main/c` of the source package `netty`, with those two folders, and
//! the `include` and `include/linux` of the JDK, for headers: `-O3 -shared -fPIC -D_GNU_SOURCE`.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/netty/Echo.java");
const CLASSES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/netty");
const JARS: &str = "/usr/share/java";

const NEEDED: [&str; 8] = [
    "netty-buffer",
    "netty-codec",
    "netty-common",
    "netty-handler",
    "netty-resolver",
    "netty-transport",
    "netty-transport-native-epoll",
    "netty-transport-native-unix-common",
];

/// The folder of the native library, unless the variable names another: where Debian has those of
/// other packages.
const NATIVE: &str = "/usr/lib/jni";
const NATIVE_VARIABLE: &str = "NETTY_NATIVE";

/// The command of the server, without arguments, after it was compiled.
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
    let native = native_folder();
    Ok(format!(
        "java -Djava.library.path={native} -cp '{path}{CLASSES}' Echo"
    ))
}

fn native_folder() -> String {
    env::var(NATIVE_VARIABLE).unwrap_or_else(|_| NATIVE.to_owned())
}

/// Whether the epoll transport can be used.
pub(crate) fn find_native() -> Result<(), String> {
    let library = format!("libnetty_transport_native_epoll_{}.so", env::consts::ARCH);
    let file = format!("{}/{library}", native_folder());
    match Path::new(&file).exists() {
        true => Ok(()),
        false => Err(format!(
            "{file} is missing: benches/peers/netty.rs says how to make it, and {NATIVE_VARIABLE} \
             may name another folder"
        )),
    }
}
