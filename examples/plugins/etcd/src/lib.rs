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
        let url = format!("{}/v3/kv/{method}", self.url.trim_end_matches('/'));
        http::Request::post(url).json(question).send()?.error_for_status()?.json()
    }
}

fn bytes(base64: &Value) -> Result<Vec<u8>> {
    BASE64_STANDARD.decode(base64.as_str().unwrap_or("")).map_err(|e| Error::Corrupt(format!("no base64 of etcd: {e}")))
}

struct Etcd;

impl Source for Etcd {
    type Config = Config;
    const INFO: Info = Info { name: "etcd", version: "0.1.0", summary: "all keys of an etcd server, of one revision" };

    fn needs(config: &Config) -> Result<Needs> {
        http::needs(&config.url)
    }

    async fn backup(config: Config, backup: Backup) -> Result<()> {
        let head =
            config.ask("range", &json!({ "key": "AA==", "range_end": "AA==", "count_only": true }))?["header"].take();
        backup.identify(head["cluster_id"].as_str().unwrap_or_default())?;
        // Later pages are of the first one's revision, and keys go on behind the last.
        let mut page = json!({ "key": "AA==", "range_end": "AA==", "limit": 100, "revision": head["revision"] });
        loop {
            let answer = config.ask("range", &page)?;
            for pair in answer["kvs"].as_array().into_iter().flatten() {
                let key = bytes(&pair["key"])?;
                let file = backup.file(dozo_sdk::escape(&key)).attribute("key", &BASE64_STANDARD.encode(&key));
                file.write(&bytes(&pair["value"])?)?;
                page["key"] = BASE64_STANDARD.encode([&*key, &[0]].concat()).into();
            }
            if answer["more"] != true {
                return Ok(());
            }
        }
    }

    async fn restore_to_directory(restore: Restore) -> Result<()> {
        restore.to_directory()
    }

    async fn restore_to_service(config: Config, restore: Restore) -> Result<()> {
        for entry in restore.entries("") {
            let entry = entry?;
            let key = entry.attributes.iter().find(|(name, _)| name == "key").map(|(_, key)| key);
            let value = BASE64_STANDARD.encode(restore.read(&entry.path, 0)?.bytes(2 << 20)?);
            config.ask("put", &json!({ "key": key, "value": value }))?;
        }
        Ok(())
    }
}

dozo_sdk::export!(Etcd);
