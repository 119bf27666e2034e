//! `docs/reference/environment.md` says what the table says. `SNUG_UPDATE_DOCS=1 cargo test -p snug-client` writes it.

use std::fmt::Write;
use std::path::Path;

use snug_client::environment::HOST_VARIABLES;

fn page() -> String {
    let mut page = String::from(
        "# Variables that stay on the host\n\nGenerated from `crates/snug-client/src/environment.rs`. Every other variable \
         of the caller passes into a trusted container with its bytes unchanged; `-e NAME` brings one of these along. An untrusted container \
         gets `TERM`, `COLORTERM` and `NO_COLOR` alone. `*` stands for any characters.\n\n| variable | why it stays |\n|---|---|\n",
    );
    for (name, reason) in HOST_VARIABLES {
        writeln!(page, "| `{name}` | {reason} |").expect("a string takes everything");
    }
    page
}

#[test]
fn the_page_of_host_variables_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/environment.md");
    if std::env::var_os("SNUG_UPDATE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), page(), "run with SNUG_UPDATE_DOCS=1");
}
