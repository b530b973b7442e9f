//! Makers of phones and tablets, by model code.
//!
//! uap-core knows many models but calls some of the most common ones generic; the first letters of the codes say more.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

/// Starts of model codes, with the maker's name in GA4's spelling. The first match counts.
#[rustfmt::skip]
const PREFIXES: &[(&str, &str)] = &[
    ("SM-", "Samsung"), ("GT-", "Samsung"), ("SAMSUNG", "Samsung"), ("Galaxy", "Samsung"), ("SC-", "Samsung"), ("SCV", "Samsung"), ("SHV-", "Samsung"), ("SCH-", "Samsung"), ("SGH-", "Samsung"),
    ("Pixel", "Google"), ("Nexus", "Google"),
    ("Redmi", "Xiaomi"), ("POCO", "Xiaomi"), ("Mi ", "Xiaomi"), ("MI ", "Xiaomi"), ("MIX ", "Xiaomi"), ("Xiaomi", "Xiaomi"), ("XIAOMI", "Xiaomi"), ("HM ", "Xiaomi"), ("M18", "Xiaomi"), ("M19", "Xiaomi"), ("M2", "Xiaomi"), ("MiTV", "Xiaomi"), ("SHARK ", "Xiaomi"),
    ("210", "Xiaomi"), ("211", "Xiaomi"), ("220", "Xiaomi"), ("221", "Xiaomi"), ("230", "Xiaomi"), ("231", "Xiaomi"), ("240", "Xiaomi"), ("241", "Xiaomi"), ("250", "Xiaomi"),
    ("RMX", "Realme"), ("RMP", "Realme"), ("realme", "Realme"), ("OPPO", "OPPO"), ("PEEM", "OPPO"), ("OPD", "OPPO"), ("PC", "OPPO"),
    ("vivo", "Vivo"), ("V1", "Vivo"), ("V20", "Vivo"), ("V21", "Vivo"), ("V22", "Vivo"), ("V23", "Vivo"), ("I2", "Vivo"),
    ("moto", "Motorola"), ("Moto", "Motorola"), ("XT1", "Motorola"), ("XT2", "Motorola"), ("motorola", "Motorola"), ("MOTOROLA", "Motorola"),
    ("ONEPLUS", "OnePlus"), ("OnePlus", "OnePlus"), ("KB20", "OnePlus"), ("LE21", "OnePlus"), ("LE20", "OnePlus"), ("IN20", "OnePlus"), ("HD19", "OnePlus"), ("GM19", "OnePlus"), ("AC20", "OnePlus"), ("BE20", "OnePlus"), ("DN210", "OnePlus"), ("NE22", "OnePlus"), ("EB210", "OnePlus"), ("IV220", "OnePlus"), ("GN220", "OnePlus"), ("PHB110", "OnePlus"),
    ("LM-", "LG"), ("LG-", "LG"), ("LGM-", "LG"), ("LG ", "LG"), ("LGE", "LG"), ("LML", "LG"), ("LGL", "LG"),
    ("XQ-", "Sony"), ("SO-", "Sony"), ("SOV", "Sony"), ("Xperia", "Sony"), ("BRAVIA", "Sony"), ("Bravia", "Sony"), ("Sony", "Sony"), ("SOG", "Sony"),
    ("Nokia", "Nokia"), ("TA-1", "Nokia"), ("Infinix", "Infinix"), ("TECNO", "Tecno"), ("itel", "Itel"), ("HTC", "HTC"),
    ("ASUS", "Asus"), ("ZenFone", "Asus"), ("P00", "Asus"), ("P01", "Asus"), ("P02", "Asus"), ("Lenovo", "Lenovo"), ("TB-", "Lenovo"), ("TB3", "Lenovo"), ("ZTE", "ZTE"), ("Blade", "ZTE"),
    ("HUAWEI", "Huawei"), ("Huawei", "Huawei"), ("HONOR", "Honor"), ("Honor", "Honor"), ("KF", "Amazon"), ("AFT", "Amazon"), ("Fairphone", "Fairphone"), ("FP3", "Fairphone"), ("FP4", "Fairphone"), ("FP5", "Fairphone"),
    ("WIKO", "Wiko"), ("W-", "Wiko"), ("W_", "Wiko"), ("U307AS", "Wiko"), ("Wiko", "Wiko"), ("TCL", "TCL"), ("Alcatel", "Alcatel"), ("ALCATEL", "Alcatel"), ("500", "Alcatel"), ("502", "Alcatel"), ("503", "Alcatel"), ("504", "Alcatel"), ("506", "Alcatel"), ("508", "Alcatel"), ("6102", "Alcatel"),
    ("6025", "Alcatel"), ("5107", "TCL"), ("5164", "TCL"), ("6125", "TCL"), ("6165", "TCL"), ("6127", "TCL"), ("6156", "TCL"), ("T4", "TCL"), ("T5", "TCL"), ("T6", "TCL"), ("T7", "TCL"), ("GM ", "General Mobile"), ("G301", "General Mobile"), ("G310", "General Mobile"), ("G312", "General Mobile"), ("G501", "General Mobile"), ("G512", "General Mobile"),
    ("CROSSCALL", "Crosscall"), ("Core-", "Crosscall"), ("Trekker-", "Crosscall"), ("TREKKER", "Crosscall"), ("Action-", "Crosscall"), ("STELLAR-", "Crosscall"),
    ("Blackview", "Blackview"), ("BV", "Blackview"), ("DOOGEE", "Doogee"), ("OUKITEL", "Oukitel"), ("WP", "Oukitel"), ("CUBOT", "Cubot"), ("UMIDIGI", "Umidigi"), ("Armor", "Ulefone"), ("Power Armor", "Ulefone"), ("Note", "Ulefone"),
    ("A063", "Nothing"), ("A065", "Nothing"), ("A142", "Nothing"), ("SHARP", "Sharp"), ("SH-", "Sharp"), ("Aquaris", "bq"), ("meizu", "Meizu"), ("MEIZU", "Meizu"), ("Quest", "Oculus"),
    ("Hisense", "Hisense"), ("HISENSE", "Hisense"), ("A3-A", "Acer"), ("B3-A", "Acer"), ("B1-", "Acer"), ("ALTICE", "Altice"), ("Orange ", "Orange"), ("Joy ", "Vsmart"), ("Aris", "Vsmart"), ("Doro", "Doro"), ("DSB-", "Doro"), ("TMAF", "T-Mobile"), ("Venus", "Vestel"), ("VIA_", "Casper"),
    ("Plume", "Condor"), ("P13 Blue", "Reeder"), ("P13_Blue", "Reeder"), ("LS15", "Jio"), ("M6T", "Meizu"), ("View", "Wiko"), ("WIM", "Wiko"), ("BBF", "BlackBerry"), ("P20HD", "Teclast"), ("E67", "Kyocera"), ("E68", "Kyocera"), ("E69", "Kyocera"), ("A70", "Blackview"), ("A80Pro", "Blackview"),
];

/// Model prefixes of Honor since it left Huawei at the end of 2020; older ones, like all other `XXX-LX1`-shaped codes,
/// are Huawei's.
#[rustfmt::skip]
const HONOR: &[&str] = &[
    "NTH-", "ANY-", "RKY-", "VNE-", "TFY-", "FNE-", "CRT-", "REA-", "LLY-", "PGT-", "ALI-", "WDY-", "RMO-", "ELI-", "VER-", "NIC-", "GFY-", "BRP-", "DNY-", "RBN-", "LGE-", "PTP-",
    "TNY-", "LRA-", "BMH-", "OXF-", "EBG-", "KOZ-", "NTN-", "CMA-LX", "DLI-",
];

/// Numbers after `CPH` that are OnePlus's, in order; the others are OPPO's.
#[rustfmt::skip]
const ONEPLUS: &[u16] = &[
    2381, 2389, 2399, 2401, 2409, 2411, 2413, 2415, 2417, 2419, 2423, 2447, 2449, 2451, 2459, 2465, 2467, 2469, 2487, 2491, 2493, 2513, 2515, 2551, 2569,
    2573, 2581, 2583, 2585, 2605, 2609, 2611, 2613, 2619, 2621, 2645, 2647, 2649, 2653, 2655, 2661, 2663, 2691, 2707, 2709, 2717, 2719, 2723, 2745, 2747, 2749, 2767, 2769,
];

/// [`HONOR`] and then [`PREFIXES`], in their order, by first byte.
static BY_FIRST: LazyLock<Vec<Vec<(&'static str, &'static str)>>> = LazyLock::new(|| {
    let mut rows = vec![Vec::new(); 256];
    let honor = HONOR.iter().map(|prefix| (*prefix, "Honor"));
    for (prefix, brand) in honor.chain(PREFIXES.iter().copied()) {
        rows[usize::from(prefix.as_bytes()[0])].push((prefix, brand));
    }
    rows
});

/// Maker of a machine, as far as its system and its model's code tell.
pub fn of(system: Option<&str>, model: Option<&str>) -> Option<&'static str> {
    match system {
        Some("iOS" | "Macintosh" | "tvOS") => Some("Apple"),
        Some("Windows" | "Linux" | "Chrome OS") => None,
        Some("Tizen") => Some("Samsung"),
        _ => of_model(model?),
    }
}

/// Maker in GA4's spelling of a machine whose maker uap-core calls `known`.
pub fn of_pattern<'t>(system: Option<&str>, known: Option<Cow<'t, str>>) -> Option<Cow<'t, str>> {
    if matches!(system, Some("Windows" | "Linux" | "Chrome OS")) {
        return None;
    }
    let known = known?;
    Some(match &*known {
        "Oppo" => "OPPO".into(),
        "vivo" => "Vivo".into(),
        "TECNO" => "Tecno".into(),
        _ => known,
    })
}

/// Makers whom others call otherwise, in lower case.
const ALIASES: &[(&str, &str)] = &[
    ("hmd global", "Nokia"),
    ("lg electronics", "LG"),
    ("lge", "LG"),
    ("meta", "Oculus"),
    ("poco", "Xiaomi"),
    ("redmi", "Xiaomi"),
    ("sony ericsson", "Sony"),
    ("tct (alcatel)", "Alcatel"),
    ("tecno mobile", "Tecno"),
];

/// Our spelling of a maker's name in any letter case; names that we do not have stay as they are.
pub fn spelling(name: &str) -> Cow<'_, str> {
    static NAMES: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
        let own = PREFIXES.iter().map(|(_, brand)| *brand).chain(["Apple", "Honor", "OnePlus", "OPPO"]);
        let rows = own.map(|brand| (brand.to_ascii_lowercase(), brand));
        rows.chain(ALIASES.iter().map(|(alias, brand)| ((*alias).to_owned(), *brand))).collect()
    });
    NAMES.get(&name.to_ascii_lowercase()).map_or(Cow::Borrowed(name), |brand| Cow::Borrowed(*brand))
}

/// Maker of a model code.
pub fn of_model(model: &str) -> Option<&'static str> {
    if let Some(number) = model.strip_prefix("CPH") {
        let is_oneplus = number.parse().is_ok_and(|number| ONEPLUS.binary_search(&number).is_ok());
        return Some(if is_oneplus { "OnePlus" } else { "OPPO" });
    }
    let rows = &BY_FIRST[usize::from(*model.as_bytes().first()?)];
    if let Some((_, brand)) = rows.iter().find(|(prefix, _)| model.starts_with(prefix)) {
        return Some(brand);
    }
    if is_sony_shaped(model) {
        return Some("Sony");
    }
    is_huawei_shaped(model).then_some("Huawei")
}

/// `D6603` of 2014 to `J9210` of 2019.
fn is_sony_shaped(model: &str) -> bool {
    matches!(model.as_bytes(), [b'D'..=b'J', digits @ ..] if digits.len() == 4 && digits.iter().all(u8::is_ascii_digit))
}

/// `VOG-L29`, `ELE-LX1`, `AGS2-W09`, `CLT-AL00`: three to five letters or digits, a hyphen, two letters at most.
fn is_huawei_shaped(model: &str) -> bool {
    let Some((head, tail)) = model.split_once('-') else { return false };
    (3..=5).contains(&head.len())
        && head.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        && head.bytes().filter(u8::is_ascii_uppercase).count() >= 2
        && (2..=5).contains(&tail.len())
        && matches!(tail.as_bytes()[0], b'L' | b'A' | b'T' | b'W' | b'N' | b'U')
        && tail.bytes().any(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_tell_their_makers() {
        for (model, maker) in [
            ("SM-S911B", Some("Samsung")),
            ("M2010J19SI", Some("Xiaomi")),
            ("22081212UG", Some("Xiaomi")),
            ("RMX3085", Some("Realme")),
            ("CPH2411", Some("OnePlus")),
            ("CPH2211", Some("OPPO")),
            ("V2111", Some("Vivo")),
            ("XQ-BC52", Some("Sony")),
            ("H8216", Some("Sony")),
            ("LM-G810", Some("LG")),
            ("VOG-L29", Some("Huawei")),
            ("AGS2-W09", Some("Huawei")),
            ("NTH-NX9", Some("Honor")),
            ("Pixel 8 Pro", Some("Google")),
            ("Plume L8 Pro", Some("Condor")),
            ("LLD-L31", Some("Huawei")),
            ("BG2-U01", Some("Huawei")),
            ("E6910", Some("Kyocera")),
            ("E6653", Some("Sony")),
            ("something", None),
            ("A-B", None),
        ] {
            assert_eq!(of_model(model), maker, "{model}");
        }
    }
}
