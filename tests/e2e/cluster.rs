//! Several nodes on one Redis and one MariaDB, each with the least user that `vendor-config` names:
//! what nudged may do there is tested along with everything else.
//!
//! Tests that kill or freeze MariaDB take one of their own; the others share one and have a
//! database of their own.

use std::net::SocketAddr;

use crate::harness::{Exit, Server, Setup, run, until};
use crate::support::mariadb::{MariaDb, shared, shared_database};
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;

/// Deadlines that a busy test machine keeps: for tests that are not about them.
pub const PATIENT: &str = "deadline = \"2s\"";

/// What a cluster is made of.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    /// The popups file of every node.
    pub popups: &'a str,
    /// Top-level keys of every node's configuration.
    pub settings: &'a str,
    /// Keys of its section `[redis]`, beside the url.
    pub redis: &'a str,
    /// Keys of its section `[mysql]`, beside the url.
    pub mysql: &'a str,
    /// Whether MariaDB is this cluster's alone.
    pub owns_mariadb: bool,
}

impl<'a> Plan<'a> {
    /// Patient nodes with these popups, on a shared MariaDB.
    pub fn new(popups: &'a str) -> Plan<'a> {
        Plan { popups, settings: "", redis: PATIENT, mysql: "", owns_mariadb: false }
    }

    /// As [`Plan::new`], with nodes as impatient as by default.
    pub fn impatient(popups: &'a str) -> Plan<'a> {
        Plan { redis: "", ..Plan::new(popups) }
    }
}

/// The servers behind the nodes, and what nodes are made from.
pub struct Cluster {
    /// Where users' states are.
    pub redis: Redis,
    mariadb: Option<MariaDb>,
    database: String,
    popups: String,
    settings: String,
    redis_settings: String,
    mysql_settings: String,
}

impl Cluster {
    /// Both servers, with the schema of `nudged migrate`.
    pub fn new(plan: Plan) -> Cluster {
        let mariadb = plan.owns_mariadb.then(MariaDb::start);
        let database = match mariadb {
            Some(_) => "nudged".to_owned(),
            None => shared_database(),
        };
        let cluster = Cluster {
            redis: Redis::start(),
            mariadb,
            database,
            popups: plan.popups.to_owned(),
            settings: plan.settings.to_owned(),
            redis_settings: plan.redis.to_owned(),
            mysql_settings: plan.mysql.to_owned(),
        };
        let migrated = cluster.migrate();
        assert_eq!(migrated.code, Some(0), "{migrated:?}");
        cluster
    }

    /// Runs `nudged migrate` as the user who may.
    pub fn migrate(&self) -> Exit {
        let folder = tempfile::tempdir().unwrap();
        self.mysql_url();
        let url = self.mariadb().url_of_migrator(&self.database);
        std::fs::write(folder.path().join("nudged.toml"), format!("[mysql]\nurl = \"{url}\"\n"))
            .unwrap();
        run(folder.path(), &["migrate", "--config", "nudged.toml"])
    }

    /// The server that the SQL tables are on.
    pub fn mariadb(&self) -> &MariaDb {
        match &self.mariadb {
            Some(own) => own,
            None => shared(),
        }
    }

    /// The same, to kill and restart: of a plan that owns it.
    pub fn own_mariadb(&mut self) -> &mut MariaDb {
        self.mariadb.as_mut().expect("the plan said that it owns one")
    }

    /// The url of this cluster's database, as the least user.
    pub fn mysql_url(&self) -> String {
        self.mariadb().url_of_least_user(&self.database)
    }

    /// The number that a query on this cluster's database gives.
    pub fn number(&self, query: &str) -> i64 {
        self.mariadb().number(&self.database, query)
    }

    /// Rows of a query on this cluster's database, columns by tab.
    pub fn rows(&self, query: &str) -> Vec<String> {
        let text = self.mariadb().run_sql(&format!("USE {}; {query}", self.database));
        text.lines().map(str::to_owned).collect()
    }

    /// Gives rights on this cluster's database to the nodes' user, or takes them: `REVOKE INSERT
    /// ON` and `FROM`, for one.
    pub fn change_rights(&self, begin: &str, end: &str) {
        let sql = format!("{begin} {}.* {end} 'nudged_least'@'%'", self.database);
        self.mariadb().run_sql(&sql);
    }

    /// One more node, not started.
    pub fn node(&self) -> Setup {
        self.node_at(&self.redis.url_of_least_user())
    }

    /// A node that reaches Redis through a proxy.
    pub fn node_behind(&self, proxy: &Proxy) -> Setup {
        let url = self.redis.url_of_least_user();
        let direct = self.redis.address().to_string();
        self.node_at(&url.replace(&direct, &proxy.address().to_string()))
    }

    /// A node with this `[redis] url`.
    pub fn node_at(&self, redis_url: &str) -> Setup {
        let config = format!(
            "{}\n[redis]\nurl = \"{redis_url}\"\n{}\n[mysql]\nurl = \"{}\"\n{}\n{}",
            self.settings,
            self.redis_settings,
            self.mysql_url(),
            self.mysql_settings,
            match self.redis_settings.contains(PATIENT) {
                true => "[limits]\nread_deadline = \"2s\"\n",
                false => "",
            },
        );
        Setup::new(&self.popups).config(&config).flags(&["--shards", "2", "--no-pin"])
    }

    /// So many nodes, ready.
    pub fn start(&self, count: usize) -> Vec<(Setup, Server)> {
        let setups = (0..count).map(|_| self.node());
        setups
            .map(|setup| {
                let server = setup.start();
                (setup, server)
            })
            .collect()
    }

    /// Shows ann a popup and takes her click with Redis frozen, which it stays: the click waits to
    /// be merged. Gives the token of the show.
    pub fn click_while_frozen(&self, server: &Server) -> String {
        let mut client = server.client();
        let token = until("a show", || client.decide("ann").token());
        self.redis.freeze();
        let taken = client.event(&token, "clicked").expect(202).json();
        assert_eq!(taken["accepted"], 1, "{taken}");
        token
    }

    /// Waits until SQL has this many rows of `events` with an action.
    pub fn await_events(&self, action: &str, count: usize) {
        let query = format!("SELECT COUNT(*) FROM events WHERE action = '{action}'");
        let wanted = i64::try_from(count).unwrap();
        until("all records in SQL", || (self.number(&query) >= wanted).then_some(()));
        assert_eq!(self.number(&query), wanted, "{action}");
    }

    /// What must hold in SQL once everything is applied: no (decision, action) twice, states and
    /// statistics that agree with the events.
    pub fn check_sql(&self) {
        for (what, query) in AGREEMENTS {
            assert_eq!(self.number(query), 0, "{what}");
        }
    }
}

/// What must be 0 once everything is applied.
pub const AGREEMENTS: &[(&str, &str)] = &[
    (
        "a decision's action twice",
        "SELECT COUNT(*) FROM (SELECT 1 FROM events GROUP BY decision, action \
         HAVING COUNT(*) > 1) AS twice",
    ),
    (
        "states that differ from their events",
        "SELECT COUNT(*) FROM user_popups WHERE shows <> (SELECT COUNT(*) FROM events \
         WHERE action = 'decided' AND events.user_id = user_popups.user_id \
         AND events.popup_id = user_popups.popup_id)",
    ),
    (
        "events of a show that is not there",
        "SELECT COUNT(*) FROM events AS one WHERE action <> 'decided' AND NOT EXISTS \
         (SELECT 1 FROM events AS show_ WHERE show_.decision = one.decision \
         AND show_.action = 'decided')",
    ),
    (
        "statistics that differ from the events",
        "SELECT ABS(COALESCE((SELECT SUM(decided) FROM popup_stats), 0) - \
         (SELECT COUNT(*) FROM events WHERE action = 'decided'))",
    ),
];

/// Where the nodes of a list are asked.
pub fn addresses(nodes: &[(Setup, Server)]) -> Vec<SocketAddr> {
    nodes.iter().map(|(_, server)| server.data).collect()
}

/// Stops nodes in turn, cleanly; each applies its journal to SQL.
pub fn stop(nodes: Vec<(Setup, Server)>) {
    for (_, server) in nodes {
        server.stop();
    }
}

/// Popups that follow one another: each is shown to a user once for ever, the first one first.
pub fn in_turn(count: usize) -> String {
    let popup = |number: usize| {
        let priority = count - number;
        format!("[[popup]]\nid = \"p{number}\"\npriority = {priority}\nafter_shown = \"never\"\n")
    };
    (0..count).map(popup).collect()
}
