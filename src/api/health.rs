//! Whether the process is alive, and whether it takes traffic. Asked by balancers, without a key.

use bumpalo::Bump;

use super::reply::{JsonText, ResponseContext};

/// Appends the reply of `/health`: a process that can answer is alive. Gives the status.
pub(super) fn write_health(out: &mut Vec<u8>, response: &ResponseContext<'_>) -> u16 {
    const STATUS: u16 = 200;
    response.start(out, STATUS);
    response.end_json(out, b"{\"status\":\"ok\"}");
    STATUS
}

/// Appends the reply of `/readyz`: 200, or 503 while the node starts, drains or is unfit, or while
/// its own disk takes nothing: then with the reason. Gives the status.
pub(super) fn write_readiness(
    out: &mut Vec<u8>,
    response: &ResponseContext<'_>,
    (ready, disk_lack): (bool, Option<&str>),
    bump: &Bump,
) -> u16 {
    let status = if ready { 200 } else { 503 };
    response.start(out, status);
    let mut body = JsonText::new(bump, 256);
    body.raw(if ready { "{\"status\":\"ready\"" } else { "{\"status\":\"unavailable\"" });
    if let Some(lack) = disk_lack {
        body.raw(",\"reason\":").text(lack);
    }
    body.raw("}");
    response.end_json(out, body.as_bytes());
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cors::{Cors, Grant};
    use nudged_base::time::WallMs;
    use nudged_http::reply::{ImfDate, ResponseFlags};

    #[test]
    fn what_the_disk_lacks_is_said() {
        let (bump, cors, date) = (Bump::new(), Cors::default(), ImfDate::of(WallMs(0)));
        let frame = ResponseFlags { date: &date, close: false, head_only: false, http_1_0: false };
        let response = ResponseContext { frame, cors: &cors, grant: Grant::Silent };
        let answer = |state| {
            let mut out = Vec::new();
            write_readiness(&mut out, &response, state, &bump);
            String::from_utf8(out).unwrap()
        };
        assert!(answer((true, None)).ends_with("\r\n\r\n{\"status\":\"ready\"}"));
        assert!(answer((false, None)).ends_with("{\"status\":\"unavailable\"}"));
        let lacking = answer((false, Some("/data lacks 7 bytes")));
        assert!(lacking.starts_with("HTTP/1.1 503 "), "{lacking}");
        let body = "{\"status\":\"unavailable\",\"reason\":\"/data lacks 7 bytes\"}";
        assert!(lacking.ends_with(body), "{lacking}");
    }
}
