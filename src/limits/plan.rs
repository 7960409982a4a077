//! The limits of one configuration, compiled: what each request is held against.

use smallvec::SmallVec;

use crate::config::{Config, LimitMode, Limits, StoreDown};
use crate::model::{LimitKind, Need, RateLimit, ScopeId};
use crate::registry::view::Counted;

/// Places in the list of categories of a [`Plan`].
pub type Categories = SmallVec<[u16; 2]>;

#[derive(Debug, Default)]
pub struct Plan {
    limits: Limits,
    /// Each with the number that its buckets are kept under.
    categories: Vec<Category>,
    /// Every category that was ever limited since the start, so that a number never changes its meaning.
    names: Vec<String>,
    /// By the index of the scope: which limits hold for what touches it.
    by_scope: Vec<Categories>,
}

#[derive(Debug)]
struct Category {
    number: u16,
    limit: RateLimit,
}

#[cfg(test)]
impl Plan {
    /// Of limits that name no category.
    pub(super) fn holding(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }
}

impl Plan {
    /// `previous` is what it takes the place of.
    pub fn of(config: &Config, previous: Option<&Self>) -> Self {
        let limits = config.limits.clone();
        let catalogue = &config.policy.catalogue;
        let mut names = previous.map(|previous| previous.names.clone()).unwrap_or_default();
        let mut categories = Vec::new();
        let mut by_scope = vec![Categories::new(); catalogue.len()];
        for (name, limit) in &limits.categories {
            let number = names.iter().position(|known| known == name).unwrap_or_else(|| {
                names.push(name.clone());
                names.len() - 1
            });
            let (Ok(number), Ok(place)) = (u16::try_from(number), u16::try_from(categories.len()))
            else {
                continue;
            };
            let holds_for = catalogue.names().filter(|scope| {
                *scope == name || scope.split_once('.').is_some_and(|(whole, _)| whole == name)
            });
            for scope in holds_for.filter_map(|scope| catalogue.id(scope)) {
                if let Some(places) = by_scope.get_mut(scope.index()) {
                    places.push(place);
                }
            }
            categories.push(Category { number, limit: *limit });
        }
        Self { limits, categories, names, by_scope }
    }

    /// Those whose limits hold for a request that needs this.
    pub fn touched(&self, needs: &[Need]) -> Categories {
        let mut touched = Categories::new();
        if !self.categories.is_empty() {
            let of = |scope: ScopeId| self.by_scope.get(scope.index()).into_iter().flatten();
            for place in needs.iter().flat_map(|need| of(need.scope)) {
                if !touched.contains(place) {
                    touched.push(*place);
                }
            }
        }
        touched
    }

    /// Every category that has a limit.
    pub fn all_categories(&self) -> Categories {
        (0..self.categories.len()).filter_map(|place| u16::try_from(place).ok()).collect()
    }

    pub fn category(&self, place: u16) -> Option<&RateLimit> {
        Some(&self.categories.get(usize::from(place))?.limit)
    }

    /// What the buckets of a category are kept under.
    pub(super) fn number(&self, place: u16) -> u16 {
        self.categories.get(usize::from(place)).map_or(u16::MAX, |category| category.number)
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub fn observes(&self) -> bool {
        self.limits.mode == LimitMode::Observe
    }

    /// Whether nothing is served that cannot be counted together with the other nodes.
    pub fn denies_without_store(&self) -> bool {
        self.limits.store_down == StoreDown::Deny
    }

    /// Whether nothing is counted at the end of a request.
    pub fn is_over_at_the_head(&self) -> bool {
        self.limits.max_concurrent_per_key.is_none() && self.limits.daily_bytes.is_none()
    }

    /// Whether only a limit of a key's own could hold for a request with a key.
    pub fn is_empty(&self) -> bool {
        let Limits { key, vendor, practice, categories, daily_requests, daily_bytes, .. } =
            &self.limits;
        let rates = key.is_some() || vendor.is_some() || practice.is_some();
        let quotas = daily_requests.is_some() || daily_bytes.is_some();
        let running = self.limits.max_concurrent_per_key.is_some();
        !(rates || quotas || running) && categories.is_empty()
    }

    /// The rate that a kind of limit holds to, where it is one of a rate and is set. `own` is of the key itself.
    pub fn rate(&self, kind: LimitKind, own: Option<RateLimit>) -> Option<RateLimit> {
        match kind {
            LimitKind::Key => own.or(self.limits.key),
            LimitKind::Vendor => self.limits.vendor,
            LimitKind::Practice => self.limits.practice,
            LimitKind::Category(place) => self.category(place).copied(),
            LimitKind::FailedAuth => self.limits.failed_auth_per_ip,
            LimitKind::Source => self.limits.key,
            LimitKind::DailyRequests | LimitKind::DailyBytes | LimitKind::Concurrent => None,
        }
    }

    /// What a limit allows, as the configuration has it: `600/min`, `30000/d`, `64 at once`.
    pub fn allowed(&self, kind: LimitKind, own: Option<RateLimit>) -> String {
        let Limits { daily_requests, daily_bytes, max_concurrent_per_key, .. } = &self.limits;
        match kind {
            LimitKind::DailyRequests => format!("{}/d", daily_requests.unwrap_or_default()),
            LimitKind::DailyBytes => format!("{} bytes/d", daily_bytes.unwrap_or_default()),
            LimitKind::Concurrent => {
                format!("{} at once", max_concurrent_per_key.unwrap_or_default())
            }
            kind => self.rate(kind, own).map(|rate| rate.to_string()).unwrap_or_default(),
        }
    }

    /// Whether nothing holds for a caller.
    pub fn is_free(&self, who: &Counted) -> bool {
        who.own.is_none() && self.is_empty()
    }

    /// `key`, `category:files`.
    pub fn name(&self, kind: LimitKind) -> String {
        match kind {
            LimitKind::Category(place) => {
                let name = self.limits.categories.get(usize::from(place));
                format!("{}:{}", kind.name(), name.map_or("", |(name, _)| name))
            }
            _ => kind.name().to_owned(),
        }
    }

    /// The name of a category's limit, without what it is a limit of.
    pub fn category_name(&self, place: u16) -> &str {
        self.limits.categories.get(usize::from(place)).map_or("", |(name, _)| name)
    }
}

#[cfg(test)]
mod tests;
