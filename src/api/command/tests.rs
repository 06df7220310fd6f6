//! Property: a command comes back from its encoding as it was, and writing it into a buffer that is
//! large enough allocates nothing.

use proptest::prelude::*;

use super::*;
use crate::access::Access;
use crate::cors::Cors;
use crate::events::EventCode;
use crate::fixture::{FRAME, NOW, get, keys, post, token_text};
use crate::repeated::RepeatedRequests;
use crate::routes::{RequestPolicy, Routed, route};
use crate::visitors::VisitorRules;
use nudged_base::time::{MonoNs, WallMs};
use nudged_http::head::Request;

/// An attribute's value that owns itself.
#[derive(Clone, Debug)]
enum Owned {
    Scalar(String),
    List(Vec<Owned>),
    Other,
}

impl Owned {
    fn lend<'a>(&'a self, bump: &'a Bump) -> AttributeValue<'a> {
        match self {
            Owned::Scalar(text) => AttributeValue::Scalar(text),
            Owned::List(list) => AttributeValue::List(
                bump.alloc_slice_fill_iter(list.iter().map(|value| value.lend(bump))),
            ),
            Owned::Other => AttributeValue::Other,
        }
    }
}

fn values() -> impl Strategy<Value = Owned> {
    let leaf = prop_oneof![any::<String>().prop_map(Owned::Scalar), Just(Owned::Other)];
    leaf.prop_recursive(4, 32, 8, |inner| prop::collection::vec(inner, 0..8).prop_map(Owned::List))
}

/// An event's texts, numbers and times; a code where it is rejected.
type OwnedEvent = ([String; 4], (u32, u32, usize), (i64, Option<i64>, Option<u64>), Option<usize>);

fn owned_events() -> impl Strategy<Value = Vec<OwnedEvent>> {
    let texts = any::<[String; 4]>();
    let numbers = (any::<u32>(), any::<u32>(), 0..Action::ALL.len());
    let times = (any::<i64>(), any::<Option<i64>>(), any::<Option<u64>>());
    let code = prop::option::of(0..EventCode::ALL.len());
    prop::collection::vec((texts, numbers, times, code), 0..6)
}

fn element(owned: &OwnedEvent) -> Element<'_> {
    let ([token_text, user, popup, variant], (version, number, action), times, code) = owned;
    if let Some(code) = code {
        return Err(EventCode::ALL[*code]);
    }
    let (at, ts, local) = *times;
    let (version, number, at) = (*version, *number, WallMs(at));
    let token = Token { user, popup, version, variant, number, at, local };
    Ok(Event { token_text, token, action: Action::ALL[*action], ts: ts.map(WallMs) })
}

fn assert_comes_back(command: &Command<'_>) {
    let encoded = EncodedCommand::new(command, Vec::new());
    let room = Vec::with_capacity(encoded.bytes());
    let place = room.as_ptr();
    let again = EncodedCommand::new(command, room);
    assert_eq!(again.as_bytes().as_ptr(), place, "what is large enough does not grow");
    let bump = Bump::new();
    assert_eq!(again.decode(&bump), *command);
}

fn commanded<T>(request: &Request<'_>, look: impl FnOnce(Command<'_>) -> T) -> T {
    let (bump, keys, access, cors) = (Bump::new(), keys(), Access::default(), Cors::default());
    let policy = RequestPolicy {
        access: &access,
        cors: &cors,
        visitors: &VisitorRules::default(),
        repeated: &RepeatedRequests::new(1),
        keys: &keys,
        ready: true,
        disk_lack: None,
        now: NOW,
        mono: MonoNs(0),
    };
    match route(request, &policy, &bump, &FRAME, &mut Vec::new()) {
        Routed::Command(command, ..) => look(command),
        Routed::Answered(status) => panic!("answered with {status}"),
    }
}

proptest! {
    #[test]
    fn decisions_come_back(
        texts in any::<(String, String, Option<String>, Option<String>, Option<String>)>(),
        attributes in prop::collection::vec((any::<String>(), values()), 0..8),
        events in owned_events(),
        flags in any::<(bool, bool, bool)>(),
        ignored in (prop::collection::vec(any::<String>(), 0..4), any::<u32>()),
    ) {
        let bump = Bump::new();
        let (user, placement, session, locale, tz) = &texts;
        let attributes = attributes.iter().map(|(name, value)| (name.as_str(), value.lend(&bump)));
        let names: Vec<&str> = ignored.0.iter().map(String::as_str).collect();
        let elements: Vec<_> = events.iter().map(element).collect();
        let command = Command::Decide(DecideRequest {
            context: Context {
                user,
                placement,
                session: session.as_deref(),
                locale: locale.as_deref(),
                tz: tz.as_deref(),
                attributes: &attributes.collect::<Vec<_>>(),
            },
            anonymous: flags.0,
            explain: flags.1,
            is_preview: flags.2,
            events: &elements,
            ignored: Ignored { names: &names, count: ignored.1 },
        });
        assert_comes_back(&command);
    }

    #[test]
    fn events_come_back(
        events in owned_events(),
        names in prop::collection::vec(any::<String>(), 0..4),
    ) {
        let bump = Bump::new();
        let elements: Vec<_> = events.iter().map(element).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let request = EventsRequest::of(&elements, Ignored { names: &names, count: 7 }, &bump);
        prop_assert_eq!(request.count(), elements.len());
        assert_comes_back(&Command::Events(request));
    }

    #[test]
    fn operators_commands_come_back(user in any::<String>()) {
        assert_comes_back(&Command::ReadUser { user: &user });
        assert_comes_back(&Command::EraseUser { user: &user });
        let context = Context {
            user: &user,
            placement: "",
            session: None,
            locale: None,
            tz: None,
            attributes: &[],
        };
        let ignored = Ignored::default();
        assert_comes_back(&Command::Look(LookRequest {
            popup: "p",
            context,
            has_user: true,
            ignored,
        }));
        let (revision, before) = (Revision { epoch: 3, counter: 9 }, WallMs(-7));
        assert_comes_back(&Command::ForgetUser { user: &user, revision, before });
    }

    #[test]
    fn numbers_come_back(numbers in any::<[usize; 4]>()) {
        let (mut out, bump) = (Vec::new(), Bump::new());
        (&numbers[..]).put(&mut out);
        prop_assert_eq!(Reader::new(&out, &bump).whole::<&[usize]>(), numbers);
    }
}

#[test]
fn a_number_keeps_its_own_text_and_an_attribute_its_name() {
    let body = r#"{"user":"u","attrs":{"price":5.10,"big":1e3,"list":[1.0,null,{}]}}"#;
    commanded(&post("/v1/decide", body), |command| {
        assert_comes_back(&command);
        let encoded = EncodedCommand::new(&command, Vec::new());
        let bump = Bump::new();
        let Command::Decide(request) = encoded.decode(&bump) else { panic!("a decision") };
        let list = [AttributeValue::Scalar("1.0"), AttributeValue::Other, AttributeValue::Other];
        let want = [
            ("price", AttributeValue::Scalar("5.10")),
            ("big", AttributeValue::Scalar("1e3")),
            ("list", AttributeValue::List(&list)),
        ];
        assert_eq!(request.context.attributes, want);
    });
}

#[test]
fn requests_come_back() {
    let token = token_text("u");
    let event = format!(r#"{{"decision":"{token}","action":"clicked","ts":7,"x":1}}"#);
    let decide = format!(r#"{{"user":"u","events":[{event},{{}}],"explain":true,"placment":1}}"#);
    let events = format!("[{event},{{}},{event}]");
    let requests = [
        get("/v1/decide", "user=u&placement=p&session=s&locale=de&tz=UTC&attr.a=1&utm=2"),
        get("/v1/decide", ""),
        post("/v1/decide", &decide),
        post("/v1/events", &events),
    ];
    for request in requests {
        commanded(&request, |command| assert_comes_back(&command));
    }
    commanded(&post("/v1/events", &events), |command| {
        let Command::Events(request) = command else { panic!("events") };
        let places: Vec<u8> = request.events.iter().map(|event| event.place).collect();
        assert_eq!(
            (places, request.settled),
            (vec![0, 2], &[(1, Verdict::Rejected(EventCode::BadDecision))][..])
        );
    });
}
