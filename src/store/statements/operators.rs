//! The rows of operators' tokens. Knows columns; that an end stays is written here once more, since
//! nodes that do not know of it may bring a token that they take for good.

use crate::error::StoreError;
use crate::session::Session;
use crate::statement::{ColumnChange, Insert, OnConflict};
use crate::value::{Row, SqlValue, Unreadable};
use crate::{Store, StoreReader};
use nudged_base::hex;
use nudged_base::limits::{OPERATOR_TOKENS_MAX, OPERATOR_TOKENS_REVOKED_MAX};
use nudged_base::time::WallMs;
use nudged_domain::ended::Ended;
use nudged_domain::operators::{OperatorRole, OperatorToken, OperatorTokenId};

const READ: &str = "read operators' tokens";
const WRITE: &str = "store operators' tokens";

/// The columns of a token's row, in the order of [`read_row`].
const COLUMNS: &str = "token_id, name, role, hash, at, who, expires_at, ended_at, ended_by";

/// A token of its row; `None` where somebody else wrote what is none: it lets nobody in.
fn read_row(row: &mut Row<'_>) -> Result<Option<OperatorToken>, Unreadable> {
    let (id, name, role) = (row.take::<String>()?, row.take::<String>()?, row.take::<String>()?);
    let (hash, at, who) = (row.take::<String>()?, row.take_time()?, row.take::<String>()?);
    let expires = row.take_maybe_time()?;
    let (ended_at, ended_by) = (row.take_maybe_time()?, row.take::<Option<String>>()?);
    let end = ended_at.map(|at| Ended { at, who: ended_by.unwrap_or_default().into() });
    let (name, who) = (name.into(), who.into());
    let parts = OperatorTokenId::parse(&id).zip(OperatorRole::of_word(&role));
    let token = parts.zip(hex::decode_array(&hash));
    Ok(token.map(|((id, role), hash)| OperatorToken {
        id,
        name,
        role,
        hash,
        at,
        who,
        expires,
        end,
    }))
}

fn values<'v>(id: &'v str, hash: &'v str, token: &'v OperatorToken) -> [SqlValue<'v>; 9] {
    [
        id.into(),
        SqlValue::Text(&token.name),
        token.role.word().into(),
        hash.into(),
        token.at.into(),
        SqlValue::Text(&token.who),
        token.expires.into(),
        token.end.as_ref().map(|end| end.at).into(),
        token.end.as_ref().map(|end| &*end.who).into(),
    ]
}

impl Store {
    /// Takes in what a node knows of tokens: the union by id, in which an end stays. All or
    /// nothing, synced to disk before it returns.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn put_operator_tokens(&mut self, tokens: &[OperatorToken]) -> Result<(), StoreError> {
        let texts: Vec<(String, String)> =
            tokens.iter().map(|token| (token.id.to_string(), hex::encode(&token.hash))).collect();
        let insert = Insert {
            table: "operator_tokens",
            columns: COLUMNS,
            key: "token_id",
            on_conflict: OnConflict::Update(&[
                ("expires_at", ColumnChange::First),
                ("ended_by, ended_at", ColumnChange::First),
            ]),
        };
        self.session.get_mut().transaction(|session| {
            let rows = texts.iter().zip(tokens).map(|((id, hash), token)| values(id, hash, token));
            session.insert(WRITE, &insert, rows)?;
            Ok(())
        })
    }

    /// Every token in force, and those that were revoked latest, as many as a node remembers.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn operator_tokens(&mut self) -> Result<Vec<OperatorToken>, StoreError> {
        let session = self.session.get_mut();
        let mut tokens =
            query(session, &format!("WHERE ended_at IS NULL LIMIT {}", 2 * OPERATOR_TOKENS_MAX))?;
        tokens.extend(query(
            session,
            &format!(
                "WHERE ended_at IS NOT NULL ORDER BY ended_at DESC \
                 LIMIT {OPERATOR_TOKENS_REVOKED_MAX}"
            ),
        )?);
        Ok(tokens)
    }

    /// The tokens of these ids, revoked ones too, as far as they are there.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn operator_tokens_of(
        &mut self,
        ids: &[OperatorTokenId],
    ) -> Result<Vec<OperatorToken>, StoreError> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let ids: Vec<SqlValue<'_>> = ids.iter().map(SqlValue::from).collect();
        let find = format!("SELECT {COLUMNS} FROM operator_tokens WHERE token_id IN (?)");
        let rows = self.session.get_mut().query_in(READ, &find, &ids, read_row)?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// Every token, revoked ones too.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn whole_operator_tokens(&mut self) -> Result<Vec<OperatorToken>, StoreError> {
        query(self.session.get_mut(), "ORDER BY token_id")
    }
}

impl StoreReader {
    /// Tokens that were made, or that were revoked, up to a moment: the latest first, `count` at
    /// most.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn operator_tokens_until(
        &self,
        until: WallMs,
        is_revoked: bool,
        count: u32,
    ) -> Result<Vec<OperatorToken>, StoreError> {
        let column = if is_revoked { "ended_at" } else { "at" };
        let query = format!(
            "SELECT {COLUMNS} FROM operator_tokens WHERE {column} <= ? \
             ORDER BY {column} DESC, token_id DESC LIMIT {count}"
        );
        // Not from a replica, as of popups.
        let mut session = self.session.borrow_mut();
        let rows = session.query(READ, &query, &[until.into()], read_row)?;
        Ok(rows.into_iter().flatten().collect())
    }
}

fn query(session: &mut Session, rest: &str) -> Result<Vec<OperatorToken>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM operator_tokens {rest}");
    let rows = session.query(READ, &query, &[], read_row)?;
    Ok(rows.into_iter().flatten().collect())
}
