//! Makers of phones and tablets, by model code.
//!
//! uap-core knows many models but calls some of the most common ones generic; the first letters of the codes say more.

/// Starts of model codes, with the maker's name in GA4's spelling. The first match counts.
#[rustfmt::skip]
const PREFIXES: &[(&str, &str)] = &[
    ("SM-", "Samsung"), ("GT-", "Samsung"), ("SAMSUNG", "Samsung"), ("Galaxy", "Samsung"), ("SC-", "Samsung"), ("SCV", "Samsung"), ("SHV-", "Samsung"), ("SCH-", "Samsung"), ("SGH-", "Samsung"),
    ("Pixel", "Google"), ("Nexus", "Google"),
    ("Redmi", "Xiaomi"), ("POCO", "Xiaomi"), ("Mi ", "Xiaomi"), ("MI ", "Xiaomi"), ("MIX ", "Xiaomi"), ("Xiaomi", "Xiaomi"), ("XIAOMI", "Xiaomi"), ("HM ", "Xiaomi"), ("M2", "Xiaomi"), ("MiTV", "Xiaomi"),
    ("210", "Xiaomi"), ("211", "Xiaomi"), ("220", "Xiaomi"), ("221", "Xiaomi"), ("230", "Xiaomi"), ("231", "Xiaomi"), ("240", "Xiaomi"), ("241", "Xiaomi"), ("250", "Xiaomi"),
    ("RMX", "Realme"), ("realme", "Realme"), ("CPH2381", "OnePlus"), ("CPH2399", "OnePlus"), ("CPH2409", "OnePlus"), ("CPH241", "OnePlus"), ("CPH2423", "OnePlus"), ("CPH2447", "OnePlus"), ("CPH2449", "OnePlus"), ("CPH2451", "OnePlus"), ("CPH2465", "OnePlus"), ("CPH2467", "OnePlus"), ("CPH2487", "OnePlus"), ("CPH2491", "OnePlus"), ("CPH2493", "OnePlus"), ("CPH2513", "OnePlus"), ("CPH2515", "OnePlus"),
    ("CPH", "OPPO"), ("OPPO", "OPPO"), ("PEEM", "OPPO"), ("OPD", "OPPO"), ("PC", "OPPO"),
    ("vivo", "Vivo"), ("V1", "Vivo"), ("V20", "Vivo"), ("V21", "Vivo"), ("V22", "Vivo"), ("V23", "Vivo"), ("I2", "Vivo"),
    ("moto", "Motorola"), ("Moto", "Motorola"), ("XT1", "Motorola"), ("XT2", "Motorola"), ("motorola", "Motorola"), ("MOTOROLA", "Motorola"),
    ("ONEPLUS", "OnePlus"), ("OnePlus", "OnePlus"), ("KB20", "OnePlus"), ("LE21", "OnePlus"), ("LE20", "OnePlus"), ("IN20", "OnePlus"), ("HD19", "OnePlus"), ("GM19", "OnePlus"), ("AC20", "OnePlus"), ("BE20", "OnePlus"), ("DN210", "OnePlus"), ("NE22", "OnePlus"), ("EB210", "OnePlus"), ("IV220", "OnePlus"), ("GN220", "OnePlus"), ("PHB110", "OnePlus"),
    ("LM-", "LG"), ("LG-", "LG"), ("LGM-", "LG"), ("LG ", "LG"), ("LGE", "LG"),
    ("XQ-", "Sony"), ("SO-", "Sony"), ("SOV", "Sony"), ("Xperia", "Sony"), ("BRAVIA", "Sony"), ("Bravia", "Sony"), ("Sony", "Sony"), ("SOG", "Sony"),
    ("Nokia", "Nokia"), ("TA-1", "Nokia"), ("Infinix", "Infinix"), ("TECNO", "Tecno"), ("itel", "Itel"), ("HTC", "HTC"),
    ("ASUS", "Asus"), ("ZenFone", "Asus"), ("Lenovo", "Lenovo"), ("TB-", "Lenovo"), ("TB3", "Lenovo"), ("ZTE", "ZTE"), ("Blade", "ZTE"),
    ("HUAWEI", "Huawei"), ("Huawei", "Huawei"), ("HONOR", "Honor"), ("Honor", "Honor"), ("KF", "Amazon"), ("AFT", "Amazon"), ("Fairphone", "Fairphone"), ("FP3", "Fairphone"), ("FP4", "Fairphone"), ("FP5", "Fairphone"),
    ("WIKO", "Wiko"), ("W-", "Wiko"), ("W_", "Wiko"), ("U307AS", "Wiko"), ("Wiko", "Wiko"), ("TCL", "TCL"), ("Alcatel", "Alcatel"), ("ALCATEL", "Alcatel"), ("500", "Alcatel"), ("502", "Alcatel"), ("503", "Alcatel"), ("504", "Alcatel"), ("506", "Alcatel"), ("508", "Alcatel"), ("6102", "Alcatel"),
    ("6165", "TCL"), ("6127", "TCL"), ("6156", "TCL"), ("T4", "TCL"), ("T5", "TCL"), ("T6", "TCL"), ("T7", "TCL"), ("GM ", "General Mobile"),
    ("CROSSCALL", "Crosscall"), ("Core-", "Crosscall"), ("Trekker-", "Crosscall"), ("Action-", "Crosscall"), ("STELLAR-", "Crosscall"),
    ("Blackview", "Blackview"), ("BV", "Blackview"), ("DOOGEE", "Doogee"), ("OUKITEL", "Oukitel"), ("CUBOT", "Cubot"), ("UMIDIGI", "Umidigi"), ("Armor", "Ulefone"), ("Note", "Ulefone"),
    ("A063", "Nothing"), ("A065", "Nothing"), ("A142", "Nothing"), ("SHARP", "Sharp"), ("SH-", "Sharp"), ("Aquaris", "bq"), ("meizu", "Meizu"), ("MEIZU", "Meizu"), ("Quest", "Oculus"),
];

/// Model prefixes that Honor kept after it left Huawei; all other `XXX-LX1`-shaped codes are Huawei's.
#[rustfmt::skip]
const HONOR: &[&str] = &[
    "NTH-", "ANY-", "RKY-", "VNE-", "TFY-", "FNE-", "CRT-", "REA-", "MGA-", "LLY-", "PGT-", "ALI-", "WDY-", "RMO-", "ELI-", "VER-", "NIC-", "GFY-", "BRP-", "DNY-", "RBN-", "LGE-", "PTP-",
    "JSN-", "HRY-LX1T", "COL-", "STK-LX1H", "BKL-", "RVL-", "PCT-", "TNY-", "LRA-", "BMH-", "OXF-", "EBG-", "KOZ-", "NTN-", "CMA-LX", "DLI-", "FRD-", "DUK-", "STF-", "LLD-", "BND-", "AUM-", "DUA-", "NEM-", "PRA-LX1H", "MOA-LX9N",
];

/// Maker of a machine: of the model if its code tells, else `known`, which is uap-core's answer.
pub fn name(system: Option<&str>, model: Option<&str>, known: Option<&str>) -> Option<String> {
    match system {
        Some("iOS" | "Macintosh" | "tvOS") => return Some("Apple".to_owned()),
        Some("Windows" | "Linux" | "Chrome OS") => return None,
        _ => {}
    }
    if let Some(brand) = model.and_then(of_model) {
        return Some(brand.to_owned());
    }
    let known =
        known.filter(|brand| !brand.starts_with("Generic") && !matches!(*brand, "Spider" | "Other" | "Desktop"))?;
    let brand = match known {
        "Oppo" => "OPPO",
        "vivo" => "Vivo",
        "TECNO" => "Tecno",
        other => other,
    };
    Some(brand.to_owned())
}

/// Maker of a model code.
pub fn of_model(model: &str) -> Option<&'static str> {
    if HONOR.iter().any(|prefix| model.starts_with(prefix)) {
        return Some("Honor");
    }
    if let Some((_, brand)) = PREFIXES.iter().find(|(prefix, _)| model.starts_with(prefix)) {
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

/// `VOG-L29`, `ELE-LX1`, `AGS2-W09`, `CLT-AL00`: three or four letters or digits, a hyphen, two letters at most.
fn is_huawei_shaped(model: &str) -> bool {
    let Some((head, tail)) = model.split_once('-') else { return false };
    (3..=4).contains(&head.len())
        && head.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        && head.bytes().filter(u8::is_ascii_uppercase).count() >= 3
        && (2..=5).contains(&tail.len())
        && matches!(tail.as_bytes()[0], b'L' | b'A' | b'T' | b'W' | b'N')
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
            ("Plume L8 Pro", None),
            ("A-B", None),
        ] {
            assert_eq!(of_model(model), maker, "{model}");
        }
    }
}
