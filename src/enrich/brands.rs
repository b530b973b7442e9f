//! Makers of phones and tablets, by model code.
//!
//! uap-core knows many models but calls some of the most common ones generic; the first letters of the codes say more.

/// Starts of model codes, with the maker's name in GA4's spelling. The first match counts.
#[rustfmt::skip]
const PREFIXES: &[(&str, &str)] = &[
    ("SM-", "Samsung"), ("GT-", "Samsung"), ("SAMSUNG", "Samsung"), ("Galaxy", "Samsung"), ("SC-", "Samsung"), ("SCV", "Samsung"), ("SHV-", "Samsung"), ("SCH-", "Samsung"), ("SGH-", "Samsung"),
    ("Pixel", "Google"), ("Nexus", "Google"),
    ("Redmi", "Xiaomi"), ("POCO", "Xiaomi"), ("Mi ", "Xiaomi"), ("MI ", "Xiaomi"), ("MIX ", "Xiaomi"), ("Xiaomi", "Xiaomi"), ("XIAOMI", "Xiaomi"), ("HM ", "Xiaomi"), ("M2", "Xiaomi"), ("MiTV", "Xiaomi"),
    ("2107", "Xiaomi"), ("2106", "Xiaomi"), ("2109", "Xiaomi"), ("211", "Xiaomi"), ("2112", "Xiaomi"), ("220", "Xiaomi"), ("221", "Xiaomi"), ("230", "Xiaomi"), ("231", "Xiaomi"), ("240", "Xiaomi"), ("241", "Xiaomi"), ("250", "Xiaomi"), ("2201", "Xiaomi"), ("2101", "Xiaomi"),
    ("RMX", "Realme"), ("realme", "Realme"), ("CPH", "OPPO"), ("OPPO", "OPPO"), ("PEEM", "OPPO"), ("OPD", "OPPO"), ("PC", "OPPO"),
    ("vivo", "Vivo"), ("V1", "Vivo"), ("V20", "Vivo"), ("V21", "Vivo"), ("V22", "Vivo"), ("V23", "Vivo"), ("I2", "Vivo"),
    ("moto", "Motorola"), ("Moto", "Motorola"), ("XT1", "Motorola"), ("XT2", "Motorola"), ("motorola", "Motorola"), ("MOTOROLA", "Motorola"),
    ("ONEPLUS", "OnePlus"), ("OnePlus", "OnePlus"), ("KB20", "OnePlus"), ("LE21", "OnePlus"), ("LE20", "OnePlus"), ("IN20", "OnePlus"), ("HD19", "OnePlus"), ("GM19", "OnePlus"), ("AC20", "OnePlus"), ("BE20", "OnePlus"), ("DN210", "OnePlus"), ("NE22", "OnePlus"), ("EB210", "OnePlus"), ("IV220", "OnePlus"), ("GN220", "OnePlus"), ("PHB110", "OnePlus"),
    ("LM-", "LG"), ("LG-", "LG"), ("LGM-", "LG"), ("LG ", "LG"), ("LGE", "LG"),
    ("XQ-", "Sony"), ("SO-", "Sony"), ("SOV", "Sony"), ("Xperia", "Sony"), ("Sony", "Sony"), ("SOG", "Sony"),
    ("Nokia", "Nokia"), ("TA-1", "Nokia"), ("Infinix", "Infinix"), ("TECNO", "Tecno"), ("itel", "Itel"), ("HTC", "HTC"),
    ("ASUS", "Asus"), ("ZenFone", "Asus"), ("Lenovo", "Lenovo"), ("TB-", "Lenovo"), ("TB3", "Lenovo"), ("ZTE", "ZTE"), ("Blade", "ZTE"),
    ("HUAWEI", "Huawei"), ("Huawei", "Huawei"), ("HONOR", "Honor"), ("Honor", "Honor"), ("KF", "Amazon"), ("AFT", "Amazon"), ("Fairphone", "Fairphone"), ("FP3", "Fairphone"), ("FP4", "Fairphone"), ("FP5", "Fairphone"),
    ("WIKO", "Wiko"), ("W-", "Wiko"), ("W_", "Wiko"), ("U307AS", "Wiko"), ("Wiko", "Wiko"), ("TCL", "TCL"), ("Alcatel", "Alcatel"), ("ALCATEL", "Alcatel"), ("5033", "Alcatel"), ("5024", "Alcatel"), ("6102", "Alcatel"), ("T671", "TCL"), ("T676", "TCL"), ("T506", "TCL"),
    ("CROSSCALL", "Crosscall"), ("Core-", "Crosscall"), ("Trekker-", "Crosscall"), ("Action-", "Crosscall"), ("STELLAR-", "Crosscall"),
    ("Blackview", "Blackview"), ("BV", "Blackview"), ("DOOGEE", "Doogee"), ("OUKITEL", "Oukitel"), ("CUBOT", "Cubot"), ("UMIDIGI", "Umidigi"), ("Armor", "Ulefone"), ("Note", "Ulefone"),
    ("A063", "Nothing"), ("A065", "Nothing"), ("A142", "Nothing"), ("SHARP", "Sharp"), ("SH-", "Sharp"), ("Aquaris", "bq"), ("meizu", "Meizu"), ("MEIZU", "Meizu"), ("Quest", "Oculus"),
];

/// Model prefixes that Honor kept after it left Huawei; all other `XXX-LX1`-shaped codes are Huawei's.
#[rustfmt::skip]
const HONOR: &[&str] = &[
    "NTH-", "ANY-", "RKY-", "VNE-", "TFY-", "FNE-", "CRT-", "REA-", "MGA-", "LLY-", "PGT-", "ALI-", "WDY-", "RMO-", "ELI-", "VER-", "NIC-", "GFY-", "BRP-", "DNY-", "RBN-", "LGE-", "PTP-",
    "YAL-", "JSN-", "HRY-LX1T", "COL-", "STK-LX1H", "BKL-", "RVL-", "PCT-", "TNY-", "LRA-", "BMH-", "OXF-", "EBG-", "KOZ-", "NTN-", "CMA-LX", "DLI-", "FRD-", "DUK-", "STF-", "LLD-", "BND-", "AUM-", "DUA-", "NEM-", "PRA-LX1H", "MOA-LX9N",
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
    is_huawei_shaped(model).then_some("Huawei")
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
