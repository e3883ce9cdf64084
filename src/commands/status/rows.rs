//! `status` as a table or as JSON, and with `--remote` what the provider says.

use super::row::{self, KeyView};
use super::{Show, Shown};
use crate::model::{Key, response};
use crate::ops::{Error, Issuer};
use crate::output::response::Format;
use crate::output::table::Pages;
use crate::output::terminal;

impl Show<'_> {
    /// A row for each key, as a table or as JSON.
    pub(super) async fn rows(&self, format: Option<Format>) -> anyhow::Result<Shown> {
        let mut shown = Shown::default();
        let look = self.look();
        let mut pages = Pages::new(look.columns(), terminal::table_width());
        let mut out = self.context.printer.stream();
        let mut selected = self.broker.select(&self.selection).await?;
        while let Some(listed) = selected.next().await? {
            if !self.wants(&listed) {
                continue;
            }
            let remote = match (&listed.summary, self.args.remote) {
                (Ok(_), true) => self.remote(&listed.key).await,
                _ => Ok(None),
            };
            let remote = remote.unwrap_or_else(|error| {
                self.context.warn(&format!("{}: {error}", listed.key));
                shown.failed.get_or_insert(error.into());
                None
            });
            match format {
                None => {
                    pages.push(look.row(&listed, remote)).map_or(Ok(()), |page| out.line(&page))?;
                }
                Some(Format::Json) => {
                    out.push(if shown.count == 0 { "[\n" } else { ",\n" })?;
                    out.push(&row::indent(&response::pretty(&KeyView::new(&listed, self.now, remote))))?;
                }
                Some(_) => {}
            }
            shown.count += 1;
            self.complain(listed, &mut shown);
            if out.is_closed() {
                return Ok(shown);
            }
        }
        match format {
            Some(Format::Json) => out.line(if shown.count == 0 { "[]" } else { "\n]" })?,
            None if shown.count > 0 => pages.end().map_or(Ok(()), |page| out.line(&page))?,
            _ => {}
        }
        out.flush()?;
        Ok(shown)
    }

    /// What the provider says of a token, in a word.
    async fn remote(&self, key: &Key) -> Result<Option<&'static str>, Error> {
        let issuer = Issuer::new(self.settings.provider(&key.provider)?);
        // One that is gone was removed since it was listed.
        let Some(record) = self.broker.store.get(key).await? else {
            return Ok(None);
        };
        issuer.check(key, &record)?;
        let inspection = self.broker.inspect(&issuer, &record).await?;
        if let Some(note) = &inspection.note {
            self.context.printer.note(&format!("note: {key}: {note}"));
        }
        Ok(Some(if inspection.active { "active" } else { "inactive" }))
    }
}
