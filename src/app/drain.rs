//! The order in which things stop: say so, take nothing new, finish what is in flight, leave.

use std::time::Duration;

use anyhow::bail;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::app::signals::Stop;
use crate::app::workers::Workers;
use crate::telemetry::Readiness;

/// Workers cut what is left at `drain` by themselves; this is for one that cannot.
const GRACE: Duration = Duration::from_secs(2);

/// Ends the workers within `limit`, or at once at a second signal.
pub(super) async fn drain(
    readiness: &Readiness,
    begin: &watch::Sender<bool>,
    workers: &mut Workers,
    stop: &mut Stop,
    limit: Duration,
) -> anyhow::Result<()> {
    tracing::info!(?limit, "draining");
    readiness.begin_drain();
    begin.send_replace(true);
    let all_ended = async {
        let mut first_error = Ok(());
        while let Some(end) = workers.next_end().await {
            first_error = first_error.and(end);
        }
        first_error
    };
    tokio::select! {
        ended = all_ended => {
            tracing::info!("drained");
            ended
        }
        () = stop.asked() => bail!("stopped at once by a second signal, while requests were in flight"),
        () = sleep(limit + GRACE) => {
            tracing::warn!("requests that took longer than proxy.drain were cut");
            Ok(())
        }
    }
}
