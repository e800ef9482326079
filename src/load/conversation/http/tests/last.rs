//! The last reply of a connection, and replies that end with their connection.

use super::*;

#[test]
fn a_reply_without_a_length_ends_with_its_connection() {
    let first = FirstPage::default();
    assert_eq!(
        Replies::new(&first).received(&page(200, BODY), true).told(),
        Ok(1)
    );
    for head in [
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n",
    ] {
        let bytes = format!("{head}\r\n{BODY}");
        let head_size = bytes.len() - BODY.len();
        for cut in 0..bytes.len() {
            let mut replies = Replies::new(&first);
            let (front, back) = bytes.as_bytes().split_at(cut);
            assert_eq!(replies.received(front, true).told(), Ok(0));
            if cut < head_size {
                assert_eq!(
                    replies.clone().connection_ended(true).told(),
                    Ok(0),
                    "{cut}"
                );
            }
            assert_eq!(replies.received(back, true).told(), Ok(0));
            assert!(replies.awaits_end() && !replies.is_over());
            assert_eq!(
                replies.connection_ended(true).told(),
                Ok(1),
                "{head} cut at {cut}"
            );
            assert!(replies.is_over() && !replies.awaits_end());
            replies.restart(0);
            assert!(!replies.is_over());
            assert_eq!(replies.received(&page(200, BODY), true).told(), Ok(1));
        }
        let mut short = Replies::new(&first);
        let cut = &bytes.as_bytes()[..bytes.len() - 1];
        assert_eq!(short.received(cut, true).told(), Ok(0));
        let wrong = short.connection_ended(true).told();
        assert!(matches!(wrong, Err(HttpError::Other { .. })), "{wrong:?}");
    }
    // A reply with a length is incomplete without all its bytes.
    for bytes in [&page(200, BODY)[..50], CHUNKED[0].as_bytes()] {
        let mut replies = Replies::new(&first);
        assert_eq!(replies.received(&bytes[..50], true).told(), Ok(0));
        assert_eq!(replies.connection_ended(true).told(), Ok(0));
    }
}

#[test]
fn a_reply_may_be_the_last_one_of_its_connection() {
    for (head, is_over) in [
        ("HTTP/1.1 200 OK\r\n", false),
        (
            "HTTP/1.1 200 OK\r\nConnection: Upgrade, keep-alive\r\n",
            false,
        ),
        ("HTTP/1.1 200 OK\r\nconnection:foo , Close\r\n", true),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\n",
            true,
        ),
        ("HTTP/1.0 200 OK\r\n", true),
        ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", false),
    ] {
        let reply = format!("{head}Content-Length: 2\r\n\r\nab");
        let mut replies = Replies::new(&FirstPage::default());
        // Bytes after the last reply are not counted as a reply.
        let count = if is_over { 1 } else { 2 };
        assert_eq!(
            replies.received(reply.repeat(2).as_bytes(), true).told(),
            Ok(count)
        );
        assert_eq!(replies.is_over(), is_over, "{head}");
        replies.restart(0);
        assert!(!replies.is_over());
    }
}

#[test]
fn a_chunked_reply_in_http_1_0_is_the_last_one_whatever_it_says() {
    let reply = CHUNKED[0].replace(
        "HTTP/1.1 200 OK",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive",
    );
    let mut replies = Replies::new(&FirstPage::default());
    assert_eq!(
        replies.received(reply.repeat(2).as_bytes(), true).told(),
        Ok(1)
    );
    assert!(replies.is_over());
}
