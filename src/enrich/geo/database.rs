//! A database of addresses in MaxMind's format: GeoLite2, GeoIP2, DB-IP, IPinfo and others.
//!
//! The bytes come from outside and are the operator's, not ours: whatever they hold, a lookup ends and answers. Many
//! networks share one record, so places are remembered by the record's offset, which also spares reading it again.

use std::{fmt, net::IpAddr, sync::Arc};

use arc_swap::ArcSwapOption;
use maxminddb::{LookupResult, PathElement, Reader, path};
use quick_cache::sync::Cache;

use super::{MAX_NAME, Place, is_name};
use crate::{
    enrich::{countries, regions},
    schema::Encode,
};

/// Most places remembered: about 300 bytes each.
const REMEMBERED: usize = 16_384;

/// A database in memory.
pub struct Database {
    reader: Reader<Vec<u8>>,
    /// By offset of the record; `None` is a record that tells nothing.
    places: Cache<usize, Option<Arc<Found>>>,
}

/// What is remembered of a record.
pub(super) struct Found {
    pub place: Place<'static>,
    /// The whole of `geo`, encoded.
    pub record: Arc<[u8]>,
}

impl Found {
    fn new(place: Place<'static>) -> Found {
        let record = place.clone().record().encode_to_vec().into();
        Found { place, record }
    }
}

/// The bytes are no such database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a database in MaxMind's format: {0}")]
pub struct Unreadable(String);

impl Database {
    /// Reads the bytes of a file.
    pub fn load(bytes: Vec<u8>) -> Result<Database, Unreadable> {
        let reader = Reader::from_source(bytes).map_err(|error| Unreadable(error.to_string()))?;
        Ok(Database { reader, places: Cache::new(REMEMBERED) })
    }

    /// What kind of database it says it is, such as `GeoLite2-City`.
    pub fn kind(&self) -> &str {
        &self.reader.metadata().database_type
    }

    /// When it was built, in seconds since the Unix epoch.
    pub fn built_at(&self) -> u64 {
        self.reader.metadata().build_epoch
    }

    fn find(&self, address: IpAddr) -> Option<Arc<Found>> {
        let found = self.reader.lookup(address.to_canonical()).ok()?;
        let offset = found.offset()?;
        self.places.get(&offset).unwrap_or_else(|| {
            let place = read(&found).map(|place| Arc::new(Found::new(place)));
            self.places.insert(offset, place.clone());
            place
        })
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("kind", &self.kind()).field("built_at", &self.built_at()).finish()
    }
}

/// A record. A field that is missing or of another type is not known.
fn read(found: &LookupResult<'_, Vec<u8>>) -> Option<Place<'static>> {
    let text =
        |path: &[PathElement<'_>]| found.decode_path::<&str>(path).ok().flatten().filter(|t| t.len() <= MAX_NAME);
    let sound = |name: &&str| is_name(name) && !name.contains(char::is_control);
    let first = |paths: &[&[PathElement<'_>]]| paths.iter().find_map(|path| text(path).map(str::trim).filter(sound));

    // MaxMind and DB-IP nest; IPinfo has everything on one level.
    let country = first(&[&path!["country", "iso_code"], &path!["country_code"], &path!["country"]])
        .and_then(countries::by_code)
        .or_else(|| countries::by_name(first(&[&path!["country", "names", "en"], &path!["country"]])?));
    let code = country.zip(text(&path!["subdivisions", 0, "iso_code"]).or_else(|| text(&path!["region_code"])));
    let code =
        code.filter(|(_, code)| (1..=3).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric()));
    let code = code.map(|(country, code)| (country.code, code.to_ascii_uppercase()));
    // Our own table first, so that the headers and the database call a region by one name.
    let region = code.as_ref().and_then(|(country, code)| regions::name(country, code));
    let region = region.or_else(|| first(&[&path!["subdivisions", 0, "names", "en"], &path!["region"]]));
    let city = first(&[&path!["city", "names", "en"], &path!["city"]]);

    let place = Place {
        country,
        region_code: code.map(|(country, code)| [country, "-", &code].concat().into()),
        region: region.map(|name| name.to_owned().into()),
        city: city.map(|name| name.to_owned().into()),
    };
    (place != Place::default()).then_some(place)
}

/// The database in use. Its copies show the same one, which is replaced whole, so each hit sees the old or the new.
#[derive(Clone, Debug, Default)]
pub struct Atlas(Arc<ArcSwapOption<Database>>);

impl Atlas {
    /// From now on this database is asked.
    pub fn replace(&self, database: Database) {
        self.0.store(Some(Arc::new(database)));
    }

    /// Kind of the database in use.
    pub fn kind(&self) -> Option<String> {
        self.0.load().as_ref().map(|database| database.kind().to_owned())
    }

    /// What is known about an address.
    pub(super) fn find(&self, address: IpAddr) -> Option<Arc<Found>> {
        self.0.load().as_ref()?.find(address)
    }
}
