//! Many calls at once: what a kernel with a submission ring does with the calls of one batch.
//!
//! ```text
//!   calls       0  1  2  3  4  5      in their order
//!   submitted   ---------->|          io_uring_enter takes some, from the front
//!   results     2  0  3  1            in any order, each names its call
//! ```
//!
//! [`make_all`] goes on until each call has a result. A call that was interrupted or cancelled
//! (EINTR, ECANCELED) has moved no byte, and is made again by itself. What io_uring_enter refuses
//! to take is made by itself too. So nothing that a ring may do differs for the user of a batch
//! from calls that are made one by one. Invariant: each call is made exactly once. Where that
//! cannot be known, because the ring has lost a result, the call fails with EIO, and the ring is to
//! be given up. Not known here: what the calls are, and how a ring is entered. Neighbours:
//! `Sockets` has the batches; `linux` and the simulated kernel of the tests implement [`Ring`]. Man
//! pages: io_uring_enter(2), io_uring(7).

use std::io;

use super::errno;

/// What one call of a batch has returned: a count, or an error of the system. It is as small as
/// the kernel has it, because a batch has many, and most are read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome(i32);

impl Outcome {
    /// The result of a call that cannot be known.
    const UNKNOWN: Outcome = Outcome(-errno::EIO);

    /// A count, or the negative number of an error, as a ring has it.
    #[inline]
    pub const fn of_number(number: i32) -> Outcome {
        Outcome(number)
    }

    /// The result as that of a call.
    ///
    /// # Errors
    ///
    /// The error of the call.
    #[inline]
    pub fn result(self) -> io::Result<usize> {
        match self.0 {
            number if number < 0 => Err(io::Error::from_raw_os_error(-number)),
            number => Ok(number as usize),
        }
    }

    /// Whether the call was stopped before it moved a byte.
    #[inline]
    fn has_moved_nothing(self) -> bool {
        self.0 == -errno::EINTR || self.0 == -errno::ECANCELED
    }
}

impl From<io::Result<usize>> for Outcome {
    /// The result of a call of its own. Linux moves less than 2 GiB in one (send(2)).
    #[inline]
    fn from(result: io::Result<usize>) -> Outcome {
        match result {
            Ok(count) => {
                debug_assert!(
                    i32::try_from(count).is_ok(),
                    "a call that moves {count} bytes"
                );
                Outcome(count as i32)
            }
            Err(error) => Outcome(-error.raw_os_error().unwrap_or(errno::EIO)),
        }
    }
}

/// How the calls of a batch reach the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submit {
    /// Each is a system call.
    Calls,
    /// One system call makes all of them.
    Ring,
}

/// The most calls of one batch: the places are the bits of one number.
pub const BATCH_MAX: usize = 64;

/// How often in a row io_uring_enter may fail, or bring nothing, before the rest of a batch is made
/// call by call. The errors that pass do so at once, except a shortage of memory.
const FUTILE_MAX: u32 = 8;

/// A submission ring into which the calls of a batch were put.
pub trait Ring {
    /// Submits the calls that are not submitted, of which there are `count`, and waits until `wait`
    /// results are there. Returns how many were taken, from the front.
    ///
    /// # Errors
    ///
    /// None was taken.
    fn enter(&mut self, count: usize, wait: usize) -> io::Result<usize>;

    /// Takes the next result, with the place of its call.
    fn take(&mut self) -> Option<(usize, Outcome)>;

    /// Makes the call at `place` by itself.
    fn call(&mut self, place: usize) -> io::Result<usize>;
}

/// How a batch was made.
#[derive(Debug)]
pub struct Made {
    /// How often io_uring_enter was called.
    pub enters: usize,
    /// Why the ring must not be used again, if it must not.
    pub broken: Option<io::Error>,
}

/// Makes all `count` calls of `ring`, and leaves their results in `results`, in their order.
#[inline]
pub fn make_all(ring: &mut impl Ring, count: usize, results: &mut Vec<Outcome>) -> Made {
    assert!(count <= BATCH_MAX);
    results.clear();
    results.resize(count, Outcome::UNKNOWN);
    let mut made = Made {
        enters: 0,
        broken: None,
    };
    let mut open = lowest(count);
    let (mut submitted, mut futile) = (0, 0);
    while open != 0 && made.broken.is_none() && futile < FUTILE_MAX {
        // The results of calls that do not wait are there when they are submitted.
        let wait = match made.enters {
            0 => 0,
            _ => open.count_ones() as usize,
        };
        made.enters += 1;
        futile += 1;
        match ring.enter(count - submitted, wait) {
            Ok(0) => {}
            Ok(taken) => {
                submitted = count.min(submitted + taken);
                futile = 0;
            }
            Err(error) if passes(&error) => {}
            Err(error) => made.broken = Some(error),
        }
        while let Some((place, outcome)) = ring.take() {
            let bit = 1_u64.checked_shl(place as u32).unwrap_or(0);
            if open & bit == 0 {
                debug_assert!(false, "a result for {place}, which has one");
                continue;
            }
            open &= !bit;
            futile = 0;
            results[place] = match outcome.has_moved_nothing() {
                true => ring.call(place).into(),
                false => outcome,
            };
        }
    }
    if open != 0 {
        make_the_rest(ring, (open, submitted), results, &mut made);
    }
    made
}

/// Makes the calls of `open` that were not submitted. The results of the others are lost.
#[cold]
fn make_the_rest(
    ring: &mut impl Ring,
    (open, submitted): (u64, usize),
    results: &mut [Outcome],
    made: &mut Made,
) {
    for (place, result) in results.iter_mut().enumerate().skip(submitted) {
        if open >> place & 1 == 1 {
            *result = ring.call(place).into();
        }
    }
    if open & lowest(submitted) != 0 && made.broken.is_none() {
        made.broken = Some(io::Error::from_raw_os_error(errno::EIO));
    }
}

/// A number whose lowest `count` bits are set.
const fn lowest(count: usize) -> u64 {
    match count {
        0 => 0,
        _ => u64::MAX >> (BATCH_MAX - count),
    }
}

/// Whether io_uring_enter may succeed when it is called again.
#[cold]
fn passes(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(errno::EINTR | errno::EAGAIN | errno::EBUSY)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// What a ring does in one call of io_uring_enter: what it returns, and the results that are
    /// there afterwards.
    type Step = (Result<usize, i32>, &'static [(usize, i32)]);

    /// A ring that does what was written down. A call by itself returns 1000 and its place.
    #[derive(Default)]
    struct Written {
        steps: VecDeque<Step>,
        asked: Vec<(usize, usize)>,
        results: VecDeque<(usize, i32)>,
        alone: Vec<usize>,
    }

    impl Ring for Written {
        fn enter(&mut self, count: usize, wait: usize) -> io::Result<usize> {
            self.asked.push((count, wait));
            let (answer, results) = self.steps.pop_front().unwrap_or((Err(errno::EAGAIN), &[]));
            self.results.extend(results);
            answer.map_err(io::Error::from_raw_os_error)
        }

        fn take(&mut self) -> Option<(usize, Outcome)> {
            let (place, number) = self.results.pop_front()?;
            Some((place, Outcome::of_number(number)))
        }

        fn call(&mut self, place: usize) -> io::Result<usize> {
            self.alone.push(place);
            Ok(1000 + place)
        }
    }

    fn play(steps: &[Step], count: usize) -> (Written, Vec<Result<usize, i32>>, Made) {
        let mut ring = Written {
            steps: steps.iter().copied().collect(),
            ..Written::default()
        };
        let mut results = Vec::new();
        let made = make_all(&mut ring, count, &mut results);
        let code = |error: io::Error| error.raw_os_error().unwrap_or(0);
        let results = results
            .into_iter()
            .map(|it: Outcome| it.result().map_err(code));
        let results = results.collect();
        (ring, results, made)
    }

    #[test]
    fn an_outcome_keeps_what_a_call_has_returned() {
        for count in [0, 1, 0x7fff_f000] {
            assert_eq!(Outcome::from(Ok(count)).result().ok(), Some(count));
        }
        for number in [1, errno::EAGAIN, 4095] {
            let outcome = Outcome::from(Err(io::Error::from_raw_os_error(number)));
            assert_eq!(outcome, Outcome::of_number(-number));
            let error = outcome.result().expect_err("an error");
            assert_eq!(error.raw_os_error(), Some(number));
        }
        // One that is not of the system says only that something failed.
        let other = Outcome::from(Err(io::ErrorKind::UnexpectedEof.into()));
        assert_eq!(other, Outcome::UNKNOWN);
    }

    #[test]
    fn results_in_any_order_reach_their_calls_in_one_enter() {
        let (ring, results, made) = play(&[(Ok(3), &[(2, 7), (0, 0), (1, -errno::EAGAIN)])], 3);
        assert_eq!(results, [Ok(0), Err(errno::EAGAIN), Ok(7)]);
        assert_eq!((ring.asked, ring.alone), (vec![(3, 0)], vec![]));
        assert!(made.enters == 1 && made.broken.is_none(), "{made:?}");
    }

    #[test]
    fn calls_that_were_not_taken_are_submitted_again() {
        let (ring, results, made) = play(&[(Ok(1), &[(0, 5)]), (Ok(2), &[(1, 6), (2, 7)])], 3);
        assert_eq!(results, [Ok(5), Ok(6), Ok(7)]);
        assert_eq!(ring.asked, [(3, 0), (2, 2)]);
        assert!(made.broken.is_none(), "{made:?}");
    }

    #[test]
    fn results_that_found_no_room_are_waited_for() {
        let (ring, results, _) = play(
            &[
                (Ok(3), &[(1, 6)]),
                (Err(errno::EBUSY), &[(0, 5)]),
                (Err(errno::EINTR), &[(2, 7)]),
            ],
            3,
        );
        assert_eq!(results, [Ok(5), Ok(6), Ok(7)]);
        assert_eq!(ring.asked, [(3, 0), (0, 2), (0, 1)]);
        assert_eq!(ring.alone, []);
    }

    #[test]
    fn a_call_that_was_interrupted_or_cancelled_is_made_by_itself() {
        let (ring, results, made) = play(
            &[(Ok(3), &[(1, -errno::EINTR), (2, 3), (0, -errno::ECANCELED)])],
            3,
        );
        assert_eq!(results, [Ok(1000), Ok(1001), Ok(3)]);
        assert_eq!(ring.alone, [1, 0]);
        assert!(made.broken.is_none(), "{made:?}");
    }

    #[test]
    fn calls_that_are_never_taken_are_made_by_themselves_and_the_ring_stays() {
        let (ring, results, made) = play(&[(Ok(1), &[(0, 5)])], 3);
        assert_eq!(results, [Ok(5), Ok(1001), Ok(1002)]);
        assert_eq!(ring.asked.len() as u32, 1 + FUTILE_MAX);
        assert!(made.broken.is_none(), "{made:?}");
    }

    #[test]
    fn a_ring_that_refuses_for_good_is_given_up_and_no_call_is_lost() {
        let (ring, results, made) = play(&[(Err(errno::EBADF), &[])], 2);
        assert_eq!(results, [Ok(1000), Ok(1001)]);
        assert_eq!(ring.asked, [(2, 0)]);
        let error = made.broken.expect("it is broken");
        assert_eq!(error.raw_os_error(), Some(errno::EBADF));
    }

    #[test]
    fn a_call_whose_result_is_lost_is_not_made_twice() {
        let (ring, results, made) = play(&[(Ok(2), &[(0, 5)])], 2);
        assert_eq!(results, [Ok(5), Err(errno::EIO)]);
        assert_eq!(ring.alone, []);
        assert!(made.broken.is_some());
    }

    #[test]
    fn the_largest_batch_has_a_bit_for_each_call() {
        static ALL: [(usize, i32); BATCH_MAX] = {
            let mut all = [(0, 0); BATCH_MAX];
            let mut place = 0;
            while place < BATCH_MAX {
                all[place] = (place, place as i32);
                place += 1;
            }
            all
        };
        let (_, results, made) = play(&[(Ok(BATCH_MAX), &ALL)], BATCH_MAX);
        let expected: Vec<Result<usize, i32>> = (0..BATCH_MAX).map(Ok).collect();
        assert_eq!((results, made.enters), (expected, 1));
        let (ring, results, made) = play(&[], 0);
        assert_eq!((ring.asked, results, made.enters), (vec![], vec![], 0));
    }
}
