//! The lists of machines that a running process asks: Matomo's folder and Google's list.

use std::sync::Arc;

use tokio::runtime;
use tracing::{info, warn};

use super::watch::Watched;
use crate::{
    config,
    enrich::{DeviceConfig, DeviceData, matomo::Detector, play_devices::PlayDevices},
    telemetry::Metrics,
};

/// Reads what is configured, and watches its files from then on.
pub fn start(config: &DeviceConfig, metrics: &Arc<Metrics>, runtime: &runtime::Handle) -> anyhow::Result<DeviceData> {
    let data = DeviceData::default();
    let (in_use, shown) = (data.clone(), config.matomo.clone());
    let take = move |detector: Detector| {
        let (path, rules, memory) = (shown.display(), detector.rules(), detector.memory());
        let patterns = detector.skipped();
        in_use.replace_matomo(detector);
        info!(%path, rules, memory, "rules of machines");
        if patterns > 0 {
            warn!(%path, patterns, "some patterns cannot be used and are passed over");
        }
    };
    Watched {
        key: "device.matomo",
        path: config.matomo.clone(),
        files: config::matomo_files(&config.matomo).map(|(_, path)| path).collect(),
        read: config::matomo,
        take: Box::new(take),
    }
    .start(metrics, runtime)?;

    let (in_use, shown) = (data.clone(), config.play_devices.clone());
    let take = move |list: PlayDevices| {
        let rows = list.len();
        in_use.replace_play_devices(list);
        info!(path = %shown.display(), rows, "list of devices");
    };
    Watched {
        key: "device.play_devices",
        path: config.play_devices.clone(),
        files: vec![config.play_devices.clone()],
        read: config::play_devices,
        take: Box::new(take),
    }
    .start(metrics, runtime)?;
    Ok(data)
}

/// Reads what is configured, once.
pub fn read(config: &DeviceConfig) -> anyhow::Result<DeviceData> {
    let data = DeviceData::default();
    if !config.matomo.as_os_str().is_empty() {
        data.replace_matomo(config::matomo(&config.matomo).map_err(anyhow::Error::msg)?);
    }
    if !config.play_devices.as_os_str().is_empty() {
        data.replace_play_devices(config::play_devices(&config.play_devices).map_err(anyhow::Error::msg)?);
    }
    Ok(data)
}
