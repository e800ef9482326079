//! The experiments in teaching order. A new experiment is one file and one row.

use std::io;

use super::bench::Bench;
use super::experiments as e;

/// One question to the kernel.
#[derive(Debug)]
pub(crate) struct Experiment {
    /// What a user types.
    pub(crate) name: &'static str,
    /// The question, in one line.
    pub(crate) question: &'static str,
    /// What is done, in a few sentences.
    pub(crate) scene: &'static str,
    /// Why the kernel answers so.
    pub(crate) why: &'static str,
    /// What to read.
    pub(crate) read: &'static str,
    /// Makes the calls and the checks.
    pub(crate) play: fn(&mut Bench) -> io::Result<()>,
}

/// All experiments: first the ten that teach the most, each with those that follow from it.
pub(crate) const EXPERIMENTS: &[&Experiment] = &[
    &e::sticky::EXPERIMENT,
    &e::nagle_delack::EXPERIMENT,
    &e::lt_vs_et::EXPERIMENT,
    &e::et_rearm::EXPERIMENT,
    &e::flags::EXPERIMENT,
    &e::rdhup_loss::EXPERIMENT,
    &e::et_short_read::EXPERIMENT,
    &e::half_write::EXPERIMENT,
    &e::epollout_spin::EXPERIMENT,
    &e::close_rst::EXPERIMENT,
    &e::epipe::EXPERIMENT,
    &e::fd_reuse::EXPERIMENT,
    &e::dup_ghost::EXPERIMENT,
    &e::backlog::EXPERIMENT,
    &e::herd::EXPERIMENT,
    &e::reuseport::EXPERIMENT,
    &e::reuseport_close::EXPERIMENT,
    &e::oneshot::EXPERIMENT,
    &e::emfile::EXPERIMENT,
    &e::connect::EXPERIMENT,
    &e::handshake::EXPERIMENT,
    &e::time_wait::EXPERIMENT,
    &e::defer_accept::EXPERIMENT,
    &e::lying_length::EXPERIMENT,
    &e::udp::EXPERIMENT,
    &e::zero_interest::EXPERIMENT,
    &e::eventfd_et::EXPERIMENT,
    &e::special_fds::EXPERIMENT,
    &e::ctl_errors::EXPERIMENT,
    &e::batch::EXPERIMENT,
    &e::syscalls::EXPERIMENT,
    &e::process::EXPERIMENT,
    &e::rcvlowat::EXPERIMENT,
    &e::where_are_my_bytes::EXPERIMENT,
    &e::notsent_lowat::EXPERIMENT,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_questions_are_one_line() {
        for (place, it) in EXPERIMENTS.iter().enumerate() {
            assert!(
                !EXPERIMENTS[..place]
                    .iter()
                    .any(|other| other.name == it.name)
            );
            assert!(
                it.question.ends_with('?') && !it.question.contains('\n'),
                "{}",
                it.name
            );
            // A word that was cut at the end of a source line.
            let cut = |text: &str| text.contains("- ") && !text.contains(" - ");
            assert!(
                ![it.scene, it.why, it.read].into_iter().any(cut),
                "{}",
                it.name
            );
        }
    }
}
