//! Matomo's names in GA4's spelling, where GA4 has one.

use super::Machine;
use crate::enrich::{brands, robots::Category};

/// What Matomo calls a browser, and GA4.
const CLIENTS: &[(&str, &str)] = &[
    ("Amazon Silk", "Amazon Silk"),
    ("Android Browser", "Android Browser"),
    ("Chrome Mobile", "Chrome"),
    ("Chrome Mobile iOS", "Chrome"),
    ("Chrome Webview", "Android Webview"),
    ("Coc Coc", "Coc Coc"),
    ("Firefox Focus", "Firefox"),
    ("Firefox Mobile", "Firefox"),
    ("Firefox Mobile iOS", "Firefox"),
    ("Headless Chrome", "Chrome"),
    ("Huawei Browser Mobile", "Huawei Browser"),
    ("IE Mobile", "Internet Explorer"),
    ("Internet Explorer", "Internet Explorer"),
    ("MIUI Browser", "MIUI Browser"),
    ("Microsoft Edge", "Edge"),
    ("Mobile Safari", "Safari"),
    ("Mobile Silk", "Amazon Silk"),
    ("Opera GX", "Opera"),
    ("Opera Mini iOS", "Opera Mini"),
    ("Opera Mobile", "Opera"),
    ("Opera Touch", "Opera"),
    ("QQ Browser Mini", "QQ Browser"),
    ("Samsung Browser", "Samsung Internet"),
    ("UC Browser Mini", "UC Browser"),
    ("Whale Browser", "Whale Browser"),
    ("Yandex Browser", "YaBrowser"),
    ("Yandex Browser Lite", "YaBrowser"),
];

/// A browser's name.
pub fn client(name: String) -> String {
    match CLIENTS.binary_search_by(|(theirs, _)| (*theirs).cmp(&name)) {
        Ok(row) => CLIENTS[row].1.to_owned(),
        Err(_) => name,
    }
}

/// A machine's maker and name. Lines of a maker that are sold as brands of their own keep that in the name.
pub fn machine(maker: &str, name: Option<String>) -> Machine {
    let brand = brands::spelling(maker);
    let is_line = matches!(maker, "Redmi" | "POCO" | "Poco");
    let name = name.map(|name| if is_line && !name.starts_with(maker) { format!("{maker} {name}") } else { name });
    Machine { brand: brand.into_owned(), name }
}

/// What a robot of one of Matomo's categories does.
pub fn purpose(category: &str) -> Category {
    let category = category.to_ascii_lowercase();
    let has = |word| category.contains(word);
    if category == "search bot" {
        Category::Search
    } else if has("ai agent") || has("ai assistant") {
        Category::AiAgent
    } else if has("ai ") {
        Category::AiCrawler
    } else if has("social media agent") {
        Category::LinkPreview
    } else if has("monitor") || has("benchmark") {
        Category::Monitor
    } else {
        Category::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_ga4() {
        assert!(CLIENTS.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(client("Microsoft Edge".into()), "Edge");
        assert_eq!(client("Somebody's".into()), "Somebody's");
        for (maker, name, brand, sold_as) in [
            ("Samsung", "Galaxy S23", "Samsung", "Galaxy S23"),
            ("POCO", "X3 Pro", "Xiaomi", "POCO X3 Pro"),
            ("Redmi", "Redmi Note 9", "Xiaomi", "Redmi Note 9"),
            ("Tecno Mobile", "Spark 10", "Tecno", "Spark 10"),
            ("HUAWEI", "P30", "Huawei", "P30"),
            ("Wolki", "W1", "Wolki", "W1"),
        ] {
            let machine = machine(maker, Some(name.to_owned()));
            assert_eq!((&*machine.brand, machine.name.as_deref()), (brand, Some(sold_as)));
        }
    }
}
