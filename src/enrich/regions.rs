//! English names of first-level subdivisions by ISO 3166-2 code, for the countries most visitors come from.
//!
//! Headers of load balancers carry codes, GA4 shows names. Some countries stand here with two codes for one place, the
//! old and the new one, because senders change over slowly. Where a country is missing, the region of its visitors is
//! known only if a header names it.

/// Name of the subdivision `code`, the part after the hyphen of ISO 3166-2, upper case.
pub fn name(country: &str, code: &str) -> Option<&'static str> {
    let regions = of(country)?;
    let at = regions.binary_search_by(|(c, _)| c.cmp(&code)).ok()?;
    Some(regions[at].1)
}

/// Code of a subdivision named in English, in any letter case.
pub fn code(country: &str, name: &str) -> Option<&'static str> {
    of(country)?.iter().find(|(_, n)| n.eq_ignore_ascii_case(name)).map(|(code, _)| *code)
}

fn of(country: &str) -> Option<&'static [(&'static str, &'static str)]> {
    let at = REGIONS.binary_search_by(|(c, _)| c.cmp(&country)).ok()?;
    Some(REGIONS[at].1)
}

/// Sorted by country, and inside a country by code.
#[rustfmt::skip]
static REGIONS: &[(&str, &[(&str, &str)])] = &[
    ("AE", &[
        ("AJ", "Ajman"), ("AZ", "Abu Dhabi"), ("DU", "Dubai"), ("FU", "Fujairah"), ("RK", "Ras al Khaimah"),
        ("SH", "Sharjah"), ("UQ", "Umm Al Quwain"),
    ]),
    ("AR", &[
        ("A", "Salta"), ("B", "Buenos Aires Province"), ("C", "Buenos Aires"), ("D", "San Luis"), ("E", "Entre Ríos"),
        ("F", "La Rioja"), ("G", "Santiago del Estero"), ("H", "Chaco"), ("J", "San Juan"), ("K", "Catamarca"),
        ("L", "La Pampa"), ("M", "Mendoza"), ("N", "Misiones"), ("P", "Formosa"), ("Q", "Neuquén"), ("R", "Río Negro"),
        ("S", "Santa Fe"), ("T", "Tucumán"), ("U", "Chubut"), ("V", "Tierra del Fuego"), ("W", "Corrientes"),
        ("X", "Córdoba"), ("Y", "Jujuy"), ("Z", "Santa Cruz"),
    ]),
    ("AT", &[
        ("1", "Burgenland"), ("2", "Carinthia"), ("3", "Lower Austria"), ("4", "Upper Austria"), ("5", "Salzburg"),
        ("6", "Styria"), ("7", "Tyrol"), ("8", "Vorarlberg"), ("9", "Vienna"),
    ]),
    ("AU", &[
        ("ACT", "Australian Capital Territory"), ("NSW", "New South Wales"), ("NT", "Northern Territory"),
        ("QLD", "Queensland"), ("SA", "South Australia"), ("TAS", "Tasmania"), ("VIC", "Victoria"),
        ("WA", "Western Australia"),
    ]),
    ("BE", &[
        ("BRU", "Brussels"), ("VAN", "Antwerp"), ("VBR", "Flemish Brabant"), ("VLG", "Flanders"), ("VLI", "Limburg"),
        ("VOV", "East Flanders"), ("VWV", "West Flanders"), ("WAL", "Wallonia"), ("WBR", "Walloon Brabant"),
        ("WHT", "Hainaut"), ("WLG", "Liège"), ("WLX", "Luxembourg"), ("WNA", "Namur"),
    ]),
    ("BR", &[
        ("AC", "Acre"), ("AL", "Alagoas"), ("AM", "Amazonas"), ("AP", "Amapá"), ("BA", "Bahia"), ("CE", "Ceará"),
        ("DF", "Federal District"), ("ES", "Espírito Santo"), ("GO", "Goiás"), ("MA", "Maranhão"),
        ("MG", "Minas Gerais"), ("MS", "Mato Grosso do Sul"), ("MT", "Mato Grosso"), ("PA", "Pará"), ("PB", "Paraíba"),
        ("PE", "Pernambuco"), ("PI", "Piauí"), ("PR", "Paraná"), ("RJ", "Rio de Janeiro"),
        ("RN", "Rio Grande do Norte"), ("RO", "Rondônia"), ("RR", "Roraima"), ("RS", "Rio Grande do Sul"),
        ("SC", "Santa Catarina"), ("SE", "Sergipe"), ("SP", "São Paulo"), ("TO", "Tocantins"),
    ]),
    ("CA", &[
        ("AB", "Alberta"), ("BC", "British Columbia"), ("MB", "Manitoba"), ("NB", "New Brunswick"),
        ("NL", "Newfoundland and Labrador"), ("NS", "Nova Scotia"), ("NT", "Northwest Territories"), ("NU", "Nunavut"),
        ("ON", "Ontario"), ("PE", "Prince Edward Island"), ("QC", "Quebec"), ("SK", "Saskatchewan"), ("YT", "Yukon"),
    ]),
    ("CH", &[
        ("AG", "Aargau"), ("AI", "Appenzell Innerrhoden"), ("AR", "Appenzell Ausserrhoden"), ("BE", "Bern"),
        ("BL", "Basel-Landschaft"), ("BS", "Basel-Stadt"), ("FR", "Fribourg"), ("GE", "Geneva"), ("GL", "Glarus"),
        ("GR", "Grisons"), ("JU", "Jura"), ("LU", "Lucerne"), ("NE", "Neuchâtel"), ("NW", "Nidwalden"),
        ("OW", "Obwalden"), ("SG", "St. Gallen"), ("SH", "Schaffhausen"), ("SO", "Solothurn"), ("SZ", "Schwyz"),
        ("TG", "Thurgau"), ("TI", "Ticino"), ("UR", "Uri"), ("VD", "Vaud"), ("VS", "Valais"), ("ZG", "Zug"),
        ("ZH", "Zurich"),
    ]),
    ("CN", &[
        ("AH", "Anhui"), ("BJ", "Beijing"), ("CQ", "Chongqing"), ("FJ", "Fujian"), ("GD", "Guangdong"), ("GS", "Gansu"),
        ("GX", "Guangxi"), ("GZ", "Guizhou"), ("HA", "Henan"), ("HB", "Hubei"), ("HE", "Hebei"), ("HI", "Hainan"),
        ("HL", "Heilongjiang"), ("HN", "Hunan"), ("JL", "Jilin"), ("JS", "Jiangsu"), ("JX", "Jiangxi"),
        ("LN", "Liaoning"), ("NM", "Inner Mongolia"), ("NX", "Ningxia"), ("QH", "Qinghai"), ("SC", "Sichuan"),
        ("SD", "Shandong"), ("SH", "Shanghai"), ("SN", "Shaanxi"), ("SX", "Shanxi"), ("TJ", "Tianjin"),
        ("XJ", "Xinjiang"), ("XZ", "Tibet"), ("YN", "Yunnan"), ("ZJ", "Zhejiang"),
    ]),
    ("CZ", &[
        ("10", "Prague"), ("20", "Central Bohemian Region"), ("31", "South Bohemian Region"), ("32", "Plzeň Region"),
        ("41", "Karlovy Vary Region"), ("42", "Ústí nad Labem Region"), ("51", "Liberec Region"),
        ("52", "Hradec Králové Region"), ("53", "Pardubice Region"), ("63", "Vysočina Region"),
        ("64", "South Moravian Region"), ("71", "Olomouc Region"), ("72", "Zlín Region"),
        ("80", "Moravian-Silesian Region"),
    ]),
    ("DE", &[
        ("BB", "Brandenburg"), ("BE", "Berlin"), ("BW", "Baden-Württemberg"), ("BY", "Bavaria"), ("HB", "Bremen"),
        ("HE", "Hesse"), ("HH", "Hamburg"), ("MV", "Mecklenburg-Vorpommern"), ("NI", "Lower Saxony"),
        ("NW", "North Rhine-Westphalia"), ("RP", "Rhineland-Palatinate"), ("SH", "Schleswig-Holstein"),
        ("SL", "Saarland"), ("SN", "Saxony"), ("ST", "Saxony-Anhalt"), ("TH", "Thuringia"),
    ]),
    ("DK", &[
        ("81", "North Denmark Region"), ("82", "Central Denmark Region"), ("83", "Region of Southern Denmark"),
        ("84", "Capital Region of Denmark"), ("85", "Region Zealand"),
    ]),
    ("ES", &[
        ("AN", "Andalusia"), ("AR", "Aragon"), ("AS", "Asturias"), ("CB", "Cantabria"), ("CE", "Ceuta"),
        ("CL", "Castile and León"), ("CM", "Castilla-La Mancha"), ("CN", "Canary Islands"), ("CT", "Catalonia"),
        ("EX", "Extremadura"), ("GA", "Galicia"), ("IB", "Balearic Islands"), ("MC", "Region of Murcia"),
        ("MD", "Community of Madrid"), ("ML", "Melilla"), ("NC", "Navarre"), ("PV", "Basque Country"),
        ("RI", "La Rioja"), ("VC", "Valencian Community"),
    ]),
    ("FI", &[
        ("01", "Åland"), ("02", "South Karelia"), ("03", "Southern Ostrobothnia"), ("04", "South Savo"),
        ("05", "Kainuu"), ("06", "Kanta-Häme"), ("07", "Central Ostrobothnia"), ("08", "Central Finland"),
        ("09", "Kymenlaakso"), ("10", "Lapland"), ("11", "Pirkanmaa"), ("12", "Ostrobothnia"), ("13", "North Karelia"),
        ("14", "Northern Ostrobothnia"), ("15", "North Savo"), ("16", "Päijät-Häme"), ("17", "Satakunta"),
        ("18", "Uusimaa"), ("19", "Southwest Finland"),
    ]),
    ("FR", &[
        ("20R", "Corsica"), ("971", "Guadeloupe"), ("972", "Martinique"), ("973", "French Guiana"), ("974", "Réunion"),
        ("976", "Mayotte"), ("ARA", "Auvergne-Rhône-Alpes"), ("BFC", "Bourgogne-Franche-Comté"), ("BRE", "Brittany"),
        ("CVL", "Centre-Val de Loire"), ("GES", "Grand Est"), ("HDF", "Hauts-de-France"), ("IDF", "Île-de-France"),
        ("NAQ", "Nouvelle-Aquitaine"), ("NOR", "Normandy"), ("OCC", "Occitanie"), ("PAC", "Provence-Alpes-Côte d'Azur"),
        ("PDL", "Pays de la Loire"),
    ]),
    ("GB", &[
        ("ENG", "England"), ("NIR", "Northern Ireland"), ("SCT", "Scotland"), ("WLS", "Wales"),
    ]),
    ("ID", &[
        ("AC", "Aceh"), ("BA", "Bali"), ("BB", "Bangka Belitung Islands"), ("BE", "Bengkulu"), ("BT", "Banten"),
        ("GO", "Gorontalo"), ("JA", "Jambi"), ("JB", "West Java"), ("JI", "East Java"), ("JK", "Jakarta"),
        ("JT", "Central Java"), ("KB", "West Kalimantan"), ("KI", "East Kalimantan"), ("KR", "Riau Islands"),
        ("KS", "South Kalimantan"), ("KT", "Central Kalimantan"), ("KU", "North Kalimantan"), ("LA", "Lampung"),
        ("MA", "Maluku"), ("MU", "North Maluku"), ("NB", "West Nusa Tenggara"), ("NT", "East Nusa Tenggara"),
        ("PA", "Papua"), ("PB", "West Papua"), ("RI", "Riau"), ("SA", "North Sulawesi"), ("SB", "West Sumatra"),
        ("SG", "Southeast Sulawesi"), ("SN", "South Sulawesi"), ("SR", "West Sulawesi"), ("SS", "South Sumatra"),
        ("ST", "Central Sulawesi"), ("SU", "North Sumatra"), ("YO", "Yogyakarta"),
    ]),
    ("IE", &[
        ("C", "Connaught"), ("CE", "County Clare"), ("CN", "County Cavan"), ("CO", "County Cork"),
        ("CW", "County Carlow"), ("D", "County Dublin"), ("DL", "County Donegal"), ("G", "County Galway"),
        ("KE", "County Kildare"), ("KK", "County Kilkenny"), ("KY", "County Kerry"), ("L", "Leinster"),
        ("LD", "County Longford"), ("LH", "County Louth"), ("LK", "County Limerick"), ("LM", "County Leitrim"),
        ("LS", "County Laois"), ("M", "Munster"), ("MH", "County Meath"), ("MN", "County Monaghan"),
        ("MO", "County Mayo"), ("OY", "County Offaly"), ("RN", "County Roscommon"), ("SO", "County Sligo"),
        ("TA", "County Tipperary"), ("U", "Ulster"), ("WD", "County Waterford"), ("WH", "County Westmeath"),
        ("WW", "County Wicklow"), ("WX", "County Wexford"),
    ]),
    ("IN", &[
        ("AN", "Andaman and Nicobar Islands"), ("AP", "Andhra Pradesh"), ("AR", "Arunachal Pradesh"), ("AS", "Assam"),
        ("BR", "Bihar"), ("CG", "Chhattisgarh"), ("CH", "Chandigarh"), ("CT", "Chhattisgarh"),
        ("DH", "Dadra and Nagar Haveli and Daman and Diu"), ("DL", "Delhi"), ("GA", "Goa"), ("GJ", "Gujarat"),
        ("HP", "Himachal Pradesh"), ("HR", "Haryana"), ("JH", "Jharkhand"), ("JK", "Jammu and Kashmir"),
        ("KA", "Karnataka"), ("KL", "Kerala"), ("LA", "Ladakh"), ("LD", "Lakshadweep"), ("MH", "Maharashtra"),
        ("ML", "Meghalaya"), ("MN", "Manipur"), ("MP", "Madhya Pradesh"), ("MZ", "Mizoram"), ("NL", "Nagaland"),
        ("OD", "Odisha"), ("OR", "Odisha"), ("PB", "Punjab"), ("PY", "Puducherry"), ("RJ", "Rajasthan"),
        ("SK", "Sikkim"), ("TG", "Telangana"), ("TN", "Tamil Nadu"), ("TR", "Tripura"), ("TS", "Telangana"),
        ("UK", "Uttarakhand"), ("UP", "Uttar Pradesh"), ("UT", "Uttarakhand"), ("WB", "West Bengal"),
    ]),
    ("IT", &[
        ("21", "Piedmont"), ("23", "Aosta Valley"), ("25", "Lombardy"), ("32", "Trentino-Alto Adige"), ("34", "Veneto"),
        ("36", "Friuli-Venezia Giulia"), ("42", "Liguria"), ("45", "Emilia-Romagna"), ("52", "Tuscany"),
        ("55", "Umbria"), ("57", "Marche"), ("62", "Lazio"), ("65", "Abruzzo"), ("67", "Molise"), ("72", "Campania"),
        ("75", "Apulia"), ("77", "Basilicata"), ("78", "Calabria"), ("82", "Sicily"), ("88", "Sardinia"),
    ]),
    ("JP", &[
        ("01", "Hokkaido"), ("02", "Aomori"), ("03", "Iwate"), ("04", "Miyagi"), ("05", "Akita"), ("06", "Yamagata"),
        ("07", "Fukushima"), ("08", "Ibaraki"), ("09", "Tochigi"), ("10", "Gunma"), ("11", "Saitama"), ("12", "Chiba"),
        ("13", "Tokyo"), ("14", "Kanagawa"), ("15", "Niigata"), ("16", "Toyama"), ("17", "Ishikawa"), ("18", "Fukui"),
        ("19", "Yamanashi"), ("20", "Nagano"), ("21", "Gifu"), ("22", "Shizuoka"), ("23", "Aichi"), ("24", "Mie"),
        ("25", "Shiga"), ("26", "Kyoto"), ("27", "Osaka"), ("28", "Hyogo"), ("29", "Nara"), ("30", "Wakayama"),
        ("31", "Tottori"), ("32", "Shimane"), ("33", "Okayama"), ("34", "Hiroshima"), ("35", "Yamaguchi"),
        ("36", "Tokushima"), ("37", "Kagawa"), ("38", "Ehime"), ("39", "Kochi"), ("40", "Fukuoka"), ("41", "Saga"),
        ("42", "Nagasaki"), ("43", "Kumamoto"), ("44", "Oita"), ("45", "Miyazaki"), ("46", "Kagoshima"),
        ("47", "Okinawa"),
    ]),
    ("KR", &[
        ("11", "Seoul"), ("26", "Busan"), ("27", "Daegu"), ("28", "Incheon"), ("29", "Gwangju"), ("30", "Daejeon"),
        ("31", "Ulsan"), ("41", "Gyeonggi-do"), ("42", "Gangwon-do"), ("43", "Chungcheongbuk-do"),
        ("44", "Chungcheongnam-do"), ("45", "Jeollabuk-do"), ("46", "Jeollanam-do"), ("47", "Gyeongsangbuk-do"),
        ("48", "Gyeongsangnam-do"), ("49", "Jeju-do"), ("50", "Sejong"),
    ]),
    ("MX", &[
        ("AGU", "Aguascalientes"), ("BCN", "Baja California"), ("BCS", "Baja California Sur"), ("CAM", "Campeche"),
        ("CHH", "Chihuahua"), ("CHP", "Chiapas"), ("CMX", "Mexico City"), ("COA", "Coahuila"), ("COL", "Colima"),
        ("DUR", "Durango"), ("GRO", "Guerrero"), ("GUA", "Guanajuato"), ("HID", "Hidalgo"), ("JAL", "Jalisco"),
        ("MEX", "State of Mexico"), ("MIC", "Michoacán"), ("MOR", "Morelos"), ("NAY", "Nayarit"), ("NLE", "Nuevo León"),
        ("OAX", "Oaxaca"), ("PUE", "Puebla"), ("QUE", "Querétaro"), ("ROO", "Quintana Roo"), ("SIN", "Sinaloa"),
        ("SLP", "San Luis Potosí"), ("SON", "Sonora"), ("TAB", "Tabasco"), ("TAM", "Tamaulipas"), ("TLA", "Tlaxcala"),
        ("VER", "Veracruz"), ("YUC", "Yucatán"), ("ZAC", "Zacatecas"),
    ]),
    ("MY", &[
        ("01", "Johor"), ("02", "Kedah"), ("03", "Kelantan"), ("04", "Malacca"), ("05", "Negeri Sembilan"),
        ("06", "Pahang"), ("07", "Penang"), ("08", "Perak"), ("09", "Perlis"), ("10", "Selangor"), ("11", "Terengganu"),
        ("12", "Sabah"), ("13", "Sarawak"), ("14", "Kuala Lumpur"), ("15", "Labuan"), ("16", "Putrajaya"),
    ]),
    ("NL", &[
        ("DR", "Drenthe"), ("FL", "Flevoland"), ("FR", "Friesland"), ("GE", "Gelderland"), ("GR", "Groningen"),
        ("LI", "Limburg"), ("NB", "North Brabant"), ("NH", "North Holland"), ("OV", "Overijssel"), ("UT", "Utrecht"),
        ("ZE", "Zeeland"), ("ZH", "South Holland"),
    ]),
    ("NO", &[
        ("03", "Oslo"), ("11", "Rogaland"), ("15", "Møre og Romsdal"), ("18", "Nordland"), ("31", "Østfold"),
        ("32", "Akershus"), ("33", "Buskerud"), ("34", "Innlandet"), ("39", "Vestfold"), ("40", "Telemark"),
        ("42", "Agder"), ("46", "Vestland"), ("50", "Trøndelag"), ("55", "Troms"), ("56", "Finnmark"),
    ]),
    ("NZ", &[
        ("AUK", "Auckland"), ("BOP", "Bay of Plenty"), ("CAN", "Canterbury"), ("CIT", "Chatham Islands"),
        ("GIS", "Gisborne"), ("HKB", "Hawke's Bay"), ("MBH", "Marlborough"), ("MWT", "Manawatu-Wanganui"),
        ("NSN", "Nelson"), ("NTL", "Northland"), ("OTA", "Otago"), ("STL", "Southland"), ("TAS", "Tasman"),
        ("TKI", "Taranaki"), ("WGN", "Wellington"), ("WKO", "Waikato"), ("WTC", "West Coast"),
    ]),
    ("PL", &[
        ("02", "Lower Silesian Voivodeship"), ("04", "Kuyavian-Pomeranian Voivodeship"), ("06", "Lublin Voivodeship"),
        ("08", "Lubusz Voivodeship"), ("10", "Łódź Voivodeship"), ("12", "Lesser Poland Voivodeship"),
        ("14", "Masovian Voivodeship"), ("16", "Opole Voivodeship"), ("18", "Podkarpackie Voivodeship"),
        ("20", "Podlaskie Voivodeship"), ("22", "Pomeranian Voivodeship"), ("24", "Silesian Voivodeship"),
        ("26", "Świętokrzyskie Voivodeship"), ("28", "Warmian-Masurian Voivodeship"),
        ("30", "Greater Poland Voivodeship"), ("32", "West Pomeranian Voivodeship"),
    ]),
    ("PT", &[
        ("01", "Aveiro"), ("02", "Beja"), ("03", "Braga"), ("04", "Bragança"), ("05", "Castelo Branco"),
        ("06", "Coimbra"), ("07", "Évora"), ("08", "Faro"), ("09", "Guarda"), ("10", "Leiria"), ("11", "Lisbon"),
        ("12", "Portalegre"), ("13", "Porto"), ("14", "Santarém"), ("15", "Setúbal"), ("16", "Viana do Castelo"),
        ("17", "Vila Real"), ("18", "Viseu"), ("20", "Azores"), ("30", "Madeira"),
    ]),
    ("SE", &[
        ("AB", "Stockholm County"), ("AC", "Västerbotten County"), ("BD", "Norrbotten County"), ("C", "Uppsala County"),
        ("D", "Södermanland County"), ("E", "Östergötland County"), ("F", "Jönköping County"),
        ("G", "Kronoberg County"), ("H", "Kalmar County"), ("I", "Gotland County"), ("K", "Blekinge County"),
        ("M", "Skåne County"), ("N", "Halland County"), ("O", "Västra Götaland County"), ("S", "Värmland County"),
        ("T", "Örebro County"), ("U", "Västmanland County"), ("W", "Dalarna County"), ("X", "Gävleborg County"),
        ("Y", "Västernorrland County"), ("Z", "Jämtland County"),
    ]),
    ("US", &[
        ("AK", "Alaska"), ("AL", "Alabama"), ("AR", "Arkansas"), ("AS", "American Samoa"), ("AZ", "Arizona"),
        ("CA", "California"), ("CO", "Colorado"), ("CT", "Connecticut"), ("DC", "District of Columbia"),
        ("DE", "Delaware"), ("FL", "Florida"), ("GA", "Georgia"), ("GU", "Guam"), ("HI", "Hawaii"), ("IA", "Iowa"),
        ("ID", "Idaho"), ("IL", "Illinois"), ("IN", "Indiana"), ("KS", "Kansas"), ("KY", "Kentucky"),
        ("LA", "Louisiana"), ("MA", "Massachusetts"), ("MD", "Maryland"), ("ME", "Maine"), ("MI", "Michigan"),
        ("MN", "Minnesota"), ("MO", "Missouri"), ("MP", "Northern Mariana Islands"), ("MS", "Mississippi"),
        ("MT", "Montana"), ("NC", "North Carolina"), ("ND", "North Dakota"), ("NE", "Nebraska"),
        ("NH", "New Hampshire"), ("NJ", "New Jersey"), ("NM", "New Mexico"), ("NV", "Nevada"), ("NY", "New York"),
        ("OH", "Ohio"), ("OK", "Oklahoma"), ("OR", "Oregon"), ("PA", "Pennsylvania"), ("PR", "Puerto Rico"),
        ("RI", "Rhode Island"), ("SC", "South Carolina"), ("SD", "South Dakota"), ("TN", "Tennessee"), ("TX", "Texas"),
        ("UM", "U.S. Outlying Islands"), ("UT", "Utah"), ("VA", "Virginia"), ("VI", "U.S. Virgin Islands"),
        ("VT", "Vermont"), ("WA", "Washington"), ("WI", "Wisconsin"), ("WV", "West Virginia"), ("WY", "Wyoming"),
    ]),
    ("ZA", &[
        ("EC", "Eastern Cape"), ("FS", "Free State"), ("GP", "Gauteng"), ("GT", "Gauteng"), ("KZN", "KwaZulu-Natal"),
        ("LP", "Limpopo"), ("MP", "Mpumalanga"), ("NC", "Northern Cape"), ("NL", "KwaZulu-Natal"), ("NW", "North West"),
        ("WC", "Western Cape"),
    ]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::countries;

    #[test]
    fn the_table_is_sorted_and_belongs_to_countries() {
        assert!(REGIONS.is_sorted_by(|a, b| a.0 < b.0));
        for (country, regions) in REGIONS {
            assert!(countries::by_code(country).is_some(), "{country}");
            assert!(regions.is_sorted_by(|a, b| a.0 < b.0), "{country}");
            assert!(regions.iter().all(|(code, _)| (1..=3).contains(&code.len())), "{country}");
        }
    }

    #[test]
    fn subdivisions_are_found_by_code_and_by_name() {
        for (country, region, expected) in [
            ("US", "CA", Some("California")),
            ("DE", "BY", Some("Bavaria")),
            ("CH", "ZH", Some("Zurich")),
            ("AT", "9", Some("Vienna")),
            ("JP", "13", Some("Tokyo")),
            ("US", "XX", None),
            ("VA", "1", None),
        ] {
            assert_eq!(name(country, region), expected, "{country}-{region}");
        }
        assert_eq!(code("US", "california"), Some("CA"));
        assert_eq!(code("US", "Bavaria"), None);
    }
}
