//! Property: a listener of TLS serves what any other serves, for curl, openssl and any client, and
//! whoever does not speak as agreed is refused and holds nobody up (docs/operations.md#tls).

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::{Client, request};
use crate::harness::{Server, Setup, WELCOME, repository, run, until};
use crate::support::process::Process;

const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0 tls"];

fn config(more: &str) -> String {
    format!(
        "{more}\n[tls]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"\n\
         [limits]\nread_deadline = \"2s\"\n"
    )
}

/// Puts a certificate of the corpus and a key where the configuration names them.
pub fn install(setup: &Setup, certificate: &str, key: &str) {
    for (name, place) in [(certificate, "tls.pem"), (key, "tls.key")] {
        fs::copy(repository(&format!("tests/corpus/tls/{name}")), setup.path(place)).unwrap();
        fs::set_permissions(setup.path(place), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn setup() -> Setup {
    let setup = Setup::new(WELCOME).config(&config("")).flags(&["--shards", "2", "--no-pin"]);
    install(&setup, "server.pem", "server.key");
    setup.flags(&LISTEN)
}

pub fn curl(address: SocketAddr, arguments: &[&str], path: &str) -> Output {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "15", "--cacert"]);
    command.arg(repository("tests/corpus/tls/server.pem")).args(arguments);
    command.arg(format!("https://localhost:{}{path}", address.port()));
    command.arg("--resolve").arg(format!("localhost:{}:127.0.0.1", address.port()));
    command.output().unwrap()
}

/// What `openssl s_client` says, with this on its standard input.
fn s_client(address: SocketAddr, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("openssl");
    command.arg("s_client").arg("-connect").arg(address.to_string()).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Its end is that of the answer: what is sent asks for it.
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn counted(server: &Server, name: &str, label: &str) -> f64 {
    let text = server.operator().get("/metrics").expect(200).body;
    let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

fn failed(server: &Server, reason: &str) -> f64 {
    counted(server, "nudged_tls_failures_total", &format!("reason=\"{reason}\""))
}

#[test]
fn curl_and_openssl_are_served() {
    let setup = setup();
    let server = setup.start();
    let secure = server.others[0];
    for version in ["--tlsv1.3", "--tlsv1.2"] {
        let limit: &[&str] = if version == "--tlsv1.2" { &["--tls-max", "1.2"] } else { &[] };
        let arguments = [&[version, "-w", "%{http_code} %{http_version}"], limit].concat();
        let output = curl(secure, &arguments, "/v1/decide?user=ann&placement=home");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.ends_with(" 1.1"), "{output:?}");
        assert!(said.contains("200") || said.contains("204"), "{output:?}");
    }
    // One connection, many requests.
    let url = format!("https://localhost:{}/health", secure.port());
    let many = curl(secure, &[&url[..]; 20], "/health");
    assert!(many.status.success(), "{many:?}");
    assert_eq!(counted(&server, "nudged_tls_handshakes_total", "kind=\"tls13\""), 2.0);
    assert_eq!(counted(&server, "nudged_tls_handshakes_total", "kind=\"tls12\""), 1.0);
    let post = curl(
        secure,
        &["-d", "{\"user\":\"bob\"}", "-H", "Content-Type: application/json"],
        "/v1/decide",
    );
    assert!(String::from_utf8_lossy(&post.stdout).contains("welcome"), "{post:?}");
    for version in ["-tls1_2", "-tls1_3"] {
        let ask = "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let said = s_client(secure, &[version, "-ign_eof", "-alpn", "h2,http/1.1"], ask);
        assert!(
            said.contains("HTTP/1.1 200") && said.contains("ALPN protocol: http/1.1"),
            "{said}"
        );
        let session = setup.path("session").display().to_string();
        s_client(secure, &[version, "-ign_eof", "-sess_out", &session], ask);
        let again = s_client(secure, &[version, "-ign_eof", "-sess_in", &session], ask);
        assert!(again.contains("Reused, "), "{again}");
    }
    assert!(counted(&server, "nudged_tls_handshakes_total", "resumed") >= 2.0);
    // What is not spoken.
    let old = s_client(secure, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "");
    assert!(old.contains("alert"), "{old}");
    assert_eq!(failed(&server, "version"), 1.0);
    let other = s_client(secure, &["-alpn", "h2"], "");
    assert!(other.contains("no application protocol"), "{other}");
    assert_eq!(failed(&server, "alpn"), 1.0);
    server.stop();
}

#[test]
fn long_answers_and_pipelines_come_whole() {
    let popup = format!("{WELCOME}text = \"{}\"\nafter = 1\n", "x".repeat(30_000));
    let setup = setup();
    setup.write_popups(&popup);
    let server = setup.start();
    let secure = server.others[0];
    let output = curl(secure, &[], "/v1/decide?user=ann&placement=home");
    assert!(output.stdout.len() > 30_000, "{}", output.stdout.len());
    let ask = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n".repeat(200)
        + "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let said = s_client(secure, &["-ign_eof", "-quiet"], &ask);
    assert_eq!(said.matches("HTTP/1.1 200").count(), 201);
    server.stop();
}

#[test]
fn who_does_not_speak_tls_is_told_or_closed() {
    let server = setup().start();
    let secure = server.others[0];
    let mut plain = Client::connect(secure);
    let answer = plain.get("/health").expect(400);
    assert!(answer.body.contains("plain_http"), "{answer:?}");
    assert!(plain.is_closed());
    let mut garbage = Client::connect(secure);
    garbage.send(&[0xff; 100]);
    assert!(garbage.try_answer().is_err());
    assert_eq!((failed(&server, "plain_http"), failed(&server, "not_tls")), (1.0, 1.0));
    let begun = Instant::now();
    let mut silent = Client::connect(secure);
    let mut slow = Client::connect(secure);
    slow.send(&[0x16, 3, 1, 1]);
    let mut malformed = Client::connect(secure);
    malformed.send(&[0x16, 3, 1, 0, 5, 9, 9, 9, 9, 9]);
    assert!(malformed.try_answer().is_err());
    assert_eq!(failed(&server, "malformed"), 1.0);
    let mut cut = Client::connect(secure);
    cut.send(&[0x16, 3, 1, 1]);
    cut.end_sending();
    assert!(cut.is_closed());
    assert_eq!(failed(&server, "cut"), 1.0);
    assert!(slow.try_answer().is_err() && silent.try_answer().is_err());
    let waited = begun.elapsed();
    assert!((4_900..9_000).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(failed(&server, "timeout"), 2.0);
    // And the other way round.
    let mut hello = server.client();
    hello.send(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]);
    hello.answer().expect(400);
    server.stop();
}

#[test]
fn a_stop_ends_connections_of_tls_like_others() {
    let setup = setup();
    setup.write_config(&config("lame_duck = \"500ms\""));
    let mut server = setup.start();
    let secure = server.others[0];
    let ask = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    let client = std::thread::spawn(move || s_client(secure, &["-ign_eof"], ask));
    until("the answer", || {
        (counted(&server, "nudged_requests_total", "route=\"health\"") > 0.0).then_some(())
    });
    server.signal(Signal::TERM);
    assert_eq!(server.wait(Duration::from_secs(20)), Some(0), "{}", server.said());
    let said = client.join().unwrap();
    assert!(said.contains("HTTP/1.1 200") && said.contains("closed"), "{said}");
}

#[test]
fn a_certificate_that_is_no_good_starts_nothing() {
    let setup = setup();
    install(&setup, "server.pem", "other.key");
    let exit = setup.start_fails(&[]);
    assert_eq!(exit.code, Some(2), "{exit:?}");
    assert!(exit.stderr.contains("tls.key: ") && exit.stderr.contains("not the key"), "{exit:?}");
    install(&setup, "server.pem", "server.key");
    fs::set_permissions(setup.path("tls.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let exit = setup.start_fails(&[]);
    assert!(exit.stderr.contains("everybody can read this key"), "{exit:?}");
    fs::remove_file(setup.path("tls.pem")).unwrap();
    let exit = setup.start_fails(&[]);
    assert!(exit.stderr.contains("tls.certificate: "), "{exit:?}");
}

#[test]
fn the_header_of_a_balancer_comes_before_tls() {
    let more = "[proxy_protocol]\nnetworks = [\"127.0.0.1\"]\n";
    let both = Setup::new(WELCOME).config(&(config("") + more));
    install(&both, "server.pem", "server.key");
    let both = both.flags(&["--shards", "2", "--no-pin"]);
    let server = both.flags(&["--listen", "127.0.0.1:0 tls proxy_protocol"]).start();
    let proxied = server.others[0];
    let output = curl(proxied, &["--haproxy-protocol"], "/health");
    assert!(output.status.success(), "{output:?}");
    let mut plain = Client::connect(proxied);
    plain.send(b"PROXY UNKNOWN\r\n");
    plain.send(&request("GET", "/health", ""));
    plain.answer().expect(400);
    server.stop();
}

/// Whether a server shows this certificate of the corpus.
fn shows(address: SocketAddr, certificate: &str) -> bool {
    let path = repository(&format!("tests/corpus/tls/{certificate}"));
    let text = fs::read_to_string(path).unwrap();
    s_client(address, &[], "").contains(text.lines().nth(2).unwrap())
}

#[test]
fn another_certificate_is_taken_over_under_load_and_a_bad_one_is_not() {
    let setup = setup();
    let mut server = setup.start();
    let (secure, is_over) = (server.others[0], AtomicBool::new(false));
    std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let url = format!("https://localhost:{}/health", secure.port());
                    let mut count = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        let output = curl(secure, &["-k", "-f", &url, &url, &url], "/health");
                        assert!(output.status.success(), "{output:?}");
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for round in 0..4 {
            let name = ["other", "server"][round % 2];
            install(&setup, &format!("{name}.pem"), &format!("{name}.key"));
            let answer = match round {
                0 => {
                    server.signal(Signal::HUP);
                    server.await_logged("certificate_loaded");
                    None
                }
                _ => Some(server.operator().ask("POST", "/v1/reload", "").expect(200)),
            };
            assert!(answer.is_none_or(|answer| answer.body.contains("tls.certificate")));
            assert!(shows(secure, &format!("{name}.pem")), "round {round}");
        }
        // The same once more changes nothing.
        let same = server.operator().ask("POST", "/v1/reload", "").expect(200);
        assert!(!same.body.contains("tls.certificate"), "{same:?}");
        server.allow("config_refused");
        install(&setup, "server.pem", "other.key");
        let refused = server.operator().ask("POST", "/v1/reload", "");
        assert!(refused.status >= 400 && refused.body.contains("tls.key"), "{refused:?}");
        assert!(shows(secure, "server.pem"));
        is_over.store(true, Ordering::Relaxed);
        let counts: Vec<usize> = visitors.into_iter().map(|one| one.join().unwrap()).collect();
        assert!(counts.iter().all(|count| *count > 1), "{counts:?}");
    });
    server.stop();
}

#[test]
fn operators_are_served_over_tls() {
    let setup = Setup::new(WELCOME).config(&config("")).flags(&["--shards", "1", "--no-pin"]);
    install(&setup, "server.pem", "server.key");
    let server = setup.start_with(&["--admin", "127.0.0.1:0 tls"]);
    let metrics = curl(server.admin, &[], "/metrics");
    let text = String::from_utf8_lossy(&metrics.stdout).into_owned();
    assert!(text.contains("\nnudged_tls_certificate_expiry_timestamp_seconds 4949"), "{text}");
    let status = curl(server.admin, &[], "/v1/status").stdout;
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    assert!(status["tls"]["expires_at"].as_str().unwrap().starts_with("2126-11-06T"), "{status}");
    assert!(status["tls"]["expires_in_s"].as_i64().unwrap() > 0, "{status}");
    let url = format!("https://localhost:{}/v1/status", server.admin.port());
    let two = curl(server.admin, &["-f", "--tls-max", "1.2", &url], "/v1/popups");
    assert!(two.status.success(), "{two:?}");
    let mut plain = server.operator();
    let _ = plain.try_send(b"GET /health HTTP/1.1\r\n\r\n");
    assert!(plain.try_answer().is_err());
    assert!(curl(server.admin, &["-f"], "/v1/status").status.success());
    server.stop();
}

#[test]
fn commands_ask_a_node_over_tls_and_know_that_it_is_the_node() {
    let setup = Setup::new(WELCOME).config(&config("")).flags(&["--shards", "1", "--no-pin"]);
    install(&setup, "server.pem", "server.key");
    let server = setup.start_with(&["--admin", "127.0.0.1:0 tls"]);
    let port = server.admin.port();
    let nowhere = setup.path("data").parent().unwrap().join("elsewhere");
    fs::create_dir(&nowhere).unwrap();
    let ask = |arguments: &[&str]| {
        let mut line = vec!["explain", "--user", "ann"];
        line.extend(arguments);
        run(&nowhere, &line)
    };
    let at = |host: &str| format!("https://{host}:{port}");
    let file = |name: &str| repository(&format!("tests/corpus/tls/{name}")).display().to_string();
    // By who has signed it, for its name.
    let (signed, other) = (file("server.pem"), file("other.pem"));
    for host in ["localhost", "127.0.0.1"] {
        let exit = ask(&["--admin", &at(host), "--cacert", &signed]);
        assert_eq!(exit.code, Some(0), "{exit:?}");
        assert!(exit.stdout.contains("welcome"), "{exit:?}");
    }
    // By the node's own certificate, whatever its name.
    let config = setup.path("nudged.toml").display().to_string();
    let port_text = format!("127.0.0.1:{port} tls");
    for admin in [at("localhost"), port_text] {
        let exit = setup.run(&["explain", "--user", "ann", "--config", &config, "--admin", &admin]);
        assert_eq!(exit.code, Some(0), "{exit:?}");
    }
    let copy = setup.path("copy.db").display().to_string();
    let localhost = at("localhost");
    for command in [&["top", "--once"][..], &["backup", &copy]] {
        let node = ["--cacert", &signed, "--admin", &localhost];
        let exit = run(&nowhere, &[command, &node].concat());
        assert_eq!(exit.code, Some(0), "{exit:?}");
    }
    let plain = format!("127.0.0.1:{port}");
    let data = server.data.to_string();
    let data_tls = format!("https://{data}");
    for (arguments, wanted) in [
        (&["--admin", &localhost][..], "nobody that is trusted has signed it"),
        (&["--admin", &localhost, "--cacert", &other], "is not signed by what --cacert has"),
        (&["--admin", &at("127.0.0.2"), "--cacert", &signed], "127.0.0.2"),
        (&["--admin", &localhost, "--cacert", "/nowhere.pem"], "/nowhere.pem: no certificate"),
        (&["--admin", &plain], "speaks TLS: give --admin https://127.0.0.1"),
        (&["--admin", &data_tls], "does not speak TLS: give --admin 127.0.0.1"),
        (&["--admin", "https://localhost"], "https://HOST:PORT"),
    ] {
        let exit = ask(arguments);
        assert_eq!(exit.code, Some(1), "{arguments:?}: {exit:?}");
        assert!(exit.stderr.contains(wanted), "{arguments:?}: {exit:?}");
    }
    server.stop();
}

#[test]
fn check_looks_at_the_files() {
    let setup = setup();
    let said = |certificate: &str, key: &str| {
        install(&setup, certificate, key);
        let exit = setup.run(&["check", "--config", "nudged.toml"]);
        format!("{}{}", exit.stdout, exit.stderr)
    };
    assert!(!said("server.pem", "server.key").contains("tls."));
    assert!(said("expired.pem", "server.key").contains("it has expired"));
    assert!(said("future.pem", "server.key").contains("it is not valid yet"));
    assert!(said("server.pem", "other.key").contains("it is not the key of the certificate"));
    install(&setup, "expired.pem", "server.key");
    let server = setup.start();
    assert_eq!(server.await_logged("certificate_expires").level, "warn");
    server.stop();
}

#[test]
fn a_balancer_passes_tls_through() {
    if Command::new("haproxy").arg("-v").output().is_err() {
        return eprintln!("skipped: no haproxy (tools/test installs it)");
    }
    let more = "[proxy_protocol]\nnetworks = [\"127.0.0.1\"]\n";
    let setup = Setup::new(WELCOME).config(&(config("") + more));
    install(&setup, "server.pem", "server.key");
    let setup = setup.flags(&["--shards", "2", "--no-pin"]);
    let setup = setup.flags(&["--listen", "127.0.0.1:0 tls proxy_protocol"]);
    let server = setup.start();
    let (node, file) = (server.others[0], setup.path("haproxy.cfg"));
    let make = move |address: SocketAddr| {
        let config = format!(
            "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 30s\n    \
             timeout server 30s\nlisten nudged\n    bind {address}\n    \
             server node {node} send-proxy-v2\n"
        );
        fs::write(&file, config).unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let balancer = Process::start(Box::new(make), String::new);
    for _ in 0..3 {
        let output = curl(balancer.address(), &["-f"], "/health");
        assert!(output.status.success(), "{output:?}");
    }
    assert!(counted(&server, "nudged_proxy_protocol_accepted_total", "") >= 3.0);
    assert_eq!(counted(&server, "nudged_tls_handshakes_total", "kind=\"tls13\""), 3.0);
    server.stop();
}

#[test]
fn a_crowd_of_beginners_makes_room_and_others_are_served() {
    const CROWD: usize = 1_100;
    const UNDER_WAY_MAX: f64 = 1_024.0;
    let setup = Setup::new(WELCOME).config(&config("")).flags(&["--shards", "1", "--no-pin"]);
    install(&setup, "server.pem", "server.key");
    let setup = setup.flags(&LISTEN);
    let server = setup.start();
    let begin = || {
        let mut client = Client::connect(server.others[0]);
        let _ = client.try_send(&[0x16, 3, 1, 1]);
        client
    };
    let crowd: Vec<Client> = (0..CROWD).map(|_| begin()).collect();
    until("room", || {
        let ended = failed(&server, "displaced") + failed(&server, "overload");
        // A slow machine ends the first of them by their deadline.
        let ended = ended + failed(&server, "timeout");
        (ended >= CROWD as f64 - UNDER_WAY_MAX).then_some(())
    });
    assert!(counted(&server, "nudged_tls_handshakes_open", "") <= UNDER_WAY_MAX);
    assert!(curl(server.others[0], &["-f"], "/health").status.success());
    drop(crowd);
    server.stop();
}
