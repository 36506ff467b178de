//! Builds the component and puts it through the conformance kit: `cargo test`. It needs the program `dozo`, on PATH or named
//! by DOZO.

dozo_sdk::conformance!("kit.toml");
