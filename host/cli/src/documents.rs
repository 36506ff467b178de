//! Documents that are written by the program itself: `cargo xtask docs` writes them, this test compares them.

use std::path::Path;

use crate::args::Cli;
use crate::config::Config;

#[test]
fn generated_documents_are_up_to_date() {
    let options = clap_markdown::MarkdownOptions::new().show_footer(false).title("Commands".to_string());
    let manual = clap_markdown::help_markdown_custom::<Cli>(&options);
    // Spaces at the ends of lines mean nothing here, and editors remove them.
    let manual = manual.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_string() + "\n";
    let schema = serde_json::to_string_pretty(&Config::schema()).unwrap() + "\n";
    for (name, text) in [("cli.md", manual), ("config.schema.json", schema)] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
        if std::env::var_os("DOZO_WRITE_DOCS").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(found == text, "docs/{name} is out of date: run `cargo xtask docs`");
    }
}
