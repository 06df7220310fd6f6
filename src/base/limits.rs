//! Every number that bounds something, in one place, with its unit in its name and its source
//! beside it. Relations between them are asserted at compile time at the end of the file.

// --- users and state ---------------------------------------------------------------------------

/// Classes of users; the unit of spreading over shards (architecture, decisions 4 and 7).
pub const PARTITIONS: u16 = 1_024;
/// Longest user id, in bytes of UTF-8 (product, section 3).
pub const USER_BYTES_MAX: usize = 128;
/// Popups that a user's state remembers (product, section 5).
pub const USER_POPUPS_MAX: usize = 64;
/// Show times that are remembered for each (user, popup) (product, section 5).
pub const SHOWS_REMEMBERED_MAX: usize = 16;
/// Events of a decision are applied up to this long after it (product, section 6): 7 days.
pub const EVENT_AGE_MAX_MS: u64 = 7 * 86_400_000;
/// Superseded signing keys verify, and tombstones of erased users stay, for this long: 8 days, one
/// more than an event may take.
pub const TOMBSTONE_AGE_MAX_MS: u64 = 8 * 86_400_000;
/// Longest encoded state of a user, in bytes: every popup with every show remembered.
pub const STATE_BYTES_MAX: usize = 24 * 1_024;

// --- catalog -----------------------------------------------------------------------------------

/// Popups in a catalog (product, section 5).
pub const POPUPS_MAX: usize = 10_000;
/// Longest popup id, in bytes (product, section 5).
pub const POPUP_ID_BYTES_MAX: usize = 64;
/// Longest key of a variant, in bytes.
pub const VARIANT_KEY_BYTES_MAX: usize = 64;
/// Variants of a popup.
pub const VARIANTS_MAX: usize = 64;
/// Largest weight of a variant.
pub const VARIANT_WEIGHT_MAX: u32 = 1_000_000;
/// Locales of a popup or of a variant.
pub const LOCALES_MAX: usize = 256;
/// Placements of a popup (product, section 5).
pub const PLACEMENTS_MAX: usize = 8;
/// Longest placement, locale, zone or session of a request and of a popup, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Windows of a popup.
pub const WINDOWS_MAX: usize = 64;
/// Sliding caps of a popup (product, section 5).
pub const CAPS_MAX: usize = 10;
/// Rule nodes of a target (product, section 5).
pub const TARGET_NODES_MAX: usize = 64;
/// Depth of a target's rules (product, section 5).
pub const TARGET_DEPTH_MAX: usize = 8;
/// Values of a rule's list (product, section 5).
pub const TARGET_VALUES_MAX: usize = 1_000;
/// Largest content of a popup, variant or locale, in bytes of JSON (product, section 5).
pub const CONTENT_BYTES_MAX: usize = 32 * 1_024;

// --- HTTP (reliability, "HTTP rules") ------------------------------------------------------------

/// Longest request line, in bytes; longer is 414.
pub const REQUEST_LINE_BYTES_MAX: usize = 8 * 1_024;
/// Longest request head, in bytes; longer is 431.
pub const HEAD_BYTES_MAX: usize = 16 * 1_024;
/// Header fields of a request; more is 431.
pub const HEAD_FIELDS_MAX: usize = 64;
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
/// Idle keep-alive, in milliseconds: longer than a balancer's usual 60 s.
pub const IDLE_TIMEOUT_MS: u64 = 75_000;

/// From the end of sending to the end of a connection whose peer may still be sending, in
/// milliseconds: closing at once would answer its bytes with a reset, and that could overtake the
/// last answer.
pub const LINGER_TIMEOUT_MS: u64 = 1_000;
/// Bytes that are read and dropped in that time.
pub const LINGER_BYTES_MAX: usize = 256 * 1_024;
/// Bytes that a connection keeps of what it may not parse yet. More than one request, since what
/// has been received when reading stops must not be lost.
pub const CONNECTION_INPUT_BYTES_MAX: usize = 256 * 1_024;
/// Answers of one connection that wait for a send, in bytes; with as many, reading stops.
pub const CONNECTION_OUTPUT_BYTES_MAX: usize = 64 * 1_024;
/// First capacity of a pooled buffer, in bytes: a usual turn's answers.
pub const POOLED_BUFFER_BYTES: usize = 4 * 1_024;
/// A buffer that has grown past this is not kept for reuse, in bytes.
pub const POOLED_BUFFER_BYTES_MAX: usize = 64 * 1_024;

// --- JSON and requests ---------------------------------------------------------------------------

/// Nesting of a request body.
pub const JSON_DEPTH_MAX: usize = 16;
/// Members of one JSON object of a request body.
pub const JSON_MEMBERS_MAX: usize = 256;
/// Attributes of a request.
pub const ATTRIBUTES_MAX: usize = 64;
/// Events of one request (product, section 3).
pub const EVENTS_PER_REQUEST_MAX: usize = 100;
/// Longest decision token, in bytes of text.
pub const TOKEN_BYTES_MAX: usize = 512;
/// `expires_in` of an answer, in seconds (product, section 3).
pub const EXPIRES_IN_S: u32 = 30;
/// `next_in` of an answer is at most a day, in seconds (product, section 3).
pub const NEXT_IN_S_MAX: u32 = 86_400;

// --- journal (reliability, "The journal and the position transaction") ----------------------------

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
/// Records that one SQL transaction applies (product, section 7).
pub const APPLY_RECORDS_MAX: usize = 1_000;

// --- shards ----------------------------------------------------------------------------------------

/// Shards of one node.
pub const SHARDS_MAX: u16 = 256;
/// Requests that one shard may have under way on other shards.
pub const HOPS_OUTSTANDING_MAX: usize = 4_096;
/// Requests parked in one shard: waiting for state or for the journal.
pub const PARKED_MAX: usize = 16 * 1_024;
/// Users that one shard may be reading from SQL at once.
pub const READS_OUTSTANDING_MAX: usize = 4_096;
/// A request that waits for its user's state answers degraded after this long, in milliseconds
/// (reliability, G5).
pub const READ_DEADLINE_MS: u64 = 50;
/// Period of a shard's housekeeping, in milliseconds.
pub const TICK_MS: u64 = 100;

const _: () = {
    // A show carries its number and actions in at most 16 bytes beside its time.
    assert!(USER_POPUPS_MAX * (SHOWS_REMEMBERED_MAX * 16 + 64) < STATE_BYTES_MAX);
    assert!(EVENT_AGE_MAX_MS < TOMBSTONE_AGE_MAX_MS);
    assert!(REQUEST_LINE_BYTES_MAX < HEAD_BYTES_MAX);
    // A request that has begun always fits; so do the offsets kept of it.
    assert!(HEAD_BYTES_MAX + BODY_BYTES_MAX + TRAILER_BYTES_MAX < CONNECTION_INPUT_BYTES_MAX);
    assert!(HEAD_BYTES_MAX <= u16::MAX as usize);
    assert!(CHUNK_EXTENSION_BYTES_MAX < u16::MAX as usize);
    // One bit for each unanswered request.
    assert!(PIPELINE_DEPTH_MAX <= u16::BITS as usize);
    assert!(POOLED_BUFFER_BYTES < POOLED_BUFFER_BYTES_MAX);
    assert!(SHOWS_REMEMBERED_MAX * 16 + TOKEN_BYTES_MAX + 1_024 < RECORD_BYTES_MAX);
    assert!(RECORD_BYTES_MAX < BATCH_BYTES_MAX);
    assert!((BATCH_BYTES_MAX as u64) < SEGMENT_BYTES);
    assert!(RECORD_BYTES_MAX * EVENTS_PER_REQUEST_MAX < LANE_BYTES_MAX);
    // Token: user, popup and variant with 48 bytes of numbers and signature, in base64.
    assert!(
        (USER_BYTES_MAX + POPUP_ID_BYTES_MAX + VARIANT_KEY_BYTES_MAX + 64) * 4 / 3
            < TOKEN_BYTES_MAX
    );
    assert!(IDLE_TIMEOUT_MS > 60_000);
};
