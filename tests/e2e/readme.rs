//! Property: the shell lines of README and of docs/operations.md do what these say, as they stand
//! there. They are run by a shell on servers of the test's own: what differs is where those are,
//! and how they are started.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Setup, WELCOME, repository};

/// The first port that a test may have; below are those of services.
const PORT_FIRST: u32 = 11_000;

/// Before the lines of "More than one node": nothing is installed or built, and `/etc` is the
/// test's. `systemctl` starts what it is asked for as Debian's units would.
const PRELUDE: &str = r#"
trap 'kill -9 $(jobs -p) 2>/dev/null || true' EXIT
export no_proxy='*'
# A machine that runs all tests at once is late.
export NUDGED_REDIS_DEADLINE=2s NUDGED_LIMITS_READ_DEADLINE=5s
apt-get() { :; }
cargo() { :; }
mariadb() { command mariadb --no-defaults -uroot --socket="$root/mysql.sock" "$@"; }
wait_for() { for _ in $(seq 600); do "$@" >/dev/null 2>&1 && return; sleep 0.05; done; false; }
is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1"); }
systemctl() {
    case "$2" in
        redis-server)
            redis-server "$root/etc/redis/redis.conf" --port "$redis_port" --bind 127.0.0.1 \
                --dir "$root" --daemonize no >"$root/redis.log" 2>&1 &
            wait_for is_open "$redis_port" ;;
        mariadb)
            mariadb-install-db --no-defaults --auth-root-authentication-method=normal \
                --skip-test-db --datadir="$root/mysql" >"$root/install.log" 2>&1
            mariadbd --defaults-file="$root/etc/mysql/mariadb.conf.d/90-nudged.cnf" --user=root \
                --bind-address=127.0.0.1 --port="$mysql_port" --datadir="$root/mysql" \
                --socket="$root/mysql.sock" >"$root/mysql.log" 2>&1 &
            wait_for mariadb -e 'SELECT 1' ;;
    esac
}
mkdir -p "$root/etc/redis" "$root/etc/mysql/mariadb.conf.d"
cd "$root"
"#;

/// Between the blocks: both nodes are ready, and by Redis, which has just been filled.
const READY: &str = r#"
is_full() { ! curl -sD - "http://127.0.0.1:$1/v1/decide?user=first" | grep -q degraded; }
has_click() { mariadb nudged -e 'SELECT action FROM events' | grep -q clicked; }
wait_for curl -sf "http://127.0.0.1:$data_1/readyz"
wait_for curl -sf "http://127.0.0.1:$data_2/readyz"
wait_for is_full "$data_1"
wait_for is_full "$data_2"
"#;

/// The documents whose shell blocks are run.
const DOCUMENTS: [&str; 2] = ["README.md", "docs/operations.md"];

/// Runs the lines of its section on hosts of their own; `two_vms` holds their configurations.
const TWO_VMS: &str = "tests/package/two-vms";

/// A part of each shell block, with what runs it.
const BLOCKS: [(&str, &str); 24] = [
    ("cargo run --release", "the_first_minute"),
    ("Nothing, and why", "the_first_minute"),
    ("tools/test", "CI"),
    ("What lasts now", "what_an_operator_looks_at_first"),
    ("the kill switch", "what_an_operator_looks_at_first"),
    ("\"role\": \"editor\"", "what_an_operator_looks_at_first"),
    ("Rates, latencies, popups", "what_an_operator_watches"),
    ("Of a node's configuration", "what_an_operator_asks_now_and_then"),
    ("nudged top", "what_an_operator_asks_now_and_then"),
    ("nudged journal", "what_an_operator_asks_now_and_then"),
    ("nudged backup", "what_an_operator_asks_now_and_then"),
    ("kill -USR2", "e2e upgrade"),
    ("tools/side-by-side --smoke", "CI"),
    ("# On the store, 10.0.0.10", TWO_VMS),
    ("# On each node", TWO_VMS),
    ("# On the balancer, 10.0.0.2", TWO_VMS),
    ("# From anywhere", TWO_VMS),
    ("# On a node. With the variables", TWO_VMS),
    ("# On the balancer: both", TWO_VMS),
    ("# On a node. The former version", TWO_VMS),
    ("# Roll back", TWO_VMS),
    ("# Two nodes. On machines", "more_than_one_node"),
    ("What both wrote", "more_than_one_node"),
    ("nudged migrate --config nudged.toml --from", "e2e growing"),
];

/// The shell blocks of the documents, in order.
fn blocks() -> Vec<String> {
    let texts = DOCUMENTS.map(|name| std::fs::read_to_string(repository(name)).unwrap());
    let parts = texts.iter().flat_map(|text| text.split("\n```sh\n").skip(1));
    parts.map(|part| part.split("\n```").next().unwrap().to_owned() + "\n").collect()
}

/// The block that has this in it.
pub fn block_with(part: &str) -> String {
    let found: Vec<String> = blocks().into_iter().filter(|block| block.contains(part)).collect();
    assert_eq!(found.len(), 1, "one block of {DOCUMENTS:?} has {part:?}");
    found[0].clone()
}

/// Runs lines by bash, which stops at the first that fails; gives what they wrote.
pub fn shell(lines: &str, variables: &[(&str, String)]) -> String {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", lines]).stdin(Stdio::null());
    command.envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
    let output = command.output().expect("bash is there");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}:\n{said}\n--- of ---\n{lines}", output.status);
    said.into_owned()
}

/// Ports that differ and stay free until a program binds them: the system gives those below its
/// own range to nobody who asks for any port, nor to a connection that goes out. Another run of the
/// tests begins elsewhere.
fn free_ports<const N: usize>() -> [String; N] {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let systems: u32 = range.split_whitespace().next().unwrap().parse().unwrap();
    assert!(systems > PORT_FIRST + 1_000, "the system's ports begin at {systems}");
    let begin = std::process::id() * 7;
    let ports = (begin..).map(|number| PORT_FIRST + number % (systems - PORT_FIRST));
    let mut ports = ports.map(|port| port.to_string()).filter(|port| {
        // Those of the documents are replaced in texts that these have come into.
        !port.contains("808") && TcpListener::bind(format!("127.0.0.1:{port}")).is_ok()
    });
    std::array::from_fn(|_| ports.next().expect("there are always more"))
}

#[test]
fn the_first_minute() {
    let start = block_with("cargo run");
    assert_eq!(start, "cargo run --release -- serve --popups vendor-config/popups.toml\n");
    let popups = std::fs::read_to_string(repository("vendor-config/popups.toml")).unwrap();
    let setup = Setup::new(&popups);
    let server = setup.start();
    let lines = block_with("Nothing, and why")
        .replace("127.0.0.1:8080", &server.data.to_string())
        .replace("/tmp/shown", &setup.path("shown").display().to_string());
    let said = shell(&lines, &[("no_proxy", "*".to_owned())]);
    let order = ["HTTP/1.1 200", "\"decision\":", "HTTP/1.1 204", "Nudge-Reason: gap"];
    let order = order.into_iter().chain(["Nudge-Next:", "\"accepted\":1", "\"popup\":null"]);
    order.fold(0, |from, part| {
        let place = said[from..].find(part).unwrap_or_else(|| panic!("{part}:\n{said}"));
        from + place
    });
    server.stop();
}

#[test]
fn every_block_is_run() {
    assert_eq!(blocks().len(), BLOCKS.len());
    for (part, runner) in BLOCKS {
        assert!(!block_with(part).is_empty(), "run by {runner}");
    }
}

#[test]
fn what_an_operator_looks_at_first() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let lines = ["What lasts now", "the kill switch", "\"role\": \"editor\""].map(block_with);
    let lines = lines.concat().replace("127.0.0.1:8081", &server.admin.to_string());
    let said = shell(&lines, &[("no_proxy", "*".to_owned())]);
    let order = ["\"lacks\":null", "no outage", "\"id\":\"welcome\""];
    let order =
        order.into_iter().chain(["\"stored\":", "\"effective_status\":\"live\"", "\"ann\""]);
    order.fold(0, |from, part| {
        let place = said[from..].find(part).unwrap_or_else(|| panic!("{part}:\n{said}"));
        from + place
    });
    server.stop();
}

#[test]
fn what_an_operator_watches() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let block = block_with("Rates, latencies, popups");
    let lines = block.lines().map(|line| {
        // Who has no jq reads it as it comes.
        let line = line.split(" | jq").next().unwrap_or_default();
        match line.contains("curl -sN ") {
            // It goes on until somebody ends it.
            true => format!("{} || true\n", line.replace("-sN", "-sN --max-time 3")),
            false => format!("{line}\n"),
        }
    });
    let lines = lines.collect::<String>().replace("127.0.0.1:8081", &server.admin.to_string());
    let said = shell(&lines, &[("no_proxy", "*".to_owned())]);
    let order = ["event: live", "\"lines\":[", "\"entries\":[{", "\"checks\":["];
    assert!(order.iter().all(|part| said.contains(part)), "{said}");
    server.stop();
}

#[test]
fn what_an_operator_asks_now_and_then() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    server.client().decide("ann").expect(200);
    let blocks = ["Of a node's configuration", "nudged top", "nudged journal", "nudged backup"]
        .map(block_with);
    let program = env!("CARGO_BIN_EXE_nudged");
    let config = setup.path("nudged.toml").display().to_string();
    let (admin, data) = (server.admin.to_string(), setup.data().display().to_string());
    let at = format!("--admin {admin} --data {data}");
    let lines = blocks
        .concat()
        .replace("sudo -u nudged nudged backup", &format!("{program} backup {at}"))
        .replace("\nnudged ", &format!("\n{program} "))
        // Doctor may find this host wanting, which is no fault of its block.
        .replace("/etc/nudged.toml\n", "/etc/nudged.toml || true\n")
        .replace("--json | jq -r '.[] | select(.mend != \"\") | .mend'", "--json || true")
        .replace("/etc/nudged.toml", &config)
        .replace("127.0.0.1:8081", &admin)
        .replace("/var/lib/nudged", &data)
        .replace("| less", "| cat")
        .replace("/var/backups/", &format!("{}/", setup.path("").display()));
    let said = shell(&lines, &[("no_proxy", "*".to_owned())]);
    let order = ["kernel", "SHARD", "decided", "\"user_id\":\"ann\""];
    assert!(order.iter().all(|part| said.contains(part)), "{said}");
    server.stop();
}

#[test]
fn more_than_one_node() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display().to_string();
    std::os::unix::fs::symlink(repository("vendor-config"), folder.path().join("vendor-config"))
        .unwrap();
    let [redis, mysql, data_1, admin_1, data_2, admin_2] = free_ports();
    let lines = [PRELUDE, &block_with("# Two nodes. On machines"), READY, &block_with("What both")]
        .concat()
        .replace("/tmp/shown", &format!("{root}/shown"))
        .replace(" /etc/", &format!(" {root}/etc/"))
        .replace(">>/etc/", &format!(">>{root}/etc/"))
        .replace("target/release/nudged", env!("CARGO_BIN_EXE_nudged"))
        .replace("@127.0.0.1/nudged", &format!("@127.0.0.1:{mysql}/nudged"))
        .replace("@127.0.0.1\"", &format!("@127.0.0.1:{redis}\""))
        .replace("8082", &data_2)
        .replace("8083", &admin_2)
        .replace("127.0.0.1:8080", &format!("127.0.0.1:{data_1}"))
        .replace(
            "--data ./node-1 &",
            &format!("--data ./node-1 --listen 127.0.0.1:{data_1} --admin 127.0.0.1:{admin_1} &"),
        )
        // Where the included files are is said within a quoted text.
        .replace("'include /etc/", &format!("'include {root}/etc/"))
        // The last line is of what comes to SQL within a second.
        .replace("\nmariadb nudged -e", "\nwait_for has_click\nmariadb nudged -e");
    let variables = [
        ("root", root.clone()),
        ("redis_port", redis),
        ("mysql_port", mysql),
        ("data_1", data_1),
        ("data_2", data_2),
    ];
    let said = shell(&lines, &variables);
    // It may come behind an answer of curl, which ends no line.
    assert_eq!(said.matches("ready\n").count(), 2, "{said}");
    assert!(said.contains("Nudge-Reason: gap") && said.contains("\"accepted\":1"), "{said}");
    for action in ["decided", "clicked"] {
        assert!(said.contains(&format!("ann\twelcome\t{action}")), "{action}:\n{said}");
    }
}

#[test]
fn the_floor_serves_an_answer() {
    let binary = Path::new(env!("CARGO_BIN_EXE_nudged")).with_file_name("examples").join("floor");
    // A cargo within a cargo would build all anew: what `cargo test` has built is taken.
    if !binary.exists() {
        println!("skipped: `cargo build --example floor` comes first where one test is run alone");
        return;
    }
    let mut child = Command::new(binary).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let address = lines.next().unwrap().unwrap();
    let address = address.strip_prefix("listening data ").unwrap().parse().unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let mut client = crate::client::Client::connect(address);
    for _ in 0..3 {
        assert_eq!(client.decide("ann").popup().as_deref(), Some("welcome"));
    }
    assert!(child.try_wait().unwrap().is_none(), "it goes on");
    child.kill().unwrap();
    child.wait().unwrap();
}
