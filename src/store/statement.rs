//! Inserts as data, and what the two databases spell differently. Pure; must not know tables.
//!
//! | | SQLite | MySQL |
//! |---|---|---|
//! | how values are bound | prepared once, run for each row | literals, a statement of many rows |
//! | a row that is there | `ON CONFLICT (key) DO UPDATE` | `ON DUPLICATE KEY UPDATE` |
//! | a row lock | none: a transaction has the file | `FOR UPDATE` |
//! | a row that is refused | the row is known | the statement is; parts of it tell |

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The embedded store.
    Sqlite,
    /// A server.
    Mysql,
}

impl Dialect {
    /// Ends a read of rows that nobody else may change until the transaction ends.
    pub(super) fn lock(self) -> &'static str {
        match self {
            Dialect::Sqlite => "",
            Dialect::Mysql => " FOR UPDATE",
        }
    }

    /// Names the key that a query goes by, behind its table.
    pub(super) fn by_key(self, key: &str) -> String {
        match self {
            Dialect::Sqlite => format!(" INDEXED BY {key}"),
            Dialect::Mysql => format!(" FORCE INDEX ({key})"),
        }
    }

    /// Begins an update that leaves rows alone whose new key is there.
    pub(super) fn update_or_ignore(self) -> &'static str {
        match self {
            Dialect::Sqlite => "UPDATE OR IGNORE",
            Dialect::Mysql => "UPDATE IGNORE",
        }
    }

    /// How many rows a statement names that could name `most`: one where it is prepared, so that
    /// its text is always the same; where each statement is a round trip, all.
    pub(super) fn named_max(self, most: usize) -> usize {
        match self {
            Dialect::Sqlite => 1,
            Dialect::Mysql => most,
        }
    }

    /// The value that the new row has for a column.
    fn new_value(self, column: &str) -> String {
        match self {
            Dialect::Sqlite => format!("excluded.{column}"),
            Dialect::Mysql => format!("VALUES({column})"),
        }
    }
}

/// An insert of rows.
pub(super) struct Insert<'a> {
    /// The table.
    pub(super) table: &'a str,
    /// The columns, in the order of a row's values.
    pub(super) columns: &'a str,
    /// The columns of the key by which a row may be there.
    pub(super) key: &'a str,
    /// What happens then.
    pub(super) on_conflict: OnConflict<'a>,
}

/// What an insert does to a row that is there. Columns are changed in the order given: MySQL's
/// assignments see what those before them wrote.
pub(super) enum OnConflict<'a> {
    /// The insert fails.
    Fail,
    /// It stays as it is.
    Keep,
    /// Columns of it change.
    Update(&'a [(&'a str, ColumnChange<'a>)]),
    /// Columns of it change where the new row's revision is the higher one, and its revision with
    /// them.
    UpdateIfNewer(&'a [(&'a str, ColumnChange<'a>)]),
}

/// How a column changes.
#[derive(Clone, Copy)]
pub(super) enum ColumnChange<'a> {
    /// To the new row's value.
    New,
    /// To the new row's value where a condition on the old row holds.
    NewWhere(&'a str),
    /// To the sum of both.
    Sum,
    /// To the higher one.
    Highest,
    /// To the new row's value where it has none.
    First,
    /// To the new row's value where that has one.
    NewIfAny,
}

impl ColumnChange<'_> {
    fn expression(self, column: &str, dialect: Dialect) -> String {
        let new = dialect.new_value(column);
        let highest = match dialect {
            Dialect::Sqlite => "max",
            Dialect::Mysql => "GREATEST",
        };
        match self {
            ColumnChange::New => new,
            ColumnChange::NewWhere(condition) => {
                format!("CASE WHEN {condition} THEN {new} ELSE {column} END")
            }
            ColumnChange::Sum => format!("{column} + {new}"),
            ColumnChange::Highest => format!("{highest}({column}, {new})"),
            ColumnChange::First => format!("COALESCE({column}, {new})"),
            ColumnChange::NewIfAny => format!("COALESCE({new}, {column})"),
        }
    }
}

impl Insert<'_> {
    /// What comes before the rows.
    pub(super) fn head(&self) -> String {
        format!("INSERT INTO {} ({}) VALUES ", self.table, self.columns)
    }

    /// What comes behind the rows.
    pub(super) fn tail(&self, dialect: Dialect) -> String {
        let of = |changes: &[(&str, ColumnChange<'_>)]| -> Vec<String> {
            let columns = changes.iter().flat_map(|(columns, change)| {
                columns.split(", ").map(move |column| (column, *change))
            });
            let set = |(column, change): (&str, ColumnChange<'_>)| {
                format!("{column} = {}", change.expression(column, dialect))
            };
            columns.map(set).collect()
        };
        match (&self.on_conflict, dialect) {
            (OnConflict::Fail, _) => String::new(),
            (OnConflict::Keep, Dialect::Sqlite) => " ON CONFLICT DO NOTHING".to_owned(),
            (OnConflict::Keep, Dialect::Mysql) => {
                let column = self.key.split(", ").next().unwrap_or(self.key);
                format!(" ON DUPLICATE KEY UPDATE {column} = {column}")
            }
            (OnConflict::Update(changes), Dialect::Sqlite) => {
                format!(" ON CONFLICT ({}) DO UPDATE SET {}", self.key, of(changes).join(", "))
            }
            (OnConflict::Update(changes), Dialect::Mysql) => {
                format!(" ON DUPLICATE KEY UPDATE {}", of(changes).join(", "))
            }
            (OnConflict::UpdateIfNewer(changes), Dialect::Sqlite) => {
                let revision = [("revision_epoch, revision_counter", ColumnChange::New)];
                let sets = [of(changes), of(&revision)].concat().join(", ");
                let (key, table) = (self.key, self.table);
                format!(
                    " ON CONFLICT ({key}) DO UPDATE SET {sets} \
                     WHERE (excluded.revision_epoch, excluded.revision_counter) \
                     > ({table}.revision_epoch, {table}.revision_counter)"
                )
            }
            (OnConflict::UpdateIfNewer(changes), Dialect::Mysql) => gives_way(changes),
        }
    }
}

/// MySQL has no condition for the whole, and carries assignments out from left to right, each
/// seeing what those before it wrote. So each column has the condition, and the revision's come
/// last, the epoch behind the counter: as a maximum, which needs no comparison.
fn gives_way(changes: &[(&str, ColumnChange<'_>)]) -> String {
    const IS_NEWER: &str = "VALUES(revision_epoch) > revision_epoch \
        OR (VALUES(revision_epoch) = revision_epoch \
        AND VALUES(revision_counter) > revision_counter)";
    let counter = [("revision_counter", ColumnChange::New)];
    let mut sets = Vec::new();
    for (columns, change) in changes.iter().chain(&counter) {
        for column in columns.split(", ") {
            let new = change.expression(column, Dialect::Mysql);
            sets.push(format!("{column} = IF({IS_NEWER}, {new}, {column})"));
        }
    }
    let sets = sets.join(", ");
    format!(
        " ON DUPLICATE KEY UPDATE {sets}, \
         revision_epoch = GREATEST(revision_epoch, VALUES(revision_epoch))"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tails(on_conflict: OnConflict<'_>) -> [String; 2] {
        let insert = Insert { table: "t", columns: "a, b, c", key: "a, b", on_conflict };
        assert_eq!(insert.head(), "INSERT INTO t (a, b, c) VALUES ");
        [Dialect::Sqlite, Dialect::Mysql].map(|dialect| insert.tail(dialect))
    }

    #[test]
    fn a_row_that_is_there_is_met_in_each_dialect() {
        assert_eq!(tails(OnConflict::Fail), ["", ""]);
        let stays = [" ON CONFLICT DO NOTHING", " ON DUPLICATE KEY UPDATE a = a"];
        assert_eq!(tails(OnConflict::Keep), stays);
        let changes: [(ColumnChange<'_>, &str, &str); 6] = [
            (ColumnChange::New, "excluded.c", "VALUES(c)"),
            (ColumnChange::Sum, "c + excluded.c", "c + VALUES(c)"),
            (ColumnChange::Highest, "max(c, excluded.c)", "GREATEST(c, VALUES(c))"),
            (ColumnChange::First, "COALESCE(c, excluded.c)", "COALESCE(c, VALUES(c))"),
            (ColumnChange::NewIfAny, "COALESCE(excluded.c, c)", "COALESCE(VALUES(c), c)"),
            (
                ColumnChange::NewWhere("d"),
                "CASE WHEN d THEN excluded.c ELSE c END",
                "CASE WHEN d THEN VALUES(c) ELSE c END",
            ),
        ];
        for (change, sqlite, mysql) in changes {
            let [found, in_mysql] = tails(OnConflict::Update(&[("c", change)]));
            assert_eq!(found, format!(" ON CONFLICT (a, b) DO UPDATE SET c = {sqlite}"));
            assert_eq!(in_mysql, format!(" ON DUPLICATE KEY UPDATE c = {mysql}"));
        }
    }

    #[test]
    fn a_revision_is_compared_before_it_is_written() {
        let [sqlite, mysql] = tails(OnConflict::UpdateIfNewer(&[("b, c", ColumnChange::New)]));
        assert_eq!(
            sqlite,
            " ON CONFLICT (a, b) DO UPDATE SET b = excluded.b, c = excluded.c, \
             revision_epoch = excluded.revision_epoch, \
             revision_counter = excluded.revision_counter \
             WHERE (excluded.revision_epoch, excluded.revision_counter) \
             > (t.revision_epoch, t.revision_counter)"
        );
        let order = ["b = IF(", "c = IF(", "revision_counter = IF(", "revision_epoch = GREATEST("];
        let places = order.map(|set| mysql.find(&format!(" {set}")).unwrap());
        assert!(places.is_sorted(), "{mysql}");
    }
}
