//! What the operator writes, and which of the two ways into Slack it is.

use dozo_sdk::prelude::*;

const WEBHOOKS: &str = "https://hooks.slack.com";
const API: &str = "https://slack.com";

/// What the operator writes: `webhook`, or `token` and `channel`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The URL of an incoming webhook. It is a secret: whoever has it can post.
    #[schemars(extend("writeOnly" = true))]
    webhook: Option<String>,
    /// A bot's token (`xoxb-…`) with the scope `chat:write`, in place of a webhook.
    #[schemars(extend("writeOnly" = true))]
    token: Option<String>,
    /// Where the bot posts: a channel's id (`C…`) or name (`#backups`). The bot must be in it.
    channel: Option<String>,
    /// The server, `https://HOST`, if it is not Slack's own: a Mattermost, a gateway. Default: `https://hooks.slack.com` for
    /// a webhook, `https://slack.com` for a bot.
    url: Option<String>,
}

/// A way into Slack.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Post to this URL.
    Webhook(String),
    /// Call the API there.
    Bot { api: String, token: String, channel: String },
}

impl Config {
    /// What must be granted. Does not look at the secrets: they are not at hand everywhere.
    pub(crate) fn needs(&self) -> Result<Needs> {
        self.check()?;
        Ok(Needs { network: vec![target(self.server())?], ..Needs::default() })
    }

    /// Which way it is.
    pub(crate) fn way(self) -> Result<Way> {
        self.check()?;
        let server = self.server().to_string();
        match (self.webhook, self.token, self.channel) {
            (Some(webhook), ..) => {
                // A secret must not decide where this plugin talks to.
                let there = webhook.strip_prefix(&server).is_some_and(|path| path.starts_with('/'));
                let plain = webhook.bytes().all(|b| b.is_ascii_graphic());
                match there && plain {
                    true => Ok(Way::Webhook(webhook)),
                    false => Err(Error::Invalid(format!(
                        "the webhook is not a URL of {server}; hint: copy it from the app's page \"Incoming Webhooks\", or \
                         name another server with `url`"
                    ))),
                }
            }
            (None, Some(token), Some(channel)) => Ok(Way::Bot { api: format!("{server}/api"), token, channel }),
            _ => Err(neither()),
        }
    }

    /// Exactly one way, and a server that is one.
    fn check(&self) -> Result<()> {
        match (&self.webhook, &self.token, &self.channel) {
            (Some(_), None, None) | (None, Some(_), Some(_)) => target(self.server()).map(|_| ()),
            (Some(_), Some(_), _) => {
                Err(Error::Invalid("both `webhook` and `token` are given: which is it to be?".into()))
            }
            (Some(_), None, Some(_)) => {
                Err(Error::Invalid("`channel` goes with `token`: a webhook has its channel already".into()))
            }
            (None, Some(_), None) => Err(Error::Invalid("`token` needs a `channel` to post to".into())),
            (None, None, _) => Err(neither()),
        }
    }

    fn server(&self) -> &str {
        let default = if self.webhook.is_some() { WEBHOOKS } else { API };
        self.url.as_deref().unwrap_or(default).trim_end_matches('/')
    }
}

fn neither() -> Error {
    Error::Invalid("neither `webhook` nor `token` and `channel` are given".into())
}

/// `HOST:PORT` of a server.
fn target(server: &str) -> Result<String> {
    let wrong = || Error::Invalid(format!("url: `{server}` is not `https://HOST` or `https://HOST:PORT`"));
    let (scheme, rest) = server.split_once("://").ok_or_else(wrong)?;
    let port = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return Err(wrong()),
    };
    if rest.is_empty() || rest.contains(['/', '@', '?', '#', ' ']) {
        return Err(wrong());
    }
    // The colons of an IPv6 address stand in brackets.
    let has_port = rest.rsplit(']').next().unwrap_or(rest).contains(':');
    Ok(if has_port { rest.to_string() } else { format!("{rest}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: serde_json::Value) -> Config {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn exactly_one_way_is_taken() {
        for (json, words) in [
            (serde_json::json!({}), "neither"),
            (serde_json::json!({"channel": "#a"}), "neither"),
            (serde_json::json!({"token": "t"}), "needs a `channel`"),
            (serde_json::json!({"webhook": "w", "token": "t", "channel": "#a"}), "both"),
            (serde_json::json!({"webhook": "w", "channel": "#a"}), "goes with `token`"),
            (serde_json::json!({"webhook": "w", "url": "hooks.example"}), "https://HOST"),
            (serde_json::json!({"webhook": "w", "url": "https://me:pw@hooks.example"}), "https://HOST"),
        ] {
            let error = config(json.clone()).needs().unwrap_err();
            assert!(error.message().contains(words), "{json}: {error:?}");
            assert!(config(json).way().is_err());
        }
    }

    #[test]
    fn needs_do_not_depend_on_secrets() {
        let needs = |json| config(json).needs().unwrap().network;
        assert_eq!(needs(serde_json::json!({"webhook": "pretended"})), ["hooks.slack.com:443"]);
        assert_eq!(needs(serde_json::json!({"token": "pretended", "channel": "#a"})), ["slack.com:443"]);
        let mattermost = serde_json::json!({"webhook": "pretended", "url": "https://chat.example/"});
        assert_eq!(needs(mattermost), ["chat.example:443"]);
        assert_eq!(needs(serde_json::json!({"webhook": "p", "url": "http://[::1]:8065"})), ["[::1]:8065"]);
    }

    #[test]
    fn a_webhook_lies_on_its_server() {
        let way = |webhook: &str| config(serde_json::json!({ "webhook": webhook })).way();
        let good = "https://hooks.slack.com/services/T0/B0/s3cr3t";
        assert_eq!(way(good).unwrap(), Way::Webhook(good.into()));
        for wrong in ["https://hooks.slack.com.evil.example/services/s3cr3t", "http://hooks.slack.com/s3cr3t", "s3cr3t"]
        {
            let error = way(wrong).unwrap_err();
            assert!(!error.message().contains("s3cr3t"), "{error:?}");
        }
        let elsewhere = serde_json::json!({"webhook": "https://chat.example/hooks/x", "url": "https://chat.example"});
        assert!(config(elsewhere).way().is_ok());
    }

    #[test]
    fn both_secrets_are_marked_as_such() {
        let schema = schemars::schema_for!(Config);
        for secret in ["webhook", "token"] {
            assert_eq!(schema.pointer(&format!("/properties/{secret}/writeOnly")), Some(&true.into()), "{secret}");
        }
    }
}
