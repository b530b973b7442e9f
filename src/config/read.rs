//! From a tree to a type: reads on after a fault, so that one run finds them all.

use serde::de::DeserializeOwned;

use super::{
    problems::Found,
    tree::{Node, Path},
};

/// Reads the tree as a `T` and finds every fault: each one is noted, taken out of the tree, and the reading starts
/// again without it. What was taken out has its default in the result. Returns the paths that are not as the user
/// meant them, so that later checks can leave them alone.
pub fn read<T: DeserializeOwned + Default>(tree: &mut Node, found: &mut Vec<Found>) -> (T, Vec<Path>) {
    let mut faulty = Vec::new();
    loop {
        let error = match T::deserialize(&*tree) {
            Ok(value) => return (value, faulty),
            Err(error) => error,
        };
        let path = error.path();
        let (problem, meant) = error.describe(tree);
        found.push(Found::new(tree.place_of(&path), problem));
        faulty.extend(meant);
        // Every round takes out one value, so this ends; the root itself cannot be taken out.
        if !tree.remove(&path) {
            return (T::default(), vec![Path::default()]);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use bytesize::ByteSize;
    use serde::Deserialize;

    use super::*;
    use crate::{config::yaml, units::Span};

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        #[default]
        Red,
        Green,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        name: String,
        #[serde(default)]
        port: u16,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct All {
        text: String,
        flag: bool,
        count: u16,
        ratio: f64,
        maybe: Option<u32>,
        word: Word,
        size: Option<ByteSize>,
        pause: Option<Span>,
        items: Vec<Inner>,
        free: BTreeMap<String, i64>,
    }

    fn all(text: &str) -> (All, Vec<String>) {
        let mut found = Vec::new();
        let mut tree = yaml::parse(&"c".into(), text.as_bytes(), &mut found);
        let (value, _) = read(&mut tree, &mut found);
        (value, found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_target_type_decides_what_a_scalar_is() {
        let (value, found) = all("text: 123\nflag: yes\ncount: 7\nratio: 1\nmaybe: 4\nword: green\nsize: 10GB\n\
             pause: 2s\nitems: [{name: true, port: 9}, {name: \"x\"}]\nfree: {a: -1}");
        assert_eq!(found, [""; 0]);
        assert_eq!(
            value,
            All {
                text: "123".into(),
                flag: true,
                count: 7,
                ratio: 1.0,
                maybe: Some(4),
                word: Word::Green,
                size: Some(ByteSize::gb(10)),
                pause: Some(Span::secs(2)),
                items: vec![Inner { name: "true".into(), port: 9 }, Inner { name: "x".into(), port: 0 }],
                free: BTreeMap::from([("a".into(), -1)]),
            }
        );
    }

    #[test]
    fn a_key_without_a_value_keeps_its_default() {
        assert_eq!(all("text:\nflag: ~\nitems:\nword: null\nmaybe:"), (All::default(), vec![]));
        assert_eq!(all("nonsense:").1.len(), 1, "but must be known");
    }

    #[test]
    fn every_fault_is_found_in_one_run() {
        let (value, found) = all("txet: a\nflag: 2\ncount: 70000\nratio: much\nmaybe: \"4\"\nword: blue\nsize: big\n\
             pause: soon\nitems:\n- {name: a}\n- {port: 1}\n- {name: b, prot: 2}\n- name\nfree: [1]\nzzz: 1");
        assert_eq!(
            found,
            [
                "c:1: txet: unknown key\n  hint: did you mean `text`?",
                "c:2: flag: expected `true` or `false`, found `2`",
                "c:3: count: expected a whole number from 0 to 65535, found `70000`",
                "c:4: ratio: expected a number, found `much`",
                "c:5: maybe: expected a whole number from 0 to 4294967295, found `4`",
                "c:6: word: unknown value `blue`\n  hint: one of `red`, `green`",
                "c:7: size: expected a size such as `10GB`, found `big`",
                "c:8: pause: `soon` is not a duration such as `2s` or `5m`: expected number at 0",
                "c:11: items[1]: `name` is missing",
                "c:12: items[2].prot: unknown key\n  hint: did you mean `port`?",
                "c:13: items[3]: expected keys and values, found `name`",
                "c:14: free: expected keys and values, found a list",
                "c:15: zzz: unknown key\n  hint: known keys here: `text`, `flag`, `count`, `ratio`, `maybe`, `word`, \
                 `size`, `pause`, `items`, `free`",
            ]
        );
        assert_eq!(value.items.len(), 2, "the sound elements are kept for the checks");
    }
}
