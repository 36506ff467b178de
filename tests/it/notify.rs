//! Being told: what reaches Slack, when, and that nothing which goes wrong on the way changes what became of a run.

mod slack;
mod upkeep;

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::house::{House, Said, guests, said};
use slack::{Answer, Slack};

/// A secret that must appear nowhere but in requests.
const TOKEN: &str = "xoxb-s3cr3t-t0ken";

/// A house with a job that does what `act` says, and a webhook of a Slack.
fn house(slack: &Slack, act: &str, more: &str) -> House {
    let house = House::new();
    house.configure_guest("db", "hostile", &format!("{{ act = {act:?} }}"), "");
    let server = slack.address();
    house.configure(&format!(
        "[notify.ops]\nplugin = \"slack-notify\"\nconfig = {{ webhook = {{ env = \"WEBHOOK\" }}, url = \"http://{server}\" }}\n\
         grant = {{ network = [\"{server}\"] }}\n{more}"
    ));
    house
}

/// Runs dozo with what the configurations refer to; nothing of it may be told.
#[track_caller]
fn dozo(house: &House, slack: &Slack, arguments: &[&str]) -> Said {
    let mut command = house.command();
    command.args(arguments).env("WEBHOOK", slack.webhook()).env("TOKEN", TOKEN);
    let said = said(command.output().unwrap());
    for secret in [TOKEN, slack::PATH] {
        assert!(!said.out.contains(secret) && !said.err.contains(secret), "{}{}", said.out, said.err);
    }
    said
}

/// The job does something else from now on.
fn act(house: &House, old: &str, new: &str) {
    let file = house.path("dozo.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(old));
    std::fs::write(&file, text.replace(old, new)).unwrap();
}

fn header(message: &Value) -> &str {
    message["blocks"][0]["text"]["text"].as_str().unwrap()
}

#[test]
fn a_failure_is_told_with_why_and_what_to_do() {
    let slack = Slack::start();
    let house = house(&slack, "fail", "");
    dozo(&house, &slack, &["run", "-vv"]).expect(1);
    let messages = slack.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].path, slack::PATH);
    let message = &messages[0].json;
    assert!(header(message).contains("db on ") && header(message).contains("failed"), "{message}");
    let text = message.to_string();
    for words in ["the source said no", "dozo check &amp;&amp; dozo run db", "hostile 0.1.0", "*Took*"] {
        assert!(text.contains(words), "no {words} in {text}");
    }
    assert!(message["text"].as_str().unwrap().contains("db failed after"), "{message}");
}

/// Whoever is killed tells nobody: the next run does.
#[test]
fn a_run_that_was_killed_is_told_by_the_next() {
    let slack = Slack::start();
    let house = house(&slack, "good", "");
    act(&house, "[job.db]", "[job.db]\nbefore = [\"/bin/sh -c 'test -e once || kill -9 $PPID; touch once'\"]");
    let killed = house.command().arg("run").env("WEBHOOK", slack.webhook()).output().unwrap();
    assert_eq!((killed.status.code(), slack.messages().len()), (None, 0));
    std::fs::write(house.path("once"), "").unwrap();
    dozo(&house, &slack, &["run"]).expect(0);
    let messages = slack.messages();
    assert_eq!(messages.len(), 2, "{:?}", messages.iter().map(|message| &message.json).collect::<Vec<_>>());
    assert!(messages[0].json.to_string().contains("did not come to its end"), "{}", messages[0].json);
    assert!(header(&messages[1].json).contains("again"), "{}", messages[1].json);
}

/// An application that was stopped for the backup may not run again: that is no success, and its arguments are nobody's business.
#[test]
fn what_comes_after_a_run_and_fails_is_told_and_stays_an_alert() {
    let slack = Slack::start();
    let house = house(&slack, "good", "");
    act(&house, "[job.db]", "[job.db]\nafter = [\"/bin/sh -c 'exit 7' --password=hunter2\"]");
    let said = dozo(&house, &slack, &["run"]).expect(1);
    assert!(said.err.contains("`/bin/sh …` failed (exit status: 7)"), "{}", said.err);
    let messages = slack.messages();
    assert_eq!(messages.len(), 1);
    let text = messages[0].json.to_string();
    assert!(
        text.contains("db is backed up, and not all that comes after was done") && text.contains("exit status: 7"),
        "{text}"
    );
    let status = dozo(&house, &slack, &["status", "--json"]).expect(3);
    assert!(status.out.contains("\"failed\"") && status.out.contains("exit status: 7"), "{}", status.out);
    assert!([&text, &said.err, &said.out, &status.out].iter().all(|shown| !shown.contains("hunter2")));
    act(&house, "exit 7", "exit 0");
    dozo(&house, &slack, &["run"]).expect(0);
    assert!(header(&slack.messages()[1].json).contains("backed up again"));
}

#[test]
fn what_is_missing_is_named() {
    let slack = Slack::start();
    let house = house(&slack, "drop-and-omit", "");
    dozo(&house, &slack, &["run"]).expect(3);
    let message = &slack.messages()[0].json;
    assert!(header(message).contains("in part"), "{message}");
    assert!(message.to_string().contains("`/half.txt` locked"), "{message}");
}

#[test]
fn a_recovery_is_told_and_a_success_only_to_who_wants_it() {
    let slack = Slack::start();
    let house = house(&slack, "good", "");
    dozo(&house, &slack, &["run"]).expect(0);
    assert_eq!(slack.messages().len(), 0, "all is as it always was");
    act(&house, "\"good\"", "\"fail\"");
    dozo(&house, &slack, &["run"]).expect(1);
    act(&house, "\"fail\"", "\"good\"");
    for _ in 0..2 {
        dozo(&house, &slack, &["run"]).expect(0);
    }
    let messages = slack.messages();
    assert_eq!(messages.len(), 2, "the failure, and the first run that is well again");
    assert!(header(&messages[1].json).contains("backed up again"), "{:?}", messages[1].json);
    act(&house, "[notify.ops]", "[notify.ops]\non = [\"success\"]\njobs = [\"db\"]");
    dozo(&house, &slack, &["run"]).expect(0);
    assert_eq!(slack.messages().len(), 3);
}

#[test]
fn jobs_that_could_not_be_begun_are_told_of_too() {
    let slack = Slack::start();
    let house = house(&slack, "good", "");
    house.configure("[job.gone]\nplugin = \"no-such-plugin\"");
    dozo(&house, &slack, &["run", "gone"]).expect(2);
    std::fs::rename(house.path("repository"), house.path("elsewhere")).unwrap();
    let said = dozo(&house, &slack, &["run"]);
    assert_ne!(said.code, 0);
    std::fs::rename(house.path("elsewhere"), house.path("repository")).unwrap();
    dozo(&house, &slack, &["run", "db"]).expect(0);
    let summaries: Vec<String> =
        slack.messages().iter().map(|message| message.json["text"].as_str().unwrap().to_string()).collect();
    assert_eq!(summaries.len(), 4, "{summaries:?}");
    assert!(summaries[0].contains("gone did not run: there is no plugin"), "{summaries:?}");
    assert!(summaries[1].contains("db did not run") && summaries[2].contains("gone did not run"), "{summaries:?}");
    assert!(summaries[3].contains("backed up again"), "the repository is back: {summaries:?}");
}

#[test]
fn a_limit_of_rate_is_waited_for() {
    let slack = Slack::start();
    let house = house(&slack, "fail", "");
    slack.answer(&[Answer::status(429, "").retry_after(2), Answer::status(200, "ok")]);
    let begun = Instant::now();
    let said = dozo(&house, &slack, &["run", "--json"]).expect(1);
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(slack.messages().len(), 2);
    let told = said.json();
    assert_eq!(told["schema"], "dozo/told/1");
    assert_eq!(
        (&told["attempts"], &told["error"]),
        (&1.into(), &Value::Null),
        "the plugin waited, not the host: {told}"
    );
}

#[test]
fn trouble_of_the_server_is_tried_again_and_its_refusal_is_not() {
    let slack = Slack::start();
    let house = house(&slack, "good", "on = [\"success\"]");
    slack.answer(&[Answer::status(503, "<html>"), Answer::status(200, "ok")]);
    let told = dozo(&house, &slack, &["run", "--json"]).expect(0).json();
    assert_eq!((told["attempts"].as_u64(), slack.messages().len()), (Some(2), 2), "{told}");
    slack.answer(&[Answer::status(404, "no_service")]);
    let said = dozo(&house, &slack, &["run"]).expect(0);
    assert_eq!(slack.messages().len(), 3);
    assert!(said.err.contains("`ops` told nobody of the success of `db` (1 attempt)"), "{}", said.err);
    assert!(said.err.contains("no_service") && said.err.contains("hint: "), "{}", said.err);
}

#[test]
fn a_server_that_is_down_changes_nothing_of_the_run() {
    let slack = Slack::start();
    let house = house(&slack, "drop-and-omit", "");
    slack.stop();
    let said = dozo(&house, &slack, &["run", "--json"]).expect(3);
    assert!(said.err.contains("`ops` told nobody of the partial snapshot of `db` (4 attempts)"), "{}", said.err);
    let told = said.json();
    assert_eq!(told["error"]["kind"], "unavailable");
    assert_eq!(house.snapshots(), 1);
}

#[test]
fn a_bot_posts_in_its_channel_and_its_refusal_is_seen_though_the_status_is_200() {
    let slack = Slack::start();
    let house = House::new();
    let server = slack.address();
    house.configure(&format!(
        "[notify.bot]\nplugin = \"slack-notify\"\n\
         config = {{ token = {{ env = \"TOKEN\" }}, channel = \"#backups\", url = \"http://{server}\" }}\n\
         grant = {{ network = [\"{server}\"] }}"
    ));
    slack.answer(&[Answer::status(200, r#"{"ok": true}"#)]);
    let said = dozo(&house, &slack, &["notify", "test"]).expect(0);
    assert_eq!(said.out, "bot: told\n");
    let message = &slack.messages()[0];
    assert_eq!(message.path, "/api/chat.postMessage");
    assert_eq!(message.authorization.as_deref(), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!(message.json["channel"], "#backups");
    slack.answer(&[Answer::status(200, r#"{"ok": false, "error": "invalid_auth"}"#)]);
    let said = dozo(&house, &slack, &["notify", "test", "bot"]).expect(1);
    assert!(said.err.contains("invalid_auth"), "{}", said.err);
    slack.answer(&[Answer::status(200, r#"{"ok": true, "team": "Ops", "user": "dozo"}"#)]);
    let said = dozo(&house, &slack, &["check"]).expect(0);
    assert!(said.out.contains("bot: ready to tell") && said.out.contains("team: Ops"), "{}", said.out);
    assert_eq!(slack.messages().last().unwrap().path, "/api/auth.test", "a check tells nobody anything");
}

/// The component that is a source and a notifier; no network.
fn teller(house: &House, config: &str, more: &str) {
    let file = guests().join("contract.wasm").display().to_string();
    house.configure(&format!("[notify.log]\nplugin = {file:?}\nconfig = {config}\n{more}"));
    house.lock(&file, std::path::Path::new(&file));
}

#[test]
fn one_component_can_be_both_kinds() {
    let house = House::new();
    house.configure_guest("source", "contract", "{ act = \"write\" }", "");
    teller(&house, "{ manner = \"unpack\" }", "on = [\"success\"]");
    house.dozo(&["config", "check"]).expect(0);
    let told = house.dozo(&["run", "--json"]).expect(0).json();
    assert_eq!((&told["kind"], &told["error"]), (&"success".into(), &Value::Null), "{told}");
    house.dozo(&["check"]).expect(0);
}

#[test]
fn a_notifier_that_goes_wrong_harms_nobody() {
    for (manner, words) in [
        ("refuse", "no entry with [secret]"),
        ("trap", "the plugin contract-teller 0.2.0 trapped"),
        ("loop", "asked nothing of the host for 1 s"),
    ] {
        let house = House::new();
        house.configure_guest("a", "hostile", "{ act = \"fail\" }", "");
        house.configure_guest("b", "hostile", "{ act = \"good\" }", "");
        let config = format!("{{ manner = {manner:?}, secret = {{ env = \"TOKEN\" }} }}");
        teller(&house, &config, "limits = { stall = \"1s\" }");
        let said = said(house.command().arg("run").env("TOKEN", TOKEN).output().unwrap()).expect(1);
        assert!(said.err.contains("`log` told nobody of the failure of `a` (1 attempt)"), "{manner}: {}", said.err);
        assert!(said.err.contains(words) && !said.err.contains(TOKEN), "{manner}: {}", said.err);
        assert_eq!(house.snapshots(), 1);
    }
}

#[test]
fn a_notifier_that_cannot_be_made_ready_is_shown_and_the_jobs_run() {
    let house = House::new();
    house.configure_guest("db", "hostile", "{ act = \"good\" }", "");
    teller(&house, "{ manner = \"log\", secret = { env = \"DOZO_TEST_SURELY_UNSET\" } }", "");
    let said = house.dozo(&["run"]).expect(0);
    assert!(said.err.contains("the notifier `log` tells nobody"), "{}", said.err);
    assert!(said.err.contains("DOZO_TEST_SURELY_UNSET is not set"), "{}", said.err);
    house.dozo(&["config", "check"]).expect(0);
    house.dozo(&["notify", "test"]).expect(2);
}

#[test]
fn who_is_told_hears_of_every_job_in_order() {
    let house = House::new();
    for job in ["a", "b", "c"] {
        house.configure_guest(job, "hostile", "{ act = \"fail\" }", "");
    }
    teller(&house, "{ manner = \"log\" }", "jobs = [\"a\", \"c\"]");
    let said = house.dozo(&["run"]).expect(1);
    let told: Vec<&str> = said.err.lines().filter(|line| line.contains("TOLD failure")).collect();
    assert!(told.len() == 2 && told[0].contains(": a failed") && told[1].contains(": c failed"), "{}", said.err);
    assert!(house.dozo(&["notify", "test"]).expect(0).err.contains("TOLD test"));
}

#[test]
fn mistakes_are_found_before_anything_runs() {
    for (table, words) in [
        ("[notify.x]\nplugin = \"filesystem\"", "is a source, not a notifier"),
        ("[job.x]\nplugin = \"slack-notify\"", "is a notifier, not a source"),
        ("[notify.x]\nplugin = \"slack-notify\"\non = [\"failed\"]", "`failed` is none of the words"),
        ("[notify.x]\nplugin = \"slack-notify\"", "neither `webhook` nor `token`"),
        ("[notify.x]\nplugin = \"slack-notify\"\nconfig = { webhook = \"https://hooks\" }", "a secret is written out"),
        (
            "[notify.x]\nplugin = \"slack-notify\"\nconfig = { webhook = { env = \"WEBHOOK\" } }",
            "network = [\"hooks.slack.com:443\"]",
        ),
    ] {
        let house = House::new();
        house.configure(table);
        let said = house.dozo(&["config", "check"]).expect(2);
        assert!(said.err.contains(words), "{table}: {}", said.err);
    }
}
