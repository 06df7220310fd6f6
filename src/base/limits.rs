//! Every number that bounds something, in one place, with its unit in its name and its source
//! beside it. Relations between them are asserted at compile time at the end of the file. Those of
//! overloads are in `overload`, of hand-overs in `hand_over`, of the admin API's pages in `pages`.

mod hand_over;
mod live;
mod operators;
mod overload;
mod pages;
mod statistics;

pub use hand_over::*;
pub use live::*;
pub use operators::*;
pub use overload::*;
pub use pages::*;
pub use statistics::*;

// --- users and state ---------------------------------------------------------------------------

/// Classes of users; the unit of spreading over shards
/// (docs/decisions.md#4-home-shards, #7-absence-proves-nothing-by-itself).
pub const PARTITIONS: u16 = 1_024;
/// Longest user id, in bytes of UTF-8 (docs/semantics.md#requests).
pub const USER_BYTES_MAX: usize = 128;
/// Popups that a user's state remembers (docs/semantics.md#what-is-remembered).
pub const USER_POPUPS_MAX: usize = 64;
/// Show times that are remembered for each (user, popup) (docs/semantics.md#what-is-remembered).
pub const SHOWS_REMEMBERED_MAX: usize = 16;
/// Events of a decision are applied up to this long after it (docs/semantics.md#events): 7 days.
pub const EVENT_AGE_MAX_MS: u64 = 7 * 86_400_000;
/// Superseded signing keys verify, and tombstones of erased users stay, for this long: 8 days, one
/// more than an event may take.
pub const TOMBSTONE_AGE_MAX_MS: u64 = 8 * 86_400_000;
/// Longest encoded state of a user, in bytes: every popup with every show remembered.
pub const STATE_BYTES_MAX: usize = 24 * 1_024;

// --- catalog -----------------------------------------------------------------------------------

/// Popups in a catalog (docs/semantics.md#a-popup).
pub const POPUPS_MAX: usize = 10_000;
/// Longest popup id, in bytes (docs/semantics.md#a-popup).
pub const POPUP_ID_BYTES_MAX: usize = 64;
/// Longest key of a variant, in bytes.
pub const VARIANT_KEY_BYTES_MAX: usize = 64;
/// Variants of a popup.
pub const VARIANTS_MAX: usize = 64;
/// Largest weight of a variant.
pub const VARIANT_WEIGHT_MAX: u32 = 1_000_000;
/// Locales of a popup or of a variant.
pub const LOCALES_MAX: usize = 256;
/// Placements of a popup (docs/semantics.md#a-popup).
pub const PLACEMENTS_MAX: usize = 8;
/// Longest placement, locale or zone of a request and of a popup, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Windows of a popup.
pub const WINDOWS_MAX: usize = 64;
/// Sliding caps of a popup (docs/semantics.md#a-popup).
pub const CAPS_MAX: usize = 10;
/// Rule nodes of a target (docs/semantics.md#targets).
pub const TARGET_NODES_MAX: usize = 64;
/// Depth of a target's rules (docs/semantics.md#targets).
pub const TARGET_DEPTH_MAX: usize = 8;
/// Values of a rule's list (docs/semantics.md#targets).
pub const TARGET_VALUES_MAX: usize = 1_000;
/// Values of a target that are looked at for what its popup is found by: a compilation of the
/// largest catalog hashes 640,000. Who needs more is asked each time.
pub const PIVOT_VALUES_MAX: usize = 64;
/// Entries of a catalog in the lists of its placements, one for each value, popup and placement. A
/// pause makes the lists anew, and may take 50 ms. Who finds no room is asked each time.
pub const PIVOT_ENTRIES_MAX: usize = 262_144;
/// Live popups of a placement that are asked one by one sooner than by an index.
pub const SCANNED_POPUPS_MAX: usize = 8;
/// Largest content of a popup, variant or locale, in bytes of JSON (docs/semantics.md#a-popup).
pub const CONTENT_BYTES_MAX: usize = 32 * 1_024;
/// Nesting of content: below what the readers of TOML (80) and JSON take.
pub const CONTENT_DEPTH_MAX: usize = 32;
/// Nesting of a JSON text of popups: content within `locales` within `variants` and to spare.
pub const SOURCE_DEPTH_MAX: usize = 64;
/// Longest text of a rule, patterns included, in bytes.
pub const TARGET_TEXT_BYTES_MAX: usize = 4 * 1_024;
/// Numeric parts of a version (docs/semantics.md#targets).
pub const VERSION_PARTS_MAX: usize = 8;
/// Memory of one compiled pattern, and of its cache, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1_024 * 1_024;
/// Stretches of constant offset that a search for a local time walks. No zone has changed its
/// offset more than 8 times in a year, and each window opens within 14 days.
pub const STRETCHES_MAX: usize = 16;

// --- HTTP (docs/guarantees.md#http-rules) --------------------------------------------------------

/// Longest request line, in bytes; longer is 414.
pub const REQUEST_LINE_BYTES_MAX: usize = 8 * 1_024;
/// Longest request head, in bytes; longer is 431.
pub const HEAD_BYTES_MAX: usize = 16 * 1_024;
/// Header fields of a request; more is 431.
pub const HEAD_FIELDS_MAX: usize = 64;
/// Connections of a shard whose last fields are kept, so that the same ones are not judged again.
pub const HEADS_KNOWN_MAX: usize = 256;
/// Fields of one connection that are kept for that, in bytes; longer ones are judged each time.
pub const HEAD_KNOWN_BYTES_MAX: usize = 1_024;
/// Longest method token, in bytes; longer is 400.
pub const METHOD_BYTES_MAX: usize = 16;
/// Largest request body, in bytes; larger is 413.
pub const BODY_BYTES_MAX: usize = 64 * 1_024;
/// Largest `Content-Length` that is taken for a number: 2^53; larger is 400.
pub const CONTENT_LENGTH_MAX: u64 = 1 << 53;
/// Digits of a chunk's size.
pub const CHUNK_SIZE_DIGITS_MAX: usize = 16;
/// Chunk extensions of one body, in bytes, all together.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 256;
/// Trailer section of a chunked body, in bytes.
pub const TRAILER_BYTES_MAX: usize = 2 * 1_024;
/// Requests of one connection that wait for their answer; with as many, reading stops.
pub const PIPELINE_DEPTH_MAX: usize = 16;
/// From the first byte of a head to its end, in milliseconds.
pub const HEAD_TIMEOUT_MS: u64 = 5_000;
/// From the end of a head to the end of its body, in milliseconds.
pub const BODY_TIMEOUT_MS: u64 = 5_000;
/// A peer that takes no byte of an answer for this long is reset, in milliseconds.
pub const WRITE_STALL_TIMEOUT_MS: u64 = 5_000;
/// From accept to the first byte, in milliseconds.
pub const FIRST_BYTE_TIMEOUT_MS: u64 = 10_000;
/// From accept to the first byte while a node stops, in milliseconds: connections that were opened
/// ahead of need don't hold it up.
pub const DRAIN_FIRST_BYTE_TIMEOUT_MS: u64 = 1_000;
/// Idle keep-alive, in milliseconds: longer than a balancer's usual 60 s.
pub const IDLE_TIMEOUT_MS: u64 = 75_000;

/// From accept to the end of a PROXY protocol header, in milliseconds.
pub const PROXY_HEADER_TIMEOUT_MS: u64 = 3_000;
/// Longest header of its version 1, in bytes, as the protocol has it.
pub const PROXY_LINE_BYTES_MAX: usize = 107;
/// Longest header of its version 2, in bytes: addresses, and what balancers tell of a client's TLS.
pub const PROXY_HEADER_BYTES_MAX: usize = 4 * 1_024;
/// Networks that may send one.
pub const PROXY_NETWORKS_MAX: usize = 256;
/// From accept, or the end of a PROXY protocol header, to the end of a TLS handshake, in
/// milliseconds.
pub const TLS_HANDSHAKE_TIMEOUT_MS: u64 = 5_000;
/// Handshakes that one shard has under way; of more the oldest is ended.
pub const TLS_HANDSHAKES_MAX: usize = 1_024;
/// Steps of handshakes in one turn of a shard: some 250 us each, so that nobody waits for more than
/// a millisecond.
pub const TLS_HANDSHAKES_A_TURN: usize = 4;
/// Connections whose handshake waits for a later turn: a tenth of a second's work. One more is
/// refused.
pub const TLS_HANDSHAKES_WAITING_MAX: usize = 256;
/// Ciphertext that a connection keeps of what is not whole yet, in bytes: the largest record of TLS
/// 1.2, and a header.
pub const TLS_INPUT_BYTES_MAX: usize = 18 * 1_024 + 5;
/// Plaintext of one send, in bytes: one record.
pub const TLS_SEND_BYTES_MAX: usize = 16 * 1_024;
/// A certificate or key file is read up to this size, in bytes.
pub const TLS_FILE_BYTES_MAX: u64 = 1_024 * 1_024;
/// A certificate that holds for less is warned of, in seconds: 14 days.
pub const TLS_EXPIRY_WARNING_S: i64 = 14 * 86_400;
/// And again this often, in milliseconds: a day.
pub const TLS_EXPIRY_WARNING_PERIOD_MS: u64 = 86_400_000;
/// From the end of sending to the end of a connection whose peer may still be sending, in
/// milliseconds: closing at once would answer its bytes with a reset, and that could overtake the
/// last answer.
pub const LINGER_TIMEOUT_MS: u64 = 1_000;
/// Bytes that are read and dropped in that time.
pub const LINGER_BYTES_MAX: usize = 256 * 1_024;
/// Bytes that a connection keeps of what it may not parse yet. More than one request, since what
/// has been received when reading stops must not be lost.
pub const CONNECTION_INPUT_BYTES_MAX: usize =
    128 * 1_024 + RECEIVE_BUFFERS as usize * RECEIVE_BUFFER_BYTES;
/// Answers of one connection that wait for a send, in bytes; with as many, reading stops.
pub const CONNECTION_OUTPUT_BYTES_MAX: usize = 64 * 1_024;
/// First capacity of a pooled buffer, in bytes: a usual turn's answers.
pub const POOLED_BUFFER_BYTES: usize = 4 * 1_024;
/// A buffer that has grown past this is not kept for reuse, in bytes.
pub const POOLED_BUFFER_BYTES_MAX: usize = 64 * 1_024;
/// Buffers that one pool keeps take so many bytes together: what a burst needed goes back.
pub const POOLED_BYTES_MAX: usize = BUFFERS_POOLED_MAX * POOLED_BUFFER_BYTES;
/// Buffers that a pool keeps however long nobody needs them.
pub const POOLED_BUFFERS_MIN: usize = 16;
/// Answers of all connections that their clients have not taken, in bytes, unless configured; at
/// it those that owe the most are reset. A thousand clients that never read.
pub const UNSENT_BYTES_DEFAULT: u64 = 64 * 1_024 * 1_024;
/// Least that may be configured for it, in bytes.
pub const UNSENT_BYTES_MIN: u64 = 1_024 * 1_024;
/// Most that may be configured for it, in bytes: 1 TiB.
pub const UNSENT_BYTES_MAX: u64 = 1 << 40;
/// Least of it that a shard has, in bytes, whatever its share would be: so that a crowd of clients
/// that read, each with one answer on its way, does not reach it.
pub const UNSENT_SHARD_BYTES_MIN: u64 = 2 * 1_024 * 1_024;
/// A send without progress for so long is one whose client does not read, where the bound is
/// reached, in milliseconds: longer than a round trip takes.
pub const UNSENT_STALLED_MS: u64 = 300;
/// The same where twice the bound is passed, in milliseconds.
pub const UNSENT_STALLED_LEAST_MS: u64 = 100;
/// Freed memory is given back to the system after so much of it was freed, in bytes.
pub const TRIM_BYTES: u64 = 1_024 * 1_024;
/// And at most this often, in milliseconds: it costs milliseconds.
pub const TRIM_PERIOD_MS: u64 = 2_000;
/// Bytes of one send to a client. Each end of one shows that the peer takes bytes, so of a slow
/// one it must not be long until then: with the next bound, 8 kB/s are fast enough for a stall of
/// 5 s. The largest answer of one popup takes two.
pub const SEND_BYTES_MAX: usize = 32 * 1_024;
/// What a page loads with each view, compressed, in bytes: the browser's snippet.
pub const SNIPPET_CORE_BYTES_MAX: usize = 5 * 1_024;
/// What it loads beside where there is a popup, compressed, in bytes.
pub const SNIPPET_POPUP_BYTES_MAX: usize = 4 * 1_024;
/// Bytes that the kernel takes of a connection's answers beyond what the network takes at once. A
/// send then goes on with each small part that a slow peer takes, instead of with a third of
/// megabytes; and what waits is here, where it is counted.
pub const KERNEL_UNSENT_BYTES_MAX: u32 = 16 * 1_024;

// --- JSON and requests ---------------------------------------------------------------------------

/// Nesting of a request body.
pub const JSON_DEPTH_MAX: usize = 16;
/// Members of one JSON object of a request body.
pub const JSON_MEMBERS_MAX: usize = 256;
/// Scratch that the tree of the largest body takes, in bytes: 64 for each byte of it.
pub const JSON_SCRATCH_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Attributes of a request.
pub const ATTRIBUTES_MAX: usize = 64;
/// Requests of a shard whose words are kept, so that those of other users that say the same are not
/// read again.
pub const REPEATED_REQUESTS_MAX: usize = 256;
/// Words that are kept of one such request, in bytes; longer ones are read each time.
pub const REPEATED_REQUEST_BYTES_MAX: usize = 512;
/// Longest session of a request, in bytes: some are JWTs (docs/semantics.md#requests).
pub const SESSION_BYTES_MAX: usize = 1_024;
/// Unknown fields of a request that its answer names (docs/semantics.md#requests).
pub const IGNORED_NAMES_MAX: usize = 4;
/// Longest name of them, in bytes; longer ones are only counted.
pub const IGNORED_NAME_BYTES_MAX: usize = 64;
/// Unknown fields of a request that are looked at; more are served without a word.
pub const IGNORED_FIELDS_MAX: usize = 1_024;
/// Longest `Access-Control-Request-Headers` that is granted as it is, in bytes
/// (docs/semantics.md#requests).
pub const REQUEST_HEADERS_BYTES_MAX: usize = 1_024;
/// Events of one request (docs/semantics.md#requests).
pub const EVENTS_PER_REQUEST_MAX: usize = 100;
/// Longest decision token, in bytes of text.
pub const TOKEN_BYTES_MAX: usize = 512;
/// `expires_in` of an answer, in seconds (docs/semantics.md#answers).
pub const EXPIRES_IN_S: u32 = 30;
/// `next_in` of an answer is at most a day, in seconds (docs/semantics.md#gates).
pub const NEXT_IN_S_MAX: u32 = 86_400;

// --- journal (src/journal/FORMAT.md) -------------------------------------------------------------

/// Bytes of a journal segment, preallocated and zeroed.
pub const SEGMENT_BYTES: u64 = 64 * 1_024 * 1_024;
/// A journal batch closes at this many bytes of records.
pub const BATCH_BYTES_MAX: usize = 64 * 1_024;
/// Longest record, in bytes: a user, a token and the fullest row of one popup.
pub const RECORD_BYTES_MAX: usize = 4 * 1_024;
/// Bytes of records that one shard may have on their way to the journal.
pub const LANE_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Batches of records that one shard may have on their way to the journal (one a turn).
pub const LANE_BATCHES_MAX: usize = 1_024;
/// Bytes of journal that SQL has not applied, in embedded mode; at it, decisions degrade. Start-up
/// indexes this much in about a second.
pub const UNAPPLIED_BYTES_MAX: u64 = 256 * 1_024 * 1_024;
/// Batches that are written but not yet synced are kept in memory up to this many bytes, for the
/// case that the sync fails; at it, no further batch is made. Two syncs of 4 ms at 64 KiB a write
/// of 30 µs.
pub const UNSYNCED_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Records that the journal has taken from the lanes and not yet made a batch of, in bytes; at it,
/// the rest waits in the lanes.
pub const JOURNAL_QUEUE_BYTES_MAX: usize = 1_024 * 1_024;
/// Bytes of journal files on disk, unless configured.
pub const JOURNAL_BYTES_DEFAULT: u64 = 1_024 * 1_024 * 1_024;
/// Applied journal segments are kept this long, unless configured, in milliseconds: 24 h.
pub const JOURNAL_RETENTION_DEFAULT_MS: u64 = 86_400_000;
/// A full disk is tried again after this long, in milliseconds.
pub const DISK_RETRY_MS: u64 = 1_000;
/// With `ack = written`, syncs are at least this far apart, in milliseconds: a sync for each write
/// would cost more than the write.
pub const SYNC_PACE_MS: u64 = 100;
/// The end of a segment, at most an eighth of it, that is kept where there is no room for the next
/// one: records that come while the shards do not know yet find their place in it.
pub const SEGMENT_END_BYTES: u64 = 512 * 1_024;
/// Smallest journal segment that configuration may ask for, in bytes.
pub const SEGMENT_BYTES_MIN: u64 = 256 * 1_024;
/// Records that one SQL transaction applies (docs/decisions.md#8-one-durable-path).
pub const APPLY_RECORDS_MAX: usize = 1_000;

// --- shards --------------------------------------------------------------------------------------

/// Receive buffers of one shard's ring; a power of two.
pub const RECEIVE_BUFFERS: u16 = 512;
/// Bytes of one of them: any ordinary request fits whole. All of them together may arrive for one
/// connection in the turn in which it is told to stop.
pub const RECEIVE_BUFFER_BYTES: usize = 2 * 1_024;
/// Shards of one node.
pub const SHARDS_MAX: u16 = 256;
/// Requests that one shard may have under way on other shards.
pub const HOPS_OUTSTANDING_MAX: usize = 4_096;
/// Requests parked in one shard: waiting for state or for the journal.
pub const PARKED_MAX: usize = 16 * 1_024;

/// Events and shows of one shard that wait to be merged into their users' states while Redis is
/// away; at it, events are refused.
pub const UNMERGED_MAX: usize = 100_000;
/// Of them those of one user; they are merged by one commit.
pub const UNMERGED_USER_MAX: usize = 128;
/// An impression takes at most so many bytes more than the unmerged record that led to it: clocks,
/// the fullest row and the popup that was pushed out.
pub const MERGE_RECORD_EXTRA_BYTES: usize = 512;
/// Users whom one shard merges at a time while nobody asks for them.
pub const MERGES_MAX: usize = 64;
/// After a merge that failed nobody is merged unasked for this long, in milliseconds.
pub const MERGE_REST_MS: u64 = 100;
/// Where SQL stands at an unmerged record that has waited for this long, in milliseconds, the shard
/// journals what waits once more.
pub const UNMERGED_HELD_MS: u64 = 2_000;
/// That is done at most this often, in milliseconds.
pub const JOURNAL_AGAIN_MS: u64 = 5_000;
/// Records journaled again in one turn, at most, and one user's more.
pub const JOURNAL_AGAIN_RECORDS: usize = 256;
/// Users for whom one shard may have something under way: a read, or a change in Redis.
pub const IN_FLIGHT_MAX: usize = 4_096;
/// A merge may be executed for this long, in milliseconds: nobody waits for an answer that would
/// say otherwise.
pub const MERGE_VALID_MS: u64 = 60_000;
/// Changes of one shard that are sent until Redis says what became of them. With more, what stands
/// in Redis is left to stand.
pub const PURSUED_MAX: usize = 1_024;
/// Of them those that are sent at a time, beside the requests of users.
pub const PURSUED_SENT_MAX: usize = 64;
/// After one that came to nothing no other is sent for this long, in milliseconds.
pub const PURSUED_REST_MS: u64 = 100;
/// They are given up after this long, in milliseconds: a Redis that is away for longer has been
/// restarted by somebody, or filled anew.
pub const PURSUED_MS: u64 = 600_000;
/// A change is evaluated again at most this often after another node was first.
pub const COMMIT_TRIES_MAX: u8 = 3;
/// Users that one shard may be reading from SQL at once.
pub const READS_OUTSTANDING_MAX: usize = 4_096;
/// A request that waits for its user's state answers degraded after this long, in milliseconds
/// (docs/guarantees.md#g5).
pub const READ_DEADLINE_MS: u64 = 50;
/// An outcome that waits for its record's acknowledgement is given up after this long, in
/// milliseconds: the record stays, the client is told to come again.
pub const ACK_DEADLINE_MS: u64 = 2_000;
/// Catalogs by which answers that wait were decided, the current one among them. Where one more is
/// published, a show by the oldest is not told any more, as if the journal were too slow.
pub const CATALOGS_HELD_MAX: usize = 32;
/// Bytes of answers that may wait for the journal in one shard; with as many, nothing more is
/// promised until some have left.
pub const WAITING_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Bytes of requests that may wait for their users' states in one shard.
pub const PARKED_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// Buffers that a shard keeps at rest for its connections.
pub const BUFFERS_POOLED_MAX: usize = 1_024;
/// A distance of wall clock and node's time beyond which it is an alarm, in milliseconds: a minute
/// (docs/semantics.md#time).
pub const CLOCK_APART_MS: u64 = 60_000;
/// Period of a shard's housekeeping, in milliseconds.
pub const TICK_MS: u64 = 100;

// --- configuration and telemetry -----------------------------------------------------------------

/// Data listeners of a node.
pub const LISTENERS_MAX: usize = 16;
/// CPUs of a list: as many as the kernel's default CPU set holds.
pub const CPUS_MAX: u16 = 1_024;
/// Largest spinning before sleep, in microseconds: a tenth of a second.
pub const BUSY_POLL_US_MAX: u32 = 100_000;
/// Smallest memory of one shard's users, in bytes: pages for the sizes that are common.
pub const SLICE_SHARD_BYTES_MIN: u64 = 1_024 * 1_024;
/// Largest memory of one shard's users, in bytes: its pages have numbers of 21 bits.
pub const SLICE_SHARD_BYTES_MAX: u64 = 128 << 30;
/// Largest memory of all shards' users, in bytes: 16 TiB.
pub const SLICE_BYTES_MAX: u64 = 16 << 40;
/// Bytes of a page of a slice; the largest entry fits in half of one.
pub const SLICE_PAGE_BYTES: usize = 64 * 1_024;
/// Pages that one put searches for users who were not asked for lately; after as many it takes
/// users who were. Half a megabyte: some 50 us.
pub const SLICE_SWEEP_PAGES_MAX: usize = 8;
/// Connections that a node may be told to hold.
pub const CONNECTIONS_MAX: u32 = 4_194_304;
/// Smallest budget of a node's journal, in bytes: what SQL may lag by and two segments beside it.
pub const JOURNAL_BYTES_MIN: u64 = UNAPPLIED_BYTES_MAX + 2 * SEGMENT_BYTES;
/// Shortest API key, in bytes.
pub const KEY_BYTES_MIN: usize = 16;
/// Longest API key, in bytes.
pub const KEY_BYTES_MAX: usize = 256;
/// API keys of one kind.
pub const KEYS_MAX: usize = 64;
/// Secrets that users are signed with: one that signs and those that still verify. A wrong
/// signature costs one HMAC for each.
pub const IDENTITY_SECRETS_MAX: usize = 8;
/// Users who only look: each of their decisions looks at every popup.
pub const PREVIEW_USERS_MAX: usize = 64;
/// CORS origins.
pub const ORIGINS_MAX: usize = 256;
/// Longest CORS origin, in bytes.
pub const ORIGIN_BYTES_MAX: usize = 256;
/// Events of a rate within its unit of time.
pub const RATE_EVENTS_MAX: u32 = 1_000_000;
/// Events above a rate that may come at once.
pub const RATE_BURST_MAX: u32 = 1_000_000;
/// The default of `limits.key_burst`.
pub const KEY_BURST_DEFAULT: u32 = 1_000;
/// The default of `limits.user_burst`.
pub const USER_BURST_DEFAULT: u32 = 20;
/// Users whose rate one shard counts at once: 24 bytes each, only where a rate is set. Beyond it
/// users are not held to theirs, and that is counted.
pub const RATED_USERS_MAX: usize = 65_536;
/// Users that are always logged in full.
pub const LOG_USERS_MAX: usize = 1_000;
/// Longest field of a log line, in bytes (docs/guarantees.md#g12).
pub(crate) const LOG_FIELD_BYTES_MAX: usize = 256;
/// Log lines that wait for the writer thread; with as many, new ones are dropped and counted.
pub(crate) const LOG_LINES_MAX: usize = 1_024;
/// Lines of one message that may be logged at once (docs/guarantees.md#g12).
pub(crate) const LOG_BURST: u64 = 10;
/// After a burst, one line of a message is logged in this time, in milliseconds.
pub const LOG_PERIOD_MS: u64 = 1_000;
/// While an outage lasts, a line of it is logged in this time, in milliseconds
/// (docs/guarantees.md#g12).
pub(crate) const LOG_OUTAGE_PERIOD_MS: u64 = 60_000;
/// An outage is over once nothing has reported it again for so long, in milliseconds.
pub const LOG_SETTLE_MS: u64 = 1_000;
/// What reports failures and no successes has recovered after so long without one, in milliseconds.
pub(crate) const LOG_QUIET_MS: u64 = 10_000;
/// Text of a setting that an error repeats, in characters.
pub const SETTING_SHOWN_CHARS_MAX: usize = 60;
// --- many nodes: the keeper of Redis -------------------------------------------------------------

/// Other nodes that one node knows.
pub const PEERS_MAX: usize = 1_024;
/// A node that nobody has seen for this long is forgotten, in milliseconds of time with Redis.
pub const PEER_KNOWN_MS: u64 = 10_000;
/// A node that has been silent for this long is not waited for, in milliseconds of time with Redis.
pub const PEER_SILENT_MS: u64 = 3_000;
/// A run of Redis that not every node has compared is cleared after this long, in milliseconds.
pub const COMPARE_WAIT_MS: u64 = 3_000;
/// A rebuild whose leader is silent for this long is taken over, in milliseconds.
pub const REBUILD_LOCK_MS: u64 = 2_000;
/// The keeper looks at Redis this often while all is well, in milliseconds.
pub const KEEPER_IDLE_MS: u64 = 250;
/// The keeper looks this often while something is under way, in milliseconds.
pub const KEEPER_BUSY_MS: u64 = 20;
/// The keeper reads all metas this often while all is well, in milliseconds.
pub const KEEPER_METAS_MS: u64 = 2_000;
/// The keeper leaves a sign of life in SQL this often, in milliseconds.
pub const KEEPER_SQL_BEAT_MS: u64 = 1_000;
/// What SQLite has written beside its file is folded into it this often, in milliseconds.
pub const SQL_FOLD_PERIOD_MS: u64 = 60_000;
/// Where a reader was in the way, again after this, in milliseconds.
pub const SQL_FOLD_RETRY_MS: u64 = 100;
/// Where a reader goes on being in the way, it is tried again less and less often, down to this, in
/// milliseconds.
pub const SQL_FOLD_RETRY_MAX_MS: u64 = 6_400;
/// Folding waits this long for readers, in milliseconds: records wait meanwhile.
pub const SQL_FOLD_WAIT_MS: u64 = 20;
/// Rows of one kind that a move from one store into another takes in one transaction.
pub const MOVED_ROWS: usize = 500;
/// Users that one step of a rebuild reads from SQL.
pub const FILL_USERS: usize = 500;
/// Bytes of entries that one reading of the lists takes into memory, all lists together.
pub const LIST_READ_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// Entries that one reading takes from one list.
pub const LIST_READ_ENTRIES: usize = 256;
/// Lists are read this often while there is something in them, in milliseconds.
pub const LIST_BUSY_MS: u64 = 50;
/// Lists are read this often while there is nothing in them, in milliseconds.
pub const LIST_IDLE_MS: u64 = 200;
/// Lists that nobody has read are looked at this often, in milliseconds.
pub const LIST_LOOK_MS: u64 = 1_000;
/// A list that another node has claimed is left alone for this long, in milliseconds.
pub const LIST_GIVEN_UP_MS: u64 = 2_000;
// --- Redis ---------------------------------------------------------------------------------------

/// Largest reply that a shard takes from Redis, in bytes: a user's value with room to spare.
pub const REDIS_REPLY_BYTES_MAX: usize = 64 * 1_024;
/// Elements of such a reply: what `HELLO` says of a server with many modules.
pub const REDIS_REPLY_ELEMENTS_MAX: usize = 1_024;
/// Nesting of a reply. Ours have one level; a server with modules names them at the fourth.
pub const REDIS_DEPTH_MAX: usize = 8;
/// Largest reply to the dedicated core, in bytes: a part of a partition's list.
pub const REDIS_BULK_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Elements of such a reply.
pub const REDIS_BULK_ELEMENTS_MAX: usize = 100_000;
/// Commands that the dedicated core sends at once.
pub const REDIS_PIPELINE_MAX: usize = 2_048;
/// Messages of a subscription that wait for the dedicated core; older ones are dropped and the
/// drop is told.
pub const REDIS_PUSHES_MAX: usize = 4_096;
/// Bytes of commands that one link holds until they are answered.
pub const LINK_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// A connection to Redis stands, and has introduced itself, within this time each, in
/// milliseconds; the kernel may take one for a server that is frozen.
pub const LINK_HANDSHAKE_MS: u64 = 500;
/// A server that does not let us in is asked again after this long, in milliseconds
/// (docs/guarantees.md#redis).
pub const LINK_UNFIT_RETRY_MS: u64 = 1_000;
/// While a right is missing in Redis, it is tried this often whether it was given, in milliseconds.
pub const RIGHTS_AGAIN_MS: u64 = 1_000;
/// Redis counts as one that refuses until it has refused nothing of that kind for so long, in
/// milliseconds.
pub const REFUSES_FOR_MS: u64 = 3_000;
/// The same where the keeper could write since, so that what is refused now and then is one cause.
pub const REFUSES_WRITTEN_MS: u64 = 1_000;
/// A failure of SQL is over where who met it has asked no more for this long, in milliseconds, and
/// somebody else was answered: longer than any of them rests.
pub const SQL_FAILED_FOR_MS: u64 = 10_000;
/// What is wrong with Redis is said again this often while it lasts, in milliseconds.
pub const UNFIT_AGAIN_MS: u64 = 60_000;
/// A connection that stood for as long, in milliseconds, was a good one: the next is made at once.
pub const LINK_STEADY_MS: u64 = 1_000;
/// First rest of a blocking client after a failure, in milliseconds; doubles up to the longest.
pub const REDIS_REST_MS: u64 = 100;
/// Longest rest of a blocking client, in milliseconds: what is away is back at work within a second
/// of its return (docs/guarantees.md#redis).
pub const REDIS_REST_MAX_MS: u64 = 500;
/// A connection on which nothing was heard for so long is asked, in milliseconds: while nobody
/// hears of changes no copy may be trusted for a second (docs/semantics.md#several-nodes).
pub const LINK_IDLE_MS: u64 = 500;
/// The request ids that a user's value keeps (docs/decisions.md#6-optimistic-commit).
pub const REQUEST_IDS_MAX: usize = 4;

// --- SQL store -----------------------------------------------------------------------------------

/// A statement waits this long for another connection's lock, in milliseconds.
pub const SQL_BUSY_TIMEOUT_MS: u64 = 5_000;
/// Page cache of the connection that writes, in KiB.
pub const SQL_WRITE_CACHE_KIB: u32 = 32 * 1_024;
/// Page cache of a connection that reads, in KiB.
pub const SQL_READ_CACHE_KIB: u32 = 8 * 1_024;
/// The write-ahead log is folded into the file when it has this many pages of 4 KiB: 64 MiB. With
/// users in random order each record touches four pages; 4,000 took a third more time.
pub const SQL_WAL_PAGES: u32 = 16_000;
/// Statements that a connection keeps prepared.
pub const SQL_STATEMENTS_MAX: usize = 48;
/// Rows of one answer to a person, and of one statement that may be repeated until all is done.
pub const SQL_ROWS_READ_MAX: u32 = 1_000;
/// Records that one transaction of MySQL may be told to apply: the longest `[mysql] batch`.
pub const MYSQL_APPLY_RECORDS_MAX: usize = 100_000;
/// A statement of MySQL waits this long for another connection's lock, in seconds.
pub const MYSQL_LOCK_WAIT_S: u32 = 5;
/// A transaction that others held up is tried this often before its caller is told.
pub const MYSQL_TRANSACTIONS_MAX: u32 = 10;
/// A transaction whose connection is lost is tried this often before its caller is told.
pub const MYSQL_LOST_MAX: u32 = 3;
/// Longest statement, in bytes, whatever the server takes: more in one saves nothing.
pub const MYSQL_STATEMENT_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Statements are not cut shorter than this, in bytes: the least that a server may be told to take.
pub const MYSQL_STATEMENT_BYTES_MIN: usize = 512;
/// A server that takes less in one packet, in bytes, is worth a warning.
pub const MYSQL_PACKET_BYTES_LEAST: u64 = 1_024 * 1_024;
/// Connections that may read users back, or drain lists, at once.
pub const MYSQL_CONNECTIONS_MAX: u32 = 64;
/// A node that starts waits this long for its SQL server, in milliseconds, before it takes what it
/// needs from Redis and from its directory.
pub const SQL_START_MS: u64 = 2_000;
/// Users, keys or rows that one condition of a statement names.
pub const MYSQL_LIST_MAX: usize = 1_000;

/// Rows of `events` are kept for at least this long, in milliseconds: as long as their tokens are
/// taken, and a day more, since a repeated event is told by its row.
pub const RETENTION_EVENTS_MIN_MS: u64 = 8 * 86_400_000;
/// Rows that one step of retention reads, and deletes at most: some milliseconds.
pub const RETENTION_ROWS_MAX: u32 = 500;
/// The least age at which users are forgotten, in milliseconds: until then events of theirs may
/// come.
pub const RETENTION_USERS_MIN_MS: u64 = 8 * 86_400_000;
/// Users that one step of retention looks at.
pub const RETENTION_USERS_MAX: usize = 50;
/// Shards have this long to forget the users of a step, in milliseconds; records wait meanwhile.
pub const RETENTION_ANSWER_MS: u64 = 500;
/// Retention rests for so many times as long as each of its steps has taken: it has at most one
/// part in 20 of the thread's time, 5 %.
pub const RETENTION_REST_FACTOR: u64 = 19;
/// Retention looks for rows that have grown old this often, in milliseconds, and again so long
/// after a failure.
pub const RETENTION_PERIOD_MS: u64 = 600_000;

// --- backup --------------------------------------------------------------------------------------

/// A node that is asked for a backup waits this long for SQL to catch up, in milliseconds; then the
/// command asks again.
pub const BACKUP_WAIT_MS: u64 = 3_000;
/// It looks so often, in milliseconds.
pub const BACKUP_LOOK_MS: u64 = 2;
/// The command asks this often before it gives up: a minute.
pub const BACKUP_TRIES_MAX: u32 = 20;
/// The command looks this often what the copy takes from the node, in milliseconds.
pub const BACKUP_WATCH_MS: u64 = 100;
/// It tells this often how far it is, in milliseconds.
pub const BACKUP_PROGRESS_MS: u64 = 5_000;
/// A copy is given up where the node's write-ahead log, which it keeps from being emptied, grows
/// larger, in bytes: 4 GiB.
pub const BACKUP_LOG_BYTES_MAX: u64 = 4 << 30;
/// Bytes that a copy leaves free on the node's disk: two segments of its journal, and as much
/// again.
pub const BACKUP_SPARE_BYTES: u64 = 4 * SEGMENT_BYTES;

// --- admin listener ------------------------------------------------------------------------------

/// A popups file is read up to this size, in bytes: 10,000 popups of the largest content once.
pub const POPUPS_FILE_BYTES_MAX: u64 = 384 * 1_024 * 1_024;
/// Shards have this long to answer an operator's command, in milliseconds.
pub const SHARD_ANSWER_MS: u64 = 2_000;
/// Largest request body of the admin listener, in bytes; larger is 413. A popup with 32 contents of
/// the largest size: its line of history, with the text before and after, fits into a statement of
/// 4 MiB, which is what MySQL 5.7 takes unless told otherwise.
pub const ADMIN_BODY_BYTES_MAX: usize = 1_024 * 1_024;
/// Answers of the admin listener that are larger than that and that clients have not taken, all
/// together, in bytes: two catalogs of 10,000 usual popups.
pub const ADMIN_UNREAD_BYTES_MAX: usize = 128 * 1_024 * 1_024;
/// A SQL server that says nothing for this long, in milliseconds, is away for whoever asked on the
/// admin listener. Locks are waited for a second less.
pub const ADMIN_SQL_SILENCE_MS: u64 = 3_000;
/// The admin listener looks at the wall clock this often, in milliseconds.
pub const ADMIN_CLOCK_PERIOD_MS: u64 = 250;
/// Files of the data directory that `/v1/status` names.
pub const STATUS_FILES_MAX: usize = 64;
/// The load of shards is sampled this often, in milliseconds.
pub const LOAD_SAMPLE_MS: u64 = 1_000;
/// Samples that are kept: the load is that of the seconds between the first and the last.
pub const LOAD_SAMPLES: usize = 6;
/// Popups that a shard counts one by one; all others are counted together.
pub const POPUPS_COUNTED_MAX: u32 = 1_000;
/// Moments that are kept to tell how late SQL is; more are thinned out.
pub const LAG_MARKS_MAX: usize = 256;
/// Requests that are being answered when the admin listener stops have this long, in milliseconds.
pub const ADMIN_STOP_MS: u64 = 3_000;
/// A token file is read up to this size, in bytes.
pub const TOKEN_FILE_BYTES_MAX: u64 = 4 * 1_024;
/// A command that asks a node waits this long for each step of its answer, in milliseconds.
pub const ASK_TIMEOUT_MS: u64 = 5_000;
/// An answer to a command is read up to this size, in bytes: 10,000 popups, 13,000 each.
pub const ADMIN_ANSWER_BYTES_MAX: u64 = 128 * 1_024 * 1_024;
/// A part of `nudged doctor` that waits for a disk or a server is given up after this, in
/// milliseconds.
pub const DOCTOR_PART_MS: u64 = 3_000;
/// A server has this long for each answer to it, in milliseconds.
pub const DOCTOR_ANSWER_MS: u64 = 1_500;
/// An explanation names this many rules of one target, and values of one list.
pub const EXPLAIN_RULES_MAX: usize = 8;
/// An explanation names this many windows of one popup.
pub const EXPLAIN_WINDOWS_MAX: usize = 8;
/// An explanation shows this many characters of one value.
pub const EXPLAIN_TEXT_CHARS_MAX: usize = 60;
/// A change of the catalog is tried for this long while others change it too, in milliseconds.
pub const CATALOG_CHANGE_MS: u64 = 5_000;
/// A change of the catalog waits this long for those before it, in milliseconds.
pub const CATALOG_TURN_MS: u64 = 5_000;
/// A reload waits this long for the changes and reloads before it, in milliseconds.
pub const RELOAD_TURN_MS: u64 = 15_000;
/// A node looks this often whether others have changed the catalog, in milliseconds: of the second
/// in which a change is live everywhere, its own node may take one such period and each other one.
pub const CATALOG_POLL_MS: u64 = 200;
/// While Redis says that nothing has changed, SQL is asked this often, in milliseconds.
pub const CATALOG_SQL_POLL_MS: u64 = 5_000;
/// Where there are users who only look, SQL is asked for drafts this often, in milliseconds.
pub const DRAFTS_POLL_MS: u64 = 500;
/// Redis has this long for each answer about the catalog, in milliseconds.
pub const CATALOG_REDIS_TIMEOUT_MS: u64 = 300;
/// Longest line that an import takes, in bytes: a popup with every variant and locale, and its
/// history.
pub const IMPORT_LINE_BYTES_MAX: u64 = 64 * 1_024 * 1_024;
/// Longest name of whom a change is put down to, in bytes.
pub const WHO_BYTES_MAX: usize = 64;
/// Longest name of whom a pause or archive is put down to, in bytes: a name and an address.
pub const WHO_STORED_BYTES_MAX: usize = 255;
/// Pauses and archives that a node knows: each of the most popups, of both kinds.
pub const OVERRIDES_MAX: usize = 2 * POPUPS_MAX;
/// Those that have ended which a node remembers; SQL remembers all.
pub const OVERRIDES_ENDED_MAX: usize = 4_096;
/// Pauses, and archives, of one popup that stand at once; one more changes nothing.
pub const OVERRIDES_OF_POPUP_MAX: usize = 8;
/// Bytes of each of the two copies in the node's file of overrides.
pub const OVERRIDES_FILE_BYTES: usize = 2 * 1_024 * 1_024;
/// An answer to a pause, archive or resume waits this long, in milliseconds, to tell how far it is
/// stored; it holds already.
pub const OVERRIDES_TOLD_MS: u64 = 15;
/// A node looks this often for what other nodes have put into Redis, in milliseconds.
pub const OVERRIDES_REDIS_POLL_MS: u64 = 200;
/// What could not be brought to SQL, or to the node's file, is tried again after this long, in
/// milliseconds.
pub const OVERRIDES_RETRY_MS: u64 = 1_000;
/// Pauses and archives that are brought to Redis or SQL at once.
pub const OVERRIDES_PUT_MAX: usize = 500;
/// A popups file's own pauses hold before SQL has them where SQL takes longer than this, in
/// milliseconds.
pub const FILE_STATUSES_MS: u64 = 200;
/// A full lane of commands is tried again after this long, in milliseconds.
pub const LANE_RETRY_MS: u64 = 2;

// --- links ---------------------------------------------------------------------------------------

/// Addresses of one server's name that a link tries.
pub const LINK_ADDRESSES_MAX: usize = 8;
/// Names of servers are looked up at most this often, in milliseconds.
pub const RESOLVE_PERIOD_MS: u64 = 1_000;

/// A database may have been upgraded by versions that are so many schemas ahead: each schema only
/// adds to the one before, so that this version can go on beside the next one, and be gone back to.
pub const SCHEMAS_AHEAD_MAX: i64 = 1;
/// A shard that has not turned for so long is not told of as alive, in milliseconds, where a
/// service manager wants to hear it more often than twice in that: shards turn every [`TICK_MS`].
pub const WATCHDOG_STUCK_MIN_MS: u64 = 1_000;

const _: () = {
    // A show carries its number and actions in at most 16 bytes beside its time.
    assert!(USER_POPUPS_MAX * (SHOWS_REMEMBERED_MAX * 16 + 64) < STATE_BYTES_MAX);
    assert!(EVENT_AGE_MAX_MS < TOMBSTONE_AGE_MAX_MS);
    assert!(
        EVENT_AGE_MAX_MS < RETENTION_EVENTS_MIN_MS && EVENT_AGE_MAX_MS < RETENTION_USERS_MIN_MS
    );
    // popup list, popup, variants, variant, locales, locale: six levels around the content.
    assert!(CONTENT_DEPTH_MAX + 6 < SOURCE_DEPTH_MAX);
    assert!(2 * TARGET_DEPTH_MAX + 4 < SOURCE_DEPTH_MAX);
    assert!(REQUEST_LINE_BYTES_MAX < HEAD_BYTES_MAX);
    // A request that has begun always fits; so do the offsets kept of it.
    assert!(HEAD_BYTES_MAX + BODY_BYTES_MAX + TRAILER_BYTES_MAX < CONNECTION_INPUT_BYTES_MAX);
    assert!(HEAD_BYTES_MAX <= u16::MAX as usize);
    assert!(CHUNK_EXTENSION_BYTES_MAX < u16::MAX as usize);
    // A request that has begun, and all that one turn can bring, so that nothing received is lost.
    assert!(
        HEAD_BYTES_MAX
            + BODY_BYTES_MAX
            + TRAILER_BYTES_MAX
            + RECEIVE_BUFFERS as usize * RECEIVE_BUFFER_BYTES
            < CONNECTION_INPUT_BYTES_MAX
    );
    assert!(PROXY_LINE_BYTES_MAX < PROXY_HEADER_BYTES_MAX);
    // One bit for each unanswered request.
    assert!(PIPELINE_DEPTH_MAX <= u16::BITS as usize);
    assert!(POOLED_BUFFER_BYTES < POOLED_BUFFER_BYTES_MAX);
    assert!(SHOWS_REMEMBERED_MAX * 16 + TOKEN_BYTES_MAX + 1_024 < RECORD_BYTES_MAX);
    assert!(RECORD_BYTES_MAX < BATCH_BYTES_MAX);
    // Clocks take up to 50 bytes, a row as much as above, and a popup's id is named.
    assert!(SHOWS_REMEMBERED_MAX * 16 + 64 + 50 + POPUP_ID_BYTES_MAX < MERGE_RECORD_EXTRA_BYTES);
    assert!((BATCH_BYTES_MAX as u64) < SEGMENT_BYTES);
    // Two segment headers, the opening and one batch with room to spare.
    assert!((BATCH_BYTES_MAX as u64) * 2 < SEGMENT_BYTES_MIN);
    // Offsets within a segment fit in 32 bits.
    assert!(SEGMENT_BYTES < 1 << 32);
    assert!(BATCH_BYTES_MAX * 2 < UNSYNCED_BYTES_MAX);
    assert!(UNAPPLIED_BYTES_MAX + 2 * SEGMENT_BYTES < JOURNAL_BYTES_DEFAULT);
    assert!(RECORD_BYTES_MAX * EVENTS_PER_REQUEST_MAX < LANE_BYTES_MAX);
    // Each of them may be a read.
    assert!(IN_FLIGHT_MAX <= READS_OUTSTANDING_MAX);
    assert!(RECORD_BYTES_MAX * UNMERGED_USER_MAX < LANE_BYTES_MAX);
    assert!(EVENTS_PER_REQUEST_MAX < UNMERGED_USER_MAX);
    // Token: user, popup and variant with 56 bytes of numbers and signature, in base64.
    assert!(
        (USER_BYTES_MAX + POPUP_ID_BYTES_MAX + VARIANT_KEY_BYTES_MAX + 64) * 4 / 3
            < TOKEN_BYTES_MAX
    );
    assert!(IDLE_TIMEOUT_MS > 60_000);
    // Who gets no answer says so before he is given up.
    assert!(DOCTOR_ANSWER_MS < DOCTOR_PART_MS);
    assert!(APPLY_RECORDS_MAX <= MYSQL_APPLY_RECORDS_MAX);
    // The unapplied tail never fills the whole journal, or nothing could be retired.
    assert!(UNAPPLIED_BYTES_MAX < JOURNAL_BYTES_MIN);
    assert!(USER_BYTES_MAX <= LOG_FIELD_BYTES_MAX);
    // An entry is a header of 12 bytes, the id and the state.
    assert!(12 + USER_BYTES_MAX + STATE_BYTES_MAX <= SLICE_PAGE_BYTES / 2);
    assert!(SLICE_SHARD_BYTES_MIN >= 16 * SLICE_PAGE_BYTES as u64);
    assert!(SLICE_SHARD_BYTES_MAX / SLICE_PAGE_BYTES as u64 <= 1 << 21);
    assert!(SLICE_BYTES_MAX / SLICE_SHARD_BYTES_MIN >= SHARDS_MAX as u64);
    assert!(POPUPS_MAX as u64 * CONTENT_BYTES_MAX as u64 <= POPUPS_FILE_BYTES_MAX);
    assert!(BACKUP_WAIT_MS < ASK_TIMEOUT_MS);
    assert!(LANE_RETRY_MS < SHARD_ANSWER_MS && SHARD_ANSWER_MS < ASK_TIMEOUT_MS);
    assert!((POPUPS_MAX * 2 * (POPUP_ID_BYTES_MAX + 64)) as u64 <= ADMIN_ANSWER_BYTES_MAX);
    assert!(CONTENT_BYTES_MAX * 2 < ADMIN_BODY_BYTES_MAX && BODY_BYTES_MAX < ADMIN_BODY_BYTES_MAX);
    assert!(ADMIN_REFUSALS_MAX < ADMIN_CONNECTIONS_MAX);
    // One change that SQL says nothing to does not refuse the next, and whoever waited with a
    // reload is gone when it gives up.
    assert!(ADMIN_SQL_SILENCE_MS < CATALOG_TURN_MS && CATALOG_TURN_MS * 2 < RELOAD_TURN_MS);
    // A node that lives gives many signs before it is taken to be silent, or loses its lock.
    assert!(KEEPER_IDLE_MS * 8 <= PEER_SILENT_MS && KEEPER_IDLE_MS * 4 <= REBUILD_LOCK_MS);
    assert!(PEER_SILENT_MS < PEER_KNOWN_MS);
    // Who drains them has looked already.
    assert!(LIST_IDLE_MS < LIST_LOOK_MS && LIST_BUSY_MS < LIST_LOOK_MS);
    assert!(LIST_READ_ENTRIES * (RECORD_BYTES_MAX + 64) <= LIST_READ_BYTES_MAX);
    assert!(REDIS_REST_MS <= REDIS_REST_MAX_MS && REDIS_REST_MAX_MS * 2 <= LINK_UNFIT_RETRY_MS);
    assert!(TICK_MS * 4 < WATCHDOG_STUCK_MIN_MS);
    // A value is its revision, request ids and state, in a list of six.
    assert!(STATE_BYTES_MAX + 13 + 8 * REQUEST_IDS_MAX + 1_024 < REDIS_REPLY_BYTES_MAX);
    assert!(STATE_BYTES_MAX * 16 < LINK_BYTES_MAX);
};
