//! Whole messages, kept as files in `golden`; `DOZO_WRITE_GOLDEN=1` writes them anew. Read what it wrote as the person who is
//! woken by it would.

use std::path::Path;

use serde_json::{Value, json};

use super::*;

fn report(more: &Value) -> Value {
    let mut report = json!({
        "schema": "dozo/report/1", "job": "attachments", "host": "web-1",
        "plugin": {"name": "filesystem", "version": "0.1.0", "digest": "00"},
        "outcome": "complete", "started": "2026-11-23T02:00:00.25Z", "ended": "2026-11-23T02:05:10.25Z",
        "snapshot": "252c82dc00112233", "previous": null, "entries": 60138, "entries_kept": 60000,
        "bytes": 1_610_612_736_u64, "bytes_read": 12_582_912, "bytes_new": 10_485_760, "bytes_stored": 4_194_304,
        "omitted": [], "omitted_count": 0, "notes": [], "next": null, "error": null,
        "usage": {"memory_bytes": 1, "host_calls": 2, "log_lines": 3},
    });
    for (key, value) in more.as_object().unwrap() {
        report[key] = value.clone();
    }
    report
}

fn message(kind: &str, summary: &str, more: &Value) -> Value {
    of(&Event::new(kind, "attachments".into(), "web-1".into(), summary.into(), report(more).to_string()))
}

fn failed() -> Value {
    json!({
        "outcome": "failed", "snapshot": null, "next": "dozo check && dozo run attachments",
        "error": {
            "kind": "denied", "message": "the plugin postgres 0.1.0 failed",
            "causes": ["password authentication failed for user <backup> & `co`"],
            "hint": "set the password again: `ALTER ROLE backup PASSWORD …`",
        },
    })
}

fn partial(count: u64) -> Value {
    let omitted: Vec<_> = (0..count.min(100)).map(|n| (format!("srv/app/{n}.pdf"), "permission denied")).collect();
    json!({"outcome": "partial", "omitted": omitted, "omitted_count": count, "notes": ["a file grew while it was read"],
        "next": "dozo run attachments"})
}

#[track_caller]
fn golden(name: &str, made: &Value) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(made).unwrap() + "\n";
    if std::env::var_os("DOZO_WRITE_GOLDEN").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == text, "{} is not as it was:\n{text}", file.display());
}

#[test]
fn messages_are_as_they_were() {
    let summary = "web-1: attachments failed after 5 min 10 s: password authentication failed";
    golden("failure", &message("failure", summary, &failed()));
    golden("partial", &message("partial", "web-1: attachments lacks 7 entries", &partial(7)));
    let gone = json!({"suspicious": ["3 entries, where the last good snapshot (1a2b3c4d of 2026-11-22 11:00:00 +09:00) has 2,003"],
            "next": "dozo snapshots attachments"});
    golden("suspicious", &message("suspicious", "web-1: attachments is backed up, but much is gone", &gone));
    golden("recovered", &message("recovered", "web-1: attachments is backed up again", &json!({})));
    let damaged = json!({
        "kind": "corrupt", "message": "1 object is damaged or missing in file:///backup/dozo; 21 entries of snapshots cannot be restored whole",
        "causes": ["packs/12/34: its bytes do not have the digest that it is named by"],
        "hint": "`dozo run` stores again what the source still has, `dozo repair` brings back what a mirror has",
    });
    let report = json!({
        "schema": "dozo/report/1", "job": "", "host": "web-1", "outcome": "failed",
        "started": "2026-11-23T02:00:00Z", "ended": "2026-11-23T02:05:10Z", "next": "dozo repair", "error": damaged,
    });
    let summary = "web-1: the repository is damaged: 1 object is damaged or missing";
    let damage = Event::new("damage", String::new(), "web-1".into(), summary.into(), report.to_string());
    golden("damage", &of(&damage));
    let test = Event::new("test", String::new(), "web-1".into(), "web-1: this is a test".into(), "{}".into());
    golden("test", &of(&test));
}

/// Slack refuses a message as a whole if one of these is too long.
fn check_bounds(message: &Value) {
    let length = |value: &Value| value.as_str().unwrap().chars().count();
    let blocks = message["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50);
    assert!((1..=4_000).contains(&length(&message["text"])));
    for block in blocks {
        match block["type"].as_str().unwrap() {
            "header" => assert!((1..=HEADER_MAX).contains(&length(&block["text"]["text"]))),
            "section" if block.get("fields").is_some() => {
                let fields = block["fields"].as_array().unwrap();
                assert!((1..=10).contains(&fields.len()));
                assert!(fields.iter().all(|field| (1..=FIELD_MAX).contains(&length(&field["text"]))));
            }
            "section" => assert!((1..=SECTION_MAX).contains(&length(&block["text"]["text"])), "{block}"),
            "context" => assert!((1..=SECTION_MAX).contains(&length(&block["elements"][0]["text"]))),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn nothing_is_longer_than_slack_takes() {
    for length in [0, 1, 149, 150, 3_000, 100_000] {
        for filling in ["x", "&", "<é>`\n"] {
            let long = filling.repeat(length);
            let event = |kind: &str, more: Value| {
                of(&Event::new(kind, format!("job{long}"), long.clone(), format!("x{long}"), report(&more).to_string()))
            };
            let error = json!({"kind": long, "message": long, "causes": [long, long], "hint": long});
            check_bounds(&event("failure", json!({"error": error, "snapshot": null, "notes": [long, long]})));
            let omitted: Vec<_> = (0..100).map(|_| (long.clone(), long.clone())).collect();
            check_bounds(&event("partial", json!({"omitted": omitted, "omitted_count": 12_345})));
            check_bounds(&event(&format!("o{long}"), json!({"snapshot": long, "started": long})));
        }
    }
}

#[test]
fn nobody_is_called_by_what_a_source_says() {
    let calls = "<!channel> <@U123> <https://evil.example|click>";
    let error = json!({"kind": "denied", "message": calls, "causes": [calls], "hint": calls});
    let made = message("failure", calls, &json!({"error": error, "snapshot": null, "notes": [calls]}));
    let blocks = made["blocks"].as_array().unwrap();
    let marked = blocks.iter().filter(|block| block["type"] != "header").map(Value::to_string);
    for text in marked.chain([made["text"].to_string()]) {
        assert!(!text.contains('<'), "{text}");
    }
}
