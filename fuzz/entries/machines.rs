//! Lists of machines that an operator has.

use std::sync::LazyLock;

use http::HeaderMap;
use real_streaming::{
    enrich::{
        self, Atlas, DeviceConfig, DeviceData,
        matomo::{Detector, MAIN},
        play_devices::PlayDevices,
    },
    pipeline::Pipeline,
};

use super::{hit, lines};

/// One pipeline for all folders: each takes the place of the one before.
static MACHINES: LazyLock<(DeviceData, Pipeline)> = LazyLock::new(|| {
    let data = DeviceData::default();
    let device = DeviceConfig { cold_parses: 0, ..DeviceConfig::default() };
    let config = enrich::Config { device, ..enrich::Config::default() };
    let pipeline = hit::pipeline_of(enrich::standard_on(&config, &Atlas::default(), &data));
    (data, pipeline)
});

/// A user agent, then the files of a folder in Matomo's format, each after a line `%`: machines, televisions, browsers,
/// robots.
pub fn matomo_folder(data: &[u8]) {
    const NAMES: [&str; 4] = [MAIN, "device/televisions.yml", "client/browsers.yml", "bots.yml"];
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split("\n%\n");
    let user_agent = parts.next().unwrap_or_default();
    let files: Vec<(&str, &[u8])> = NAMES.into_iter().zip(parts.map(str::as_bytes)).collect();
    let detector = match Detector::load(files.iter().copied()) {
        Ok(detector) => detector,
        Err(fault) => {
            assert!(!fault.message.is_empty() && fault.message.len() < 400, "a fault is short: {fault}");
            assert_eq!(Detector::load(files).err(), Some(fault), "the same bytes have the same fault");
            return;
        }
    };
    let (data, pipeline) = &*MACHINES;
    data.replace_matomo(detector);
    let headers: HeaderMap = hit::headers([("user-agent", user_agent.as_bytes())]);
    for row in hit::rows_of(pipeline, &hit::hit("", &headers, hit::PAGE_VIEW)) {
        let device = &row["device"];
        for (name, most) in [
            (&device["mobile_marketing_name"], 64),
            (&device["mobile_brand_name"], 1024),
            (&device["web_info"]["browser"], 1024),
            (&row["rs_info"]["bot_name"], 64),
        ] {
            let Some(name) = name.as_str() else { continue };
            assert!((1..=most).contains(&name.len()), "a name is there and bounded: {name:?}");
        }
        if device["mobile_model_name"].is_null() {
            assert!(device["mobile_marketing_name"].is_null(), "what has no model is not sold");
        }
    }
}

/// A maker and a model code, one a line, then Google's list of devices.
pub fn play_devices(data: &[u8]) {
    let mut texts = lines(data);
    let (brand, model) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
    let list = data.get(brand.len() + model.len() + 2..).unwrap_or_default();
    let (brand, model) = (String::from_utf8_lossy(brand), String::from_utf8_lossy(model));
    match PlayDevices::load(list) {
        Ok(list) => {
            assert!(!list.is_empty(), "a list without rows is none");
            for brand in [None, Some(&*brand)] {
                let Some(found) = list.find(&model, brand) else { continue };
                assert!((1..=96).contains(&found.name.len()) && !found.name.contains(char::is_control));
                assert!(brand.is_none_or(|brand| brand == found.brand), "{brand:?} is asked for");
            }
        }
        Err(error) => assert!(error.to_string().len() < 400, "an error is short: {error}"),
    }
}
