//! The gateway beside a bare hyper forwarder, end to end: CPU per request, memory under a big body, time of a check and
//! of a refused key.
//!
//! Each proxy is a process of its own with one worker; load and upstream are threads of this one. The two are loaded in
//! turn, round after round, so that what else the machine does falls on both; the ratio is taken inside each round. CPU
//! is user plus system time from `/proc/PID/stat`: it hardly depends on how fast the load comes. The floor forwards with
//! hyper's server and hyper-util's pooled client and decides nothing. The aim is a ratio of 1.15 at most.
//!
//! `cargo bench --bench gateway`; `-- --rounds N` and `-- --requests N` for more or less. What keeping records costs is
//! compared with a build that keeps none: make one with `cargo build --release --features unrecorded --target-dir
//! target/unrecorded`, and name its `postern` in POSTERN_UNRECORDED.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for a terminal, run by hand; a panic is the report"
)]

mod gateway {
    pub(crate) mod floor;
    pub(crate) mod load;
}

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gateway::{floor, load};

const BINARY: &str = env!("CARGO_BIN_EXE_postern");
const CONNECTIONS: usize = 64;

/// A proxy under load, killed at the end.
struct Proxy {
    child: Child,
    address: SocketAddr,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Proxy {
    /// Starts a command whose line with `listening gateway=` on stdout names its address.
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("a line with the address").unwrap();
            if let Some(rest) = line.strip_prefix("listening gateway=") {
                break rest.split(' ').next().unwrap().parse().unwrap();
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// User and system time so far.
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        let ticks =
            |n: usize| after_name.split_whitespace().nth(n).unwrap().parse::<u64>().unwrap();
        // Fields 14 and 15 of the line, in ticks of a hundredth of a second.
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The same of the thread that serves.
    fn cpu_of_the_worker(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let is_worker =
            |path: &Path| fs::read_to_string(path.join("comm")).unwrap().starts_with("worker-");
        let mut threads = threads.map(|thread| thread.unwrap().path());
        let worker = threads.find(|path| is_worker(path)).expect("a worker");
        let run = fs::read_to_string(worker.join("schedstat")).unwrap();
        Duration::from_nanos(run.split(' ').next().unwrap().parse().unwrap())
    }

    /// Microseconds of CPU for each of `requests` requests.
    fn cost(&self, requests: usize) -> f64 {
        self.cost_by(Self::cpu, requests)
    }

    fn cost_by(&self, clock: impl Fn(&Self) -> Duration, requests: usize) -> f64 {
        load::run(self.address, CONNECTIONS, requests / 10);
        let before = clock(self);
        load::run(self.address, CONNECTIONS, requests);
        #[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
        let requests = requests as f64;
        (clock(self) - before).as_secs_f64() * 1e6 / requests
    }
}

/// A configuration with as many routes as asked, in front of one upstream.
fn configure(directory: &Path, upstream: SocketAddr, routes: usize) {
    let text = format!(
        "listen: {{ gateway: \"127.0.0.1:0\", admin: \"127.0.0.1:0\" }}\nupstreams: {{ practice: {{ url: \"http://{upstream}\" }} }}\n\
         apis: {{ standard: {{ mount: /v1, upstream: practice, routes: routes.yaml }} }}\nproxy: {{ workers: 1 }}\n"
    );
    let mut map = "version: 1\nroutes:\n  - path: /v1/files/**\n    category: files\n".to_owned();
    for n in 1..routes {
        map += &format!("  - path: /v1/r{n}/{{id}}/items\n    category: appointment\n");
    }
    fs::write(directory.join("postern.yaml"), text).unwrap();
    fs::write(directory.join("routes.yaml"), map).unwrap();
    import_keys(directory);
}

/// The two keys of the load, in the store of the configuration.
fn import_keys(directory: &Path) {
    let (vendor, subscriber) = (load::VENDOR_KEY, load::SUBSCRIBER_KEY);
    let lines = format!(
        r#"{{"kind":"practice","id":"north","name":"North","api_access":true}}
{{"kind":"user","practice":"north","username":"dr-lee","name":"Dr Lee"}}
{{"kind":"vendor","id":"acme","name":"Acme","status":"approved"}}
{{"kind":"vendor_key","vendor":"acme","key":"{vendor}","random":true}}
{{"kind":"key","practice":"north","name":"bench","owner":"dr-lee","api":"standard","permissions":{{"appointment":"write","files":"read"}},"key":"{subscriber}","random":true}}
"#
    );
    let from = directory.join("import.jsonl");
    fs::write(&from, lines).unwrap();
    let mut import = Command::new(BINARY);
    import.env_remove("POSTERN_ADMIN_URL").arg("import").stdout(Stdio::null());
    import.arg("--config").arg(directory.join("postern.yaml")).arg("--from").arg(from);
    assert!(import.status().unwrap().success());
}

fn postern(directory: &Path) -> Proxy {
    Proxy::start(
        Command::new(BINARY).args(["serve", "--config"]).arg(directory.join("postern.yaml")),
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn compare_cpu(rounds: usize, requests: usize) {
    let upstream = load::upstream();
    let directory = tempfile::TempDir::new().unwrap();
    configure(directory.path(), upstream, 100);
    let own = std::env::current_exe().unwrap();
    let floor = Proxy::start(Command::new(own).args(["floor", &upstream.to_string()]));
    let postern = postern(directory.path());
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let (bare, full) = (floor.cost(requests), postern.cost(requests));
        ratios.push(full / bare);
        println!(
            "round {round}: floor {bare:.1} us, postern {full:.1} us of CPU a request, ratio {:.3}",
            full / bare
        );
    }
    println!(
        "median ratio of {rounds} rounds, {CONNECTIONS} connections: {:.3} (aim: at most 1.15)",
        median(ratios)
    );
}

/// What records cost: the thread that serves, and the whole process, which ships them into its store meanwhile.
fn compare_recording(rounds: usize, requests: usize) {
    let Ok(unrecorded) = std::env::var("POSTERN_UNRECORDED") else {
        println!("what records cost: not compared, POSTERN_UNRECORDED names no build without them");
        return;
    };
    let upstream = load::upstream();
    let places = [tempfile::TempDir::new().unwrap(), tempfile::TempDir::new().unwrap()];
    let [none, all] = [(&*unrecorded, &places[0]), (BINARY, &places[1])].map(|(binary, place)| {
        configure(place.path(), upstream, 100);
        let configuration = place.path().join("postern.yaml");
        Proxy::start(Command::new(binary).args(["serve", "--config"]).arg(configuration))
    });
    let (mut of_worker, mut of_process) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let both = |proxy: &Proxy| {
            let before = proxy.cpu();
            let worker = proxy.cost_by(Proxy::cpu_of_the_worker, requests);
            // With the tenth that warms up; what is still to be shipped is shipped and counted.
            std::thread::sleep(Duration::from_millis(500));
            let all_requests = requests + requests / 10;
            #[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
            let process = (proxy.cpu() - before).as_secs_f64() * 1e6 / all_requests as f64;
            (worker, process)
        };
        // Each goes first every second time.
        let ((bare, bare_process), (full, full_process)) = if round % 2 == 0 {
            (both(&none), both(&all))
        } else {
            let full = both(&all);
            (both(&none), full)
        };
        of_worker.push(full / bare);
        of_process.push(full_process / bare_process);
        println!(
            "round {round}: worker {bare:.1} us without records, {full:.1} us with them, ratio {:.3}; process {bare_process:.1} \
             and {full_process:.1} us, ratio {:.3}",
            full / bare,
            full_process / bare_process
        );
    }
    println!(
        "records, median of {rounds} rounds: worker {:.3} (aim: at most 1.03), process with its store {:.3}",
        median(of_worker),
        median(of_process)
    );
}

fn stream_a_gibibyte() {
    let directory = tempfile::TempDir::new().unwrap();
    configure(directory.path(), load::big_upstream(1024), 1);
    let postern = postern(directory.path());
    let before = postern.memory_kib();
    let mut most = before;
    let begun = Instant::now();
    let bytes = load::download(postern.address, |_| most = most.max(postern.memory_kib()));
    let growth = most - before;
    println!(
        "{} MiB streamed in {:.1?}, RSS grew by {growth} KiB (aim: under 20480)",
        bytes >> 20,
        begun.elapsed()
    );
}

fn check_a_thousand_routes() {
    let directory = tempfile::TempDir::new().unwrap();
    configure(directory.path(), load::upstream(), 1000);
    let times = (0..9).map(|_| {
        let begun = Instant::now();
        let mut check = Command::new(BINARY);
        check
            .args(["check", "--config"])
            .arg(directory.path().join("postern.yaml"))
            .stdout(Stdio::null());
        assert!(check.status().unwrap().success());
        begun.elapsed().as_secs_f64() * 1e3
    });
    println!(
        "check of 1,000 routes: {:.1} ms at the median, process start included (aim: under 100)",
        median(times.collect())
    );
}

/// One speed for every wrong key: how far along a check came must not show in its time.
fn refuse_wrong_keys() {
    let directory = tempfile::TempDir::new().unwrap();
    configure(directory.path(), load::upstream(), 1);
    let postern = postern(directory.path());
    let all_but_last = |key: &str| {
        let mut key = key.to_owned();
        key.pop();
        key + "x"
    };
    let nothing_alike = |key: &str| "x".repeat(key.len());
    let (subscriber, vendor) = (load::SUBSCRIBER_KEY, load::VENDOR_KEY);
    let cases = [
        ("unknown subscriber key", nothing_alike(subscriber), vendor.to_owned()),
        ("all but its last character", all_but_last(subscriber), vendor.to_owned()),
        ("unknown vendor key", subscriber.to_owned(), nothing_alike(vendor)),
        ("both unknown", nothing_alike(subscriber), nothing_alike(vendor)),
    ];
    let mut times = cases.each_ref().map(|_| Vec::new());
    // In turn, so that what else the machine does falls on all of them.
    for _ in 0..20 {
        for ((_, subscriber, vendor), times) in cases.iter().zip(&mut times) {
            let taken = load::refusals(postern.address, subscriber, vendor, 200);
            times.extend(taken.iter().map(|time| time.as_secs_f64() * 1e6));
        }
    }
    for ((what, ..), times) in cases.iter().zip(times) {
        println!("refused in {:.1} us at the median: {what} (aim: all alike)", median(times));
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == "floor") {
        return floor::run(arguments[2].parse().unwrap());
    }
    let number = |name: &str, usual: usize| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(usual)
    };
    compare_cpu(number("--rounds", 7), number("--requests", 40_000));
    compare_recording(number("--rounds", 7), number("--requests", 40_000));
    stream_a_gibibyte();
    check_a_thousand_routes();
    refuse_wrong_keys();
}
