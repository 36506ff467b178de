//! All keys of an etcd server as of one revision, over its JSON gateway, and back again.
use base64::prelude::*;
use dozo_sdk::{http, prelude::*};
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The server, such as `http://127.0.0.1:2379`.
    url: String,
}

impl Config {
    fn ask(&self, method: &str, question: &Value) -> Result<Value> {
        let url = format!("{}/v3/{method}", self.url.trim_end_matches('/'));
        http::Request::post(url).json(question).send()?.error_for_status()?.json()
    }
}

fn text<'a>(answer: &'a Value, pointer: &str) -> &'a str {
    answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn bytes(answer: &Value, pointer: &str) -> Result<Vec<u8>> {
    BASE64_STANDARD.decode(text(answer, pointer)).map_err(|e| Error::Corrupt(format!("etcd sent no base64: {e}")))
}

struct Etcd;

impl Source for Etcd {
    type Config = Config;
    const INFO: Info = Info { name: "etcd", version: "0.1.0", summary: "all keys of an etcd server, of one revision" };

    fn needs(config: &Config) -> Result<Needs> {
        Ok(Needs { network: vec![http::target(&config.url)?], read: vec![], write: vec![], programs: vec![] })
    }

    async fn backup(config: Config, backup: Backup) -> Result<()> {
        let (mut next, mut revision) = (vec![0], Value::from("0"));
        loop {
            let page = json!({ "key": BASE64_STANDARD.encode(&next), "range_end": "AA==", "revision": revision, "limit": "100" });
            let page = config.ask("kv/range", &page)?;
            if revision == "0" {
                backup.identify(text(&page, "/header/cluster_id"))?;
                backup.set_attribute("revision", text(&page, "/header/revision"));
                revision = page["header"]["revision"].clone();
            }
            for pair in page["kvs"].as_array().into_iter().flatten() {
                next = [bytes(pair, "/key")?, vec![0]].concat();
                let path = dozo_sdk::escape(&next[..next.len() - 1]);
                let mut writer = backup.file(path).attribute("key", text(pair, "/key")).create();
                writer.write_all(&bytes(pair, "/value")?)?;
                writer.finish()?;
            }
            if page["more"] != true {
                return Ok(());
            }
        }
    }

    async fn restore(config: Option<Config>, restore: Restore) -> Result<()> {
        let config = config.ok_or_else(|| Error::Invalid("a target with the server's `url` is needed".into()))?;
        for entry in restore.entries("") {
            let entry = entry?;
            let key = entry.attributes.iter().find(|(name, _)| name == "key").map(|(_, key)| key.clone());
            let value = BASE64_STANDARD.encode(restore.read(&entry.path, 0)?.bytes(2 << 20)?);
            config.ask("kv/put", &json!({ "key": key, "value": value }))?;
        }
        Ok(())
    }
}

dozo_sdk::export!(Etcd);
