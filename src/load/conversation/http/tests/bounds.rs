//! Size limits of the parts outside the body.

use super::*;

/// Complete replies whose head, interim replies, chunk size line, or trailer has `size` bytes.
fn parts(size: usize) -> [(Part, String); 4] {
    let fill = |start: &str, end: &str| {
        let fill = "x".repeat(size - start.len() - end.len());
        format!("{start}{fill}{end}")
    };
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000);
    let interim = format!("{interim}HTTP/1.1 204 No Content\r\nX: ");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    [
        (
            Part::Head,
            fill("HTTP/1.1 204 No Content\r\nX: ", "\r\n\r\n"),
        ),
        (Part::Head, fill(&interim, "\r\n\r\n")),
        (
            Part::ChunkLine,
            format!("{chunked}1\r\na\r\n{}a\r\n0\r\n\r\n", fill("1;", "\r\n")),
        ),
        (
            Part::Trailer,
            format!("{chunked}0\r\n{}", fill("X: y\r\nX: ", "\r\n\r\n")),
        ),
    ]
}

#[test]
fn what_is_no_body_has_an_end_whatever_the_cuts() {
    for size in [LOAD_HEAD_MAX - 1, LOAD_HEAD_MAX, LOAD_HEAD_MAX + 1] {
        for (part, bytes) in parts(size) {
            let expected = match size {
                ..=LOAD_HEAD_MAX => Ok(1),
                _ => Err(HttpError::TooLong(part)),
            };
            assert_eq!(hear(bytes.as_bytes()), expected, "{part:?} of {size}");
            for piece in [1, 7, LOAD_HEAD_MAX - 1] {
                let mut replies = Replies::new(&FirstPage::default());
                let mut pieces = bytes.as_bytes().chunks(piece);
                let told = pieces.try_fold(0, |count, bytes| {
                    let more = replies.received(bytes, true).told();
                    more.map(|more| count + more)
                });
                assert_eq!(told, expected, "{part:?} of {size} in pieces of {piece}");
            }
        }
    }
    // The limit applies to each reply separately.
    let [(_, head), ..] = parts(LOAD_HEAD_MAX);
    assert_eq!(hear(head.repeat(3).as_bytes()), Ok(3));
}
