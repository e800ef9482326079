//! Any bytes as HTTP requests.
//!
//! Checked: however the stream is cut, the responses are the same; each response has a known form;
//! nothing follows a refusal.

use mynah::protocol::service::{Answer, Clock, Http, Reply, Request, Service};

use super::draw::{Draw, pieces};

/// The responses to a stream that arrives in `pieces`, and the final error if there is one.
fn answers(http: &mut Http, pieces: &[&[u8]]) -> (Vec<u8>, Option<Answer>) {
    let mut state = <Http as Service>::State::default();
    let (mut held, mut said) = (Vec::new(), Vec::new());
    for piece in pieces {
        held.extend_from_slice(piece);
        // The remaining bytes are passed in again as long as some of them are consumed.
        let mut taken = held.len();
        while taken > 0 && !held.is_empty() {
            let mut space = vec![0; http.reply_max(held.len())];
            let mut reply = Reply::new(&mut space);
            let request = Request {
                payload: &mut held,
                whole: false,
            };
            let answer = http.serve(&mut state, request, &mut reply);
            let filled = reply.filled();
            said.extend_from_slice(&space[..filled]);
            match answer {
                Answer::Part(count) => {
                    drop(held.drain(..count));
                    taken = count;
                }
                Answer::Goodbye | Answer::Refused(_) => return (said, Some(answer)),
                other => panic!("{other:?} is no answer of http"),
            }
        }
    }
    (said, None)
}

/// The responses in `bytes`, head and body, without `100 Continue`, which depends on when the bytes
/// arrive.
fn responses(bytes: &[u8]) -> Vec<(String, String)> {
    let mut text = std::str::from_utf8(bytes).expect("text");
    let mut responses = Vec::new();
    while !text.is_empty() {
        let (head, rest) = text.split_once("\r\n\r\n").expect("a head has an end");
        let head = head.strip_prefix("HTTP/1.1 ").expect("a version");
        // A response to HEAD has no body, and nothing follows a refusal.
        let after = match rest.strip_prefix("Hello, World") {
            Some(after) if head.starts_with("200 ") => after,
            _ if head.starts_with(['1', '2']) || head.contains("\r\nContent-Length: 0") => rest,
            _ => "",
        };
        let body = &rest[..rest.len() - after.len()];
        text = after;
        if head != "100 Continue" {
            responses.push((head.to_owned(), body.to_owned()));
        }
    }
    responses
}

/// Runs one input.
pub fn play(data: &[u8]) {
    let mut draw = Draw(data);
    let mut http = Http::default();
    let seconds: [u8; 8] = std::array::from_fn(|_| draw.byte());
    http.tick(u64::from_be_bytes(seconds));
    let count = draw.below(8);
    let (cuts, stream) = (draw.bytes(count), draw.0);

    let (whole, ended) = answers(&mut http, &[stream]);
    let responses_of_whole = responses(&whole);
    for cuts in [cuts, &[0]] {
        let (cut, end) = answers(&mut http, &pieces(stream, cuts));
        assert_eq!((responses(&cut), end), (responses_of_whole.clone(), ended));
    }
    let last = responses_of_whole.len().saturating_sub(1);
    for (number, (head, body)) in responses_of_whole.iter().enumerate() {
        let status = head
            .split(' ')
            .next()
            .and_then(|status| status.parse().ok());
        let length = head
            .split_once("Content-Length: ")
            .expect("every body has a length");
        let length = length
            .1
            .lines()
            .next()
            .and_then(|length| length.parse().ok());
        assert!(body.is_empty() || length == Some(body.len()), "{head}");
        let is_refused = matches!(ended, Some(Answer::Refused(_))) && number == last;
        match status {
            Some(200) => assert!(!is_refused, "{head}"),
            // A known method that is not offered: the next request is still answered.
            Some(405) if length == Some(0) => assert!(!is_refused, "{head}"),
            Some(400 | 405 | 411 | 413 | 414 | 417 | 426 | 431 | 501 | 505) => {
                assert!(is_refused, "{head}");
            }
            _ => panic!("{head}"),
        }
    }
}
