//! Property: what we say to a server is what MySQL 5.7, MariaDB 10.6 and TiDB all understand, and
//! the latest MySQL still does. The servers at hand are one of these, so that what another one does
//! not know would pass every other test.

use std::fs;
use std::path::Path;

use crate::floors::sources;

/// What one of them does not know, in capitals and with single spaces, and who it is.
const UNKNOWN: [(&str, &str); 28] = [
    ("WITH RECURSIVE", "MySQL 5.7"),
    (" AS (SELECT", "MySQL 5.7: a common table expression"),
    (" OVER (", "MySQL 5.7"),
    ("ROW_NUMBER", "MySQL 5.7"),
    ("LATERAL", "MySQL 5.7, MariaDB"),
    ("JSON_TABLE", "MySQL 5.7, TiDB"),
    ("SKIP LOCKED", "MySQL 5.7, TiDB"),
    ("NOWAIT", "MySQL 5.7"),
    ("FOR SHARE", "MySQL 5.7, MariaDB"),
    ("INTERSECT", "MySQL 5.7"),
    ("EXCEPT", "MySQL 5.7"),
    ("VALUES ROW(", "MySQL 5.7, MariaDB"),
    (") AS NEW ", "MySQL 5.7, MariaDB: the alias of a row"),
    ("VALUE(", "MySQL: MariaDB's name of VALUES()"),
    ("RETURNING", "MySQL, TiDB"),
    ("SEQUENCE", "MySQL"),
    ("OR REPLACE", "MySQL"),
    ("COLUMN IF NOT EXISTS", "MySQL"),
    ("COLUMN IF EXISTS", "MySQL"),
    ("INDEX IF NOT EXISTS", "MySQL"),
    ("RENAME COLUMN", "MySQL 5.7"),
    ("CHECK (", "MySQL 5.7, which forgets it"),
    ("DEFAULT (", "MySQL 5.7"),
    ("FOREIGN KEY", "Vitess, TiDB before 6.6"),
    ("MD5(", "MySQL 9.6"),
    ("SHA1(", "MySQL 9.6"),
    ("ANY_VALUE", "MariaDB"),
    ("REGEXP_LIKE", "MySQL 5.7, MariaDB"),
];

/// Words that none of the servers takes for the name of a table or column without quotes; some of
/// them only in their latest versions. Of those that all of them have always had, what tempts.
const RESERVED: [&str; 54] = [
    "change",
    "condition",
    "cube",
    "cume_dist",
    "current_role",
    "delete",
    "dense_rank",
    "describe",
    "desc",
    "div",
    "empty",
    "except",
    "explain",
    "first_value",
    "function",
    "general",
    "get",
    "group",
    "grouping",
    "groups",
    "index",
    "intersect",
    "interval",
    "key",
    "keys",
    "lag",
    "last_value",
    "lateral",
    "lead",
    "library",
    "limit",
    "manual",
    "match",
    "nth_value",
    "ntile",
    "of",
    "offset",
    "order",
    "over",
    "parallel",
    "partition",
    "percent_rank",
    "qualify",
    "range",
    "rank",
    "read",
    "release",
    "returning",
    "row",
    "row_number",
    "rows",
    "slow",
    "system",
    "window",
];

/// The texts of a file of ours, without comments and without its tests, a line each.
fn texts(source: &str) -> String {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n").replace("\\\\", "");
    let code = code.replace("\\\"", "'").replace("'\"'", "''");
    code.split('"').skip(1).step_by(2).collect::<Vec<_>>().join("\n")
}

/// In capitals, and any white space, with what continues a line of Rust, as one space.
fn flat(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("--"));
    let words = lines.flat_map(str::split_whitespace).filter(|word| *word != "\\");
    words.collect::<Vec<_>>().join(" ").to_uppercase()
}

fn problems(statements: &str) -> Vec<String> {
    let flat = flat(statements);
    let is_in = |(phrase, _): &&(&str, &str)| flat.contains(*phrase);
    UNKNOWN.iter().filter(is_in).map(|(phrase, who)| format!("{phrase} ({who})")).collect()
}

/// Names of tables and columns of a schema that have to be quoted and are not.
fn unquoted(schema: &str) -> Vec<String> {
    let lines = schema.lines().filter(|line| !line.starts_with("--"));
    let names = lines.filter_map(|line| match line.strip_prefix("CREATE TABLE IF NOT EXISTS ") {
        Some(table) => table.split_whitespace().next(),
        None => line.strip_prefix("    ").and_then(|column| column.split_whitespace().next()),
    });
    let is_reserved = |name: &&str| RESERVED.contains(&name.trim_end_matches('('));
    names.filter(is_reserved).map(str::to_owned).collect()
}

#[test]
fn no_statement_is_newer_than_the_oldest_server() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut files = Vec::new();
    // Those of both databases are said once, and what is MySQL's own is beside them.
    sources(&root.join("mysql"), &mut files);
    sources(&root.join("statements"), &mut files);
    files.push(root.join("statement.rs"));
    let mut seen = String::new();
    for path in files {
        let statements = texts(&fs::read_to_string(&path).unwrap());
        let problems = problems(&statements);
        assert!(problems.is_empty(), "{}: {problems:?}", path.display());
        seen.push_str(&flat(&statements));
    }
    // Statements are what is looked at, and not what is left of them.
    for statement in [
        "STREAM, SEQ, DECISION, ACTION, AT",
        "FROM USERS LEFT JOIN USER_POP",
        "ON DUPLICATE KEY UPDATE",
        "START TRANSACTION",
    ] {
        assert!(seen.contains(statement), "{statement}");
    }
    for entry in fs::read_dir(root.join("schema/mysql")).unwrap() {
        let path = entry.unwrap().path();
        let schema = fs::read_to_string(&path).unwrap();
        let problems = problems(&schema);
        assert!(problems.is_empty(), "{}: {problems:?}", path.display());
        assert_eq!(unquoted(&schema), Vec::<String>::new(), "{}", path.display());
    }
}

#[test]
fn the_test_itself_catches_what_it_should() {
    let newer = "let a = \"DELETE FROM t \\\n  RETURNING id\"; // RETURNING\n";
    assert_eq!(problems(&texts(newer)).len(), 1);
    let split = "f(\"SELECT rank() over  \\\n (ORDER BY a)\", '\"', \"x\")";
    assert_eq!(problems(&texts(split)).len(), 1);
    let escaped = "a(\"\\\\\", push_value(), \"RETURNING\")";
    assert_eq!(problems(&texts(escaped)).len(), 1);
    assert!(problems(&texts("// RETURNING\nlet returning = \"SELECT 1\";")).is_empty());
    let schema = "-- x\nCREATE TABLE IF NOT EXISTS groups (\n    rank INT,\n    KEY name (x)\n);";
    assert_eq!(unquoted(schema), ["groups", "rank"]);
    assert!(unquoted("CREATE TABLE IF NOT EXISTS t (\n    `rank` INT\n);").is_empty());
}
