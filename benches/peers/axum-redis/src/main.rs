//! Peer: axum and Redis, what a good team would write in a day. tokio on one thread, mimalloc, one
//! multiplexed connection of redis-rs that pipelines the commands of all requests.
//!
//! Does: one HGETALL for each request; the first of eight popups that the user has not seen is
//! shown; HSET and RPUSH in one pipeline before the answer leaves.
//! Does not: targets, gaps, caps, windows, events, tokens that can be checked, a second look (two
//! requests of one user at once both show), anything while Redis is away, records in SQL.
//!
//!     axum-redis REDIS_URL [ADDR:PORT]     the job
//!     axum-redis --constant [ADDR:PORT]    a constant answer and no Redis: its own floor

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, RedisError};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// In the order of their priority.
const POPUPS: [&str; 8] = [
    "campaign-7",
    "campaign-6",
    "campaign-5",
    "campaign-4",
    "campaign-3",
    "campaign-2",
    "campaign-1",
    "campaign-0",
];
/// Every answer has as many bytes.
const BODY_BYTES: usize = 180;
const NOTHING: &str = concat!(
    "{\"decision\":null,\"popup\":null,\"reason\":\"nothing_left\",\"next_in\":null}",
    "                                                       ",
    "                                                        ",
);
const _: () = assert!(NOTHING.len() == BODY_BYTES, "as many bytes as a show");

#[derive(serde::Deserialize)]
struct Asked {
    user: String,
    placement: String,
}

fn answer(body: Cow<'static, str>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn decide(
    mut redis: MultiplexedConnection,
    asked: Asked,
) -> Result<Cow<'static, str>, RedisError> {
    let key = format!("u:{}", asked.user);
    let seen: Vec<(String, u64)> = redis.hgetall(&key).await?;
    let unseen = |popup: &&&str| !seen.iter().any(|(name, _)| name == **popup);
    let Some(popup) = POPUPS.iter().find(unseen) else { return Ok(NOTHING.into()) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let now = u64::try_from(now).unwrap_or(u64::MAX);
    let record = format!("{{\"user\":\"{}\",\"popup\":\"{popup}\",\"at\":{now}}}", asked.user);
    let mut show = redis::pipe();
    show.hset(&key, popup, now).ignore().rpush("shows", record).ignore();
    let () = show.query_async(&mut redis).await?;
    let mut body = String::with_capacity(BODY_BYTES);
    let _ = write!(
        body,
        "{{\"decision\":\"{}.{popup}.{now}\",\"popup\":{{\"id\":\"{popup}\",\"version\":1,\"content\":\
         {{\"title\":\"Campaign\",\"text\":\"Something worth a look\"}}}},\"expires_in\":30}}",
        asked.user
    );
    body.extend(std::iter::repeat_n(' ', BODY_BYTES.saturating_sub(body.len())));
    Ok(body.into())
}

async fn job(State(redis): State<MultiplexedConnection>, Query(asked): Query<Asked>) -> Response {
    if asked.placement != "home" {
        return answer(NOTHING.into());
    }
    match decide(redis, asked).await {
        Ok(body) => answer(body),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn constant() -> Response {
    answer(NOTHING.into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let source = arguments.next().ok_or("usage: axum-redis REDIS_URL|--constant [ADDR:PORT]")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let router = if source == "--constant" {
        Router::new().route("/v1/decide", get(constant))
    } else {
        let redis = redis::Client::open(source)?.get_multiplexed_async_connection().await?;
        Router::new().route("/v1/decide", get(job)).with_state(redis)
    };
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening data {}\nready", listener.local_addr()?);
    let listener = listener.tap_io(|socket| {
        let _ = socket.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}
