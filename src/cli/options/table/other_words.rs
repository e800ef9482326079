//! Words of other programs: refused, with ours in the answer.
//!
//! The words are those of wrk, wrk2, ab, hey, oha, iperf3, ncat, socat and of servers. They are not
//! accepted as further spellings, because the same word means different things there: `-t` is a
//! time for ab, a number of threads for wrk, and a time-out for oha. A row is used only if our flag
//! in it is a flag of the command. A word that is a flag of the command never arrives here.

use super::{BENCH, CONNECT, CommandRow, DECODE, SERVE};

/// What people type elsewhere.
struct Row {
    command: &'static str,
    /// Their words, separated by blanks.
    written: &'static str,
    /// Our flag; empty if it is not a flag.
    ours: &'static str,
    /// What to write instead, after the word and a colon.
    instead: &'static str,
}

const fn row(
    command: &'static str,
    written: &'static str,
    ours: &'static str,
    instead: &'static str,
) -> Row {
    Row {
        command,
        written,
        ours,
        instead,
    }
}

const ROWS: &[Row] = &[
    row(
        SERVE,
        "--port --ports",
        "-p",
        "write -p PORT, or --listen ADDR:PORT for another address",
    ),
    row(
        SERVE,
        "--bind --addr --address --host --ip --interface --server-address -b -B -a -L",
        "--listen",
        "write --listen ADDR:PORT, or -l for short",
    ),
    row(
        SERVE,
        "--unix --unix-socket --unixsock --socket -U",
        "--listen",
        "write --listen unix:/PATH",
    ),
    row(
        SERVE,
        "--workers --worker-threads --cpus --cores -t -w -j",
        "--threads",
        "write --threads N, or --threads auto for one on each processor",
    ),
    row(
        SERVE,
        "--connections --conns --max-conns --max-clients --maxclients --limit -c -m",
        "--max-connections",
        "write --max-connections N",
    ),
    row(
        SERVE,
        "--timeout --read-timeout --keepalive-timeout -i -T",
        "--idle-timeout",
        "write --idle-timeout TIME; mynah help limits tells of the others",
    ),
    row(
        SERVE,
        "--grace --grace-period --shutdown-timeout --stop-timeout",
        "--drain-timeout",
        "write --drain-timeout TIME",
    ),
    row(
        SERVE,
        "--memory --max-mem --maxmemory",
        "--max-memory",
        "write --max-memory SIZE, such as 64m",
    ),
    row(
        SERVE,
        "--max-frame --max-size --max-message-size --buffer-size --bufsize",
        "--frame-max",
        "write --frame-max SIZE",
    ),
    row(
        SERVE,
        "--framing --delimiter --protocol",
        "--frame",
        "write --frame SPEC, such as u32be or line; HTTP is the service http",
    ),
    row(
        SERVE,
        "--tcp-nodelay --no-delay --no-nodelay --nagle -N",
        "--nodelay",
        "write --nodelay=on or --nodelay=off",
    ),
    row(
        SERVE,
        "--statistics --metrics-interval --interval",
        "--stats",
        "write --stats INTERVAL, such as 5s",
    ),
    row(
        SERVE,
        "--http --echo --upper --discard --dict --robot --run",
        "",
        "a service is a word without dashes, such as mynah http",
    ),
    row(
        SERVE,
        "--exec --sh-exec --command --cmd -e",
        "--allow",
        "write mynah run --allow 'COMMAND'; only that line runs",
    ),
    row(
        SERVE,
        "--udp -u",
        "--listen",
        "write --listen udp://HOST:PORT, beside others or alone",
    ),
    row(
        SERVE,
        "--daemon --daemonize --background --detach -D -d",
        "",
        "mynah stays in the foreground; mynah help systemd has a unit for it",
    ),
    row(
        SERVE,
        "--config --conf --config-file -f",
        "",
        "there is no configuration file; mynah help serve lists the options",
    ),
    row(
        SERVE,
        "--server -s --keep-open -k --fork",
        "",
        "mynah alone serves until a signal ends it; leave it out",
    ),
    row(
        BENCH,
        "--concurrency --conns --conn --clients --parallel --users --vus --sessions",
        "--connections",
        "write --connections N, or -c for short",
    ),
    row(
        BENCH,
        "--time --timelimit --time-limit --seconds --length --run-time -z",
        "--duration",
        "write --duration TIME with its unit, such as 10s, or -d for short",
    ),
    row(
        BENCH,
        "--num --number --count --num-requests --total --iterations -N",
        "--requests",
        "write --requests N, or -n for short",
    ),
    row(
        BENCH,
        "--qps --rps --throughput --query-per-second --request-rate --message-rate --bitrate -q \
         -r -b",
        "--rate",
        "write --rate RATE, requests a second in all, or -R for short",
    ),
    row(
        BENCH,
        "--workers --cpus --cores --worker-threads -w -j",
        "--threads",
        "write --threads N, or -t for short",
    ),
    row(
        BENCH,
        "--port --address --addr --url --target --server -p -a",
        "",
        "the server is a word, mynah bench HOST:PORT",
    ),
    row(
        BENCH,
        "--udp -u",
        "",
        "write udp://HOST:PORT as the address",
    ),
    row(
        BENCH,
        "--unix --unix-socket -U",
        "",
        "write unix:/PATH as the address",
    ),
    row(
        BENCH,
        "--ipv4 --ipv6 -4 -6",
        "",
        "write an address of that family, such as 127.0.0.1:7007 or [::1]:7007",
    ),
    row(
        BENCH,
        "--bytes --payload --payload-size --packet-size --message-size --body-size --len -l -S",
        "--size",
        "write --size SIZE, the payload of a request",
    ),
    row(
        BENCH,
        "--depth --inflight --in-flight --outstanding --pipelining -P",
        "--pipeline",
        "write --pipeline N, requests in flight on each connection",
    ),
    row(
        BENCH,
        "--omit --warm-up --warmup-time -O",
        "--warmup",
        "write --warmup TIME",
    ),
    row(
        BENCH,
        "--timeout --socket-timeout --request-timeout --wait -s -T",
        "--grace",
        "write --connect-timeout TIME for connecting, --grace TIME for the last replies",
    ),
    row(
        BENCH,
        "--ramp-up --rampup --ramp-time",
        "--ramp",
        "write --ramp TIME",
    ),
    row(
        BENCH,
        "--compare --against --baseline --with",
        "--vs",
        "write --vs ADDR",
    ),
    row(
        BENCH,
        "--affinity --cpu --cpuset --cpu-list -A",
        "--pin",
        "write --pin CPUS, such as 0,2",
    ),
    row(
        BENCH,
        "--bind --source --local-address --local-ip -B",
        "--source-ip",
        "write --source-ip IPS, the addresses that connections come from",
    ),
    row(
        BENCH,
        "--http --http1 --http1.1",
        "--protocol",
        "write --protocol http",
    ),
    row(
        BENCH,
        "--http2 --http3 --h2 --http-version",
        "--protocol",
        "mynah speaks HTTP/1.1, with --protocol http",
    ),
    row(
        BENCH,
        "--uri --endpoint --page",
        "--path",
        "write --protocol http --path '/PATH?QUERY'",
    ),
    row(
        BENCH,
        "--keepalive --keep-alive -k",
        "--churn",
        "connections are kept; --churn opens one for each request",
    ),
    row(
        BENCH,
        "--disable-keepalive --no-keepalive --no-keep-alive --short --reconnect --connect-rate",
        "--churn",
        "write --churn, a connection for each request",
    ),
    row(
        BENCH,
        "--poisson --exponential",
        "--arrivals",
        "write --arrivals poisson, together with --rate",
    ),
    row(
        BENCH,
        "--rounds --runs --repeat --repetitions",
        "--pairs",
        "write --pairs N, the rounds of a comparison",
    ),
    row(
        BENCH,
        "--pid --process",
        "--server-pid",
        "write --server-pid PID",
    ),
    row(
        BENCH,
        "--start --exec --command --cmd -e",
        "--spawn",
        "write --spawn 'CMD {port}', or that as the address",
    ),
    row(
        BENCH,
        "--output --out --output-format --csv -o -J",
        "--json",
        "write --json=FILE",
    ),
    row(
        BENCH,
        "--hdr --histogram --percentiles --latency-histogram",
        "--hgrm",
        "write --hgrm=FILE",
    ),
    row(
        BENCH,
        "--plot --chart --graph --gnuplot --html --png -g",
        "--svg",
        "write --svg=FILE",
    ),
    row(
        BENCH,
        "--latency --u_latency --latency-correction -L",
        "--rate",
        "the latency is always in the report; with --rate it counts from when a request was due",
    ),
    row(
        BENCH,
        "--expect-status --threshold --thresholds --fail-if",
        "--assert",
        "write --assert 'p99<2ms,errors==0'",
    ),
    row(
        BENCH,
        "--frame-max --max-frame",
        "--size",
        "bench has no limit of its own; --size is the payload, and the server's limit is what the \
         server was told",
    ),
    row(
        BENCH,
        "--framing --codec",
        "--frame",
        "write --frame SPEC, such as u32be",
    ),
    row(
        BENCH,
        "--script --lua",
        "",
        "there are no scripts; mynah help bench tells what a request can be",
    ),
    row(
        BENCH,
        "--headers",
        "--header",
        "write --header 'NAME: VALUE', or -H for short",
    ),
    row(BENCH, "--request -X -m", "--method", "write --method NAME"),
    row(
        BENCH,
        "--data --data-binary --post --postfile --body-file -D",
        "--body",
        "write --body TEXT or --body @FILE with --protocol http, --message TEXT without",
    ),
    row(
        BENCH,
        "--content-type --accept --basic-auth --cookie --user-agent -C",
        "--header",
        "write --header 'NAME: VALUE'",
    ),
    row(BENCH, "--urls-from-file", "--urls", "write --urls FILE"),
    row(
        BENCH,
        "--report-interval -i",
        "--interval",
        "write --interval TIME",
    ),
    row(
        CONNECT,
        "--host --port --address --addr --url --server -p -a",
        "",
        "the server is a word, mynah connect HOST:PORT",
    ),
    row(
        CONNECT,
        "--send --message --data --text -m -d -e",
        "--once",
        "write --once MESSAGE, or pipe the bytes into stdin",
    ),
    row(
        CONNECT,
        "--wait --read-timeout --idle-timeout -w -i -T",
        "--timeout",
        "write --timeout TIME with its unit, such as 5s",
    ),
    row(
        CONNECT,
        "--retries --tries --reconnect",
        "--retry",
        "write --retry, which tries 8 times",
    ),
    row(
        CONNECT,
        "--unix --unixsock -U",
        "",
        "write unix:/PATH as the address",
    ),
    row(
        CONNECT,
        "--udp -u",
        "",
        "connect speaks to streams; nc -u or mynah bench udp://HOST:PORT send datagrams",
    ),
    row(CONNECT, "--crlf -C", "--frame", "write --frame delim:0d0a"),
    row(
        CONNECT,
        "--framing --delimiter",
        "--frame",
        "write --frame SPEC, such as u32be",
    ),
    row(
        CONNECT,
        "--shutdown --half-close --send-only --no-shutdown -N -q",
        "",
        "the end of stdin ends our half of the connection, and the reply is read to its end",
    ),
    row(
        CONNECT,
        "--zero -z",
        "--once",
        "write --once '' to see whether a server answers",
    ),
    row(
        DECODE,
        "--input --file --in -i -f",
        "",
        "decode reads standard input, mynah decode ... < FILE",
    ),
    row(
        DECODE,
        "--framing --delimiter",
        "--frame",
        "write --frame SPEC, such as u32be",
    ),
    row(
        DECODE,
        "--hexdump --hex-dump --draw -x",
        "--explain",
        "write --explain to draw each frame, --hex to read hex",
    ),
    row(
        "",
        "--usage --help-all --man -? -help",
        "--help",
        "write --help, or mynah help",
    ),
    row(
        "",
        "--verbose --debug --trace --log --log-level --loglevel -v -vv -vvv",
        "",
        "the log is set by RUST_LOG=debug in front of mynah; -V is the version",
    ),
    row(
        "",
        "--quiet --silent --no-tui --no-color -q -Q",
        "",
        "RUST_LOG=error in front of mynah logs less; without a terminal nothing moves",
    ),
    row(
        "",
        "--tls --ssl --cert --key --https",
        "--tls-cert",
        "TLS takes --tls-cert PEM and --tls-key PEM",
    ),
    row("", "--ssl --https", "--tls", "write --tls"),
    row("", "--cacert --cafile", "--tls-ca", "write --tls-ca PEM"),
    row(
        "",
        "--insecure --no-verify -k",
        "--tls-insecure",
        "write --tls-insecure",
    ),
];

/// What to write instead of the flag `written` of `command`, if it is known from elsewhere.
pub(super) fn of_flag(command: &CommandRow, written: &str) -> Option<&'static str> {
    let is_ours = |row: &&Row| {
        (row.command.is_empty() || row.command == command.name)
            && (row.ours.is_empty() || command.has(row.ours))
    };
    let mut rows = ROWS.iter().filter(is_ours);
    let found = rows.find(|row| row.written.split_whitespace().any(|word| word == written));
    found.map(|row| row.instead)
}

/// Words that people type first, and what to write instead.
const WORDS: &[(&str, &str)] = &[
    (
        "benchmark load loadtest test perf measure wrk ab hey oha iperf iperf3",
        "write mynah bench ADDR",
    ),
    (
        "client telnet nc netcat ncat talk send call dial",
        "write mynah connect ADDR",
    ),
    (
        "server start listen up daemon tcp-listen",
        "write mynah, or mynah serve SERVICE",
    ),
    (
        "stop kill quit restart status",
        "a server ends by Ctrl-C or SIGTERM; mynah help shutdown tells how",
    ),
    (
        "reload",
        "a server reads its files again at SIGHUP; mynah help services tells what",
    ),
    (
        "stats statistics metrics",
        "a server prints its counters at SIGUSR1, or with --stats 5s",
    ),
    (
        "https tls ssl",
        "write mynah http --tls-cert PEM --tls-key PEM",
    ),
    (
        "web www",
        "the service http answers HTTP/1.1; write mynah http",
    ),
    (
        "udp",
        "a service is first, such as echo; then --listen udp://HOST:PORT",
    ),
    (
        "tcp unix",
        "a service is first, such as echo; an address follows --listen",
    ),
    (
        "uppercase toupper",
        "the service is called upper; write mynah upper",
    ),
    ("exec shell sh cmd", "write mynah run --allow 'COMMAND'"),
    ("dictionary", "write mynah dict --dictionary FILE"),
    (
        "manual docs doc info usage",
        "write mynah help, or mynah man for the manual page",
    ),
    ("completion", "write mynah completions bash, zsh or fish"),
    ("decoder parse dump", "write mynah decode --frame SPEC"),
];

/// What to write instead of `word` at the beginning, if it is known from elsewhere.
pub(super) fn of_word(word: &str) -> Option<&'static str> {
    let lower = word.to_ascii_lowercase();
    // The addresses of socat, such as TCP-LISTEN:7007,fork.
    if lower.starts_with("tcp-listen:") || lower.starts_with("tcp4-listen:") {
        return Some("write --listen HOST:PORT, or -p PORT");
    }
    if lower.starts_with("http://") {
        return Some("write mynah bench HOST:PORT --protocol http to load it");
    }
    let mut rows = WORDS.iter();
    let found = rows.find(|(written, _)| written.split(' ').any(|word| word == lower));
    found.map(|(_, instead)| *instead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::table::COMMANDS;

    #[test]
    fn a_word_of_another_program_is_no_word_of_ours_and_stands_once_for_each_command() {
        for command in COMMANDS {
            let mut seen = Vec::new();
            let rows = ROWS.iter().filter(|row| row.command == command.name);
            for word in rows.flat_map(|row| row.written.split_whitespace()) {
                assert!(!command.has(word), "{word} of {}", command.name);
                assert!(!seen.contains(&word), "{word} of {} twice", command.name);
                seen.push(word);
            }
        }
        for word in WORDS.iter().flat_map(|(written, _)| written.split(' ')) {
            assert!(COMMANDS.iter().all(|command| command.name != word));
        }
    }

    #[test]
    fn an_answer_is_one_short_sentence_that_names_our_flag() {
        for row in ROWS {
            let long = row.instead.len() + row.command.len();
            assert!(long < 110, "{}", row.instead);
            let named = row.ours.is_empty() || row.instead.contains(row.ours);
            assert!(named, "{}", row.instead);
        }
    }
}
