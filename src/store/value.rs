//! What statements bind and what they give, the same for both databases. Knows their libraries'
//! conversions; must not know tables.

use mysql_async::prelude::FromValue;
use rusqlite::ToSql;
use rusqlite::types::{FromSql, ToSqlOutput, ValueRef};

use nudged_base::ids::{Revision, Sequence};
use nudged_base::time::WallMs;

/// A value for a `?` of a statement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum SqlValue<'v> {
    /// No value.
    Null,
    /// A number.
    Number(i64),
    /// A text.
    Text(&'v str),
    /// Bytes.
    Bytes(&'v [u8]),
}

macro_rules! numbers {
    ($($number:ty),+) => {
        $(impl From<$number> for SqlValue<'_> {
            fn from(number: $number) -> Self {
                SqlValue::Number(number.into())
            }
        })+
    };
}

numbers!(i64, u32, bool);

impl From<WallMs> for SqlValue<'_> {
    fn from(at: WallMs) -> Self {
        SqlValue::Number(at.0)
    }
}

impl From<Sequence> for SqlValue<'_> {
    fn from(sequence: Sequence) -> Self {
        SqlValue::Number(signed(sequence.0))
    }
}

impl<'v> From<&'v str> for SqlValue<'v> {
    fn from(text: &'v str) -> Self {
        SqlValue::Text(text)
    }
}

impl<'v> From<&'v String> for SqlValue<'v> {
    fn from(text: &'v String) -> Self {
        SqlValue::Text(text)
    }
}

impl<'v> From<&'v [u8]> for SqlValue<'v> {
    fn from(bytes: &'v [u8]) -> Self {
        SqlValue::Bytes(bytes)
    }
}

impl<'v, T: Into<SqlValue<'v>>> From<Option<T>> for SqlValue<'v> {
    fn from(value: Option<T>) -> Self {
        value.map_or(SqlValue::Null, Into::into)
    }
}

impl ToSql for SqlValue<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            SqlValue::Null => ValueRef::Null,
            SqlValue::Number(number) => ValueRef::Integer(number),
            SqlValue::Text(text) => ValueRef::Text(text.as_bytes()),
            SqlValue::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// A number as a signed column.
///
/// # Panics
/// On more than 63 bits: records with larger revisions are rejected, and no journal is that long.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("numbers of records have 63 bits")
}

/// A column's type.
pub(super) trait Column: FromSql + FromValue {}

impl<T: FromSql + FromValue> Column for T {}

/// A row is not of the shape that the schema has; SQLite tells in what.
#[derive(Debug)]
pub(super) struct Unreadable(pub(super) Option<rusqlite::Error>);

/// A row that is read column by column, from the left.
pub(super) struct Row<'r> {
    cells: Cells<'r>,
    column: usize,
}

enum Cells<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Mysql(mysql_async::Row),
}

impl<'r> Row<'r> {
    /// A row of SQLite.
    pub(super) fn of_sqlite(row: &'r rusqlite::Row<'r>) -> Row<'r> {
        Row { cells: Cells::Sqlite(row), column: 0 }
    }

    /// A row of MySQL.
    pub(super) fn of_mysql(row: mysql_async::Row) -> Row<'r> {
        Row { cells: Cells::Mysql(row), column: 0 }
    }

    /// The next column.
    pub(super) fn take<T: Column>(&mut self) -> Result<T, Unreadable> {
        let column = self.column;
        self.column += 1;
        match &mut self.cells {
            Cells::Sqlite(row) => row.get(column).map_err(|error| Unreadable(Some(error))),
            Cells::Mysql(row) => match row.take_opt(column) {
                Some(Ok(value)) => Ok(value),
                Some(Err(_)) | None => Err(Unreadable(None)),
            },
        }
    }

    /// The next column, a number that is not negative.
    pub(super) fn take_unsigned(&mut self) -> Result<u64, Unreadable> {
        let number: i64 = self.take()?;
        let error = rusqlite::Error::IntegralValueOutOfRange(self.column - 1, number);
        u64::try_from(number).map_err(|_| Unreadable(Some(error)))
    }

    /// The next column, a hash or another number whose bits alone count.
    pub(super) fn take_bits(&mut self) -> Result<u64, Unreadable> {
        Ok(self.take::<i64>()?.cast_unsigned())
    }

    /// The next column, a time.
    pub(super) fn take_time(&mut self) -> Result<WallMs, Unreadable> {
        Ok(WallMs(self.take()?))
    }

    /// The next column, a time or none.
    pub(super) fn take_maybe_time(&mut self) -> Result<Option<WallMs>, Unreadable> {
        Ok(self.take::<Option<i64>>()?.map(WallMs))
    }

    /// The next column, a record's sequence.
    pub(super) fn take_sequence(&mut self) -> Result<Sequence, Unreadable> {
        Ok(Sequence(self.take_unsigned()?))
    }

    /// The next two columns, a revision's epoch and counter.
    pub(super) fn take_revision(&mut self) -> Result<Revision, Unreadable> {
        Ok(Revision { epoch: self.take()?, counter: self.take_unsigned()? })
    }
}
