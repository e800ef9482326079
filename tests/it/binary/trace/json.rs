//! A trace for Perfetto, read by a strict checker of the Trace Event Format.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use mynah::base::text::json::{Value, read};

use super::super::server::{Server, until};
use super::super::{FEW, ask};
use super::{Folder, converse};

/// A complete event.
#[derive(Clone, Debug)]
struct Slice {
    name: String,
    kind: String,
    /// Nanoseconds.
    from: u64,
    to: u64,
    args: Value,
}

/// Microseconds with a fraction, as nanoseconds.
fn nanoseconds(value: Option<&Value>) -> Result<u64, String> {
    let Some(Value::Number(text)) = value else {
        return Err(format!("{value:?} is no time"));
    };
    let (whole, part) = text.split_once('.').unwrap_or((text, "000"));
    let number = |text: &str| {
        text.parse::<u64>()
            .map_err(|_| format!("{text} is no number"))
    };
    match part.len() {
        3 => Ok(number(whole)? * 1000 + number(part)?),
        _ => Err(format!("{text} is no time in nanoseconds")),
    }
}

/// The slices of each track, by its name, or what is wrong.
fn check(text: &str) -> Result<BTreeMap<String, Vec<Slice>>, String> {
    let document = read(text)?;
    let events = document.get("traceEvents").and_then(Value::as_list);
    let (mut names, mut tracks) = (BTreeMap::new(), BTreeMap::<u64, Vec<Slice>>::new());
    let mut processes = BTreeSet::new();
    for event in events.ok_or("there is no list of events")? {
        let wrong = |what: &str| format!("{event:?}: {what}");
        let text_of = |name: &str| {
            let text = event.get(name).and_then(Value::as_text);
            text.map(str::to_owned).ok_or_else(|| wrong(name))
        };
        let count_of = |name: &str| {
            let count = event.get(name).and_then(Value::as_count);
            count.ok_or_else(|| wrong(name))
        };
        let (name, track) = (text_of("name")?, count_of("tid")?);
        processes.insert(count_of("pid")?);
        let args = event.get("args").filter(|args| args.members().is_some());
        let args = args.ok_or_else(|| wrong("no args"))?;
        match text_of("ph")?.as_str() {
            "M" if name == "thread_name" => {
                let told = args.get("name").and_then(Value::as_text);
                let told = told.ok_or_else(|| wrong("no name of a track"))?;
                if names.insert(track, told.to_owned()).is_some() {
                    return Err(wrong("has two names"));
                }
            }
            "X" => {
                let from = nanoseconds(event.get("ts")).map_err(|why| wrong(&why))?;
                let span = nanoseconds(event.get("dur")).map_err(|why| wrong(&why))?;
                tracks.entry(track).or_default().push(Slice {
                    name,
                    kind: text_of("cat")?,
                    from,
                    to: from + span,
                    args: args.clone(),
                });
            }
            "i" if text_of("s")? == "t" => _ = nanoseconds(event.get("ts"))?,
            other => return Err(wrong(other)),
        }
    }
    if processes.len() != 1 {
        return Err(format!("processes {processes:?}"));
    }
    let mut named = BTreeMap::new();
    for (track, mut slices) in tracks {
        let name = names
            .get(&track)
            .ok_or(format!("track {track} has no name"))?;
        slices.sort_by_key(|slice| (slice.from, u64::MAX - slice.to));
        let mut open: Vec<&Slice> = Vec::new();
        for slice in &slices {
            while open.last().is_some_and(|outer| outer.to <= slice.from) {
                open.pop();
            }
            if let Some(outer) = open.last().filter(|outer| slice.to > outer.to) {
                return Err(format!("{name}: {slice:?} leaves {outer:?}"));
            }
            open.push(slice);
        }
        if named.insert(name.clone(), slices).is_some() {
            return Err(format!("two tracks are called {name}"));
        }
    }
    Ok(named)
}

#[test]
fn slices_nest_on_named_tracks_and_each_call_has_its_arguments() {
    let folder = Folder::new("json");
    let file = folder.file("t.json");
    let framed = ["--frame", "u32be", "--threads", "2", "--trace", &file];
    let server = Server::start(&[&FEW[..], &framed].concat());
    let mut reset = server.connect();
    // A part of a frame, then the rest of it.
    reset.write_all(&[0, 0, 0, 5, b'h']).expect("it is read");
    until("the part is read", || server.stats().get("bytes_in") == 5);
    assert_eq!(ask(&mut reset, b"ello").len(), 4);
    let mut other = server.connect();
    other.write_all(&[0xff; 8]).expect("it is read");
    until("it is refused", || {
        server.stats().get("closed_too_long") == 1
    });
    drop((reset, other));
    server.end();
    let tracks = check(&super::read(&file)).unwrap_or_else(|why| panic!("{why}"));
    let slices = |name: &str| {
        let all = tracks.values().flatten();
        let named: Vec<Slice> = all.filter(|slice| slice.name == name).cloned().collect();
        named
    };
    let loops = tracks.keys().filter(|name| name.starts_with("loop "));
    assert_eq!(loops.count(), 2);
    for (call, members) in [
        ("recv", &["fd", "slot", "generation", "bytes", "data"][..]),
        ("send", &["fd", "slot", "generation", "bytes", "data"]),
        ("accept4", &["fd", "result"]),
        ("epoll_wait", &["result"]),
        ("epoll_ctl", &["fd", "result"]),
        ("close", &["fd", "slot", "result"]),
        ("shutdown", &["fd", "slot", "result"]),
    ] {
        let found = slices(call);
        let whole = found.iter().find(|slice| {
            slice.kind == "call" && members.iter().all(|it| slice.args.get(it).is_some())
        });
        assert!(whole.is_some(), "{call}: {found:?}");
    }
    for state in [
        "open",
        "request",
        "rest of a frame",
        "lingering",
        "last ACK",
    ] {
        let found = slices(state);
        assert!(found.iter().any(|slice| slice.kind == "state"), "{state}");
    }
    // The rest of the frame is read while it is waited for.
    let waits = &slices("rest of a frame")[0];
    let reads = slices("recv").into_iter().filter(|read| {
        let is_within = waits.from <= read.from && read.to <= waits.to;
        is_within && read.args.get("bytes").and_then(Value::as_count) == Some(4)
    });
    assert_eq!(reads.count(), 1);
}

#[test]
fn a_call_that_fails_has_its_errno() {
    let folder = Folder::new("errno");
    let file = folder.file("t.json");
    let server = Server::start(&["--trace", &file]);
    converse(&server);
    server.end();
    let tracks = check(&super::read(&file)).unwrap_or_else(|why| panic!("{why}"));
    let mut calls = tracks.values().flatten();
    let errno = |slice: &Slice| slice.args.get("errno").and_then(Value::as_text) == Some("EAGAIN");
    // The queue of the listener is looked at in the drain.
    assert!(calls.any(|slice| slice.name == "accept4" && errno(slice)));
}

#[test]
fn the_checker_refuses_what_is_wrong() {
    let event = |members: &str| {
        format!(
            "{{\"traceEvents\":[{{\"name\":\"thread_name\",\"ph\":\"M\",\"tid\":1,\"pid\":1,\
             \"args\":{{\"name\":\"a\"}}}},{members}]}}"
        )
    };
    let slice = |from: &str, span: &str, track: u32| {
        format!(
            "{{\"name\":\"a\",\"cat\":\"b\",\"ph\":\"X\",\"ts\":{from},\"dur\":{span},\
             \"tid\":{track},\"pid\":1,\"args\":{{}}}}"
        )
    };
    let both = |one: String, other: String| event(&format!("{one},{other}"));
    assert!(
        check(&both(
            slice("1.000", "2.000", 1),
            slice("1.500", "1.500", 1)
        ))
        .is_ok()
    );
    for (text, what) in [
        (
            both(slice("1.000", "2.000", 1), slice("1.500", "1.501", 1)),
            "leaves",
        ),
        (event(&slice("1.0", "2.000", 1)), "no time"),
        (event(&slice("1.000", "-2.000", 1)), "no number"),
        (event(&slice("1.000", "2.000", 2)), "has no name"),
        (event("{\"name\":\"a\"}"), "tid"),
        ("{}".to_owned(), "no list"),
    ] {
        let refused = check(&text).expect_err(&text);
        assert!(refused.contains(what), "{text}: {refused}");
    }
}
