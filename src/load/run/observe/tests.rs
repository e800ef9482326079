//! Values read from processes and from the machine, and values that are unknown.

use super::*;

#[test]
fn our_own_process_is_alive_and_has_memory() {
    let usage = Usage::of(std::process::id()).expect("we are there");
    assert!(usage.threads >= Some(1) && usage.resident_bytes > Some(0) && usage.running_ns > 0);
    assert!(usage.switches.is_some() && usage.user_ticks.is_some());
    assert!(
        threads(std::process::id()).is_ok_and(|threads| threads.contains(&(this_thread() as i32)))
    );
    assert!(thread_cpu_ns(this_thread()) > Some(0));
    assert!(thread_wait_ns(this_thread()).is_some());
}

#[test]
fn work_shows_as_processor_time() {
    let before = Usage::of(std::process::id()).expect("we are there");
    let mut sum = 0u64;
    while thread_cpu_ns(this_thread()) < Some(30_000_000) {
        sum = (0..100_000).fold(sum, |sum, number| std::hint::black_box(sum ^ number));
    }
    let after = Usage::of(std::process::id()).expect("we are there");
    assert!(after.cpu_ns_since(&before) >= 10_000_000 || before.running_ns > 20_000_000);
}

#[test]
fn a_thread_that_has_ended_since_still_counts() {
    let ours = std::process::id();
    let before = Usage::of(ours).expect("we are there");
    let work = || {
        let mut sum = 0u64;
        while thread_cpu_ns(this_thread()) < Some(30_000_000) {
            sum = (0..100_000).fold(sum, |sum, number| std::hint::black_box(sum ^ number));
        }
    };
    std::thread::spawn(work).join().expect("it only counts");
    let after = Usage::of(ours).expect("we are there");
    assert!(after.cpu_ns_since(&before) >= 25_000_000);
}

#[test]
fn ended_children_are_not_forgotten() {
    let before = Usage {
        running_ns: 100,
        user_ticks: Some(10),
        system_ticks: Some(0),
        ..Usage::default()
    };
    let after = Usage {
        running_ns: 200,
        user_ticks: Some(90),
        system_ticks: Some(20),
        ..Usage::default()
    };
    assert_eq!(after.cpu_ns_since(&before), 100 * TICK_NS);
    assert_eq!(after.user_share_since(&before), Some(0.8));
    assert_eq!(after.user_share_since(&after), None);
    let unknown = Usage {
        user_ticks: None,
        ..after
    };
    assert_eq!(unknown.user_share_since(&before), None);
    assert_eq!(unknown.ticks_since(&before), None);
    assert_eq!(unknown.cpu_ns_since(&before), 100);
}

#[test]
fn a_process_that_is_not_there_is_an_error() {
    assert!(Usage::of(u32::MAX - 1).is_err());
}

#[test]
fn a_process_that_has_ended_and_is_not_yet_fetched_is_gone() {
    let mut child = std::process::Command::new("true")
        .spawn()
        .expect("every system has it");
    let stat = format!("/proc/{}/stat", child.id());
    let has_ended = || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z "));
    while !has_ended() {
        std::thread::yield_now();
    }
    let usage = Usage::of(child.id());
    child.wait().expect("it is ours");
    assert!(usage.is_err(), "{usage:?}");
}

#[test]
fn a_sum_with_an_unknown_part_is_unknown() {
    for (sum, part, expected) in [
        (Some(1), Some(2), Some(3)),
        (Some(1), None, None),
        (None, Some(2), None),
    ] {
        let mut found = sum;
        add(&mut found, part);
        assert_eq!(found, expected);
    }
}

#[test]
fn a_thread_that_cannot_be_read_has_no_figures() {
    assert_eq!((thread_cpu_ns(0), thread_wait_ns(0)), (None, None));
}

#[test]
fn the_host_has_processors_and_time() {
    assert!(!processors().is_empty() && local_ports() > Some(0));
    let now = Host::now();
    assert!(now.all > Some(0));
    assert_eq!(now.steal_since(&now), None, "no tick, nothing known");
    let later = Host {
        all: now.all.map(|all| all + 10),
        stolen: now.stolen.map(|stolen| stolen + 1),
    };
    assert_eq!(later.steal_since(&now), Some(0.1));
    assert_eq!(later.steal_since(&Host::default()), None);
}
