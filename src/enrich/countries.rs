//! The countries: ISO 3166-1 alpha-2 code, English name, and place in the world.
//!
//! Names and groups are spelled as in the Unicode Common Locale Data Repository, because Google Analytics spells them
//! so: `Türkiye`, `Hong Kong`, `Southeast Asia`, not `South-eastern Asia`. 249 countries of ISO 3166-1, and Kosovo
//! under the code everybody uses for it.

use SubContinent::*;

/// One country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Country {
    /// ISO 3166-1 alpha-2.
    pub code: &'static str,
    /// English name.
    pub name: &'static str,
    /// Where it lies.
    pub sub_continent: SubContinent,
}

/// Groups of countries after the UN M49 scheme.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubContinent {
    NorthernAfrica,
    WesternAfrica,
    MiddleAfrica,
    EasternAfrica,
    SouthernAfrica,
    NorthernAmerica,
    CentralAmerica,
    Caribbean,
    SouthAmerica,
    CentralAsia,
    EasternAsia,
    SoutheastAsia,
    SouthernAsia,
    WesternAsia,
    NorthernEurope,
    WesternEurope,
    EasternEurope,
    SouthernEurope,
    Australasia,
    Melanesia,
    MicronesianRegion,
    Polynesia,
    /// Antarctica belongs to no continent of the scheme.
    Unassigned,
}

impl SubContinent {
    /// Its English name; `None` for what belongs nowhere.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            NorthernAfrica => "Northern Africa",
            WesternAfrica => "Western Africa",
            MiddleAfrica => "Middle Africa",
            EasternAfrica => "Eastern Africa",
            SouthernAfrica => "Southern Africa",
            NorthernAmerica => "Northern America",
            CentralAmerica => "Central America",
            Caribbean => "Caribbean",
            SouthAmerica => "South America",
            CentralAsia => "Central Asia",
            EasternAsia => "Eastern Asia",
            SoutheastAsia => "Southeast Asia",
            SouthernAsia => "Southern Asia",
            WesternAsia => "Western Asia",
            NorthernEurope => "Northern Europe",
            WesternEurope => "Western Europe",
            EasternEurope => "Eastern Europe",
            SouthernEurope => "Southern Europe",
            Australasia => "Australasia",
            Melanesia => "Melanesia",
            MicronesianRegion => "Micronesian Region",
            Polynesia => "Polynesia",
            Unassigned => return None,
        })
    }

    /// English name of the continent it is part of.
    pub const fn continent(self) -> Option<&'static str> {
        Some(match self {
            NorthernAfrica | WesternAfrica | MiddleAfrica | EasternAfrica | SouthernAfrica => "Africa",
            NorthernAmerica | CentralAmerica | Caribbean | SouthAmerica => "Americas",
            CentralAsia | EasternAsia | SoutheastAsia | SouthernAsia | WesternAsia => "Asia",
            NorthernEurope | WesternEurope | EasternEurope | SouthernEurope => "Europe",
            Australasia | Melanesia | MicronesianRegion | Polynesia => "Oceania",
            Unassigned => return None,
        })
    }
}

/// The country of an alpha-2 code, in any letter case.
pub fn by_code(code: &str) -> Option<Country> {
    let code: [u8; 2] = code.as_bytes().try_into().ok()?;
    let code = code.map(|b| b.to_ascii_uppercase());
    let at = COUNTRIES.binary_search_by(|row| row.0.as_bytes().cmp(&code)).ok()?;
    Some(country(&COUNTRIES[at]))
}

/// The country of an English name, in any letter case.
pub fn by_name(name: &str) -> Option<Country> {
    COUNTRIES.iter().find(|row| row.1.eq_ignore_ascii_case(name)).map(country)
}

fn country(&(code, name, sub_continent): &(&'static str, &'static str, SubContinent)) -> Country {
    Country { code, name, sub_continent }
}

/// Sorted by code.
#[rustfmt::skip]
static COUNTRIES: &[(&str, &str, SubContinent)] = &[
    ("AD", "Andorra", SouthernEurope),
    ("AE", "United Arab Emirates", WesternAsia),
    ("AF", "Afghanistan", SouthernAsia),
    ("AG", "Antigua & Barbuda", Caribbean),
    ("AI", "Anguilla", Caribbean),
    ("AL", "Albania", SouthernEurope),
    ("AM", "Armenia", WesternAsia),
    ("AO", "Angola", MiddleAfrica),
    ("AQ", "Antarctica", Unassigned),
    ("AR", "Argentina", SouthAmerica),
    ("AS", "American Samoa", Polynesia),
    ("AT", "Austria", WesternEurope),
    ("AU", "Australia", Australasia),
    ("AW", "Aruba", Caribbean),
    ("AX", "Åland Islands", NorthernEurope),
    ("AZ", "Azerbaijan", WesternAsia),
    ("BA", "Bosnia & Herzegovina", SouthernEurope),
    ("BB", "Barbados", Caribbean),
    ("BD", "Bangladesh", SouthernAsia),
    ("BE", "Belgium", WesternEurope),
    ("BF", "Burkina Faso", WesternAfrica),
    ("BG", "Bulgaria", EasternEurope),
    ("BH", "Bahrain", WesternAsia),
    ("BI", "Burundi", EasternAfrica),
    ("BJ", "Benin", WesternAfrica),
    ("BL", "St. Barthélemy", Caribbean),
    ("BM", "Bermuda", NorthernAmerica),
    ("BN", "Brunei", SoutheastAsia),
    ("BO", "Bolivia", SouthAmerica),
    ("BQ", "Caribbean Netherlands", Caribbean),
    ("BR", "Brazil", SouthAmerica),
    ("BS", "Bahamas", Caribbean),
    ("BT", "Bhutan", SouthernAsia),
    ("BV", "Bouvet Island", SouthAmerica),
    ("BW", "Botswana", SouthernAfrica),
    ("BY", "Belarus", EasternEurope),
    ("BZ", "Belize", CentralAmerica),
    ("CA", "Canada", NorthernAmerica),
    ("CC", "Cocos (Keeling) Islands", Australasia),
    ("CD", "Congo - Kinshasa", MiddleAfrica),
    ("CF", "Central African Republic", MiddleAfrica),
    ("CG", "Congo - Brazzaville", MiddleAfrica),
    ("CH", "Switzerland", WesternEurope),
    ("CI", "Côte d’Ivoire", WesternAfrica),
    ("CK", "Cook Islands", Polynesia),
    ("CL", "Chile", SouthAmerica),
    ("CM", "Cameroon", MiddleAfrica),
    ("CN", "China", EasternAsia),
    ("CO", "Colombia", SouthAmerica),
    ("CR", "Costa Rica", CentralAmerica),
    ("CU", "Cuba", Caribbean),
    ("CV", "Cape Verde", WesternAfrica),
    ("CW", "Curaçao", Caribbean),
    ("CX", "Christmas Island", Australasia),
    ("CY", "Cyprus", WesternAsia),
    ("CZ", "Czechia", EasternEurope),
    ("DE", "Germany", WesternEurope),
    ("DJ", "Djibouti", EasternAfrica),
    ("DK", "Denmark", NorthernEurope),
    ("DM", "Dominica", Caribbean),
    ("DO", "Dominican Republic", Caribbean),
    ("DZ", "Algeria", NorthernAfrica),
    ("EC", "Ecuador", SouthAmerica),
    ("EE", "Estonia", NorthernEurope),
    ("EG", "Egypt", NorthernAfrica),
    ("EH", "Western Sahara", NorthernAfrica),
    ("ER", "Eritrea", EasternAfrica),
    ("ES", "Spain", SouthernEurope),
    ("ET", "Ethiopia", EasternAfrica),
    ("FI", "Finland", NorthernEurope),
    ("FJ", "Fiji", Melanesia),
    ("FK", "Falkland Islands", SouthAmerica),
    ("FM", "Micronesia", MicronesianRegion),
    ("FO", "Faroe Islands", NorthernEurope),
    ("FR", "France", WesternEurope),
    ("GA", "Gabon", MiddleAfrica),
    ("GB", "United Kingdom", NorthernEurope),
    ("GD", "Grenada", Caribbean),
    ("GE", "Georgia", WesternAsia),
    ("GF", "French Guiana", SouthAmerica),
    ("GG", "Guernsey", NorthernEurope),
    ("GH", "Ghana", WesternAfrica),
    ("GI", "Gibraltar", SouthernEurope),
    ("GL", "Greenland", NorthernAmerica),
    ("GM", "Gambia", WesternAfrica),
    ("GN", "Guinea", WesternAfrica),
    ("GP", "Guadeloupe", Caribbean),
    ("GQ", "Equatorial Guinea", MiddleAfrica),
    ("GR", "Greece", SouthernEurope),
    ("GS", "South Georgia & South Sandwich Islands", SouthAmerica),
    ("GT", "Guatemala", CentralAmerica),
    ("GU", "Guam", MicronesianRegion),
    ("GW", "Guinea-Bissau", WesternAfrica),
    ("GY", "Guyana", SouthAmerica),
    ("HK", "Hong Kong", EasternAsia),
    ("HM", "Heard & McDonald Islands", Australasia),
    ("HN", "Honduras", CentralAmerica),
    ("HR", "Croatia", SouthernEurope),
    ("HT", "Haiti", Caribbean),
    ("HU", "Hungary", EasternEurope),
    ("ID", "Indonesia", SoutheastAsia),
    ("IE", "Ireland", NorthernEurope),
    ("IL", "Israel", WesternAsia),
    ("IM", "Isle of Man", NorthernEurope),
    ("IN", "India", SouthernAsia),
    ("IO", "British Indian Ocean Territory", EasternAfrica),
    ("IQ", "Iraq", WesternAsia),
    ("IR", "Iran", SouthernAsia),
    ("IS", "Iceland", NorthernEurope),
    ("IT", "Italy", SouthernEurope),
    ("JE", "Jersey", NorthernEurope),
    ("JM", "Jamaica", Caribbean),
    ("JO", "Jordan", WesternAsia),
    ("JP", "Japan", EasternAsia),
    ("KE", "Kenya", EasternAfrica),
    ("KG", "Kyrgyzstan", CentralAsia),
    ("KH", "Cambodia", SoutheastAsia),
    ("KI", "Kiribati", MicronesianRegion),
    ("KM", "Comoros", EasternAfrica),
    ("KN", "St. Kitts & Nevis", Caribbean),
    ("KP", "North Korea", EasternAsia),
    ("KR", "South Korea", EasternAsia),
    ("KW", "Kuwait", WesternAsia),
    ("KY", "Cayman Islands", Caribbean),
    ("KZ", "Kazakhstan", CentralAsia),
    ("LA", "Laos", SoutheastAsia),
    ("LB", "Lebanon", WesternAsia),
    ("LC", "St. Lucia", Caribbean),
    ("LI", "Liechtenstein", WesternEurope),
    ("LK", "Sri Lanka", SouthernAsia),
    ("LR", "Liberia", WesternAfrica),
    ("LS", "Lesotho", SouthernAfrica),
    ("LT", "Lithuania", NorthernEurope),
    ("LU", "Luxembourg", WesternEurope),
    ("LV", "Latvia", NorthernEurope),
    ("LY", "Libya", NorthernAfrica),
    ("MA", "Morocco", NorthernAfrica),
    ("MC", "Monaco", WesternEurope),
    ("MD", "Moldova", EasternEurope),
    ("ME", "Montenegro", SouthernEurope),
    ("MF", "St. Martin", Caribbean),
    ("MG", "Madagascar", EasternAfrica),
    ("MH", "Marshall Islands", MicronesianRegion),
    ("MK", "North Macedonia", SouthernEurope),
    ("ML", "Mali", WesternAfrica),
    ("MM", "Myanmar (Burma)", SoutheastAsia),
    ("MN", "Mongolia", EasternAsia),
    ("MO", "Macao", EasternAsia),
    ("MP", "Northern Mariana Islands", MicronesianRegion),
    ("MQ", "Martinique", Caribbean),
    ("MR", "Mauritania", WesternAfrica),
    ("MS", "Montserrat", Caribbean),
    ("MT", "Malta", SouthernEurope),
    ("MU", "Mauritius", EasternAfrica),
    ("MV", "Maldives", SouthernAsia),
    ("MW", "Malawi", EasternAfrica),
    ("MX", "Mexico", CentralAmerica),
    ("MY", "Malaysia", SoutheastAsia),
    ("MZ", "Mozambique", EasternAfrica),
    ("NA", "Namibia", SouthernAfrica),
    ("NC", "New Caledonia", Melanesia),
    ("NE", "Niger", WesternAfrica),
    ("NF", "Norfolk Island", Australasia),
    ("NG", "Nigeria", WesternAfrica),
    ("NI", "Nicaragua", CentralAmerica),
    ("NL", "Netherlands", WesternEurope),
    ("NO", "Norway", NorthernEurope),
    ("NP", "Nepal", SouthernAsia),
    ("NR", "Nauru", MicronesianRegion),
    ("NU", "Niue", Polynesia),
    ("NZ", "New Zealand", Australasia),
    ("OM", "Oman", WesternAsia),
    ("PA", "Panama", CentralAmerica),
    ("PE", "Peru", SouthAmerica),
    ("PF", "French Polynesia", Polynesia),
    ("PG", "Papua New Guinea", Melanesia),
    ("PH", "Philippines", SoutheastAsia),
    ("PK", "Pakistan", SouthernAsia),
    ("PL", "Poland", EasternEurope),
    ("PM", "St. Pierre & Miquelon", NorthernAmerica),
    ("PN", "Pitcairn Islands", Polynesia),
    ("PR", "Puerto Rico", Caribbean),
    ("PS", "Palestine", WesternAsia),
    ("PT", "Portugal", SouthernEurope),
    ("PW", "Palau", MicronesianRegion),
    ("PY", "Paraguay", SouthAmerica),
    ("QA", "Qatar", WesternAsia),
    ("RE", "Réunion", EasternAfrica),
    ("RO", "Romania", EasternEurope),
    ("RS", "Serbia", SouthernEurope),
    ("RU", "Russia", EasternEurope),
    ("RW", "Rwanda", EasternAfrica),
    ("SA", "Saudi Arabia", WesternAsia),
    ("SB", "Solomon Islands", Melanesia),
    ("SC", "Seychelles", EasternAfrica),
    ("SD", "Sudan", NorthernAfrica),
    ("SE", "Sweden", NorthernEurope),
    ("SG", "Singapore", SoutheastAsia),
    ("SH", "St. Helena", WesternAfrica),
    ("SI", "Slovenia", SouthernEurope),
    ("SJ", "Svalbard & Jan Mayen", NorthernEurope),
    ("SK", "Slovakia", EasternEurope),
    ("SL", "Sierra Leone", WesternAfrica),
    ("SM", "San Marino", SouthernEurope),
    ("SN", "Senegal", WesternAfrica),
    ("SO", "Somalia", EasternAfrica),
    ("SR", "Suriname", SouthAmerica),
    ("SS", "South Sudan", EasternAfrica),
    ("ST", "São Tomé & Príncipe", MiddleAfrica),
    ("SV", "El Salvador", CentralAmerica),
    ("SX", "Sint Maarten", Caribbean),
    ("SY", "Syria", WesternAsia),
    ("SZ", "Eswatini", SouthernAfrica),
    ("TC", "Turks & Caicos Islands", Caribbean),
    ("TD", "Chad", MiddleAfrica),
    ("TF", "French Southern Territories", EasternAfrica),
    ("TG", "Togo", WesternAfrica),
    ("TH", "Thailand", SoutheastAsia),
    ("TJ", "Tajikistan", CentralAsia),
    ("TK", "Tokelau", Polynesia),
    ("TL", "Timor-Leste", SoutheastAsia),
    ("TM", "Turkmenistan", CentralAsia),
    ("TN", "Tunisia", NorthernAfrica),
    ("TO", "Tonga", Polynesia),
    ("TR", "Türkiye", WesternAsia),
    ("TT", "Trinidad & Tobago", Caribbean),
    ("TV", "Tuvalu", Polynesia),
    ("TW", "Taiwan", EasternAsia),
    ("TZ", "Tanzania", EasternAfrica),
    ("UA", "Ukraine", EasternEurope),
    ("UG", "Uganda", EasternAfrica),
    ("UM", "U.S. Outlying Islands", MicronesianRegion),
    ("US", "United States", NorthernAmerica),
    ("UY", "Uruguay", SouthAmerica),
    ("UZ", "Uzbekistan", CentralAsia),
    ("VA", "Vatican City", SouthernEurope),
    ("VC", "St. Vincent & Grenadines", Caribbean),
    ("VE", "Venezuela", SouthAmerica),
    ("VG", "British Virgin Islands", Caribbean),
    ("VI", "U.S. Virgin Islands", Caribbean),
    ("VN", "Vietnam", SoutheastAsia),
    ("VU", "Vanuatu", Melanesia),
    ("WF", "Wallis & Futuna", Polynesia),
    ("WS", "Samoa", Polynesia),
    ("XK", "Kosovo", SouthernEurope),
    ("YE", "Yemen", WesternAsia),
    ("YT", "Mayotte", EasternAfrica),
    ("ZA", "South Africa", SouthernAfrica),
    ("ZM", "Zambia", EasternAfrica),
    ("ZW", "Zimbabwe", EasternAfrica),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_table_is_sorted_and_whole() {
        assert_eq!(COUNTRIES.len(), 250);
        assert!(COUNTRIES.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn countries_are_found_and_spelled_as_google_spells_them() {
        for (code, name, sub_continent, continent) in [
            ("CH", "Switzerland", "Western Europe", "Europe"),
            ("us", "United States", "Northern America", "Americas"),
            ("VN", "Vietnam", "Southeast Asia", "Asia"),
            ("NZ", "New Zealand", "Australasia", "Oceania"),
            ("GU", "Guam", "Micronesian Region", "Oceania"),
            ("CD", "Congo - Kinshasa", "Middle Africa", "Africa"),
            ("KR", "South Korea", "Eastern Asia", "Asia"),
            ("TR", "Türkiye", "Western Asia", "Asia"),
        ] {
            let country = by_code(code).unwrap();
            let group = country.sub_continent;
            assert_eq!((country.name, group.name(), group.continent()), (name, Some(sub_continent), Some(continent)));
            assert_eq!(by_name(&name.to_ascii_lowercase()), Some(country));
        }
        for unknown in ["ZZ", "XX", "T1", "", "CHE", "ü"] {
            assert_eq!(by_code(unknown), None, "{unknown}");
        }
        assert_eq!(by_code("AQ").unwrap().sub_continent.continent(), None);
    }
}
