//! Addresses as people type them, right and wrong.

use super::*;

fn tcp(text: &str) -> Endpoint {
    Endpoint::At(Address::Tcp(text.parse().expect("an address")))
}

fn refusal(input: &str) -> String {
    match parse(input) {
        Ok(parsed) => panic!("{input:?} was taken for {parsed:?}"),
        Err(reason) => reason,
    }
}

#[test]
fn a_port_alone_is_on_this_machine() {
    for (input, address) in [
        ("7007", "127.0.0.1:7007"),
        ("0", "127.0.0.1:0"),
        ("65535", "127.0.0.1:65535"),
        ("007", "127.0.0.1:7"),
        ("tcp://7007", "127.0.0.1:7007"),
    ] {
        assert_eq!(parse(input), Ok(tcp(address)), "{input}");
    }
}

#[test]
fn a_number_and_a_port_need_no_lookup() {
    for input in [
        "127.0.0.1:7",
        "0.0.0.0:0",
        "255.255.255.255:65535",
        "[::]:0",
        "[::1]:7007",
        "[fe80::1%3]:9",
    ] {
        assert_eq!(parse(input), Ok(tcp(input)));
        let long = format!("tcp://{input}");
        assert_eq!(parse(&long), Ok(tcp(input)));
    }
}

#[test]
fn a_scheme_may_be_written_in_any_case() {
    assert_eq!(parse("TCP://1.2.3.4:5"), Ok(tcp("1.2.3.4:5")));
    let datagrams = Address::Udp(([1, 2, 3, 4], 5).into());
    assert_eq!(parse("Udp://1.2.3.4:5"), Ok(Endpoint::At(datagrams)));
    let path = UnixName::Path("/Run/X".into());
    assert_eq!(parse("UNIX:/Run/X"), Ok(Endpoint::At(Address::Unix(path))));
}

#[test]
fn a_host_name_is_kept_for_a_later_lookup() {
    for host in [
        "localhost",
        "example.org",
        "a-b_c.d",
        "10.example",
        "0x7f.0xg",
        "localhost.",
        "ex\u{e4}mple",
    ] {
        for (scheme, carrier) in [("", Carrier::Tcp), ("udp://", Carrier::Udp)] {
            let name = HostName {
                host: host.to_owned(),
                port: 80,
                carrier,
            };
            let input = format!("{scheme}{host}:80");
            assert_eq!(parse(&input), Ok(Endpoint::Named(name)), "{input}");
        }
    }
    let error = "localhost:80".parse::<Address>().expect_err("a name");
    assert_eq!(error, "\"localhost\" is a host name; write its number");
}

#[test]
fn an_interface_is_a_name_or_a_number() {
    let lo = interface::number("lo").expect("every machine has it");
    let numbered = format!("[fe80::1%{lo}]:7");
    assert_eq!(parse("[fe80::1%lo]:7"), parse(&numbered));
    assert_eq!(parse(&numbered), Ok(tcp(&numbered)));
    let told = parse("udp://[fe80::1%lo]:7")
        .expect("an address")
        .to_string();
    assert_eq!(told, "udp://[fe80::1%lo]:7");
}

#[test]
fn an_address_to_connect_from_is_an_ip_address_without_a_port() {
    let lo = interface::number("lo").expect("every machine has it");
    let zoned = format!("[fe80::1%{lo}]:0");
    for (text, address) in [
        ("127.0.0.2", "127.0.0.2:0"),
        ("::1", "[::1]:0"),
        ("fe80::1%lo", &zoned),
    ] {
        let address = Address::Tcp(address.parse().expect("a socket address"));
        assert_eq!(source(text), Ok(address), "{text}");
    }
    for (text, told) in [
        (
            "",
            "\"\" is not an IP address; write one like 127.0.0.2 or ::1",
        ),
        (
            "x",
            "\"x\" is not an IP address; write one like 127.0.0.2 or ::1",
        ),
        (
            "[::1]",
            "\"[::1]\" is not an IP address; write one like 127.0.0.2 or ::1",
        ),
        (
            "127.0.0.1:7",
            "\"127.0.0.1:7\" is not an IP address; write one like 127.0.0.2 or ::1",
        ),
        (
            "fe80::1",
            "fe80::1 is link-local and needs its interface, such as fe80::1%eth0",
        ),
        (
            "fe80::1%x/y",
            "there is no interface \"x/y\"; ip link lists those of this machine",
        ),
    ] {
        assert_eq!(source(text), Err(told.to_owned()));
    }
}

#[test]
fn a_host_that_ends_in_a_number_is_a_dotted_quad_or_nothing() {
    let digits = "127.0.01 127.0.1 1 256.0.0.1 127.0.0.01 1.2.3.4.5 127.0.0.1. 1.. .. .";
    let hex = "0x7f.0.0.1 0x7f.1 0X7f.1. 0x7f000001 127.0.0.0x1 127.0.0.0X1. 0x a.0xF a.1";
    for host in digits.split(' ').chain(hex.split(' ')) {
        let reason = refusal(&format!("{host}:80"));
        assert!(
            reason.starts_with(&format!("{host} is not a dotted quad")),
            "{reason}"
        );
    }
}

#[test]
fn a_wrong_port_is_named() {
    for port in ["65536", "99999999999", "+80", "-1", "80a", "0x50", "http"] {
        let reason = refusal(&format!("127.0.0.1:{port}"));
        assert!(
            reason.starts_with(&format!("the port {port:?} is wrong")),
            "{reason}"
        );
    }
    assert!(refusal("65536").starts_with("the port \"65536\" is wrong"));
    assert!(refusal("[::1]:x").starts_with("the port \"x\" is wrong"));
}

#[test]
fn a_local_datagram_socket_has_the_names_of_a_local_stream() {
    for (input, name) in [
        ("unixgram:/tmp/echo", UnixName::Path("/tmp/echo".into())),
        ("UNIXGRAM:///tmp/echo", UnixName::Path("/tmp/echo".into())),
        ("unixgram:@echo", UnixName::Abstract(b"echo".to_vec())),
    ] {
        let found = input.parse::<Address>();
        assert_eq!(found, Ok(Address::Unixgram(name)), "{input}");
    }
    assert_eq!(
        refusal("unixgram:"),
        "the name is missing; write unixgram:/PATH or unixgram:@NAME"
    );
    let host = refusal("unixgram://run/x");
    assert!(
        host.ends_with("write unixgram:/run/x or unixgram:run/x"),
        "{host}"
    );
}

#[test]
fn a_descriptor_is_a_number_behind_the_standard_streams() {
    for (input, number) in [
        ("fd://3", 3),
        ("FD://04", 4),
        ("fd://2147483647", i32::MAX as u32),
    ] {
        assert_eq!(parse(input), Ok(Endpoint::Passed(number)), "{input}");
    }
    for input in ["fd://0", "fd://1", "fd://2"] {
        assert!(
            refusal(input).starts_with("0 to 2 are the standard streams"),
            "{input}"
        );
    }
    for number in ["", "x", "-1", "+3", "3:80", "2147483648", "3/"] {
        let reason =
            format!("the descriptor {number:?} is wrong; write its number, such as fd://3");
        assert_eq!(refusal(&format!("fd://{number}")), reason);
    }
    assert!("fd://3".parse::<Address>().is_err());
}

#[test]
fn a_local_name_is_a_path_or_abstract() {
    for (input, name) in [
        ("unix:/tmp/echo", UnixName::Path("/tmp/echo".into())),
        ("unix:echo.sock", UnixName::Path("echo.sock".into())),
        ("unix:/a b:80", UnixName::Path("/a b:80".into())),
        ("unix:///tmp/echo", UnixName::Path("/tmp/echo".into())),
        ("unix:@echo", UnixName::Abstract(b"echo".to_vec())),
        ("unix:@/tmp/echo", UnixName::Abstract(b"/tmp/echo".to_vec())),
    ] {
        let address = Address::Unix(name);
        assert_eq!(parse(input), Ok(Endpoint::At(address)), "{input}");
    }
    assert!(refusal("unix:/a\0b").contains("NUL"));
}

#[test]
fn a_local_name_has_the_kernels_length_at_most() {
    for start in ["", "@"] {
        let longest = format!("unix:{start}{}", "x".repeat(UNIX_NAME_SIZE_MAX));
        let address: Address = longest.parse().expect("it fits");
        assert!(address.to_raw().is_ok());
        assert!(refusal(&format!("{longest}x")).starts_with("the name has 108 bytes"));
    }
}
