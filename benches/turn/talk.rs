//! The request for each service, and the expected reply.

use mynah::protocol::framing::Framing;

/// Every service without effects, with each framing that exercises different code.
pub(crate) const CASES: [(&str, &[&str]); 8] = [
    (
        "echo",
        &[
            "raw",
            "u8",
            "u32be",
            "i32le",
            "len:offset=1,size=2",
            "line",
            "delim:0d0a",
            "fixed:64",
            "ascii:4",
            "netstring",
        ],
    ),
    ("echo, prefix", &["line", "u32be"]),
    ("upper", &["raw", "u32be", "line"]),
    ("upper, unicode", &["raw", "u32be", "line"]),
    ("discard", &["raw", "u32be"]),
    ("dict", &["line", "u32be"]),
    ("robot", &["line", "u32be"]),
    ("http", &["raw"]),
];

const WORDS: &str = "the quick brown fox jumps over the lazy dog, and then once again";
/// As long as WORDS, with letters whose upper case has another length in UTF-8.
const UNICODE: &str = "der Fuß läuft über die Straße, naïve ﬁsh, čtyři žluté koně: ok";
const HTTP: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain, */*\r\n\r\n\r\n";

pub(crate) const PREFIX: &str = "echo# ";

const TRANSLATION: &str = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich";

/// A dictionary file that contains the requested word.
pub(crate) fn dictionary() -> Vec<u8> {
    format!("{WORDS}: {TRANSLATION}\nfox: Fuchs\n").into_bytes()
}

/// The payload for `service`, 64 bytes.
fn payload(service: &str) -> &'static str {
    match service {
        "upper, unicode" => UNICODE,
        "http" => HTTP,
        _ => WORDS,
    }
}

/// A framed request for `service`.
pub(crate) fn request(service: &str, framing: &Framing) -> Result<Vec<u8>, String> {
    framed(payload(service), framing)
}

/// Whether `reply` is the expected reply.
pub(crate) fn is_right(reply: &[u8], service: &str, framing: &Framing) -> Result<bool, String> {
    let answer = match service {
        "echo" => WORDS.to_owned(),
        "echo, prefix" => format!("{PREFIX}{WORDS}"),
        "upper" => WORDS.to_ascii_uppercase(),
        "upper, unicode" => UNICODE.to_uppercase(),
        "discard" => return Ok(reply.is_empty()),
        "dict" => TRANSLATION.to_owned(),
        "robot" => "请重新输入.".to_owned(),
        _ => return Ok(reply.ends_with(b"\r\n\r\nHello, World")),
    };
    Ok(reply == framed(&answer, framing)?)
}

fn framed(payload: &str, framing: &Framing) -> Result<Vec<u8>, String> {
    let overhead = framing.overhead();
    let end = overhead.front + payload.len();
    let mut space = vec![0; end + overhead.back];
    space[overhead.front..end].copy_from_slice(payload.as_bytes());
    let sealed = framing.encode(&[], &mut space, payload.len());
    space.truncate(sealed.map_err(|error| error.to_string())?);
    Ok(space)
}
