//! Merge patches of trees (RFC 7396). Knows nothing of popups; as deep as the readers let trees be.

use nudged_config::tree::{Member, TreeNode, TreeValue};

/// What a patch makes of a value: an object is merged into it member by member, null takes a
/// member away, anything else takes the value's place. Members that stay keep their order, new
/// ones follow. Places in the text are the patch's; what the patch does not name has none.
pub(super) fn merged(before: Option<TreeNode>, patch: TreeNode) -> TreeNode {
    let TreeNode { line, column, value } = patch;
    let TreeValue::Table(changes) = value else { return TreeNode { line, column, value } };
    let mut members = match before.map(|before| before.value) {
        Some(TreeValue::Table(members)) => members,
        _ => Vec::new(),
    };
    for change in changes {
        let place = members.iter().position(|member| member.key == change.key);
        match (place, change.node.value == TreeValue::Null) {
            (Some(place), true) => {
                members.remove(place);
            }
            (Some(place), false) => {
                let member = &mut members[place];
                let before = std::mem::replace(&mut member.node, nothing());
                member.node = merged(Some(before), change.node);
            }
            (None, true) => {}
            (None, false) => {
                members.push(Member { node: merged(None, change.node), ..change });
            }
        }
    }
    TreeNode { line, column, value: TreeValue::Table(members) }
}

fn nothing() -> TreeNode {
    TreeNode { line: 0, column: 0, value: TreeValue::Null }
}

#[cfg(test)]
mod tests {
    use super::super::json::from_json;
    use super::*;
    use nudged_config::tree::write_json;

    #[test]
    fn patches_are_those_of_the_rfc() {
        // The cases of RFC 7396, appendix A, whose patch is an object, and what they leave open.
        for (before, patch, want) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            (r#"["a","b"]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
            (
                r#"{"n":1.50,"z":1,"a":2}"#,
                r#"{"z":3,"l":[null]}"#,
                r#"{"n":1.50,"z":3,"a":2,"l":[null]}"#,
            ),
        ] {
            let merged = merged(Some(from_json(before).unwrap()), from_json(patch).unwrap());
            let mut text = String::new();
            write_json(&merged.value, &mut text);
            assert_eq!(text, want, "{before} {patch}");
        }
    }
}
