//! Samples for each rule: bad code that it must find, and good code that it must accept.

use super::*;

/// The findings of `rule` in a file with this name and text.
fn found(rule: fn(&Source) -> Vec<String>, name: &str, text: &str) -> Vec<String> {
    rule(&Source::new(name, text))
}

#[test]
fn an_import_against_the_layer_order_is_found_however_it_is_written() {
    for (name, text) in [
        ("base/time.rs", "\nuse crate::kernel::Token;"),
        ("base/time.rs", "\nuse crate::{kernel};"),
        (
            "base/time.rs",
            "\nuse crate::{limits::KIB, kernel::{Token, Interest}};",
        ),
        ("base/time.rs", "\nuse super::super::kernel::Token;"),
        ("base/mod.rs", "\nuse super::kernel;"),
        ("base/mod.rs", "\nfn f() { crate::kernel::f() }"),
        ("base/mod.rs", "\npub(in crate::kernel) fn f() {}"),
    ] {
        let expected = format!("src/{name}:2: base may not import kernel");
        assert_eq!(found(imports_go_one_way, name, text), [expected], "{text}");
    }
    for (name, text, finding) in [
        (
            "base/mod.rs",
            "use crate::*;",
            "src/base/mod.rs:1: base may not import *",
        ),
        (
            "main.rs",
            "use mynah::sys::epoll;",
            "src/main.rs:1: main may not import sys",
        ),
        (
            "server/pump.rs",
            "use crate::sys;",
            "src/server/pump.rs:1: server may not import sys",
        ),
        (
            "load/run.rs",
            "use crate::protocol::service::Echo;",
            "src/load/run.rs:1: load may not import protocol",
        ),
        ("util.rs", "", "src/util.rs:1: util is no layer"),
    ] {
        assert_eq!(found(imports_go_one_way, name, text), [finding]);
    }
}

#[test]
fn a_name_of_the_host_below_the_seam_is_found() {
    let rule = the_host_stays_outside_the_seam;
    for (name, text) in [
        ("server/pump.rs", "\nuse crate::kernel::host;"),
        (
            "workers/mod.rs",
            "\nuse crate::kernel::{Time, host::affinity};",
        ),
        (
            "client/mod.rs",
            "\nfn f() { crate::kernel::host::proc(1); }",
        ),
    ] {
        let layer = name.split('/').next().expect("a folder");
        let expected = format!("src/{name}:2: {layer} may not know the host");
        assert_eq!(found(rule, name, text), [expected], "{text}");
    }
    for (name, text) in [
        (
            "load/run/observe/mod.rs",
            "\nlet text = read(\"/proc/stat\");",
        ),
        ("kernel/outlet.rs", "\nlet text = read(\"/sys/kernel\");"),
    ] {
        let expected = format!("src/{name}:2: only kernel::host names /proc and /sys");
        assert_eq!(found(rule, name, text), [expected], "{text}");
    }
    for (name, text) in [
        ("load/run/observe/mod.rs", "use crate::kernel::host;"),
        (
            "server/pump.rs",
            "// crate::kernel::host, /proc/stat, \"/proc/stat\"",
        ),
        ("kernel/host.rs", "let text = read(\"/proc/stat\");"),
        ("sys/fd/file.rs", "let text = read(\"/proc/self/fd\");"),
        (
            "kernel/outlet.rs",
            "mod tests {\nlet text = read(\"/proc/self/fdinfo\");\n}",
        ),
    ] {
        assert_eq!(found(rule, name, text), [""; 0], "{text}");
    }
}

#[test]
fn an_import_in_the_layer_order_is_not_found() {
    for (name, text) in [
        ("lib.rs", "pub mod base;\npub use crate::kernel::Token;"),
        (
            "kernel/token.rs",
            "//! use crate::server;\nuse super::Event;\nuse crate::sys::epoll;",
        ),
        ("kernel/mod.rs", "mod tests {\n    use super::*;\n}"),
        (
            "server/pump.rs",
            "use crate::{base::Buffer, protocol::connection::Connection};\n/* crate::sys */",
        ),
        ("load/run.rs", "use crate::protocol::framing::Framing;"),
        (
            "base/time.rs",
            "const A: &str = \"crate::kernel\"; const B: &str = r#\"crate::\"kernel\"#;",
        ),
    ] {
        assert_eq!(found(imports_go_one_way, name, text), [""; 0], "{text}");
    }
}

#[test]
fn a_layer_of_bytes_that_knows_more_is_found() {
    for text in [
        "use std::net::TcpStream;",
        "use std::{io, net::{self, Ipv4Addr}};",
        "use std::os::fd::OwnedFd;",
        "use std::time::{Duration, Instant};",
        "use std::time::*;",
        "fn f() { std::time::SystemTime::now(); }",
        "fn f<'a>(_: &'a str) { unsafe { libc::close(0) } }",
    ] {
        let findings = found(
            bytes_layers_know_only_bytes,
            "protocol/framing/line.rs",
            text,
        );
        assert!(
            findings.len() == 1 && findings[0].starts_with("src/protocol/framing/line.rs:1: "),
            "{text}"
        );
        assert_eq!(
            found(bytes_layers_know_only_bytes, "kernel/linux/mod.rs", text),
            [""; 0],
            "{text}"
        );
    }
    let prose =
        "//! No libc, no Instant.\nuse std::time::Duration;\nconst A: char = '\"'; // std::net";
    assert_eq!(
        found(
            bytes_layers_know_only_bytes,
            "protocol/connection/mod.rs",
            prose
        ),
        [""; 0]
    );
    assert_eq!(
        found(
            bytes_layers_know_only_bytes,
            "protocol/connection/mod.rs",
            "log::info!(\"\");"
        )
        .len(),
        1
    );
}

#[test]
fn unsafe_without_a_reason_or_outside_sys_is_found() {
    let rule = unsafe_has_one_home_and_a_reason;
    let reason = "fn f() {\n// SAFETY: it is ours.\n// Always.\nlet a =\nunsafe { g() };\n}";
    assert_eq!(found(rule, "sys/epoll.rs", reason), [""; 0]);
    assert_eq!(
        found(rule, "kernel/linux/mod.rs", reason),
        ["src/kernel/linux/mod.rs:5: unsafe outside sys"]
    );
    let allow = found(rule, "lib.rs", "#[allow(unsafe_code)]\nmod sys;");
    assert_eq!(allow, ["src/lib.rs:1: only sys may allow unsafe_code"]);
    let bare =
        "// SAFETY: of another.\nunsafe { g() };\nunsafe { g() };\n\nunsafe impl Send for A {}";
    let what = "no SAFETY comment before unsafe";
    let expected = [3, 5].map(|line| format!("src/sys/mod.rs:{line}: {what}"));
    assert_eq!(found(rule, "sys/mod.rs", bare), expected);
    assert_eq!(
        found(rule, "sys/mod.rs", "/// unsafe { }\nunsafe fn f() {}"),
        [""; 0]
    );
}

#[test]
fn an_unwrap_is_found_where_it_is_not_a_test() {
    let text = "fn f() {\na.unwrap_or(1);\na.unwrap();\n}\nmod tests {\nfn f() { a.unwrap() }\n}";
    let expected = ["src/run.rs:3: unwrap() outside of tests"];
    assert_eq!(found(nothing_is_unwrapped, "run.rs", text), expected);
    assert_eq!(
        found(nothing_is_unwrapped, "options/tests.rs", "f().unwrap()"),
        [""; 0]
    );
    assert_eq!(
        found(nothing_is_unwrapped, "run.rs", "map(Option::unwrap)").len(),
        1
    );
}

#[test]
fn a_wide_line_is_found() {
    let wide = format!(
        "\n{}\n{}",
        "é".repeat(COLUMNS_MAX),
        "é".repeat(COLUMNS_MAX + 1)
    );
    assert_eq!(
        found(lines_are_short, "run.rs", &wide),
        ["src/run.rs:3: 101 columns"]
    );
}

#[test]
fn a_dependency_is_found_and_cannot_hide() {
    let manifest = "[dependencies]\nlog = \"0.4\"\n# libc\n\
                    rustls = { version = \"1\", optional = true }\n\
                    [dev-dependencies]\nproptest = \"1\"\n";
    let expected = vec![("log".to_owned(), false), ("rustls".to_owned(), true)];
    assert_eq!(dependencies(manifest), Ok(expected));
    for header in [
        "[dependencies.mio]",
        "[target.'cfg(unix)'.dependencies]",
        "[build-dependencies]",
    ] {
        assert!(dependencies(header).is_err(), "{header}");
    }
}
