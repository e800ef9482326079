//! What does a parent learn about its children?

use std::io;

use crate::kernel::host::calls::{self, ChildEnd};
use crate::lab::{Bench, Experiment};

pub(in crate::lab) const EXPERIMENT: Experiment = Experiment {
    name: "process",
    question: "what does a parent learn of the end of a child?",
    scene: "Children end with exit codes 0 and 300, and by a signal. Then a child that was \
            reaped is waited for again.",
    why: "A process that has ended stays as a zombie until its parent reads its status. Of \
            an exit code only the low 8 bits arrive: 300 is 44. The end by a signal is told \
            apart from an exit. After the reap the number means nothing, and may soon belong \
            to another process: a pidfd does not have this problem.",
    read: "wait(2), _exit(2), pidfd_open(2)",
    play,
};

fn play(bench: &mut Bench) -> io::Result<()> {
    for (code, expected) in [(0, 0), (300, 44)] {
        let end = bench.in_child(|_| code)?;
        bench.equal(
            format!("exit code {code}"),
            format!("{end:?}"),
            format!("{:?}", ChildEnd::Exit(expected)),
        );
    }
    let end = bench.in_child(|bench| {
        calls::let_sigpipe_act();
        let Ok((reader, writer)) = bench.pipe() else {
            return 1;
        };
        bench.close(reader);
        bench.write(writer, b"x");
        2
    })?;
    bench.equal(
        "ended by a signal",
        format!("{end:?}"),
        format!("{:?}", ChildEnd::Signal(13)),
    );
    let process = calls::fork()?;
    if process == 0 {
        calls::exit_now(0);
    }
    calls::waitpid(process)?;
    let again = calls::waitpid(process)
        .err()
        .and_then(|error| error.raw_os_error());
    let again = again.and_then(crate::kernel::errno::name);
    bench.equal(
        "waitpid of a child that was reaped",
        again.unwrap_or("success"),
        "ECHILD",
    );
    Ok(())
}
