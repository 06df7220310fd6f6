//! What the client gets of a popup: content, its locales, and variants of both.
//!
//! Content is any JSON object, kept as it is written; only what JSON can't carry is refused.
//! Limits: [`CONTENT_BYTES_MAX`], [`CONTENT_DEPTH_MAX`], [`LOCALES_MAX`], [`VARIANTS_MAX`],
//! [`VARIANT_KEY_BYTES_MAX`], [`VARIANT_WEIGHT_MAX`].

use super::fields::{Errors, SourceField, Table, quoted};
use crate::catalog::snapshot::{Content, Popup, Variant, is_same_locale};
use nudged_base::limits::{
    CONTENT_BYTES_MAX, CONTENT_DEPTH_MAX, LOCALES_MAX, NAME_BYTES_MAX, VARIANT_KEY_BYTES_MAX,
    VARIANT_WEIGHT_MAX, VARIANTS_MAX,
};
use nudged_config::tree::{TreeValue, write_json};

/// Reads what the client gets: variants, or content and locales.
pub(crate) fn read_contents(table: &Table<'_>, popup: &mut Popup, errors: &mut Errors) {
    let Some(variants) = table.get("variants") else {
        popup.variants = [read_variant_body(table, "", 1, errors)].into();
        return;
    };
    for key in ["content", "locales"] {
        if let Some(field) = table.get(key) {
            field.refuse::<()>("must be set in each variant, since the popup has variants", errors);
        }
    }
    let Some(variants) = variants.list(1..=VARIANTS_MAX, errors) else { return };
    let errors_before = errors.list.len();
    let mut all: Vec<Variant> = Vec::new();
    for variant in variants {
        let Some(read) = read_variant(&variant, errors) else { continue };
        if all.iter().any(|known| known.key == read.key) {
            let path = format!("{}.key", variant.path);
            let message = format!("{} appears twice", quoted(&read.key));
            errors.add::<()>(variant.line, &path, message);
        }
        all.push(read);
    }
    popup.variants = all.into();
    popup.weight_total = popup.variants.iter().map(|variant| u64::from(variant.weight)).sum();
    if popup.weight_total == 0 && errors.list.len() == errors_before {
        let line = table.get("variants").map_or(0, |field| field.line);
        errors.add::<()>(line, "variants", "all weights are 0; at least one must be greater");
    }
}

fn read_variant(field: &SourceField<'_>, errors: &mut Errors) -> Option<Variant> {
    let table = field.table(&["key", "weight", "content", "locales"], errors)?;
    let key = table.require("key", errors);
    let key = key.and_then(|key| key.name(VARIANT_KEY_BYTES_MAX, errors));
    let weight = match table.get("weight") {
        Some(field) => field.whole(0..=VARIANT_WEIGHT_MAX, errors),
        None => Some(1),
    };
    let variant = read_variant_body(&table, key.unwrap_or_default(), weight.unwrap_or(0), errors);
    key.and(weight).map(|_| variant)
}

/// Reads `content` and `locales` of a popup or a variant.
fn read_variant_body(table: &Table<'_>, key: &str, weight: u32, errors: &mut Errors) -> Variant {
    let content = table.get("content").and_then(|field| read_content(&field, errors));
    let content = content.unwrap_or_else(|| Content("{}".into()));
    let locales = table.get("locales").and_then(|field| read_locales(&field, errors));
    Variant { key: key.into(), weight, content, locales: locales.unwrap_or_default() }
}

fn read_content(field: &SourceField<'_>, errors: &mut Errors) -> Option<Content> {
    if !matches!(field.value, TreeValue::Table(_)) {
        return field.expected("a table", errors);
    }
    check_content(field, 1, errors)?;
    let mut json = String::new();
    write_json(field.value, &mut json);
    if json.len() > CONTENT_BYTES_MAX {
        let bytes = json.len();
        let message = format!("has {bytes} bytes of JSON; the limit is {CONTENT_BYTES_MAX}");
        return field.refuse(message, errors);
    }
    Some(Content(json.into()))
}

/// Refuses what JSON can't carry; `None` where it did.
fn check_content(field: &SourceField<'_>, depth: usize, errors: &mut Errors) -> Option<()> {
    if depth > CONTENT_DEPTH_MAX {
        return field.refuse(format!("nested deeper than {CONTENT_DEPTH_MAX} levels"), errors);
    }
    match field.value {
        TreeValue::Unreal(text) => {
            field.refuse(format!("{} is not a valid JSON number", quoted(text)), errors)
        }
        TreeValue::Table(members) => {
            let table = Table { path: field.path.clone(), line: field.line, members };
            let bad =
                table.fields().filter(|field| check_content(field, depth + 1, errors).is_none());
            (bad.count() == 0).then_some(())
        }
        TreeValue::List(nodes) if !nodes.is_empty() => {
            let items = field.list(0..=usize::MAX, errors)?;
            let bad = items.filter(|field| check_content(field, depth + 1, errors).is_none());
            (bad.count() == 0).then_some(())
        }
        _ => Some(()),
    }
}

fn read_locales(field: &SourceField<'_>, errors: &mut Errors) -> Option<Vec<(Box<str>, Content)>> {
    let TreeValue::Table(members) = field.value else {
        return field.expected("a table of locales", errors);
    };
    if members.len() > LOCALES_MAX {
        let message = format!("has {} locales; the limit is {LOCALES_MAX}", members.len());
        return field.refuse(message, errors);
    }
    let mut locales: Vec<(Box<str>, Content)> = Vec::new();
    let mut given: Vec<&str> = Vec::with_capacity(members.len());
    let table = Table { path: field.path.clone(), line: field.line, members };
    for (member, locale) in members.iter().zip(table.fields()) {
        let tag = member.key.to_ascii_lowercase();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if tag.is_empty() || tag.len() > NAME_BYTES_MAX || !tag.bytes().all(is_plain) {
            errors.add::<()>(member.line, &locale.path, "is not a locale, such as de or pt-BR");
        }
        if let Some(known) = given.iter().find(|known| is_same_locale(known, &member.key)) {
            let known = quoted(known);
            let message =
                format!("is the same locale as {known}: case is ignored, and _ counts as -");
            errors.add::<()>(member.line, &locale.path, message);
        }
        given.push(&member.key);
        if let Some(content) = read_content(&locale, errors) {
            locales.push((tag.into(), content));
        }
    }
    locales.sort_by(|(a, _), (b, _)| a.cmp(b));
    Some(locales)
}
