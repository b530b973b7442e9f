//! Google's list of devices that its store supports: maker and marketing name by model code, which is where GA4's
//! `mobile_marketing_name` comes from.
//!
//! Google publishes it as CSV in UTF-16 (`Retail Branding,Marketing Name,Device,Model`); copies in UTF-8, and as JSON
//! (`[{"brand": …, "name": …, "device": …, "model": …}]`), are read as well. Held are some forty thousand rows in two
//! texts and a sorted table: twelve bytes a row, and each name once.

use std::{borrow::Cow, collections::HashMap, fmt};

use serde::Deserialize;

use super::brands;

/// Largest file read; Google's has 4 MB.
pub const MAX_BYTES: usize = 64 << 20;
/// Most rows kept.
const MAX_ROWS: usize = 500_000;
/// Longest brand, name or model, in bytes; a row with a longer one is passed over.
const MAX_FIELD: usize = 96;

/// The list.
pub struct PlayDevices {
    /// Model codes and names, each once.
    texts: String,
    brands: Vec<Box<str>>,
    /// Sorted by model; rows of one model in the order of the file.
    rows: Vec<Row>,
}

struct Row {
    /// Where in `texts` model and name begin.
    model: u32,
    name: u32,
    model_length: u8,
    name_length: u8,
    brand: u16,
}

/// What the list knows of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    /// Maker in GA4's spelling.
    pub brand: &'a str,
    /// `Galaxy S23`; some makers register the code once more.
    pub name: &'a str,
    /// Whether it is the only name that the maker registered for this code.
    pub is_sole: bool,
}

/// The bytes are no such list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no list of devices: {0}")]
pub struct Unlisted(Cow<'static, str>);

impl PlayDevices {
    /// Reads the bytes of a file. Rows that say nothing are passed over; a file without any other is none.
    pub fn load(bytes: &[u8]) -> Result<PlayDevices, Unlisted> {
        if bytes.len() > MAX_BYTES {
            return Err(Unlisted(format!("larger than {} MiB", MAX_BYTES >> 20).into()));
        }
        let text = decode(bytes)?;
        let mut list = Builder::default();
        if text.trim_ascii_start().starts_with(['[', '{']) {
            list.read_json(&text)?;
        } else {
            list.read_csv(&text)?;
        }
        list.build()
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has none; it never does.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What a model code is sold as. When makers share a code, `brand` decides; without it they must agree.
    pub fn find(&self, model: &str, brand: Option<&str>) -> Option<Listed<'_>> {
        let start = self.rows.partition_point(|row| self.model(row) < model);
        let same = self.rows[start..].iter().take_while(|row| self.model(row) == model);
        let mut listed = same
            .map(|row| (&*self.brands[usize::from(row.brand)], self.text(row.name, row.name_length)))
            .filter(|(maker, _)| brand.is_none_or(|brand| brand == *maker));
        let (brand, name) = listed.next()?;
        let mut is_sole = true;
        for (other_brand, other) in listed {
            if other_brand != brand {
                return None;
            }
            is_sole &= other == name;
        }
        Some(Listed { brand, name, is_sole })
    }

    fn model(&self, row: &Row) -> &str {
        self.text(row.model, row.model_length)
    }

    fn text(&self, start: u32, length: u8) -> &str {
        let start = start as usize;
        &self.texts[start..start + usize::from(length)]
    }
}

impl fmt::Debug for PlayDevices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlayDevices").field("rows", &self.rows.len()).finish()
    }
}

/// UTF-16 with a mark or Google's first letter, else UTF-8.
fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Unlisted> {
    let utf_16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        char::decode_utf16(units).collect::<Result<String, _>>().map_err(|_| Unlisted("not valid UTF-16".into()))
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf_16(rest, u16::from_le_bytes).map(Cow::Owned),
        [0xfe, 0xff, rest @ ..] => utf_16(rest, u16::from_be_bytes).map(Cow::Owned),
        [b'R', 0, ..] => utf_16(bytes, u16::from_le_bytes).map(Cow::Owned),
        _ => {
            let text = str::from_utf8(bytes).map_err(|_| Unlisted("neither UTF-8 nor UTF-16".into()))?;
            Ok(Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)))
        }
    }
}

/// A row of the JSON form; other keys are passed over.
#[derive(Deserialize)]
struct JsonRow<'a> {
    #[serde(borrow, default)]
    brand: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    model: Cow<'a, str>,
}

#[derive(Default)]
struct Builder {
    texts: String,
    places: HashMap<Box<str>, u32>,
    brands: Vec<Box<str>>,
    brand_numbers: HashMap<Box<str>, u16>,
    rows: Vec<Row>,
}

impl Builder {
    fn read_json(&mut self, text: &str) -> Result<(), Unlisted> {
        let rows: Vec<JsonRow<'_>> = serde_json::from_str(text).map_err(|error| Unlisted(error.to_string().into()))?;
        rows.iter().try_for_each(|row| self.add(&row.brand, &row.name, &row.model))
    }

    fn read_csv(&mut self, text: &str) -> Result<(), Unlisted> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(text.as_bytes());
        let mut record = csv::StringRecord::new();
        let mut read = |record: &mut csv::StringRecord| {
            reader.read_record(record).map_err(|error| Unlisted(error.to_string().into()))
        };
        let is_there = read(&mut record)?;
        let column = |name: &str| record.iter().position(|field| field.trim().eq_ignore_ascii_case(name));
        let columns = (column("Retail Branding"), column("Marketing Name"), column("Model"));
        let (Some(brand), Some(name), Some(model)) = columns else {
            let begins =
                if is_there { "its first line does not name" } else { "it is empty; its first line should name" };
            return Err(Unlisted(format!("{begins} the columns `Retail Branding,Marketing Name,Device,Model`").into()));
        };
        while read(&mut record)? {
            let field = |column| record.get(column).unwrap_or_default();
            self.add(field(brand), field(name), field(model))?;
        }
        Ok(())
    }

    fn add(&mut self, brand: &str, name: &str, model: &str) -> Result<(), Unlisted> {
        let fields = [brand.trim(), name.trim(), model.trim()];
        // A backslash is left over from letters that Google's export could not write.
        let is_sound = |field: &&str| {
            (1..=MAX_FIELD).contains(&field.len()) && !field.contains('\\') && !field.contains(char::is_control)
        };
        let [brand, name, model] = fields;
        if !fields.iter().all(is_sound) {
            return Ok(());
        }
        if self.rows.len() == MAX_ROWS {
            return Err(Unlisted(format!("more than {MAX_ROWS} rows").into()));
        }
        let Some(brand) = self.brand(brand) else { return Ok(()) };
        let (model_length, name_length) = (model.len() as u8, name.len() as u8);
        let (model, name) = (self.place(model), self.place(name));
        self.rows.push(Row { model, name, model_length, name_length, brand });
        Ok(())
    }

    /// Number of a maker; there are fewer than numbers.
    fn brand(&mut self, name: &str) -> Option<u16> {
        if let Some(number) = self.brand_numbers.get(name) {
            return Some(*number);
        }
        let number = u16::try_from(self.brands.len()).ok()?;
        self.brands.push(brands::spelling(name).into());
        self.brand_numbers.insert(name.into(), number);
        Some(number)
    }

    fn place(&mut self, text: &str) -> u32 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = self.texts.len() as u32;
        self.texts.push_str(text);
        self.places.insert(text.into(), place);
        place
    }

    fn build(self) -> Result<PlayDevices, Unlisted> {
        let Builder { mut texts, mut brands, mut rows, .. } = self;
        if rows.is_empty() {
            return Err(Unlisted("it has no row with brand, name and model".into()));
        }
        let model = |row: &Row| &texts[row.model as usize..row.model as usize + usize::from(row.model_length)];
        rows.sort_by(|a, b| model(a).cmp(model(b)));
        texts.shrink_to_fit();
        brands.shrink_to_fit();
        rows.shrink_to_fit();
        Ok(PlayDevices { texts, brands, rows })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const CSV: &str = "Retail Branding,Marketing Name,Device,Model\n\
        samsung,Galaxy S23,dm1q,SM-S911B\r\n\
        \"Redmi\",\"Note 9, \"\"Pro\"\"\",joyeuse,M2003J6B2G\n\
        LGE,Stylo 6,mdh50lm,A1\n\
        LGE,Stylo 6,mdh50lm,A1\n\
        LGE,Stylo 7,mdh50lm,A2\n\
        LGE,Stylo 8,mdh50lm,A2\n\
        Nobody,One,nb,A1\n\
        Samsung,,x,SM-NONE\n\
        Samsung,Gal\\xf6xy,x,SM-ODD\n\
        short\n";

    fn found(list: &PlayDevices, model: &str, brand: Option<&str>) -> String {
        list.find(model, brand).map_or("-".into(), |row| format!("{} {}", row.brand, row.name))
    }

    #[test]
    fn every_form_of_the_list_is_read() {
        let little: Vec<u8> = "\u{feff}".encode_utf16().chain(CSV.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "\u{feff}".encode_utf16().chain(CSV.encode_utf16()).flat_map(u16::to_be_bytes).collect();
        let bare: Vec<u8> = CSV.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [CSV.as_bytes(), format!("\u{feff}{CSV}").as_bytes(), &little, &big, &bare] {
            let list = PlayDevices::load(bytes).unwrap();
            assert_eq!(list.len(), 7);
            assert_eq!(found(&list, "SM-S911B", None), "Samsung Galaxy S23");
            assert_eq!(found(&list, "M2003J6B2G", Some("Xiaomi")), "Xiaomi Note 9, \"Pro\"");
            assert_eq!(found(&list, "A1", Some("LG")), "LG Stylo 6");
            assert_eq!(found(&list, "A1", Some("Nobody")), "Nobody One");
            assert_eq!(found(&list, "A1", None), "-", "two makers use this code");
            assert_eq!(found(&list, "A1", Some("Samsung")), "-");
            assert_eq!(found(&list, "SM-S911", None), "-");
            let is_sole = |model| list.find(model, Some("LG")).map(|row| row.is_sole);
            assert_eq!((is_sole("A1"), is_sole("A2")), (Some(true), Some(false)));
            assert_eq!(found(&list, "SM-S911B0", None), "-");
        }
        let json = r#" [{"brand":"","name":"","device":"x","model":"y"},{"brand":"POCO","name":"POCO \u0046\u0035","device":"marble","model":"23049PCD8G","more":1}]"#;
        let list = PlayDevices::load(json.as_bytes()).unwrap();
        assert_eq!(found(&list, "23049PCD8G", None), "Xiaomi POCO F5");
    }

    #[test]
    fn what_is_no_list_says_why() {
        for (bytes, why) in [
            (&b""[..], "it is empty"),
            (b"a,b,c\n1,2,3\n", "its first line does not name the columns"),
            (b"Retail Branding,Marketing Name,Device,Model\n", "it has no row"),
            (b"\xff\xfe\x00\xd8\x00\x00", "not valid UTF-16"),
            (b"\x80\x81", "neither UTF-8 nor UTF-16"),
            (b"[{]", "line 1 column 3"),
            (b"[]", "it has no row"),
            (b"{}", "line 1 column 0"),
        ] {
            let error = PlayDevices::load(bytes).unwrap_err().to_string();
            assert!(error.starts_with("is no list of devices: ") && error.contains(why), "{why}: {error}");
        }
        assert!(PlayDevices::load(&vec![b'a'; MAX_BYTES + 1]).is_err());
    }
}
