//! `status -o prometheus`: a pass over the store for each metric, to stdout or into a file that is replaced at once.

use super::{Show, Shown};
use crate::config::ConfigError;
use crate::fsutil::{FsError, Replacement};
use crate::output::Stream;
use crate::output::prometheus::Metric;

/// The permission bits of a metrics file: there is no secret in it, and its reader is another user.
const MODE: u32 = 0o644;

/// Where the metrics go.
enum Target {
    Stdout(Stream),
    File(Replacement),
}

impl Target {
    fn push(&mut self, text: &str) -> anyhow::Result<()> {
        match self {
            Self::Stdout(out) => Ok(out.push(text)?),
            Self::File(file) => file.write(text.as_bytes()).map_err(refused),
        }
    }
}

/// A place that cannot be written is the operator's to mend.
fn refused(error: FsError) -> anyhow::Error {
    ConfigError::from(error).into()
}

/// Writes every metric of the selected keys.
pub(super) async fn write(show: &Show<'_>) -> anyhow::Result<Shown> {
    let mut target = match &show.args.write {
        Some(path) => Target::File(Replacement::begin(path, MODE).map_err(refused)?),
        None => Target::Stdout(show.context.printer.stream()),
    };
    let mut shown = Shown::default();
    for (pass, metric) in Metric::ALL.into_iter().enumerate() {
        target.push(&metric.header())?;
        let mut selected = show.broker.select(&show.selection).await?;
        while let Some(listed) = selected.next().await? {
            if !show.wants(&listed) {
                continue;
            }
            metric.sample(&listed).map_or(Ok(()), |line| target.push(&line))?;
            if pass == 0 {
                shown.count += 1;
                show.complain(listed, &mut shown);
            }
        }
    }
    match target {
        Target::Stdout(mut out) => out.flush()?,
        Target::File(file) => file.finish().map_err(refused)?,
    }
    Ok(shown)
}
