//! Lists come in parts.

use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::failure::Refusal;
use crate::store::{LIST_LIMIT_MAX, Page};

/// How many items a list has when nothing is asked.
pub(super) const LIMIT_DEFAULT: u32 = 100;

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Listed<T> {
    pub(super) items: Vec<T>,
    /// `after` of the request for what follows; null at the end.
    pub(super) next: Option<String>,
}

/// 1 to [`LIST_LIMIT_MAX`].
pub(super) fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    let limit = asked.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIST_LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Refusal::invalid("invalid_limit", format!("The limit must lie between 1 and {LIST_LIMIT_MAX}.")).into())
}

/// The part of a list whose cursor counts what was shown.
pub(super) fn page(asked: Option<u32>, after: Option<&str>) -> Result<Page, Problem> {
    let limit = limit(asked)?;
    let offset = match after {
        None => 0,
        Some(cursor) => cursor.parse().map_err(|_| {
            Problem::from(Refusal::invalid("invalid_cursor", "Give the `next` of an earlier list, unchanged."))
        })?,
    };
    Ok(Page { limit, offset })
}

impl<T> Listed<T> {
    /// What a [`page`] gave.
    pub(super) fn of(items: Vec<T>, page: Page) -> Self {
        let full = u32::try_from(items.len()).is_ok_and(|count| count >= page.limit);
        let next = full.then(|| page.offset.saturating_add(page.limit).to_string());
        Self { items, next }
    }

    /// All there is.
    pub(super) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}
