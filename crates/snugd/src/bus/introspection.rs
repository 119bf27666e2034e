//! What the objects look like, for `busctl introspect` and code generators. The text of record is
//! `docs/reference/dbus.md`; a test compares the two.

use super::{CONTAINER, MANAGER};
use crate::job;

/// A method: name, arguments in, arguments out; an argument is `name:type`.
pub type Method = (&'static str, &'static [&'static str], &'static [&'static str]);

const OPTIONS: &str = "options:a{sv}";
const JOB: &[&str] = &["job:o"];

/// Methods of the root object.
pub const MANAGER_METHODS: &[Method] = &[
    ("Create", &["name:s", OPTIONS], JOB),
    ("Ensure", &["name:s", OPTIONS], JOB),
    ("Start", &["name:s", OPTIONS], JOB),
    ("Restart", &["name:s", OPTIONS], JOB),
    ("Stop", &["name:s", OPTIONS], JOB),
    ("Remove", &["name:s", OPTIONS], JOB),
    ("Configure", &["name:s", "set:a{ss}", "unset:as", OPTIONS], JOB),
    ("RepairAgent", &["name:s", OPTIONS], JOB),
    ("TakeSnapshot", &["name:s", OPTIONS], JOB),
    ("Undo", &["name:s", OPTIONS], JOB),
    ("Snapshots", &["name:s", OPTIONS], &["snapshots:aa{sv}"]),
    ("Prune", &[OPTIONS], JOB),
    ("List", &[OPTIONS], &["containers:aa{sv}"]),
    ("Get", &["name:s", OPTIONS], &["container:a{sv}"]),
    ("Log", &["name:s", OPTIONS], &["text:s"]),
    ("ListImages", &[OPTIONS], &["images:aa{sv}"]),
    ("PullImage", &["reference:s", OPTIONS], JOB),
    ("ImportImage", &["alias:s", OPTIONS], JOB),
    ("RemoveImage", &["reference:s", OPTIONS], JOB),
    ("FollowHost", &[OPTIONS], &["failures:as"]),
    ("Ports", &[OPTIONS], &["ports:aa{sv}", "notices:as"]),
    ("Doctor", &[OPTIONS], &["checks:aa{sv}"]),
];

/// Methods of a job.
pub const JOB_METHODS: &[Method] =
    &[("Cancel", &[], &[]), ("Wait", &[], &["state:s"]), ("Log", &[], &["lines:as"])];

/// Properties of the root object: name and type.
pub const MANAGER_PROPERTIES: &[(&str, &str)] = &[("Version", "s"), ("ApiLevel", "u"), ("Features", "as")];

const JOB_PROPERTIES: &[(&str, &str)] = &[
    ("State", "s"),
    ("Verb", "s"),
    ("Container", "s"),
    ("Stage", "s"),
    ("Percent", "d"),
    ("Result", "a{sv}"),
    ("Error", "s"),
    ("Message", "s"),
    ("Hints", "as"),
];

/// Properties of a container, and keys of `List` and `Get`.
pub const CONTAINER_PROPERTIES: &[(&str, &str)] = &[
    ("name", "s"),
    ("owner", "u"),
    ("owner-name", "s"),
    ("kind", "s"),
    ("state", "s"),
    ("phase", "s"),
    ("image", "s"),
    ("preset", "s"),
    ("grants", "as"),
    ("settings", "a{ss}"),
    ("trusted", "b"),
    ("privileged", "b"),
    ("temporary", "b"),
    ("created", "s"),
    ("last-start", "s"),
    ("pid", "u"),
    ("addresses", "as"),
    ("snapshots", "u"),
    ("path", "o"),
];

const STANDARD: &str = r#" <interface name="org.freedesktop.DBus.Introspectable">
  <method name="Introspect"><arg name="xml" type="s" direction="out"/></method>
 </interface>
 <interface name="org.freedesktop.DBus.Peer">
  <method name="Ping"/>
  <method name="GetMachineId"><arg name="id" type="s" direction="out"/></method>
 </interface>
 <interface name="org.freedesktop.DBus.Properties">
  <method name="Get"><arg name="interface" type="s" direction="in"/><arg name="name" type="s" direction="in"/><arg name="value" type="v" direction="out"/></method>
  <method name="GetAll"><arg name="interface" type="s" direction="in"/><arg name="values" type="a{sv}" direction="out"/></method>
  <signal name="PropertiesChanged"><arg name="interface" type="s"/><arg name="changed" type="a{sv}"/><arg name="invalidated" type="as"/></signal>
 </interface>
"#;

const OBJECT_MANAGER: &str = r#" <interface name="org.freedesktop.DBus.ObjectManager">
  <method name="GetManagedObjects"><arg name="objects" type="a{oa{sa{sv}}}" direction="out"/></method>
  <signal name="InterfacesAdded"><arg name="object" type="o"/><arg name="interfaces" type="a{sa{sv}}"/></signal>
  <signal name="InterfacesRemoved"><arg name="object" type="o"/><arg name="interfaces" type="as"/></signal>
 </interface>
"#;

fn argument(text: &str, direction: &str) -> String {
    let (name, kind) = text.split_once(':').unwrap_or((text, "v"));
    format!(r#"<arg name="{name}" type="{kind}" direction="{direction}"/>"#)
}

fn interface(name: &str, methods: &[Method], properties: &[(&str, &str)], extra: &str) -> String {
    let mut xml = format!(" <interface name=\"{name}\">\n");
    for (method, input, output) in methods {
        let input: String = input.iter().map(|text| argument(text, "in")).collect();
        let output: String = output.iter().map(|text| argument(text, "out")).collect();
        xml.push_str(&format!("  <method name=\"{method}\">{input}{output}</method>\n"));
    }
    for (property, kind) in properties {
        // D-Bus wants member names; ours have dashes where they are also keys of `List`.
        xml.push_str(&format!("  <property name=\"{property}\" type=\"{kind}\" access=\"read\"/>\n"));
    }
    xml.push_str(extra);
    xml.push_str(" </interface>\n");
    xml
}

fn node(body: &str, children: &[String]) -> String {
    let mut xml = format!("<node>\n{STANDARD}{body}");
    for child in children {
        xml.push_str(&format!(" <node name=\"{child}\"/>\n"));
    }
    xml.push_str("</node>\n");
    xml
}

/// The root object with its children.
#[must_use]
pub fn root(children: &[String]) -> String {
    let signal = r#"  <signal name="ContainerChanged"><arg name="name" type="s"/><arg name="what" type="s"/></signal>
"#;
    let manager = interface(MANAGER, MANAGER_METHODS, MANAGER_PROPERTIES, signal);
    node(&format!("{OBJECT_MANAGER}{manager}"), children)
}

/// A job.
#[must_use]
pub fn job() -> String {
    node(&interface(job::INTERFACE, JOB_METHODS, JOB_PROPERTIES, ""), &[])
}

/// A container.
#[must_use]
pub fn container() -> String {
    node(&interface(CONTAINER, &[], CONTAINER_PROPERTIES, ""), &[])
}

/// A path that only leads on.
#[must_use]
pub fn path(children: &[String]) -> String {
    node("", children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_page_names_every_method_and_property() {
        let page = include_str!("../../../../docs/reference/dbus.md");
        for (name, _, _) in MANAGER_METHODS.iter().chain(JOB_METHODS) {
            assert!(page.contains(&format!("`{name}(")), "{name} is not in docs/reference/dbus.md");
        }
        for (name, kind) in CONTAINER_PROPERTIES.iter().chain(JOB_PROPERTIES).chain(MANAGER_PROPERTIES) {
            assert!(
                page.contains(&format!("`{name}` {kind}")),
                "`{name}` {kind} is not in docs/reference/dbus.md"
            );
        }
    }

    #[test]
    fn the_xml_closes_what_it_opens() {
        for xml in [root(&["job".into()]), job(), container(), path(&[])] {
            for tag in ["node", "interface", "method"] {
                let opened =
                    xml.matches(&format!("<{tag} ")).count() + xml.matches(&format!("<{tag}>")).count();
                let closed = xml.matches(&format!("</{tag}>")).count();
                let single =
                    xml.lines().filter(|l| l.contains(&format!("<{tag} ")) && l.ends_with("/>")).count();
                assert_eq!(opened, closed + single, "{tag} in {xml}");
            }
        }
    }
}
