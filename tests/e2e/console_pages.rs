//! Property: each page of the console does its work in a real browser, by keys alone, in light and
//! dark, at 360 pixels, and says what went wrong. `tests/browser/console-harness.mjs` has what its
//! scripts share; they start their nodes themselves, as some have to die under an open page.
//!
//! Needs what `browser` needs. Several browsers leave nothing of two cores to tests that hold
//! times: where TEST_NUDGED_CONSOLE is `later`, as in the first of two runs of `tools/test`, these
//! are left out.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::browser::{assert_passed, has_browser, told};
use crate::cluster::{self, Cluster, Plan};
use crate::harness::{Server, Setup, WELCOME, repository, until};
use crate::tls;

/// Of the file that `admin_token_file` names.
const OWNER: &str = "owner-token-0123456789abcdef";

/// Whether they can be run here, and now.
fn is_time() -> bool {
    let is_later = std::env::var_os("TEST_NUDGED_CONSOLE").is_some_and(|when| when == "later");
    !is_later && has_browser()
}

/// Runs a script of pages with this program.
fn run(script: &str, tests_at_least: usize) {
    if !is_time() {
        return;
    }
    let arguments = ["--nudged", env!("CARGO_BIN_EXE_nudged")];
    assert_passed(&told(&format!("tests/browser/{script}"), &arguments), tests_at_least);
}

#[test]
fn lists_a_popup_and_statistics() {
    run("console-lists.mjs", 10);
}

#[test]
fn the_editor() {
    run("console-editor.mjs", 14);
}

#[test]
fn users_the_system_and_access() {
    run("console-people.mjs", 21);
}

/// Runs the script of places against a node.
fn run_at(console: &str, server: &Server, flag: [&str; 2]) {
    let data = format!("http://{}", server.data);
    let arguments = [&[console, &data][..], &flag].concat();
    assert_passed(&told("tests/browser/console-places.mjs", &arguments), 1);
}

#[test]
fn on_one_of_two_nodes_and_while_sql_stands_still() {
    if !is_time() {
        return;
    }
    let plan = Plan { owns_mariadb: true, ..Plan::new(WELCOME) };
    let cluster = Cluster::new(plan);
    let mut nodes = cluster.start(2);
    for (_, server) in &mut nodes {
        ["sql_", "overrides_", "catalog_"].iter().for_each(|code| server.allow(code));
    }
    let server = &nodes[0].1;
    until("the nodes to know each other", || {
        let status = server.operator().get("/v1/status").json();
        (status["nodes"].as_array().unwrap().len() == 2).then_some(())
    });
    let pid = cluster.mariadb().pid().to_string();
    run_at(&format!("http://{}", server.admin), server, ["--mariadb", &pid]);
    cluster::stop(nodes);
}

/// A node that asks for a token, with a certificate; `admin` is its address.
fn node_with_token(admin: &str) -> Setup {
    let setup = Setup::new(WELCOME).admin(admin).flags(&["--shards", "1", "--no-pin"]);
    let file = setup.path("token");
    fs::write(&file, OWNER).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    setup.write_config(&format!(
        "admin_token_file = {:?}\n[tls]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"\n\
         [limits]\nread_deadline = \"30s\"\n",
        file.display()
    ));
    tls::install(&setup, "server.pem", "server.key");
    setup
}

#[test]
fn by_a_tls_listener() {
    if !is_time() {
        return;
    }
    let setup = node_with_token("0.0.0.0:0 tls");
    let server = setup.start();
    let console = format!("https://localhost:{}", server.admin.port());
    run_at(&console, &server, ["--token", OWNER]);
    server.stop();
}

/// Ends with its test.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As docs/operations.md has it, on a port of loopback.
fn nginx(admin: SocketAddr, port: u16, folder: &Path) -> Command {
    let place = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {place}/{name};\n"))
        .concat();
    let config = format!(
        "daemon off;\nmaster_process off;\npid {place}/nginx.pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}server {{\nlisten 127.0.0.1:{port} ssl;\n\
         ssl_certificate {place}/tls.pem;\nssl_certificate_key {place}/tls.key;\n\
         location / {{\nproxy_pass http://127.0.0.1:{};\nproxy_set_header Host $http_host;\n\
         proxy_buffering off;\n}}\n}}\n}}\n",
        admin.port()
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, config).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder).arg("-c").arg(path);
    command
}

/// The same.
fn haproxy(admin: SocketAddr, port: u16, folder: &Path) -> Command {
    let both = ["tls.pem", "tls.key"].map(|name| fs::read_to_string(folder.join(name)).unwrap());
    let certificate = folder.join("haproxy.pem");
    fs::write(&certificate, both.concat()).unwrap();
    let config = format!(
        "defaults\n    mode http\n    timeout connect 5s\n    timeout client 60s\n    \
         timeout server 60s\nlisten nudged\n    bind 127.0.0.1:{port} ssl crt {}\n    \
         server node 127.0.0.1:{}\n",
        certificate.display(),
        admin.port()
    );
    let path = folder.join("haproxy.cfg");
    fs::write(&path, config).unwrap();
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(path);
    command
}

/// Signs in, pauses and resumes through a proxy with TLS.
fn behind(program: &str, proxy: fn(SocketAddr, u16, &Path) -> Command) {
    if !is_time() {
        return;
    }
    if Command::new(program).arg("-v").output().is_err() {
        return eprintln!("skipped: no {program} (tools/test installs it)");
    }
    let setup = node_with_token("0.0.0.0:0");
    let server = setup.start();
    let folder = setup.path("tls.pem").parent().unwrap().to_path_buf();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = proxy(server.admin, port, &folder);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _proxy = Proxy(child.unwrap());
    until(program, || TcpStream::connect(("127.0.0.1", port)).ok());
    run_at(&format!("https://localhost:{port}"), &server, ["--token", OWNER]);
    server.stop();
}

#[test]
fn behind_nginx_with_tls() {
    behind("nginx", nginx);
}

#[test]
fn behind_haproxy_with_tls() {
    behind("haproxy", haproxy);
}

/// As `tools/console --times` tells it; how long it is, says nothing on a machine of tests.
#[test]
fn the_first_page_s_time_is_told() {
    if !is_time() {
        return;
    }
    let mut command = Command::new(repository("tools/console"));
    let output = command.args(["--times", env!("CARGO_BIN_EXE_nudged"), "1"]).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    for when in ["nothing in the cache", "visited before"] {
        assert!(said.contains(&format!("painted, {when}: median ")), "{said}");
    }
}

/// What is no page has tests of its own, and all of it has types.
#[test]
fn its_source_holds_without_a_browser() {
    if !is_time() {
        return;
    }
    for script in ["check", "test"] {
        let mut command = Command::new("npm");
        command.args(["run", "--silent", script]).current_dir(repository("src/admin/console"));
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&said));
    }
}
