//! Whether the process is alive, and whether it takes traffic. Asked by balancers, without a key.

use super::reply::Heading;

/// Appends the reply of `/health`: a process that can answer is alive.
pub(super) fn write_health(out: &mut Vec<u8>, heading: &Heading<'_>) {
    heading.start(out, 200);
    heading.end_json(out, b"{\"status\":\"ok\"}");
}

/// Appends the reply of `/readyz`: 200, or 503 while the node starts, drains or is unfit.
pub(super) fn write_readiness(out: &mut Vec<u8>, heading: &Heading<'_>, ready: bool) {
    heading.start(out, if ready { 200 } else { 503 });
    let body: &[u8] =
        if ready { b"{\"status\":\"ready\"}" } else { b"{\"status\":\"unavailable\"}" };
    heading.end_json(out, body);
}
